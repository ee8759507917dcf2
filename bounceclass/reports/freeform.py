"""Notices of mailers that nobody described: found by what all notices share.

A mail system wrote it, its words say that a delivery failed, and an address that
the returned message went to, or that an SMTP reply speaks of, stands in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from bounceclass import fields
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.reports import layouts, origin

if TYPE_CHECKING:
    from bounceclass.model import Mail

__all__ = ["passages", "read", "with_guessed_recipient"]

MAX_NOTICE = 16 * 1024
"""Characters of a notice that are searched for addresses."""
MAX_FOUND = 200
"""Addresses in a notice that are looked at."""

_FAILED = re.compile(
    r"could ?n[o']t be (?:delivered|sent)|can ?not be delivered|undeliver|not (?:be |been )?deliver|(?:unable|failed|failure|problem|problems|error|errors) (?:to |in |while |during |trying to )?(?:deliver|send)"
    r"|deliver\w* (?:\w+ ){0,5}(?:fail|error|problem)|fail\w* (?:\w+ ){0,3}deliver|permanent (?:fatal )?error|returned (?:to sender|mail)|did not reach|was (?:not|never) delivered|was rejected|has been rejected"
    r"|user unknown|unknown user|no such user|mailbox (?:is )?full|over ?quota|quota exceeded|not a valid user|bounced|wasn't delivered|non remis|unzustellbar|nicht zugestellt|nicht zustell|no (?:se )?(?:ha )?(?:puede|pudo|podido) (?:ser )?entrega"
    r"|non (?:è stato possibile|recapita|consegna)|impossibile (?:recapitare|consegnare)|n'a pas pu [eê]tre|não (?:foi|pôde|pode) (?:possível )?(?:ser )?entreg|kon niet worden (?:afgeleverd|bezorgd)|не (?:было |может быть |удалось )?доставлен|送信できません|配信できません|届きません|未能送达|无法(?:投递|送达)|退信|退信",
    re.I,
)
_DELAYED = re.compile(
    r"not yet been delivered|has been delayed|delivery (?:\w+ ){0,3}delayed|still (?:being )?(?:retr|tr)y|will (?:continue|keep) (?:to try|trying)|will be retried|warning message only|temporarily deferred|has been postponed|is delayed|no action is required on your part|do not need to resend",
    re.I,
)
_REPLY = re.compile(r"(?<![\w.])[45]\d\d[ -]|(?<![\w.])[45]\.\d{1,3}\.\d{1,3}(?![\w.])")


def read(mail: Mail) -> Notice | None:
    """Return the outcomes of a notice in no known layout; see the contract in ``reports``."""
    if not origin.written_by_mailer(mail) or origin.is_forwarded(mail):
        return None
    end = min(layouts.end_of_notice(mail.text), MAX_NOTICE)
    region = mail.text[:end]
    if (
        not _FAILED.search(region)
        and not (origin.subject_tells(mail) and _REPLY.search(region))
        and "x-failed-recipients" not in mail.headers
    ):
        return None
    delayed = bool(_DELAYED.search(region) or _DELAYED.search(mail.get("subject")))
    found = _addresses(mail, region)
    certain = bool(found)
    if not found:
        found = _only_recipient(mail)
    if not found:
        return None
    outcomes = tuple(
        Outcome(
            recipient=address,
            guessed=not certain,
            action=Action.DELAYED if delayed else Action.FAILED,
            diagnostic=words,
            source="text",
        )
        for address, words in found
    )
    return Notice(
        kind=Kind.DELAY if delayed else Kind.BOUNCE,
        outcomes=outcomes,
        confidence=Confidence.PROBABLE if certain else Confidence.GUESS,
        returned=mail.text[end:],
        dialect=layouts.author(mail)[0],
    )


def passages(mail: Mail) -> list[Outcome]:
    """Return what the human part of a report says around each address in it."""
    end = min(layouts.end_of_notice(mail.text), MAX_NOTICE)
    return [Outcome(recipient=address, diagnostic=words) for address, words in _addresses(mail, mail.text[:end])]


def _addresses(mail: Mail, region: str) -> list[tuple[str, str]]:
    """Return the failed addresses in *region*, each with the words around it."""
    failed = [
        one
        for value in mail.headers.get("x-failed-recipients", ())
        for one in map(fields.clean, value.split(","))
        if one
    ]
    sent_to = _sent_to(mail)
    own = origin.own_addresses(mail)
    spots: list[tuple[int, int, str]] = []
    for index, match in enumerate(origin.ADDRESS.finditer(region)):
        if index >= MAX_FOUND:
            break
        address = fields.clean(match[0].strip(".'"))
        if address:
            spots.append((match.start(), match.end(), address))
    known = {one.lower() for one in failed} | (sent_to - own)
    wanted = [spot for spot in spots if spot[2].lower() in known]
    if not wanted:
        wanted = [spot for spot in spots if spot[2].lower() not in own and _spoken_of(region, spot)]
    chosen: dict[str, str] = {}
    for index, (start, _, address) in enumerate(wanted):
        following = next(
            (other[0] for other in wanted[index + 1 :] if other[2].lower() != address.lower()), len(region)
        )
        line = region.rfind("\n", 0, start) + 1
        cut = region.rfind("\n", 0, following) if following < len(region) else following
        key = next((one for one in chosen if one.lower() == address.lower()), address)
        chosen.setdefault(key, region[line : max(cut, start)].strip())
    if not chosen and failed:
        return [(address, region.strip()) for address in failed]
    if len(chosen) == 1:
        return [(address, region.strip()) for address in chosen]
    return list(chosen.items())


def _spoken_of(region: str, spot: tuple[int, int, str]) -> bool:
    """Tell whether the line of an address, or one beside it, says that its delivery failed."""
    start, end, _ = spot
    line = region.rfind("\n", 0, start) + 1
    before = region.rfind("\n", 0, max(line - 2, 0)) + 1
    stop = end
    for _ in range(3):
        at = region.find("\n", stop + 1)
        stop = at if at >= 0 else len(region)
    around = region[before:stop]
    if re.search(r"(?:contact|write to|mail to|questions|assistance|help)[^\n]{0,40}$", region[line:start], re.I):
        return False
    return bool(_FAILED.search(around) or _REPLY.search(around))


def _sent_to(mail: Mail) -> set[str]:
    returned = mail.returned or {}
    found: set[str] = set()
    for name in ("to", "cc", "x-original-to", "envelope-to"):
        for value in returned.get(name, ()):
            found.update(match[0].lower() for match in origin.ADDRESS.finditer(value[:4000]))
    return found


def with_guessed_recipient(mail: Mail, outcome: Outcome) -> Outcome:
    """Return *outcome* with the single To of the returned message, where the notice names nobody."""
    found = _only_recipient(mail)
    return msgspec.structs.replace(outcome, recipient=found[0][0], guessed=True) if found else outcome


def _only_recipient(mail: Mail) -> list[tuple[str, str]]:
    """Return the single To of the returned message: it may be the list's own address."""
    found = _sent_to(mail)
    return [(found.pop(), mail.text[:MAX_NOTICE].strip())] if len(found) == 1 else []
