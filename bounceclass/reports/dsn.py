"""Delivery status notifications: RFC 3464, in the frame of RFC 6522, with the addresses of RFC 6533."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from bounceclass import fields, smtp
from bounceclass import status as statuses
from bounceclass.mime import STATUS_PARTS
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.phrasing import on_one_line
from bounceclass.reports import freeform, layouts

if TYPE_CHECKING:
    from bounceclass.fields import Fields
    from bounceclass.reports.page import Page

__all__ = ["actions_kind", "read"]

# How Action fields begin, standard words first (RFC 3464 2.3.3)
_ACTIONS = (
    ("fail", Action.FAILED),
    ("err", Action.FAILED),  # QUIRK: OpenSMTPD before 6.0
    ("permanent", Action.FAILED),
    ("undeliver", Action.FAILED),
    ("bounce", Action.FAILED),
    ("reject", Action.FAILED),
    ("delay", Action.DELAYED),
    ("defer", Action.DELAYED),
    ("temp", Action.DELAYED),
    ("warn", Action.DELAYED),
    ("deliver", Action.DELIVERED),  # also Postfix's "deliverable" of a verify
    ("success", Action.DELIVERED),
    ("relay", Action.RELAYED),
    ("expand", Action.EXPANDED),
)
_LETTER = re.compile(r"[^\W\d_]")
# QUIRK: what they say of all recipients was said of the first that was refused
_BLAMES_ALL = frozenset(("nullmailer",))
MAX_EXPANDED = 100
"""Addresses that one alias was expanded to whose passages are compared."""


def read(page: Page) -> Notice | None:
    """Return the outcomes of the status parts; see the contract in ``reports``."""
    mail = page.mail
    parts = [text for kind, text in mail.machine if kind in STATUS_PARTS]
    if not parts:
        return _read_inline(page)
    if mail.content_type != "multipart/report" and not page.written_by_mailer:
        return None  # someone sends a report on (mikel/mail#996)
    return _notice(page, parts)


def _read_inline(page: Page) -> Notice | None:
    """Read status fields that stand in the text: WorkMail, gateways that flatten MIME."""
    if not page.written_by_mailer:
        return None
    lower = page.text
    if "final-recipient:" not in lower or "action:" not in lower or page.is_forwarded:
        return None
    start = min(
        i
        for i in (lower.find(name) for name in ("reporting-mta:", "original-recipient:", "final-recipient:"))
        if i >= 0
    )
    return _notice(page, [page.words[start : page.end(start)]])


def _notice(page: Page, parts: list[str]) -> Notice | None:
    message: Fields = {}
    outcomes: list[Outcome] = []
    for part in parts:
        fields_, groups = fields.groups(part)
        message = message or fields_
        outcomes += map(_outcome, groups)
    reporting = fields.host(message.get("reporting-mta", ""))
    if not outcomes:
        notice = layouts.read(page) or freeform.read(page)
        return msgspec.structs.replace(notice, reporting_mta=reporting) if notice else None
    dialect, purpose = layouts.author(page)
    if purpose is Kind.CHALLENGE:  # QUIRK: Boxbe asks for confirmation in the form of a failure
        return Notice(kind=purpose, dialect=dialect)
    kind = actions_kind(outcomes)
    if kind is not Kind.SUCCESS:
        outcomes = _with_notes(page, outcomes)
    for index, outcome in enumerate(outcomes):
        if not _named(outcome):
            outcomes[index] = freeform.with_guessed_recipient(page, outcome)
    if dialect in _BLAMES_ALL and len(outcomes) > 1:
        outcomes = [msgspec.structs.replace(outcome, guessed=True) for outcome in outcomes]
    return Notice(
        kind=kind,
        dialect=dialect or "rfc3464",
        reporting_mta=reporting,
        arrival_date=fields.date(message.get("arrival-date", "")),
        envelope_id=fields.clean(message.get("original-envelope-id", "")),
        outcomes=tuple(outcomes),
        confidence=Confidence.CERTAIN,
    )


def _named(outcome: Outcome) -> bool:
    return bool(outcome.final_recipient or outcome.original_recipient or outcome.recipient)


def actions_kind(outcomes: list[Outcome]) -> Kind:
    """Bounce if any failed, else delay if any is delayed, else success."""
    kind = Kind.SUCCESS
    for outcome in outcomes:
        if outcome.action is Action.FAILED:
            return Kind.BOUNCE
        if outcome.action is Action.DELAYED:
            kind = Kind.DELAY
    return kind


def _outcome(group: Fields) -> Outcome:
    status = statuses.find(group.get("status", ""))
    action = _action(group.get("action", ""), status)
    kind, diagnostic = fields.typed(group.get("diagnostic-code", ""))
    if kind == "x-unix" and diagnostic.isdecimal():
        diagnostic = f"mailer exited with status {diagnostic}"  # QUIRK: Sendmail writes the bare sysexits number
    source = "dsn.diagnostic"
    if not diagnostic and len(group.get("status", "")) > 8:
        diagnostic, source = group["status"], "dsn.status"  # QUIRK: the reason as a comment on the Status
    final = fields.address(group.get("final-recipient", ""))
    # where the message ended, and not who was mailed
    actual = None if final else fields.address(group.get("x-actual-recipient", ""))
    if final and final[0] in "|/":
        final = None  # QUIRK: Exim names the pipe or file of a forwarding address; whose it is stands in the text
    return Outcome(
        original_recipient=fields.address(group.get("original-recipient", "")),
        final_recipient=final or actual,
        guessed=actual is not None,
        action=action,
        status=status,
        diagnostic=diagnostic,
        source=source,
        remote_mta=fields.host(group.get("remote-mta", "")),
        last_attempt=fields.date(group.get("last-attempt-date", "")),
        will_retry_until=fields.date(group.get("will-retry-until", "")),
    )


def _action(value: str, status: str | None) -> Action | None:
    word = value.strip().lower()
    for beginning, action in _ACTIONS:
        if word.startswith(beginning):
            return action
    if status and status[0] == "2":
        return Action.DELIVERED
    return Action.FAILED  # a group that names no action was written because something failed


def _says_little(outcome: Outcome) -> bool:
    """Tell whether the diagnostic leaves it to the human part to say what happened."""
    if outcome.action not in (Action.FAILED, Action.DELAYED):
        return False
    words = outcome.diagnostic
    too_short = len(words) < 12 or not _LETTER.search(words)
    return too_short or smtp.is_cut(words) or not _is_specific(words) or not _named(outcome)


def _is_specific(words: str) -> bool:
    found = statuses.find(words)
    return found is not None and not statuses.is_generic(found) and not statuses.is_expiry(found)


def _with_notes(page: Page, outcomes: list[Outcome]) -> list[Outcome]:
    """Add what the human part says of each recipient (Gmail, Exchange, Yandex, Sendmail)."""
    said = layouts.passages(page) or freeform.passages(page)
    if len(said) == len(outcomes) == 1:
        return [_noted(outcomes[0], said[0])]
    limit = layouts.MAX_REASON if len(outcomes) <= layouts.MANY else layouts.MAX_REASON_OF_MANY
    by_address = {passage.recipient.lower(): passage for passage in said if passage.recipient}
    named = {name.lower() for one in outcomes for name in (one.final_recipient, one.original_recipient) if name}
    others = [passage for address, passage in by_address.items() if address not in named]
    nameless, expanded = iter(others), _by_source(others)
    noted = []
    for outcome in outcomes:
        names = [name.lower() for name in (outcome.final_recipient, outcome.original_recipient) if name]
        passage = next((by_address[name] for name in names if name in by_address), None)
        if not names:
            passage = next(nameless, None)
        elif passage is None:  # QUIRK: Exim calls what an alias was expanded to by the alias
            passage = next(filter(None, (_taken(expanded.get(name, []), outcome.diagnostic) for name in names)), None)
        noted.append(_noted(outcome, passage, limit) if passage else outcome)
    return noted


def _by_source(passages: list[Outcome]) -> dict[str, list[Outcome]]:
    """Return the passages about what an alias was expanded to, by the alias."""
    expanded: dict[str, list[Outcome]] = {}
    for passage in passages:
        if passage.generated_from:
            about = expanded.setdefault(passage.generated_from.lower(), [])
            if len(about) < MAX_EXPANDED:
                about.append(passage)
    return expanded


def _taken(passages: list[Outcome], diagnostic: str) -> Outcome | None:
    """Take the passage that quotes *diagnostic* from *passages*; the only one, where that says nothing to quote."""
    says = bool(_LETTER.search(diagnostic))
    for index, passage in enumerate(passages):
        if diagnostic in on_one_line(passage.diagnostic) if says else len(passages) == 1:
            return passages.pop(index)
    return None


def _noted(outcome: Outcome, passage: Outcome, limit: int = layouts.MAX_REASON) -> Outcome:
    said = passage.diagnostic[:limit]
    notes = said if _says_little(outcome) else ""
    command = smtp.command_refused(said)
    source = passage.generated_from
    if not (notes or command or source) and _named(outcome):
        return outcome
    return msgspec.structs.replace(
        outcome, notes=notes, command=command, generated_from=source, recipient=passage.recipient
    )
