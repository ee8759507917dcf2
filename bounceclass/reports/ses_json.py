"""Amazon SES notifications that SNS sends as mail: JSON in the text, and no report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bounceclass import fields
from bounceclass import status as statuses
from bounceclass.model import Action, FeedbackReport, Kind, Notice, Outcome
from bounceclass.reports import dsn

if TYPE_CHECKING:
    from bounceclass.reports.page import Page

__all__ = ["read"]

_SENDER = "no-reply@sns.amazonaws.com"
# bounceType and bounceSubType (SES, "Contents of notifications"), in words; a delayType is called as the transient ones
_TYPES = {
    ("Permanent", "Suppressed"): "on the suppression list",
    ("Permanent", "OnAccountSuppressionList"): "on the account suppression list",
    ("Transient", "MailboxFull"): "mailbox full",
    ("Transient", "MessageTooLarge"): "message too large",
    ("Transient", "ContentRejected"): "content rejected",
    ("Transient", "AttachmentRejected"): "attachment rejected",
    ("Transient", "TransientCommunicationFailure"): "connection timed out",
}


def read(page: Page) -> Notice | None:
    """Return what a notification reports; see the contract in ``reports``."""
    mail = page.mail
    if _SENDER not in mail.get("from").lower():
        return None
    event = _event(page.words)
    if event is None:
        return None
    kind = str(event.get("notificationType") or event.get("eventType"))
    if kind == "Bounce":
        return _bounce(event)
    if kind == "DeliveryDelay":
        return _delay(event)
    if kind == "Complaint":
        return _complaint(event)
    if kind == "Delivery":
        delivery = _table(event.get("delivery"))
        to = [one for one in _rows(delivery.get("recipients")) if isinstance(one, str)]
        words = str(delivery.get("smtpResponse") or "")
        outcomes = tuple(Outcome(recipient=fields.clean(one), action=Action.DELIVERED, diagnostic=words) for one in to)
        return Notice(kind=Kind.SUCCESS, dialect="amazon-ses", outcomes=outcomes)
    return None


def _event(text: str) -> dict[str, Any] | None:
    """Return the JSON object that *text* begins with, unwrapped from SNS's envelope."""
    body = text.lstrip()
    if not body.startswith("{"):
        return None
    for _ in range(2):
        # QUIRK: SNS adds a footer after "--" and folds the JSON of a raw message at spaces.
        body = body.partition("\n--\n")[0].strip()
        table = _decoded(body) or _decoded(body.replace("\n", " "))
        if table is None:
            return None
        message = table.get("Message")
        if not isinstance(message, str):
            return table
        body = message
    return None


def _decoded(body: str) -> dict[str, Any] | None:
    try:
        return _table(msgspec.json.decode(body)) or None
    except (msgspec.DecodeError, RecursionError):
        return None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounce(event: dict[str, Any]) -> Notice:
    bounce = _table(event.get("bounce"))
    words = _TYPES.get((str(bounce.get("bounceType")), str(bounce.get("bounceSubType"))), "")
    outcomes = [_outcome(row, words, Action.FAILED) for row in _rows(bounce.get("bouncedRecipients"))]
    return Notice(
        kind=dsn.actions_kind(outcomes) if outcomes else Kind.BOUNCE,
        dialect="amazon-ses",
        reporting_mta=fields.host(str(bounce.get("reportingMTA") or "")),
        outcomes=tuple(outcomes),
    )


def _delay(event: dict[str, Any]) -> Notice:
    delay = _table(event.get("deliveryDelay"))
    words = _TYPES.get(("Transient", str(delay.get("delayType"))), "")
    outcomes = tuple(_outcome(row, words, Action.DELAYED) for row in _rows(delay.get("delayedRecipients")))
    return Notice(
        kind=Kind.DELAY,
        dialect="amazon-ses",
        reporting_mta=fields.host(str(delay.get("reportingMTA") or "")),
        outcomes=outcomes,
    )


def _outcome(value: object, words: str, action: Action) -> Outcome:
    """Return what is said of one recipient; *words* are what the kind of the event says of all."""
    row = _table(value)
    _, diagnostic = fields.typed(str(row.get("diagnosticCode") or ""))
    return Outcome(
        final_recipient=fields.clean(str(row.get("emailAddress") or "")),
        action=Action.DELAYED if str(row.get("action")).lower() == "delayed" else action,
        status=statuses.find(str(row.get("status") or "")),
        diagnostic=diagnostic,
        notes=words,
        source="dsn.diagnostic",
    )


def _complaint(event: dict[str, Any]) -> Notice:
    complaint = _table(event.get("complaint"))
    rows = [_table(row) for row in _rows(complaint.get("complainedRecipients"))]
    to = [fields.clean(str(row.get("emailAddress") or "")) for row in rows]
    report = FeedbackReport(
        type=str(complaint.get("complaintFeedbackType") or "abuse"),
        user_agent=str(complaint.get("userAgent") or "") or None,
        original_rcpt_to=tuple(one for one in to if one),
    )
    return Notice(kind=Kind.FEEDBACK, dialect="amazon-ses", feedback=report)
