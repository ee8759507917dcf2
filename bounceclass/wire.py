"""The shapes in which verdicts leave: JSON and its schema, CSV, Sisimai's items, a terminal's text.

Whatever is shown came from strangers.  Each function makes it harmless for the one
reader that it writes for: a spreadsheet, a terminal, a JSON parser.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bounceclass import fields, rulebook
from bounceclass.model import Kind, Report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bounceclass.model import Failure

__all__ = [
    "CSV_HEADER",
    "as_json",
    "bug",
    "cell",
    "csv_lines",
    "csv_rows",
    "json_line",
    "json_schema",
    "printable",
    "sisimai",
]

CSV_HEADER = (
    "source",
    "kind",
    "recipient",
    "action",
    "severity",
    "reason",
    "scope",
    "suppress",
    "suggested_action",
    "confidence",
    "reply_code",
    "status",
    "diagnostic",
    "provider",
    "remote_mta",
    "command",
    "last_attempt",
    "dialect",
    "reporting_mta",
    "arrival_date",
    "original_message_id",
    "list_id",
    "suggestion",
)
"""The columns of ``csv_rows``."""

# C0, DEL and C1; separators that some programs end a line at; halves of surrogate pairs;
# what changes the order or the visibility of its neighbours: marks, bidi overrides and isolates, tags
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
# What a spreadsheet takes for the beginning of a formula, full-width forms included
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
# The same where a spreadsheet that delimits cells by semicolons takes it for one of its own
_BEHIND_DELIMITER = re.compile(r"(;[ \"]{0,9})(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


# --- text -----------------------------------------------------------------------


def printable(text: str) -> str:
    """Return *text* on one line, safe on a terminal: what would not be seen is written as its escape."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def bug(error: Exception) -> str:
    """Return what to say of an exception that nobody foresaw."""
    return f"a bug of bounceclass that is worth a report: {type(error).__name__}: {error}"


def cell(value: object) -> str:
    """Return *value* as a cell that no spreadsheet runs: None is empty, a formula gets an apostrophe before it.

    For what would not be seen there is a space.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _UNPRINTABLE.sub(" ", str(value)).strip()
    if ";" in text:
        text = _BEHIND_DELIMITER.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_FORMULA) else text


# --- JSON -----------------------------------------------------------------------


def as_json(value: object) -> bytes:
    """Return *value* as one line of JSON, safe on a terminal: what would not be seen is written as its escape."""
    return _escaped(msgspec.json.encode(value))


def json_line(report: Report, source: str) -> bytes:
    """Return *report* as ``as_json`` does, with the name of its input before the other keys."""
    name = source.encode("utf-8", "replace").decode()  # JSON has no halves of surrogate pairs
    return _escaped(b'{"source":' + msgspec.json.encode(name) + b"," + report.to_json()[1:])


def _escaped(line: bytes) -> bytes:
    if line.isascii() and b"\x7f" not in line:  # the other controls of ASCII have no place in JSON
        return line
    text = line.decode()
    return line if text.isprintable() else _UNPRINTABLE.sub(_escape, text).encode()  # a regex is slower by far


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``Report.to_dict()``; every key is always there."""
    schema = msgspec.json.schema(Report)
    for definition in schema["$defs"].values():
        if "properties" in definition:
            definition["required"] = list(definition["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


# --- CSV ------------------------------------------------------------------------


def csv_lines(rows: Iterable[Iterable[str]]) -> str:
    """Return *rows* in the form of RFC 4180; what ``cell`` is for is the caller's."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def csv_rows(report: Report, source: str) -> list[tuple[str, ...]]:
    """Return one row a failure, its cells in the order of CSV_HEADER and each made safe by ``cell``."""
    return [tuple(map(cell, _csv_values(report, failure, source))) for failure in report.failures]


def _csv_values(report: Report, failure: Failure, source: str) -> tuple[object, ...]:
    return (
        source,
        report.kind,
        failure.recipient,
        failure.action,
        failure.severity,
        failure.reason,
        failure.scope,
        failure.suppress,
        failure.suggested_action,
        failure.confidence,
        failure.reply_code,
        failure.status,
        failure.diagnostic,
        failure.provider,
        failure.remote_mta,
        failure.command,
        failure.last_attempt,
        report.dialect,
        report.reporting_mta,
        report.arrival_date,
        report.original.message_id,
        report.original.list_id,
        failure.suggestion,
    )


# --- Sisimai --------------------------------------------------------------------


def sisimai(report: Report, origin: str = "") -> list[dict[str, Any]]:
    """Return the items that Sisimai's JSON has for a message: one a failure, or one a complaint's recipient.

    A value that is not known is an empty string.  ``recipient`` is the address that was
    mailed and ``alias`` the one it led to; ``hardbounce`` is true where the address may be
    suppressed.  Fields that Sisimai renamed (``smtpagent`` to ``decodedby``,
    ``smtpcommand`` to ``command``, ``softbounce`` to ``hardbounce``) stand under both
    names; ``token``, a digest of its own, is left empty.
    """
    if report.kind is Kind.FEEDBACK:
        return _sisimai_complaint(report, origin)
    return [_sisimai_failure(report, failure, origin) for failure in report.failures]


def _sisimai_failure(report: Report, failure: Failure, origin: str) -> dict[str, Any]:
    item = _sisimai_item(report, failure.recipient, failure.last_attempt, origin)
    final = failure.final_recipient
    item.update(
        action=str(failure.action),
        alias=final if final and final != failure.recipient else "",
        command=failure.command or "",
        deliverystatus=failure.status or "",
        diagnosticcode=failure.diagnostic or "",
        diagnostictype="SMTP" if failure.reply_code or failure.status else "",
        hardbounce=failure.suppress,
        reason=rulebook.load().reasons[failure.reason].sisimai,
        replycode=str(failure.reply_code or ""),
        rhost=failure.remote_mta or "",
        smtpcommand=failure.command or "",
        softbounce=0 if failure.suppress else 1,
    )
    return item


def _sisimai_complaint(report: Report, origin: str) -> list[dict[str, Any]]:
    complaint = report.feedback
    recipients = complaint.original_rcpt_to if complaint else ()
    items = []
    for recipient in recipients or (fields.clean(report.original.to or ""),):
        item = _sisimai_item(report, recipient, complaint.arrival_date if complaint else None, origin)
        item.update(reason="feedback", feedbacktype=(complaint.type if complaint else None) or "", softbounce=-1)
        if complaint and complaint.reporting_mta:
            item.update(rhost=complaint.reporting_mta)
        items.append(item)
    return items


def _sisimai_item(report: Report, recipient: str | None, when: str | None, origin: str) -> dict[str, Any]:
    addresser = fields.clean(report.original.return_path or report.original.from_ or "") or ""
    moment = _moment(when) or _moment(report.arrival_date) or _moment(report.date)
    return {
        "action": "",
        "addresser": addresser,
        "alias": "",
        "command": "",
        "decodedby": report.dialect or "",
        "deliverystatus": "",
        "destination": fields.domain(recipient),
        "diagnosticcode": "",
        "diagnostictype": "",
        "feedbackid": "",
        "feedbacktype": "",
        "hardbounce": False,
        "lhost": report.reporting_mta or "",
        "listid": report.original.list_id or "",
        "messageid": (report.original.message_id or "").strip("<>"),
        "origin": origin,
        "reason": "",
        "recipient": recipient or "",
        "replycode": "",
        "rhost": "",
        "senderdomain": fields.domain(addresser),
        "smtpagent": report.dialect or "",
        "smtpcommand": "",
        "softbounce": -1,
        "subject": report.original.subject or "",
        "timestamp": int(moment.timestamp()) if moment else 0,
        "timezoneoffset": moment.strftime("%z") if moment else "",
        "token": "",
    }


def _moment(value: str | None) -> datetime | None:
    """Return a date of RFC 3339 as a moment; None for a day or a second that no calendar has."""
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None
