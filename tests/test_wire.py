"""The shapes for output, and that no shape carries an attack."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bounceclass
from bounceclass import wire
from bounceclass.model import (
    Action,
    Confidence,
    Failure,
    FeedbackReport,
    Kind,
    Original,
    Reason,
    Report,
    Scope,
    Severity,
    SuggestedAction,
)

FAILURE = Failure(
    recipient="fred@example.com",
    original_recipient="fred@example.com",
    final_recipient="fred@inside.example.com",
    severity=Severity.HARD,
    reason=Reason.USER_UNKNOWN,
    scope=Scope.ADDRESS,
    suppress=True,
    suggested_action=SuggestedAction.SUPPRESS,
    suggestion="Stop mailing the address.",
    reply_code=550,
    status="5.1.1",
    status_source="diagnostic",
    diagnostic="550 5.1.1 User unknown",
    remote_mta="mx.example.com",
    command="RCPT",
    provider="google",
    last_attempt="2026-03-01T12:00:30+01:00",
    confidence=Confidence.CERTAIN,
)
REPORT = Report(
    kind=Kind.BOUNCE,
    dialect="postfix",
    reporting_mta="mail.example.net",
    arrival_date="2026-03-01T12:00:00+01:00",
    date="2026-03-01T12:01:00+01:00",
    original=Original(
        message_id="<1@example.net>",
        from_="Letters <news@example.net>",
        to="fred@example.com",
        subject="March",
        list_id="<news.example.net>",
        return_path="bounces@example.net",
    ),
    failures=(FAILURE,),
)
COMPLAINT = Report(
    kind=Kind.FEEDBACK,
    date="2026-03-01T12:01:00-00:00",
    original=Original(from_="news@example.net", to="Ann <ann@example.com>"),
    feedback=FeedbackReport(
        type="abuse", original_rcpt_to=("ann@example.com", "bob@example.org"), reporting_mta="fbl.example.net"
    ),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user unknown", "user unknown"),
        ("naïve 日本", "naïve 日本"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\u2066x\u2069\u200b", r"\u2066x\u2069\u200b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert wire.printable(text) == expected


@given(st.text(st.characters()))
def test_printable_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = wire.printable(text)
    shown.encode()
    categories = {unicodedata.category(char) for char in shown if char not in "\u0600\u0601"}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (550, "550"),
        ("5.1.1", "5.1.1"),
        ("=1+1", "'=1+1"),
        ("+39", "'+39"),
        ("-x@example.com", "'-x@example.com"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("\r=1", "'=1"),
        ("  =1", "'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a\x00b\r\nc", "a b c"),
        ("=\x1b", "'="),
        ('a,b"c', 'a,b"c'),
        ("a\u2028b\x9bc", "a b c"),
        ("a\u202e\u2066\x85b", "a b"),
        ("\u200b=1", "'=1"),
        ("\ufeff=1", "'=1"),
        ("fr\u200bed@example.com", "fr ed@example.com"),
        ("550 x;=HYPERLINK(1)", "550 x;'=HYPERLINK(1)"),
        ('550 x; "@SUM(A1)";-1; y', "550 x; \"'@SUM(A1)\";'-1; y"),
    ],
)
def test_cell(value: object, expected: str) -> None:
    assert wire.cell(value) == expected


@given(st.text(st.characters()))
def test_no_cell_is_a_formula(text: str) -> None:
    shown = wire.cell(text)
    assert not shown.lstrip().startswith(tuple("=+-@\t\r"))
    assert wire.printable(shown) == shown


def test_csv_rows() -> None:
    assert dict(zip(wire.CSV_HEADER, *wire.csv_rows(REPORT, "=a.eml"), strict=True)) == {
        "source": "'=a.eml",
        "kind": "bounce",
        "recipient": "fred@example.com",
        "action": "failed",
        "severity": "hard",
        "reason": "user_unknown",
        "scope": "address",
        "suppress": "true",
        "suggested_action": "suppress",
        "confidence": "certain",
        "reply_code": "550",
        "status": "5.1.1",
        "diagnostic": "550 5.1.1 User unknown",
        "provider": "google",
        "remote_mta": "mx.example.com",
        "command": "RCPT",
        "last_attempt": "2026-03-01T12:00:30+01:00",
        "dialect": "postfix",
        "reporting_mta": "mail.example.net",
        "arrival_date": "2026-03-01T12:00:00+01:00",
        "original_message_id": "<1@example.net>",
        "list_id": "<news.example.net>",
        "suggestion": "Stop mailing the address.",
    }
    assert wire.csv_rows(COMPLAINT, "b.eml") == []


@pytest.mark.parametrize(
    ("source", "kept"),
    [('od"d\n.eml', 'od"d\n.eml'), ("a\u202egpj.eml", "a\u202egpj.eml"), ("a\udcff.eml", "a?.eml")],
)
def test_json_line_is_the_report_with_its_source(source: str, kept: str) -> None:
    line = wire.json_line(REPORT, source)
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {"source": kept, **REPORT.to_dict()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user unknown", b'"user unknown"'),
        ("na\u00efve \u65e5\u672c \U0001f600", '"na\u00efve \u65e5\u672c \U0001f600"'.encode()),
        ("\x1b[31m\n", rb'"\u001b[31m\n"'),
        ("\x7f\x9b31m\x85", rb'"\u007f\u009b31m\u0085"'),
        ("a\u202egpj\u2066\u200b\ufeff", rb'"a\u202egpj\u2066\u200b\ufeff"'),
        ("\u2028\u2029", rb'"\u2028\u2029"'),
        ("\U000e0041", rb'"\udb40\udc41"'),
        ("back\\\u202e\\", rb'"back\\\u202e\\"'),
    ],
)
def test_json(text: str, expected: bytes) -> None:
    assert wire.as_json(text) == expected
    assert json.loads(expected) == text


@given(st.text())
def test_json_is_one_line_of_what_can_be_seen(text: str) -> None:
    line = wire.as_json({"text": text})
    assert json.loads(line) == {"text": text}
    assert wire.printable(line.decode()) == line.decode()


def _definition(name: str) -> list[str]:
    properties: list[str] = wire.json_schema()["$defs"][name]["required"]
    return properties


@pytest.mark.parametrize(
    ("name", "value"),
    [("Report", REPORT), ("Failure", FAILURE), ("Original", REPORT.original), ("FeedbackReport", COMPLAINT.feedback)],
)
def test_json_schema_requires_the_keys_that_are_written(name: str, value: object) -> None:
    assert _definition(name) == list(msgspec.to_builtins(value))


def test_json_schema_names_the_reasons() -> None:
    schema = wire.json_schema()
    assert schema["$ref"] == "#/$defs/Report"
    assert schema["$defs"]["Reason"]["enum"] == sorted(bounceclass.Reason)


def test_sisimai_failure() -> None:
    assert wire.sisimai(REPORT, "a.eml") == [
        {
            "action": "failed",
            "addresser": "bounces@example.net",
            "alias": "fred@inside.example.com",
            "command": "RCPT",
            "decodedby": "postfix",
            "deliverystatus": "5.1.1",
            "destination": "example.com",
            "diagnosticcode": "550 5.1.1 User unknown",
            "diagnostictype": "SMTP",
            "feedbackid": "",
            "feedbacktype": "",
            "hardbounce": True,
            "lhost": "mail.example.net",
            "listid": "<news.example.net>",
            "messageid": "1@example.net",
            "origin": "a.eml",
            "reason": "userunknown",
            "recipient": "fred@example.com",
            "replycode": "550",
            "rhost": "mx.example.com",
            "senderdomain": "example.net",
            "smtpagent": "postfix",
            "smtpcommand": "RCPT",
            "softbounce": 0,
            "subject": "March",
            "timestamp": 1772362830,
            "timezoneoffset": "+0100",
            "token": "",
        }
    ]


@pytest.mark.parametrize(
    ("failure", "hard", "soft", "reason"),
    [
        (Failure(reason=Reason.MAILBOX_FULL, severity=Severity.SOFT), False, 1, "mailboxfull"),
        (Failure(reason=Reason.BLOCKED_REPUTATION, severity=Severity.HARD), False, 1, "blocked"),
        (Failure(reason=Reason.USER_UNKNOWN, severity=Severity.HARD), False, 1, "userunknown"),
        (Failure(reason=Reason.ADDRESS_MOVED, severity=Severity.HARD, suppress=True), True, 0, "hasmoved"),
    ],
)
def test_sisimai_calls_hard_only_what_may_be_suppressed(failure: Failure, hard: bool, soft: int, reason: str) -> None:
    (item,) = wire.sisimai(Report(kind=Kind.BOUNCE, failures=(failure,)))
    assert (item["hardbounce"], item["softbounce"], item["reason"]) == (hard, soft, reason)


def test_sisimai_complaint() -> None:
    items = wire.sisimai(COMPLAINT)
    assert [(item["recipient"], item["reason"], item["feedbacktype"], item["softbounce"]) for item in items] == [
        ("ann@example.com", "feedback", "abuse", -1),
        ("bob@example.org", "feedback", "abuse", -1),
    ]
    assert items[0]["rhost"] == "fbl.example.net"
    (unnamed,) = wire.sisimai(Report(kind=Kind.FEEDBACK, original=COMPLAINT.original))
    assert unnamed["recipient"] == "ann@example.com"


@pytest.mark.parametrize(
    ("date", "timestamp", "offset"),
    [
        (None, 0, ""),
        ("2026-02-31T12:00:00+00:00", 0, ""),
        ("2026-03-01T12:00:60+00:00", 0, ""),
        ("2026-03-01T12:00:00Z", 1772366400, "+0000"),
    ],
)
def test_sisimai_dates(date: str | None, timestamp: int, offset: str) -> None:
    failure = Failure(action=Action.DELAYED, last_attempt=date)
    (item,) = wire.sisimai(Report(kind=Kind.DELAY, failures=(failure,)))
    assert (item["timestamp"], item["timezoneoffset"], item["action"]) == (timestamp, offset, "delayed")


def test_what_is_neither_a_failure_nor_a_complaint_has_no_item() -> None:
    assert wire.sisimai(Report(kind=Kind.AUTO_REPLY)) == []
