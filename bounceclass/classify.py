"""Failure to verdict, with its evidence; and the whole line from bytes to advice."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

from bounceclass import advice, fields, mime, reports, rulebook, smtp
from bounceclass import status as statuses
from bounceclass.model import (
    Action,
    Confidence,
    Delivery,
    Evidence,
    Explanation,
    Failure,
    Kind,
    Mail,
    Meaning,
    Notice,
    Original,
    Outcome,
    Reason,
    Report,
    Scope,
    Severity,
)
from bounceclass.rulebook import Match, Said

if TYPE_CHECKING:
    from email.message import Message

    from bounceclass.rulebook import Rulebook

__all__ = ["classify", "explain", "judge"]

MAX_EVIDENCE = 6
"""Pieces of evidence that are kept with a verdict, the winner first."""

_STEPS = (Confidence.GUESS, Confidence.PROBABLE, Confidence.CERTAIN)
# What is refused here is never about the recipient: its name has not been said yet.
_BEFORE_RECIPIENT = frozenset(("CONN", "EHLO", "STARTTLS", "AUTH", "MAIL"))
# Where a status quoted in the words of an outcome stood
_STATUS_SOURCES = {"dsn.diagnostic": "diagnostic", "dsn.status": "status_field", "text": "text"}
_CODES_ONLY = re.compile(r"\s*(?:[1-6]\d\d|[1-5]yz)?[\s#,]*(?:[245X]\.\d{1,3}\.\d{1,3})?\s*", re.I)
# A reason that a frame alone gives (Postfix: "Sender address rejected: Access denied")
_FRAME_REASONS = {
    "recipient address": Reason.RECIPIENT_REJECTED,
    "sender address": Reason.SENDER_REJECTED,
    "helo command": Reason.SENDER_REJECTED,
    "ehlo command": Reason.SENDER_REJECTED,
    "client host": Reason.BLOCKED_REPUTATION,
    "client": Reason.BLOCKED_REPUTATION,
}


@runtime_checkable
class _MailParser(Protocol):
    """What mail-parser's ``MailParser`` is recognised by."""

    @property
    def message(self) -> Message: ...
    @property
    def message_as_string(self) -> str: ...


def classify(
    message: bytes | str | os.PathLike[str] | IO[bytes] | Message | _MailParser,
    *,
    lang: str = "en",
    max_bytes: int = mime.MAX_BYTES,
    max_recipients: int = reports.MAX_RECIPIENTS,
) -> Report:
    """Return what *message* says about other mail, judged.

    *message* is a whole message as bytes or text, an ``email`` or mail-parser object, a
    path (``os.PathLike``) or a binary file.  Suggestions come in *lang*, ``en`` or ``it``.
    Never raises on what a message says: damage and caps are named in ``defects``.

    Raises TypeError for what is no message, OSError for a path that cannot be read, and
    ValueError for a language that there is no advice in.
    """
    advice.phrasebook(lang)
    mail = mime.parse(_raw(message, max_bytes), max_bytes=max_bytes)
    notice = reports.read(mail, max_recipients=max_recipients)
    return _report(mail, notice, lang)


def _raw(message: object, max_bytes: int) -> bytes:
    if isinstance(message, bytes):
        return message
    if isinstance(message, (bytearray, memoryview)):
        return bytes(message)
    if isinstance(message, str):
        return message.encode("utf-8", "surrogateescape")
    if isinstance(message, os.PathLike):
        with Path(message).open("rb") as file:
            return file.read(max_bytes + 1)
    if isinstance(message, _MailParser):  # first: it answers to every name
        return message.message.as_bytes()
    if hasattr(message, "as_bytes"):
        raw: bytes = message.as_bytes()
        return raw
    if hasattr(message, "read"):
        content = message.read(max_bytes + 1)
        if isinstance(content, bytes):
            return content
        raise TypeError("the file must be opened in binary mode")
    raise TypeError(f"not a message: {type(message).__name__}")


def _report(mail: Mail, notice: Notice, lang: str) -> Report:
    rules = rulebook.load()
    failures = []
    deliveries = []
    returned = mail.returned or (mime.parse_header(notice.returned) if notice.returned else {})
    for outcome in notice.outcomes:
        if outcome.action in (Action.FAILED, Action.DELAYED):
            failures.append(judge(outcome, notice, returned, rules, lang))
        elif outcome.action is not None:
            deliveries.append(_delivery(outcome, returned))
    report = Report(
        kind=notice.kind,
        dialect=notice.dialect,
        reporting_mta=notice.reporting_mta,
        arrival_date=notice.arrival_date,
        envelope_id=notice.envelope_id,
        message_id=mail.get("message-id") or None,
        date=fields.date(mail.get("date")),
        from_=fields.clean(mail.get("from")),
        subject=mail.get("subject") or None,
        original=_original(returned),
        feedback=notice.feedback,
        failures=tuple(failures),
        deliveries=tuple(deliveries),
        defects=mail.defects + notice.defects,
        rules_version=rules.version,
    )
    report.__dict__["_received"] = tuple(returned.get("received", ()))
    return report


def _original(returned: dict[str, list[str]]) -> Original:
    if not returned:
        return Original()

    def first(name: str) -> str | None:
        return returned[name][0] or None if name in returned else None

    return Original(
        message_id=first("message-id"),
        from_=fields.clean(first("from") or ""),
        to=first("to"),
        subject=first("subject"),
        date=fields.date(first("date") or ""),
        list_id=first("list-id"),
        return_path=fields.clean(first("return-path") or ""),
    )


# --- whose address --------------------------------------------------------------


def _recipient(outcome: Outcome, returned: dict[str, list[str]]) -> str | None:
    """Return the address that was mailed, by the order of SEMANTICS ("Precedence")."""
    if outcome.original_recipient:
        return outcome.original_recipient
    source = outcome.generated_from
    named = outcome.final_recipient or outcome.recipient
    if source and (named is None or _is_local_delivery(named) or _addressed_to(source, returned)):
        return source
    return named


def _is_local_delivery(name: str) -> bool:
    """Tell whether Exim names a file or a pipe in the place of an address."""
    return name.startswith(("|", "/")) or "@" not in name


def _addressed_to(address: str, returned: dict[str, list[str]]) -> bool:
    """Tell whether the returned message was sent to *address*."""
    wanted = address.lower()
    for name in ("to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to", "resent-to"):
        if any(wanted in value.lower() for value in returned.get(name, ())):
            return True
    return any(
        f"for <{wanted}>" in value.lower() or f"for {wanted}" in value.lower() for value in returned.get("received", ())
    )


def _delivery(outcome: Outcome, returned: dict[str, list[str]]) -> Delivery:
    return Delivery(
        recipient=_recipient(outcome, returned),
        original_recipient=outcome.original_recipient,
        final_recipient=outcome.final_recipient,
        action=outcome.action or Action.DELIVERED,
        status=outcome.status,
        diagnostic=outcome.diagnostic or None,
        remote_mta=outcome.remote_mta,
    )


# --- what it means --------------------------------------------------------------


class _Reading(Struct):
    """The codes and words of an outcome, reconciled."""

    said: Said
    reply: smtp.Reply
    code: int | None
    status: str | None
    status_source: str | None
    command: str | None
    provider: str | None
    soft_by_field: bool
    disagree: bool
    matches: list[Match]
    source: str


def judge(
    outcome: Outcome, notice: Notice, returned: dict[str, list[str]], rules: Rulebook, lang: str = "en"
) -> Failure:
    """Return the verdict on one outcome whose action is failed or delayed."""
    recipient = _recipient(outcome, returned)
    reading = _read(outcome, notice, recipient, rules)
    reason, scope, winner, evidence = _reason(reading, rules)
    row = rules.reasons[reason]
    severity = _severity(reading, outcome, row)
    confidence = _confidence(reading, notice, outcome, winner, reason)
    suppress = (
        row.suppress
        and severity is Severity.HARD
        and scope in (Scope.ADDRESS, Scope.DOMAIN)
        and confidence is not Confidence.GUESS
        and outcome.action is Action.FAILED
        and recipient is not None
    )
    return Failure(
        recipient=recipient,
        original_recipient=outcome.original_recipient,
        final_recipient=outcome.final_recipient or (outcome.recipient if outcome.generated_from else None),
        action=outcome.action or Action.FAILED,
        severity=severity,
        reason=reason,
        scope=scope,
        suppress=suppress,
        suggested_action=row.action,
        suggestion=advice.suggest(reason, winner.rule.advice if winner else None, lang),
        reply_code=reading.code,
        status=reading.status,
        status_source=reading.status_source,
        diagnostic=outcome.diagnostic or outcome.notes or None,
        remote_mta=outcome.remote_mta or reading.reply.host,
        command=reading.command,
        provider=reading.provider,
        last_attempt=outcome.last_attempt,
        will_retry_until=outcome.will_retry_until,
        confidence=confidence,
        evidence=evidence,
    )


def _read(outcome: Outcome, notice: Notice, recipient: str | None, rules: Rulebook) -> _Reading:
    """Read the diagnostic, and the notes where it does not say enough."""
    reading = _read_words(outcome.diagnostic, outcome.source, outcome, notice, recipient, rules)
    if outcome.notes and not (reading.matches and reading.matches[0].rank[0]):
        other = _read_words(outcome.notes, "text", outcome, notice, recipient, rules)
        better = other.matches and (not reading.matches or other.matches[0].rank > reading.matches[0].rank)
        if better or (reading.code is None and other.code is not None):
            quoted = reading.code is not None or reading.status_source == "diagnostic"
            if quoted and not (reading.status and statuses.is_expiry(reading.status)):
                other.code, other.status, other.status_source = reading.code, reading.status, reading.status_source
            return other
    return reading


def _read_words(
    words: str, source: str, outcome: Outcome, notice: Notice, recipient: str | None, rules: Rulebook
) -> _Reading:
    reply = smtp.dissect(words)
    field = statuses.find(outcome.status or "")
    quoted = reply.status
    status, status_source = statuses.prefer(quoted, field)
    if status_source == "diagnostic":
        status_source = _STATUS_SOURCES[source]
    command = reply.command or outcome.command
    provider, known = _provider(outcome, notice, reply, recipient, words, rules)
    said = rules.said(
        reply.text or words,
        before=reply.before,
        code=reply.code,
        status=status,
        command=command,
        dialect=notice.dialect,
        providers=known,
    )
    # The reporting MTA kept retrying: a 5yz greeting, soft_bounce, expiry.
    soft_by_field = bool(field and field[0] == "4" and reply.code and reply.code >= 500)
    digits = {str(reply.code)[0] if reply.code else "", quoted[0] if quoted else "", field[0] if field else ""} - {""}
    return _Reading(
        said=said,
        reply=reply,
        code=reply.code,
        status=status,
        status_source=status_source,
        command=command,
        provider=provider,
        soft_by_field=soft_by_field,
        disagree=len(digits) > 1,
        matches=rules.match(said),
        source=source,
    )


def _provider(
    outcome: Outcome, notice: Notice, reply: smtp.Reply, recipient: str | None, words: str, rules: Rulebook
) -> tuple[str | None, frozenset[str]]:
    """Return who refused, and everyone whose rules apply.

    In order of trust: the remote host, the reporting MTA where no remote is named, the
    reply's own marks, the recipient's domain.
    """
    remote = outcome.remote_mta or reply.host
    by_host = rules.provider_of_host(remote or notice.reporting_mta)
    marked = rules.providers_marked(rulebook.normalised(words[: smtp.MAX_DIAGNOSTIC]))
    first = by_host or (marked[0] if marked else None) or rules.provider_of_domain(fields.domain(recipient))
    return first, frozenset([*marked, first] if first else marked)


def _reason(reading: _Reading, rules: Rulebook) -> tuple[Reason, Scope, Match | None, tuple[Evidence, ...]]:
    """Weigh rules against codes; return the reason, its scope, the winning rule and the evidence."""
    candidates: list[tuple[int, str, str, Reason, Match | None]] = []  # standing, id, words, reason
    for match in reading.matches:
        candidates.append((4 if match.rank[0] else 2, match.rule.id, match.text, match.rule.reason, match))
    row = rules.status_row(reading.status) if reading.status else None
    if row is not None and row.reason is not None:
        candidates.append((1 if row.generic else 3, f"status:{reading.status}", reading.status or "", row.reason, None))
    if reading.said.frame in _FRAME_REASONS:
        candidates.append((1, "frame", f"{reading.said.frame} rejected", _FRAME_REASONS[reading.said.frame], None))
    reply = rules.reply_row(reading.code) if reading.code else None
    if reply is not None and reply.reason is not None:
        candidates.append((0 if reply.generic else 3, f"reply:{reading.code}", str(reading.code), reply.reason, None))
    if not candidates:
        return Reason.UNDETERMINED, Scope.UNKNOWN, None, ()
    candidates.sort(key=lambda candidate: candidate[0], reverse=True)  # stable: rules keep their rank
    _, name, words, reason, winner = candidates[0]
    scope = (winner.rule.scope if winner else None) or rules.reasons[reason].scope
    effect = str(reason)
    if scope in (Scope.ADDRESS, Scope.DOMAIN, Scope.UNKNOWN) and (
        reading.said.about_sender or reading.command in _BEFORE_RECIPIENT
    ):
        effect += f", read as {Reason.SENDER_REJECTED}: refused before the recipient was named"
        reason = Reason.SENDER_REJECTED
        scope = rules.reasons[reason].scope
    evidence = [Evidence(rule=name, source=_source(name, reading), text=words, effect=effect)]
    for standing, name, words, other, _ in candidates[1:MAX_EVIDENCE]:
        why = "less specific" if standing == candidates[0][0] else "weaker evidence"
        evidence.append(Evidence(rule=name, source=_source(name, reading), text=words, effect=f"{other}: lost, {why}"))
    return reason, scope, winner, tuple(evidence)


def _source(name: str, reading: _Reading) -> str:
    if name.startswith("status:") and reading.status_source == "status_field":
        return "dsn.status"
    return reading.source


def _severity(reading: _Reading, outcome: Outcome, row: rulebook.ReasonRow) -> Severity:
    """By the reconciled codes; by the reason where there is none (RFC 5321 4.2.1, RFC 3463 2)."""
    if row.always is not None:
        return row.always
    if outcome.action is Action.DELAYED or reading.soft_by_field:
        return Severity.SOFT
    if reading.code is not None:
        return Severity.SOFT if reading.code < 500 else Severity.HARD
    if reading.status is not None:
        return Severity.SOFT if reading.status[0] == "4" else Severity.HARD
    return row.no_code


def _confidence(
    reading: _Reading, notice: Notice, outcome: Outcome, winner: Match | None, reason: Reason
) -> Confidence:
    if outcome.guessed:
        return Confidence.GUESS
    specific = reading.status is not None and not statuses.is_generic(reading.status)
    if winner is not None and winner.rank[0]:
        level = 2 if specific else 1
    elif specific:
        level = 2 if winner is not None else 1
    else:
        level = 1 if winner is not None and (reading.code or reading.status) else 0
    if reason is Reason.UNDETERMINED:
        level = 0
    level = min(level, _STEPS.index(notice.confidence))
    if reading.disagree:
        level = max(level - 1, 0)
    return _STEPS[level]


# --- explanations ---------------------------------------------------------------


def explain(
    query: str, *, provider: str | None = None, dialect: str | None = None, lang: str = "en"
) -> Explanation:
    """Return what a code or a whole reply means, who must act and what to do.

    *query* is ``550``, ``5.1.1``, ``5yz`` or a reply as a server gave it; *provider* is a
    name of ``data/providers``, *dialect* one of ``data/dialects``: who refused, and who wrote
    the notice that quotes it.  Raises ValueError for a provider or a language that is not known.
    """
    rules = rulebook.load()
    words = advice.phrasebook(lang)
    if provider is not None and provider not in rules.providers:
        raise ValueError(f"no provider {provider!r}; there are {', '.join(sorted(rules.providers))}")
    query = query.strip()
    meanings = []
    if _CODES_ONLY.fullmatch(query) and query[:3].lower().endswith("yz"):
        row = rules.replies.get(query[:3].lower())
        if row:
            meanings.append(_reply_meaning(row, lang))
    outcome = Outcome(diagnostic=query, action=Action.FAILED)
    notice = Notice(kind=Kind.BOUNCE, dialect=dialect)
    reading = _read_words(query, "text", outcome, notice, None, rules)
    if provider is not None:
        reading.provider = provider
        reading.said = rules.said(
            reading.reply.text or query,
            before=reading.reply.before,
            code=reading.code,
            status=reading.status,
            command=reading.command,
            dialect=dialect,
            providers=reading.said.providers | {provider},
        )
        reading.matches = rules.match(reading.said)
    code = reading.code
    if code is None and re.fullmatch(r"[1-6]\d\d", query[:3]) and not query[3:4].isalnum():
        code = int(query[:3])
    if code is not None and (found := rules.reply_row(code)):
        meanings.append(_reply_meaning(found, lang))
    if reading.status is not None:
        meanings.extend(_status_meanings(reading.status, rules, lang))
    reason, scope, winner, evidence = _reason(reading, rules)
    row_ = rules.reasons[reason]
    severity = None
    if (code or 0) >= 400 or reading.status or evidence:
        severity = _severity(reading, outcome, row_)
    advised = winner.rule.advice if winner else None
    return Explanation(
        query=query,
        reply_code=code,
        status=reading.status,
        provider=reading.provider,
        severity=severity,
        reason=reason,
        scope=scope,
        suppress=row_.suppress and severity is Severity.HARD and bool(evidence),
        suggested_action=row_.action,
        suggestion=advice.suggest(reason, advised, lang),
        who=words.who[row_.who],
        url=advised.url if advised else None,
        meanings=tuple(meanings),
        evidence=evidence,
    )


def _reply_meaning(row: rulebook.ReplyRow, lang: str) -> Meaning:
    return Meaning(
        code=row.code,
        meaning=row.meaning[lang],
        action=row.action[lang],
        source=row.source,
        vendor=row.vendor.get(lang, ""),
    )


def _status_meanings(status: str, rules: Rulebook, lang: str) -> list[Meaning]:
    rows = [
        rules.statuses.get(f"{status[0]}.X.X"),
        rules.status_row(status) or rules.statuses.get(f"X.{status.split('.')[1]}.X"),
    ]
    return [Meaning(code=row.code, meaning=row.meaning[lang], source=row.source) for row in rows if row]
