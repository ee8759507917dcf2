"""What the ledger keeps of a report: one row for the message, one event for each address.

Keys are made of content, so that a message that is seen again, in another folder, by another
process or after a crash, is known.  With a hash key no address is kept: its keyed hash stands
for it, and whatever else may show it is left out or blanked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from bounceclass import fields
from bounceclass.app.ledger.schema import EARLIEST
from bounceclass.app.policy import What
from bounceclass.model import Action, Kind, Report
from bounceclass.recipients import bare, is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bounceclass.model import Failure

__all__ = ["Entry", "Judged", "Keys", "by_hand", "entry", "message_key"]

MAX_KEYED = 1024 * 1024
"""Bytes of a body that tell one message from another."""
MAX_DIAGNOSTIC = 500
MAX_SUBJECT = 200
MAX_DOMAIN = 253
SHORT = 3
"""Characters of a local part up to which it may stand in other words by chance."""

# Feedback-Types (RFC 5965 7.3, RFC 6430, RFC 6591); what is not known is taken for abuse
_COMPLAINTS = ("abuse", "fraud", "opt-out", "opt-out-list", "miscategorized", "other")
_NOBODYS_WISH = ("auth-failure", "dmarc", "dkim", "virus")
_FROM_THE_ADDRESS = (Kind.AUTO_REPLY, Kind.RECEIPT, Kind.CHALLENGE)
# What neither database, nor anybody's terminal, takes: C0 but tab and line ends, halves of surrogate pairs
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]+")
_TOKEN = re.compile(r"[\w.+-]+")
_SEPARATOR = re.compile(rb"From [^\n]*\n")
_STABLE = re.compile(rb"^(message-id|date|from|subject)[ \t]*:((?:[^\n]*)(?:\n[ \t][^\n]*)*)", re.I | re.M)


class Judged(Struct, frozen=True, kw_only=True):
    """A report, with the message that it was read from and where that was found."""

    report: Report
    raw: bytes | None = None
    source: str = ""


class Entry(NamedTuple):
    """The rows for one message."""

    message: dict[str, Any]
    events: list[dict[str, Any]]
    names: dict[str, str | None]
    """The address to show for each address key of the events."""


# --- keys ---------------------------------------------------------------------------


class Keys:
    """How addresses are kept: as they are, or as keyed hashes."""

    def __init__(self, hash_key: bytes | None) -> None:
        self._secret = hash_key
        self.hashed = hash_key is not None

    @property
    def fingerprint(self) -> str:
        """What tells ledgers apart whose keys are not made alike; it gives nothing away."""
        return "plain" if self._secret is None else f"hashed:{self._hash('bounceclass ledger')}"

    def address(self, address: str) -> str:
        """Return the key of *address*, which may have a display name.

        Capitals count nowhere in it, and a domain is the same in both its forms.
        """
        address = bare(address).rstrip(".")  # a domain may be written as absolute (RFC 1034 3.1)
        plain = address.isascii() and address.isprintable()
        key = address.lower() if plain else _key(_UNFIT.sub(" ", address).strip())
        return key if self._secret is None else self._hash(key)

    def shown(self, address: str) -> str | None:
        """Return *address* as it may be kept for showing: None where it is hashed."""
        return None if self.hashed else _fit(bare(address).rstrip("."))

    def without(self, text: str | None, address: str = "") -> str | None:
        """Return *text* as it may be kept: where addresses are hashed, with ``~`` for each and for *address*."""
        text = _fit(text)
        if text is None or not self.hashed:
            return text
        local = address.casefold().rpartition("@")[0]
        return " ".join("~" if _shows(word.casefold(), local) else word for word in text.split())

    def _hash(self, text: str) -> str:
        return hmac.digest(self._secret or b"", text.encode("utf-8", "replace"), "sha256").hex()[:32]


def _shows(word: str, local: str) -> bool:
    """Tell whether *word* is, has or encodes an address, or is the local part of the one at hand."""
    if "@" in word or "%40" in word or "=" in word:
        return True
    return local in word if len(local) > SHORT else bool(local) and local in _TOKEN.findall(word)


def _key(address: str) -> str:
    """Return *address* in small letters, composed, with its domain in ASCII, as most reports have it (RFC 5890 2.3.2.1)."""
    local, at, domain = address.rpartition("@")
    return unicodedata.normalize("NFC", local.lower()) + at + _ascii(domain)


def _ascii(domain: str) -> str:
    """Return *domain* in ASCII (UTS 46), or in small letters where it cannot be one.

    Symbols, which IDNA 2008 has no longer, are kept: there are domains of them.
    """
    if domain.isascii():
        return domain.lower()
    small = unicodedata.normalize("NFC", "".join(map(str.lower, domain)))  # one by one: no sigma becomes a final one
    if len(small) > MAX_DOMAIN:
        return small
    import idna  # 20 ms, and few need it

    try:
        mapped = idna.uts46_remap(small)
    except idna.IDNAError:
        return small
    labels = mapped.split(".")
    return ".".join(one if one.isascii() else f"xn--{one.encode('punycode').decode()}" for one in labels)


def message_key(report: Report, raw: bytes | None) -> str:
    """Return what makes a message this one, wherever it was delivered.

    Fields that are added on the way (Received, Delivered-To, Status) are left out, and
    lines end alike.  Without *raw* the report's own fields stand for the content: the
    same message with and without it counts as two.
    """
    return hashlib.sha256(_content(raw) if raw else _facts(report)).hexdigest()[:32]


def _content(raw: bytes) -> bytes:
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b" \t\n")
    if separator := _SEPARATOR.match(raw):
        raw = raw[separator.end() :]
    header, _, body = raw.partition(b"\n\n")
    stable: dict[bytes, bytes] = {}
    for name, value in _STABLE.findall(header):
        stable.setdefault(name.lower(), b" ".join(value.split()))
    if not stable:
        body = raw
    return b"\n".join([b": ".join(field) for field in sorted(stable.items())] + [b"", body[:MAX_KEYED].rstrip(b"\n")])


def _facts(report: Report) -> bytes:
    failures = [f"{one.recipient} {one.action} {one.status} {one.diagnostic}" for one in report.failures]
    deliveries = [f"{one.recipient} {one.action}" for one in report.deliveries]
    about = (report.message_id, report.date, report.from_, report.subject, report.original.message_id)
    return "\n".join(["report", *map(str, about), report.kind, *failures, *deliveries]).encode("utf-8", "replace")


# --- rows ---------------------------------------------------------------------------


def entry(judged: Judged, keys: Keys, now: datetime, *, keep_raw: bool) -> Entry:
    """Return what is kept of *judged*, recorded at *now*."""
    report = judged.report
    key = message_key(report, judged.raw)
    source = keys.without(judged.source) or None
    message = {
        "key": key,
        "kind": str(report.kind),
        "dialect": report.dialect,
        "source": source,
        "message_id": None if keys.hashed else _fit(report.message_id),
        "sender": None if keys.hashed else _fit(report.from_),
        "subject": None if keys.hashed else (_fit(report.subject) or "")[:MAX_SUBJECT] or None,
        "rules_version": report.rules_version,
        "recorded_at": now,
        "raw": judged.raw if keep_raw else None,
    }
    events: dict[str, dict[str, Any]] = {}
    names: dict[str, str | None] = {}
    for address, about in _happened(report, now):
        if not is_address(address):
            continue  # a pipe, a file, a name: nothing that could be mailed
        address_key = keys.address(address)
        event_key = _event_key(key, address_key, about["what"])
        diagnostic = keys.without(about.get("diagnostic"), address)
        names.setdefault(address_key, keys.shown(address))
        events.setdefault(
            event_key,
            {
                **_BLANK,
                **about,
                "key": event_key,
                "address": address_key,
                "message": key,
                "recorded_at": now,
                "diagnostic": diagnostic[:MAX_DIAGNOSTIC] if diagnostic else None,
                "dialect": report.dialect,
                "source": source,
            },
        )
    return Entry(message, list(events.values()), names)


def by_hand(what: What, address: str, keys: Keys, when: datetime, now: datetime, note: str) -> dict[str, Any]:
    """Return the event that a person makes happen to *address* at *when*, recorded at *now*."""
    address_key = keys.address(address)
    return {
        **_BLANK,
        "key": _event_key(when.isoformat(), address_key, what),
        "address": address_key,
        "what": str(what),
        "happened_at": when,
        "recorded_at": now,
        "source": keys.without(note, address) or None,
    }


_BLANK: dict[str, Any] = {
    "message": None,
    "reason": None,
    "severity": None,
    "scope": None,
    "suppress": False,
    "confidence": None,
    "provider": None,
    "status": None,
    "reply_code": None,
    "rule": None,
    "diagnostic": None,
    "dialect": None,
    "source": None,
}


def _event_key(message: str, address: str, what: str) -> str:
    return hashlib.sha256(f"{message}\n{address}\n{what}".encode("utf-8", "replace")).hexdigest()[:32]


def _happened(report: Report, now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each address that *report* says something of, and what."""
    when = _moment(now, report.date, report.arrival_date)
    for failure in report.failures:
        if failure.recipient:
            moment = _moment(now, failure.last_attempt, report.date, report.arrival_date)
            yield failure.recipient, _failure(failure, moment)
    for delivery in report.deliveries:
        if delivery.recipient:
            about = {"what": What.DELIVERY.value, "happened_at": when, "diagnostic": delivery.diagnostic}
            yield delivery.recipient, about
    if report.kind in _FROM_THE_ADDRESS and report.from_:
        yield report.from_, {"what": What.LIFE.value, "happened_at": when}
    if report.feedback:
        yield from _feedback(report, when)


def _failure(failure: Failure, when: datetime) -> dict[str, Any]:
    return {
        "what": (What.DELAY if failure.action is Action.DELAYED else What.FAILURE).value,
        "happened_at": when,
        "reason": failure.reason.value,
        "severity": failure.severity.value,
        "scope": failure.scope.value,
        "suppress": failure.suppress,
        "confidence": failure.confidence.value,
        "provider": failure.provider or _fit(fields.domain(failure.recipient)) or None,
        "status": failure.status,
        "reply_code": failure.reply_code,
        "rule": failure.evidence[0].rule if failure.evidence else None,
        "diagnostic": failure.diagnostic,
    }


def _feedback(report: Report, when: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield whose complaint *report* is.

    One of several recipients complained, and nobody knows which: then it is nobody's.  Who
    asks by mail to be taken off (RFC 2369 3.2) is the sender.
    """
    feedback = report.feedback
    assert feedback is not None
    named = {address.lower(): address for address in feedback.original_rcpt_to}
    if not named and feedback.type == "opt-out" and report.from_:
        named = {report.from_: report.from_}
    if len(named) == 1:
        (address,) = named.values()
        if feedback.type == "not-spam":
            yield address, {"what": What.LIFE.value, "happened_at": when}
        elif feedback.type not in _NOBODYS_WISH:
            kind = feedback.type if feedback.type in _COMPLAINTS else "abuse"
            yield address, {"what": What.COMPLAINT.value, "happened_at": when, "rule": f"feedback:{kind}"}


def _moment(latest: datetime, *candidates: str | None) -> datetime:
    """Return the first of *candidates* (RFC 3339) that can be true, or *latest*; never later than that.

    Dates are a stranger's: one in the future would count for ever, and from one in year 1 no window reaches back.
    """
    for candidate in candidates:
        if candidate:
            try:
                moment = datetime.fromisoformat(candidate).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
            if moment >= EARLIEST:
                return min(moment, latest)
    return latest


def _fit(text: str | None) -> str | None:
    """Return *text* without what a database does not take."""
    if text is None or (text.isascii() and text.isprintable()):
        return text
    return _UNFIT.sub(" ", text)
