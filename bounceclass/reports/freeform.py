"""Notices of mailers that nobody described: found by what all notices share.

A mail system wrote it, its words say that a delivery failed, and an address that
the returned message went to, or that an SMTP reply speaks of, stands in it.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bounceclass import fields
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.reports import layouts, origin
from bounceclass.reports.layouts import MANY, MAX_REASON_OF_MANY
from bounceclass.words import Words

if TYPE_CHECKING:
    from bounceclass.model import Mail
    from bounceclass.reports.page import Page

__all__ = ["passages", "read", "with_guessed_recipient"]

MAX_NOTICE = 16 * 1024
"""Characters of a notice that are searched for addresses."""
MAX_FOUND = 200
"""Addresses in a notice that are looked at."""

_FAILED = Words(
    "could( |)n(o|')t be sent", "couldn't be delivered", "undeliver", "not (be |been |)deliver",
    "(unable|failed|failure|problem|problems|error|errors) (to |in |while |during |trying to |)(deliver|send)",
    "permanent (fatal |)error", "returned (to sender|mail)", "did not (reach|receive)", "was never delivered", "was rejected",
    "has been rejected", "non(-|)delivery", "user unknown", "unknown user", "no such user", "mailbox (is |)full", "over( |)quota",
    "quota exceeded", "not a valid user", "bounced", "wasn't delivered", "non remis", "unzustellbar", "nicht zugestellt",
    "nicht zustell", "no (se |)(ha |)(puede|pudo|podido) (ser |)entrega", "non (è stato possibile|recapita|consegna)",
    "non è stat(o|a) consegnat", "mancata consegna", "impossibile (recapitare|consegnare)", "n'a pas pu (e|ê)tre",
    "não (foi|pôde|pode) (possível |)(ser |)entreg", "kon niet worden (afgeleverd|bezorgd)", "не (было |может быть |удалось |)доставлен",
    "送信できません", "配信できません", "届きません", "未能送达", "无法(投递|送达)", "退信",
    patterns={
        "deliver": r"deliver\w* (?:\w+ ){0,5}(?:fail|error|problem)",
        "fail": r"fail\w* (?:\w+ ){0,3}deliver",
    },
)  # fmt: skip
_DELAYED = Words(
    "not yet been delivered", "has been delayed", "still (being |)(retr|tr)y", "will (continue|keep) (to try|to attempt|trying|attempting)",
    "will be retried", "will attempt again", "warning message only", "temporarily deferred", "has been postponed", "is delayed",
    "no action is required on your part", "do not need to resend",
    patterns={"delayed": r"delivery (?:\w+ ){0,6}delayed"},
)  # fmt: skip
# How help desks number what they answer; a mailer numbers nothing so
_TICKET = re.compile(r"\[[\w .:-]{0,40}#[ ]?\w{0,12}\d{2,12}\]|##[ ]?\d{2,12}[ ]?##", re.I)
# Senders that write nothing but notices
_MAILER = re.compile(r"mailer-?_?daemon|mail-?daemon|mail delivery (?:sub)?system", re.I)
_REPLY = re.compile(r"[45](?<![\w.].)(?:\d\d[ -]|\.\d{1,3}\.\d{1,3}(?![\w.]))")


# Words before an address that is given for asking back
_CONTACT = re.compile(r"(?:contact|write to|mail to|questions|assistance|help|support|from)[^\n]{0,40}$", re.I)
# Words in a reply before an address that somebody else has, or that its owner has now (551, RFC 5321 3.4)
_ELSEWHERE = re.compile(r"\b(?:551|moved|try|use|see|new|now|instead|send|write|forward\w*)\b[^\n]{0,60}$", re.I)


class _Spot(NamedTuple):
    """An address in a notice, and where it stands."""

    start: int
    end: int
    address: str
    in_reply: bool = False
    """It stands in the words of a reply about another."""


class _Said(NamedTuple):
    """An address, and the words of a notice around it."""

    address: str
    words: str
    guessed: bool = False
    """Perhaps another address led there."""


def read(page: Page) -> Notice | None:
    """Return the outcomes of a notice in no known layout; see the contract in ``reports``."""
    mail = page.mail
    if not page.may_be_notice or page.is_forwarded:
        return None
    end = min(page.end(), MAX_NOTICE)
    region = page.words[:end]
    delayed = _DELAYED.stand_in(region.lower()) or _DELAYED.stand_in(page.subject)
    if not (delayed or _says_failed(mail, region)) or not _bears_out(mail, region, returned=end < len(page.words)):
        return None
    found = _addresses(page, region)
    named = bool(found)
    if not named:
        found = _only_recipient(page)
    if not found and not _is_bare_report(mail):
        return None
    outcomes = tuple(
        Outcome(
            recipient=one.address,
            guessed=one.guessed,
            action=Action.DELAYED if delayed else Action.FAILED,
            diagnostic=one.words,
            source="text",
        )
        for one in found
    )
    return Notice(
        kind=Kind.DELAY if delayed else Kind.BOUNCE,
        dialect=layouts.author(page)[0],
        outcomes=outcomes,
        confidence=Confidence.PROBABLE if named else Confidence.GUESS,
        returned=page.words[end:],
    )


def passages(page: Page) -> list[Outcome]:
    """Return what the human part of a report says around each address in it."""
    end = min(page.end(), MAX_NOTICE)
    said = _addresses(page, page.words[:end])
    return [Outcome(recipient=one.address, diagnostic=one.words) for one in said if not one.guessed]


def with_guessed_recipient(page: Page, outcome: Outcome) -> Outcome:
    """Return *outcome* with the single To of the returned message, where the notice names nobody."""
    found = _only_recipient(page)
    return msgspec.structs.replace(outcome, recipient=found[0].address, guessed=True) if found else outcome


def _says_failed(mail: Mail, region: str) -> bool:
    if _FAILED.stand_in(region.lower()) or "x-failed-recipients" in mail.headers or _is_bare_report(mail):
        return True
    return origin.subject_tells(mail) and bool(_REPLY.search(region))


def _bears_out(mail: Mail, region: str, *, returned: bool) -> bool:
    """Tell whether more than the words about a failure makes *mail* a notice.

    Parcels are undeliverable too, help desks quote bounces, logs are full of replies.
    """
    if "x-failed-recipients" in mail.headers or _is_bare_report(mail):
        return True
    if _TICKET.search(mail.get("subject")):
        return False
    returned = returned or mail.returned is not None
    replied = bool(_REPLY.search(region))
    if origin.sent_by_daemon(mail):
        return returned or replied or origin.subject_tells(mail) or bool(_MAILER.search(mail.get("from")))
    if any(name in mail.headers for name in ("list-unsubscribe", "list-id")) or not origin.subject_tells(mail):
        return False
    return returned or (replied and mail.get("return-path") in ("", "<>"))


def _is_bare_report(mail: Mail) -> bool:
    """Tell whether *mail* calls itself a delivery report, though it has no recipient in it."""
    return mail.report_type == "delivery-status"


def _addresses(page: Page, region: str) -> list[_Said]:
    """Return the failed addresses in *region*, each with the words around it."""
    mail = page.mail
    header = (one for value in mail.headers.get("x-failed-recipients", ()) for one in value.split(","))
    failed = [one for one in map(fields.clean, header) if one]
    own = origin.own_addresses(mail)
    known = {one.lower() for one in failed} | (page.sent_to - own)
    wanted = _wanted(region, known, own)
    if failed and not any(spot.address.lower() in known for spot in wanted):
        words = region.strip() if len(failed) <= MANY else region.strip()[:MAX_REASON_OF_MANY]
        return [_Said(address, words) for address in failed]
    chosen: dict[str, _Said] = {}
    for index, spot in enumerate(wanted):
        key = spot.address.lower()
        others = (other.start for other in wanted[index + 1 :] if not other.in_reply and other.address.lower() != key)
        following = next(others, len(region))
        begin = region.rfind("\n", 0, spot.start) + 1
        stop = region.rfind("\n", 0, following) if following < len(region) else following
        chosen.setdefault(key, _Said(spot.address, region[begin : max(stop, spot.start)].strip(), spot.in_reply))
    if len(chosen) == 1:
        return [_Said(wanted[0].address, region.strip())]
    return list(chosen.values())


def _wanted(region: str, known: set[str], own: set[str]) -> list[_Spot]:
    """Return where the failed addresses stand: those known to have been mailed, else those spoken of."""
    spots = [
        _Spot(match.start(), match.end(), address)
        for match in itertools.islice(origin.ADDRESS.finditer(region), MAX_FOUND)
        if (address := fields.clean(match[0].strip(".'")))
    ]
    if mailed := [spot for spot in spots if spot.address.lower() in known]:
        return mailed
    foreign = [spot for spot in spots if spot.address.lower() not in own and not _is_contact(region, spot)]
    foreign = _without_elsewhere(region, foreign)
    if len({spot.address.lower() for spot in foreign}) == 1:
        return foreign
    return [spot for spot in foreign if _spoken_of(region, spot)]


def _without_elsewhere(region: str, spots: list[_Spot]) -> list[_Spot]:
    """Mark what stands in a reply about an address before it, and leave out where that reply says to write instead."""
    kept: list[_Spot] = []
    outside: set[str] = set()
    for spot in spots:
        before = region[region.rfind("\n", 0, spot.start) + 1 : spot.start]
        if spot.address.lower() in outside or not _REPLY.search(before):
            outside.add(spot.address.lower())
        elif outside:
            if _ELSEWHERE.search(before):
                continue
            spot = spot._replace(in_reply=True)  # noqa: PLW2901
        kept.append(spot)
    return kept


def _is_contact(region: str, spot: _Spot) -> bool:
    line = region.rfind("\n", 0, spot.start) + 1
    return bool(_CONTACT.search(region[line : spot.start]))


def _spoken_of(region: str, spot: _Spot) -> bool:
    """Tell whether the line of an address, or one near it, says that its delivery failed."""
    line = region.rfind("\n", 0, spot.start) + 1
    before = region.rfind("\n", 0, max(line - 2, 0)) + 1
    stop = spot.end
    for _ in range(3):
        at = region.find("\n", stop + 1)
        stop = at if at >= 0 else len(region)
    around = region[before:stop]
    return _FAILED.stand_in(around.lower()) or bool(_REPLY.search(around))


def _only_recipient(page: Page) -> list[_Said]:
    """Return the single To of the returned message: it may be the list's own address."""
    words = page.words[:MAX_NOTICE].strip()
    return [_Said(one, words, guessed=True) for one in page.sent_to] if len(page.sent_to) == 1 else []
