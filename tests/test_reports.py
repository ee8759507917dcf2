"""What each reader makes of a message, and which is asked first."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bounceclass import mime, reports
from bounceclass.model import Action, Confidence, FeedbackReport, Kind, Mail, Notice, Outcome
from bounceclass.reports import (
    automatic,
    dialects,
    dsn,
    feedback,
    freeform,
    last_resort,
    layouts,
    origin,
    receipts,
    ses_json,
)
from bounceclass.reports.dialects import Dialect, Dialects, Layout
from bounceclass.reports.page import MAX_LETTER, Page
from bounceclass.rows import BrokenRules

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = {"dialects": Dialects([])}
"""What layouts there are; see ``use``."""
DAEMON = {"from": "MAILER-DAEMON@mail.example.org", "subject": "failure notice"}


@pytest.fixture(autouse=True)
def _no_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the layouts that a test makes up, so that new ones in ``data/dialects`` change no test here."""
    use(monkeypatch)


def mail(text: str = "", *, headers: dict[str, str] | None = None, **keys: Any) -> Mail:
    """A message from a mail system, unless *headers* say another thing."""
    fields = DAEMON if headers is None else headers
    return Mail(headers={name: [value] for name, value in fields.items()}, text=text, **keys)


def page(message: Mail) -> Page:
    return Page(message, KNOWN["dialects"])


def told(notice: Notice | None) -> list[tuple[str | None, str]]:
    """The recipients of a notice and what it says of each."""
    return [(one.final_recipient or one.recipient, one.diagnostic) for one in notice.outcomes] if notice else []


def differing(got: object, expected: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name in expected if (value := getattr(got, name)) != expected[name]}


# --- delivery status notifications ------------------------------------------------

STATUS = """\
Reporting-MTA: dns; mail.example.org
Arrival-Date: Thu, 2 Jan 2025 03:04:05 +0100
Original-Envelope-Id: QQ314159

Original-Recipient: rfc822; fred@example.com
Final-Recipient: rfc822; fred@backend.example.com
Action: failed
Status: 5.1.1 (no such user)
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 User unknown
Last-Attempt-Date: Thu, 2 Jan 2025 03:04:06 +0100
Will-Retry-Until: Fri, 3 Jan 2025 03:04:06 +0100
"""


def status_report(*parts: str, text: str = "", kind: str = "message/delivery-status", **keys: Any) -> Mail:
    keys = {"content_type": "multipart/report", "report_type": "delivery-status", **keys}
    return mail(text, machine=tuple((kind, part) for part in parts), **keys)


def group(**fields: str) -> str:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "Reporting-MTA: dns; mail.example.org\n\n" + "\n".join(lines) + "\n"


def only(notice: Notice | None) -> Outcome:
    assert notice is not None
    (outcome,) = notice.outcomes
    return outcome


@pytest.mark.parametrize("kind", sorted(mime.STATUS_PARTS))
def test_status_parts(kind: str) -> None:
    notice = dsn.read(page(status_report(STATUS, kind=kind)))
    assert notice == Notice(
        kind=Kind.BOUNCE,
        dialect="rfc3464",
        reporting_mta="mail.example.org",
        arrival_date="2025-01-02T03:04:05+01:00",
        envelope_id="QQ314159",
        outcomes=(
            Outcome(
                original_recipient="fred@example.com",
                final_recipient="fred@backend.example.com",
                action=Action.FAILED,
                status="5.1.1",
                diagnostic="550 5.1.1 User unknown",
                source="dsn.diagnostic",
                remote_mta="mx.example.com",
                last_attempt="2025-01-02T03:04:06+01:00",
                will_retry_until="2025-01-03T03:04:06+01:00",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        ("failed", "5.0.0", "failed"),
        ("Failed (permanent)", "5.0.0", "failed"),
        ("failure", "5.0.0", "failed"),
        ("error", "5.0.0", "failed"),
        ("permanent-failure", "5.0.0", "failed"),
        ("undeliverable", "5.0.0", "failed"),
        ("bounced", "5.0.0", "failed"),
        ("rejected", "5.0.0", "failed"),
        ("delayed", "4.0.0", "delayed"),
        ("deferred", "4.0.0", "delayed"),
        ("temporary failure", "4.0.0", "delayed"),
        ("warning", "4.0.0", "delayed"),
        ("delivered (to mailbox)", "2.0.0", "delivered"),
        ("deliverable", "2.0.0", "delivered"),
        ("success", "2.0.0", "delivered"),
        ("relayed", "2.0.0", "relayed"),
        ("expanded", "2.0.0", "expanded"),
        # none, or none that is known
        ("", "5.0.0", "failed"),
        ("", "2.0.0", "delivered"),
        ("zzz", "", "failed"),
    ],
)
def test_actions(value: str, status: str, expected: str) -> None:
    fields = group(Final_Recipient="rfc822; fred@example.com", Action=value, Status=status)
    assert only(dsn.read(page(status_report(fields)))).action == expected


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        (["failed", "delayed", "delivered"], "bounce"),
        (["delayed", "delivered"], "delay"),
        (["delivered", "relayed"], "success"),
    ],
)
def test_the_kind_of_several_actions(actions: list[str], kind: str) -> None:
    parts = [group(Final_Recipient=f"rfc822; {name}@example.com", Action=name, Status="5.0.0") for name in actions]
    notice = dsn.read(page(status_report(*parts)))
    assert notice is not None
    assert (notice.kind, [one.action for one in notice.outcomes]) == (kind, actions)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # the reason as a comment on the Status
        (
            {"Status": "5.2.2 (mailbox full)"},
            {"diagnostic": "5.2.2 (mailbox full)", "source": "dsn.status", "status": "5.2.2"},
        ),
        ({"Status": "5.2.2"}, {"diagnostic": "", "source": "dsn.diagnostic"}),
        # where a message ended is not who was mailed
        (
            {"X_Actual_Recipient": "rfc822; wilma@example.com"},
            {"final_recipient": "wilma@example.com", "guessed": True},
        ),
        # Exim names a pipe
        ({"Final_Recipient": "rfc822; |/bin/procmail"}, {"final_recipient": None}),
        # Sendmail writes the number that a mailer exits with
        ({"Diagnostic_Code": "X-Unix; 69"}, {"diagnostic": "mailer exited with status 69"}),
        ({"Diagnostic_Code": "X-Unix; 550 no"}, {"diagnostic": "550 no"}),
    ],
)
def test_quirks_of_groups(fields: dict[str, str], expected: dict[str, Any]) -> None:
    assert differing(only(dsn.read(page(status_report(group(Action="failed", **fields))))), expected) == {}


PERSON = {"from": "barney@example.org", "subject": "Look what I got"}


@pytest.mark.parametrize(
    ("message", "read"),
    [
        # a report that somebody sends on is none
        (status_report(STATUS, content_type="multipart/mixed", headers=PERSON), False),
        (status_report(STATUS, content_type="multipart/mixed"), True),
        (status_report(STATUS, headers=PERSON), True),
        # fields in the text
        (mail("This report is for you.\n\n" + STATUS), True),
        (mail("This report is for you.\n\n" + STATUS, headers=PERSON), False),
        (mail(STATUS, headers={**DAEMON, "subject": "Fwd: failure notice", "references": "<x@example.org>"}), False),
        (mail("Final-Recipient: of nothing"), False),
        # a status part without recipients, and a text that says nothing
        (status_report("Reporting-MTA: dns; mail.example.org\n", report_type=""), False),
    ],
)
def test_what_is_a_report(message: Mail, read: bool) -> None:
    notice = dsn.read(page(message))
    assert (
        [outcome.original_recipient for outcome in notice.outcomes] == ["fred@example.com"]
        if read and notice
        else not read
    )
    assert (notice is not None) is read


def test_a_report_that_names_nobody() -> None:
    notice = dsn.read(page(status_report("Reporting-MTA: dns; mail.example.org\n")))
    assert notice is not None
    assert (notice.kind, notice.outcomes, notice.confidence) == ("bounce", (), "guess")


def test_a_status_part_without_recipients_leaves_it_to_the_text() -> None:
    text = "Your message to <fred@example.com> could not be delivered: 550 User unknown"
    notice = dsn.read(page(status_report("Reporting-MTA: dns; mail.example.org\n", text=text)))
    assert told(notice) == [("fred@example.com", text)]


SAID = "<fred@example.com>: could not be delivered: 552 mailbox full, in reply to RCPT TO command\n"


@pytest.mark.parametrize(
    ("fields", "text", "expected"),
    [
        # a diagnostic that says little is helped by the human part
        ({"Diagnostic_Code": "smtp; 550"}, SAID, {"notes": SAID.strip(), "command": "RCPT"}),
        ({"Diagnostic_Code": "smtp; 550 5.1.1 User unknown"}, SAID, {"notes": "", "command": "RCPT"}),
        ({}, "nothing of use", {"notes": "", "command": None}),
        # one passage and one recipient belong together
        (
            {"Final_Recipient": "rfc822; x@backend.example.com"},
            SAID,
            {"notes": SAID.strip(), "recipient": "fred@example.com"},
        ),
        # a recipient that no field names
        ({"Final_Recipient": "rfc822;"}, SAID, {"recipient": "fred@example.com", "final_recipient": None}),
    ],
)
def test_the_human_part(fields: dict[str, str], text: str, expected: dict[str, Any]) -> None:
    said = {"Final_Recipient": "rfc822; fred@example.com", "Action": "failed", "Status": "5.0.0", **fields}
    assert differing(only(dsn.read(page(status_report(group(**said), text=text)))), expected) == {}


def test_a_recipient_that_nothing_names_is_guessed() -> None:
    message = status_report(group(Action="failed", Status="5.0.0"), returned={"to": ["fred@example.com"]})
    outcome = only(dsn.read(page(message)))
    assert (outcome.recipient, outcome.guessed) == ("fred@example.com", True)


def test_passages_are_given_to_the_recipients_they_name() -> None:
    text = (
        "<wilma@example.com>: could not be delivered: mailbox full\n\n"
        "<fred@example.com>: could not be delivered: no such user\n"
    )
    names = ("fred@example.com", "wilma@example.com", "betty@example.com")
    parts = [group(Final_Recipient=f"rfc822; {name}", Action="failed", Status="5.0.0") for name in names]
    notice = dsn.read(page(status_report(*parts, text=text)))
    assert notice is not None
    said = [outcome.notes for outcome in notice.outcomes]
    assert ["no such user" in said[0], "mailbox full" in said[1], said[2]] == [True, True, ""]


ALIAS = (
    "ann@example.net (generated from list@example.com): no such user\n"
    "bob@example.net (generated from list@example.com): timeout\n"
)


@pytest.mark.parametrize(
    ("diagnostics", "notes"),
    [
        (["smtp; 550 no such user", "smtp; 450 timeout"], ["", ""]),
        (["x; no such user", "x; timeout"], ["no such user", "timeout"]),
        (["x; timeout", "x; no such user"], ["timeout", "no such user"]),
        (["x; timeout", "x; timeout"], ["timeout", ""]),  # a passage is about one of them
        (["", ""], ["", ""]),  # each may be about either
        (["smtp; 550", "smtp; 550"], ["", ""]),
    ],
)
def test_passages_about_what_an_alias_was_expanded_to(
    monkeypatch: pytest.MonkeyPatch, diagnostics: list[str], notes: list[str]
) -> None:
    use(monkeypatch, Layout(marks=("generated from",), recipient=r"^(?P<address>\S+@\S+) (?P<reason>.*)$"))
    named = {"Final-Recipient": "rfc822; list@example.com", "Action": "failed"}
    groups = [group(**{**named, "Diagnostic-Code": one} if one else named) for one in diagnostics]
    notice = dsn.read(page(status_report(*groups, text=ALIAS)))
    assert notice is not None
    assert [one.notes.strip(": ") for one in notice.outcomes] == notes


def test_groups_without_names_take_what_is_left() -> None:
    text = (
        "<wilma@example.com>: could not be delivered: mailbox full\n\n"
        "<fred@example.com>: could not be delivered: no such user\n"
    )
    parts = [
        group(Final_Recipient="rfc822; fred@example.com", Action="failed", Status="5.0.0"),
        group(Action="failed", Status="5.0.0"),
        group(Action="failed", Status="5.0.0"),
    ]
    notice = dsn.read(page(status_report(*parts, text=text)))
    assert notice is not None
    assert [one.final_recipient or one.recipient for one in notice.outcomes] == [
        "fred@example.com",
        "wilma@example.com",
        None,
    ]


# --- complaints -------------------------------------------------------------------

ARF = """\
Feedback-Type: Abuse
User-Agent: Example/1.0
Version: 1
Source-IP: 192.0.2.7
Original-Mail-From: <list-bounces@example.org>
Original-Rcpt-To: <fred@example.com>
Original-Rcpt-To: wilma@example.com
Arrival-Date: Thu, 2 Jan 2025 03:04:05 +0100
Reporting-MTA: dns; mail.example.com
Reported-Domain: example.org
Reported-URI: https://example.org/x
Incidents: 3
Auth-Failure: SPF
Delivery-Result: reject
"""
FULL = FeedbackReport(
    type="abuse",
    user_agent="Example/1.0",
    version="1",
    source_ip="192.0.2.7",
    original_mail_from="list-bounces@example.org",
    original_rcpt_to=("fred@example.com", "wilma@example.com"),
    arrival_date="2025-01-02T03:04:05+01:00",
    reporting_mta="mail.example.com",
    reported_domain=("example.org",),
    reported_uri=("https://example.org/x",),
    incidents=3,
    auth_failure="spf",
    delivery_result="reject",
)
LOOP = {"from": "feedback@example.com"}


def arf(text: str, **keys: Any) -> Mail:
    return mail(machine=(("message/feedback-report", text),), headers=LOOP, **keys)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (arf(ARF), FULL),
        # without the part, or without the frame
        (mail(ARF, headers=LOOP, report_type="feedback-report"), FULL),
        (mail(ARF, headers=LOOP), FULL),
        (arf("Feedback-Type: not-spam\nReceived-Date: Thu, 2 Jan 2025 03:04:05 +0100\nIncidents: many\n"),
         FeedbackReport(type="not-spam", arrival_date="2025-01-02T03:04:05+01:00")),
        (arf("Incidents: 12345678901\n"), FeedbackReport()),
        (arf(""), FeedbackReport()),
        (arf(ARF, report_type="delivery-status"), FULL),
        (mail(html=("<pre>Feedback-Type: abuse\nUser-Agent: Example/1.0\n</pre>",), headers=LOOP),
         FeedbackReport(type="abuse", user_agent="Example/1.0")),
        # Original-Rcpt-To is optional
        (arf("Feedback-Type: abuse\n", returned={"to": ["Fred <fred@example.com>, wilma@example.com"]}),
         FeedbackReport(type="abuse", original_rcpt_to=("fred@example.com", "wilma@example.com"))),
        # ... and then no list's own address, nor the sender's
        (arf("Feedback-Type: abuse\n", returned={"to": ["weekly@lists.example.org"], "list-post": ["<mailto:weekly@lists.example.org>"]}),
         FeedbackReport(type="abuse")),
        (arf("Feedback-Type: abuse\n", returned={"to": ["News <news@example.org>"], "from": ["News@example.org"]}),
         FeedbackReport(type="abuse")),
        (arf("Feedback-Type: abuse\n", returned={"to": ["News@lists.example.org"], "list-id": ["News <news.lists.example.org>"]}),
         FeedbackReport(type="abuse")),
        (arf("Feedback-Type: abuse\n", returned={"to": ["news@example.org"], "return-path": ["<news-bounces+fred=example.com@example.org>"]}),
         FeedbackReport(type="abuse")),
        (arf("Feedback-Type: abuse\n", returned={"to": ["news@example.org"], "return-path": ["<owner-news@example.org>"]}),
         FeedbackReport(type="abuse")),
        # ... but whoever is mailed one by one complains himself
        (arf("Feedback-Type: abuse\n", returned={"to": ["fred@example.com"], "list-id": ["<news.example.org>"], "return-path": ["<news-bounces@example.org>"]}),
         FeedbackReport(type="abuse", original_rcpt_to=("fred@example.com",))),
    ],
)  # fmt: skip
def test_feedback_reports(message: Mail, expected: FeedbackReport) -> None:
    assert feedback.read(page(message)) == Notice(kind=Kind.FEEDBACK, dialect="arf", feedback=expected)


@pytest.mark.parametrize(
    ("headers", "keys", "expected"),
    [
        # Microsoft JMRP, before it was ARF
        ({"from": "staff@hotmail.com", "subject": "complaint about message from 192.0.2.7"},
         {"returned": {"x-hmxmroriginalrecipient": ["fred@example.com"]}},
         FeedbackReport(type="abuse", source_ip="192.0.2.7", original_rcpt_to=("fred@example.com",))),
        ({"from": "scomp@aol.net", "subject": "Email Feedback Report for IP 192.0.2.7"}, {}, FeedbackReport(type="abuse")),
        ({"from": "feedback@example.com", "subject": "DMARC failure report for example.org"}, {},
         FeedbackReport(type="auth-failure")),
        ({"from": "dmarc@example.com", "subject": "DMARC Forensic Report"}, {"content_type": "multipart/report"},
         FeedbackReport(type="auth-failure")),
        ({"from": "fred@example.com", "subject": "unsubscribe"}, {}, FeedbackReport(type="opt-out")),
        ({"from": "fred@example.com", "subject": " Unsubscribe:4711-abc "}, {}, FeedbackReport(type="opt-out")),
        # no complaints
        ({"from": "fred@example.com", "subject": "Re: what does a complaint look like?", "in-reply-to": "<1@example.org>"},
         {"text": ARF}, None),
        ({"from": "fred@example.com", "subject": "what a complaint looks like"}, {"text": "It says:\n" + ARF}, None),
        ({"from": "dmarc@example.com", "subject": "DMARC Forensic Report"}, {}, None),
        ({"from": "fred@example.com", "subject": "complaint about message from you"}, {}, None),
        ({"from": "fred@example.com", "subject": "please unsubscribe me"}, {}, None),
        ({"from": "fred@example.com", "subject": "unsubscribe"}, {"text": "x" * 2000}, None),
        ({"from": "MAILER-DAEMON@example.com", "subject": "unsubscribe"}, {}, None),
        ({"from": "fred@example.com", "subject": ""}, {}, None),
    ],
)  # fmt: skip
def test_complaints_before_the_format(
    headers: dict[str, str], keys: dict[str, Any], expected: FeedbackReport | None
) -> None:
    notice = feedback.read(page(mail(headers=headers, **keys)))
    assert (notice.feedback if notice else None) == expected
    assert notice is None or (notice.kind, notice.confidence) == ("feedback", "probable")


# --- receipts ---------------------------------------------------------------------

READ = "Final-Recipient: rfc822; fred@example.com\nDisposition: manual-action/MDN-sent-manually; displayed\n"
REFUSED = """\
Reporting-UA: mail.example.com; Dovecot Mail Delivery Agent
Original-Recipient: rfc822; fred@example.com
Final-Recipient: rfc822; fred@example.com
Disposition: automatic-action/MDN-sent-automatically; deleted
"""
KIND = "message/disposition-notification"


def receipt(fields: str, text: str = "", **headers: str) -> Mail:
    return mail(text, machine=((KIND, fields),), headers={"from": "fred@example.com", **headers})


@pytest.mark.parametrize(
    ("message", "kind", "dialect", "said"),
    [
        (receipt(READ), "receipt", None, []),
        (receipt(REFUSED), "receipt", None, []),
        (mail("displayed", headers=PERSON, report_type="disposition-notification"), "receipt", None, []),
        # Dovecot and Sieve refuse in the form of a receipt
        (receipt(REFUSED, "Your message to <fred@example.com> was automatically rejected:\nQuota exceeded\n"),
         "bounce", "dovecot", [("fred@example.com", "Quota exceeded")]),
        (receipt(REFUSED.replace("; Dovecot", ""), "Mailbox full", **{"auto-submitted": "auto-replied (rejected)"}),
         "bounce", None, [("fred@example.com", "Mailbox full")]),
        (mail("Your message to <fred@example.com> was automatically rejected:\nno\n", headers=PERSON,
              report_type="disposition-notification"), "bounce", None, [(None, "no")]),
        # what a person saw was not refused, whatever it quotes; "failed" is about the receipt (RFC 2298)
        (receipt(READ, "> Your message to <fred@example.com> was automatically rejected:\n> 550 no such user"), "receipt", None, []),
        (receipt(READ.replace("displayed", "failed")), "receipt", None, []),
        (receipt(REFUSED.replace("deleted", "failed")), "receipt", None, []),
    ],
)  # fmt: skip
def test_receipts(message: Mail, kind: str, dialect: str | None, said: list[tuple[str, str]]) -> None:
    notice = receipts.read(page(message))
    assert notice is not None
    assert (notice.kind, notice.dialect, told(notice)) == (kind, dialect, said)


def test_what_is_no_receipt() -> None:
    assert receipts.read(page(mail("Final-Recipient: rfc822; fred@example.com"))) is None


# --- automatic replies --------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "confidence"),
    [
        ({"auto-submitted": "auto-replied"}, "certain"),
        ({"auto-submitted": "Auto-Replied (vacation)"}, "certain"),
        ({"precedence": "auto_reply"}, "certain"),
        ({"x-autoreply": "yes"}, "certain"),
        ({"x-vacation": "1"}, "certain"),
        # a subject needs company
        ({"subject": "Out of Office: chairs", "auto-submitted": "auto-generated"}, "probable"),
        ({"subject": "Automatic reply: chairs", "return-path": "<>"}, "probable"),
        ({"subject": "Fuori sede", "precedence": "bulk"}, "probable"),
        ({"subject": "Abwesenheit", "x-auto-response-suppress": "All", "in-reply-to": "<x@example.org>"}, "probable"),
        ({"subject": "Out of Office: chairs"}, None),
        ({"subject": "Out of Office: chairs", "x-auto-response-suppress": "All"}, None),
        ({"subject": "chairs", "auto-submitted": "auto-generated"}, None),
        ({"auto-submitted": "no"}, None),
        # a true bounce that says Auto-Submitted
        ({"from": "MAILER-DAEMON@example.com", "auto-submitted": "auto-replied"}, None),
    ],
)
def test_automatic_replies(headers: dict[str, str], confidence: str | None) -> None:
    notice = automatic.read(page(mail(headers={"from": "fred@example.com", **headers})))
    assert notice == (Notice(kind=Kind.AUTO_REPLY, confidence=Confidence(confidence)) if confidence else None)


@pytest.mark.parametrize(
    ("headers", "text", "read"),
    [
        ({"subject": "Please confirm your message", "auto-submitted": "auto-replied"}, "", True),
        (
            {"subject": "Verify your email", "return-path": "<>"},
            "Click this link to verify that you are a person.",
            True,
        ),
        ({"subject": "Verify your email", "return-path": "<>"}, "Hello.", False),
        ({"subject": "Verify your email"}, "Click this link to verify that you are a person.", False),
        (
            {"subject": "Please confirm your message", "auto-submitted": "auto-replied", "list-id": "<x.example.org>"},
            "",
            False,
        ),
        ({"subject": "chairs", "auto-submitted": "auto-replied"}, "Click here to confirm", False),
    ],
)
def test_challenges(headers: dict[str, str], text: str, read: bool) -> None:
    notice = automatic.read_challenge(page(mail(text, headers={"from": "fred@example.com", **headers})))
    assert notice == (Notice(kind=Kind.CHALLENGE, confidence=Confidence.PROBABLE) if read else None)


# --- Amazon SES -------------------------------------------------------------------

SNS = {"from": "AWS Notifications <no-reply@sns.amazonaws.com>"}
BOUNCE = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "Suppressed",
        "reportingMTA": "dns; a1.smtp-out.example.net",
        "bouncedRecipients": [
            {
                "emailAddress": "Fred <fred@example.com>",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            },
            {"emailAddress": "wilma@example.com", "action": "Delayed"},
            "nonsense",
        ],
    },
}
COMPLAINT = {
    "eventType": "Complaint",
    "complaint": {
        "complaintFeedbackType": "not-spam",
        "userAgent": "Example/1.0",
        "complainedRecipients": [{"emailAddress": "fred@example.com"}, {"emailAddress": ""}, 7],
    },
}
DELIVERY = {
    "notificationType": "Delivery",
    "delivery": {"recipients": ["fred@example.com", 7], "smtpResponse": "250 ok"},
}


def sns(event: object, headers: dict[str, str] = SNS) -> Mail:
    return mail(event if isinstance(event, str) else json.dumps(event), headers=headers)


def test_ses_bounces() -> None:
    outcomes = (
        Outcome(
            final_recipient="fred@example.com",
            action=Action.FAILED,
            status="5.1.1",
            diagnostic="550 5.1.1 user unknown",
            notes="on the suppression list",
            source="dsn.diagnostic",
        ),
        Outcome(
            final_recipient="wilma@example.com",
            action=Action.DELAYED,
            notes="on the suppression list",
            source="dsn.diagnostic",
        ),
        Outcome(action=Action.FAILED, notes="on the suppression list", source="dsn.diagnostic"),
    )
    expected = Notice(
        kind=Kind.BOUNCE, dialect="amazon-ses", reporting_mta="a1.smtp-out.example.net", outcomes=outcomes
    )
    assert ses_json.read(page(sns(BOUNCE))) == expected
    # inside SNS's envelope, with its footer, and folded
    assert ses_json.read(page(sns({"Type": "Notification", "Message": json.dumps(BOUNCE)}))) == expected
    assert (
        ses_json.read(page(sns(json.dumps(BOUNCE) + "\n--\nIf you wish to stop receiving notifications ...")))
        == expected
    )
    assert (
        ses_json.read(
            page(sns(json.dumps(BOUNCE).replace("suppressed list", "x").replace("user unknown", "user\nunknown")))
        )
        == expected
    )


def test_ses_delays() -> None:
    waiting = {"emailAddress": "fred@example.com", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 full"}
    outcome = Outcome(
        final_recipient="fred@example.com",
        action=Action.DELAYED,
        status="4.2.2",
        diagnostic="452 4.2.2 full",
        notes="mailbox full",
        source="dsn.diagnostic",
    )
    expected = Notice(kind=Kind.DELAY, dialect="amazon-ses", outcomes=(outcome,))
    delay = {"delayType": "MailboxFull", "delayedRecipients": [waiting]}
    assert ses_json.read(page(sns({"eventType": "DeliveryDelay", "deliveryDelay": delay}))) == expected
    bounce = {
        "bounceType": "Transient",
        "bounceSubType": "MailboxFull",
        "bouncedRecipients": [{**waiting, "action": "delayed"}],
    }
    assert ses_json.read(page(sns({"notificationType": "Bounce", "bounce": bounce}))) == expected


def test_ses_complaints_and_deliveries() -> None:
    complaint = FeedbackReport(type="not-spam", user_agent="Example/1.0", original_rcpt_to=("fred@example.com",))
    assert ses_json.read(page(sns(COMPLAINT))) == Notice(kind=Kind.FEEDBACK, dialect="amazon-ses", feedback=complaint)
    outcome = Outcome(recipient="fred@example.com", action=Action.DELIVERED, diagnostic="250 ok")
    assert ses_json.read(page(sns(DELIVERY))) == Notice(kind=Kind.SUCCESS, dialect="amazon-ses", outcomes=(outcome,))


@pytest.mark.parametrize(
    "event",
    [
        "hello",
        "{broken",
        "[1]",
        "{}",
        "7",
        '{"a":' * 5000,
        {"notificationType": "Open"},
        {"Message": "hello"},
        {"Message": json.dumps({"Message": json.dumps({"Message": "x"})})},
    ],
)
def test_what_is_no_notification(event: object) -> None:
    assert ses_json.read(page(sns(event))) is None


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"notificationType": "Bounce"}, "bounce"),
        ({"notificationType": "Bounce", "bounce": {"bouncedRecipients": 7}}, "bounce"),
        ({"notificationType": "Complaint", "complaint": {"complainedRecipients": 7}}, "feedback"),
        ({"notificationType": "Delivery", "delivery": {"recipients": 7}}, "success"),
        ({"notificationType": "Delivery", "delivery": "x"}, "success"),
    ],
)
def test_notifications_whose_tables_are_none(event: object, kind: str) -> None:
    notice = ses_json.read(page(sns(event)))
    assert notice is not None
    assert (notice.kind, notice.outcomes) == (kind, ())


def test_notifications_come_from_amazon() -> None:
    assert ses_json.read(page(sns(BOUNCE, PERSON))) is None


# --- the layouts engine, on rows made up for the purpose --------------------------


def use(monkeypatch: pytest.MonkeyPatch, *rows: Layout, end: tuple[str, ...] = ("--- Below",), **more: Layout) -> None:
    """Let *rows* be all layouts there are, of the dialect ``made-up``; *more* name dialects of their own."""
    rows_ = [Dialect(name="made-up", title="Made up", source="none", end=end, layout=rows)]
    rows_ += [Dialect(name=name, title=name, source="none", layout=(row,)) for name, row in more.items()]
    monkeypatch.setitem(KNOWN, "dialects", Dialects(rows_))


MARK = "This is the made-up program."
ADDRESS = r"^<(?P<address>[^>\s]+)>:"
PLAIN = Layout(marks=(MARK,), recipient=ADDRESS)


@pytest.mark.parametrize(
    ("row", "text", "expected"),
    [
        # everything up to the next recipient is its reason
        (PLAIN, f"{MARK}\n\n<a@example.com>:\nno such\nuser\n\n<b@example.com>: full\n", [("a@example.com", "no such\nuser"), ("b@example.com", "full")]),
        # the region begins with the line of the mark, and ends where the returned message begins
        (PLAIN, f"<x@example.com>: before\nHi. {MARK}\n<a@example.com>: no\n--- Below\n<y@example.com>: after", [("a@example.com", "no")]),
        # an end stands at the beginning of its line
        (PLAIN, f"{MARK}\n<a@example.com>: no --- Below\nmore\n  > --- Below\n<y@example.com>: x", [("a@example.com", "no --- Below\nmore")]),
        # repeated addresses: one recipient, and the first reason there is
        (PLAIN, f"{MARK}\n<a@example.com>:\n<b@example.com>: full\n<A@example.com>: no\n", [("a@example.com", "no"), ("b@example.com", "full")]),
        (PLAIN, f"{MARK}\n<a@example.com>: no\n<b@example.com>: full\n<a@example.com>: again\n", [("a@example.com", "no"), ("b@example.com", "full")]),
        (PLAIN, f"{MARK}\nnobody\n", []),
        (Layout(marks=(MARK.upper(),), recipient=ADDRESS), f"{MARK}\n<a@example.com>: no", [("a@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=r"^rcpt (\S+)"), f"{MARK}\nrcpt a@example.com no", [("a@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=r"^<(?P<address>\S+)> \((?P<reason>[^)]+)\)"), f"{MARK}\n<a@example.com> (full)\nmore", [("a@example.com", "full\nmore")]),
        (Layout(marks=(MARK,), recipient=r"^<(?P<address>\S+)>(?: \((?P<reason>[^)]+)\))?"), f"{MARK}\n<a@example.com>\nmore", [("a@example.com", "more")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, reason=r"^Reason: (.+)"), f"{MARK}\n<a@example.com>:\nx\nReason: full\n", [("a@example.com", "full")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, reason=r"^Reason: (.+)"), f"{MARK}\nReason: full\n<a@example.com>:\nx\n", [("a@example.com", "full")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, reason=r"^Reason: (.+)"), f"{MARK}\n<a@example.com>:\nx\n", [("a@example.com", "")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, reason=r"^Reason:(.+)?"), f"{MARK}\n<a@example.com>:\nReason:\n", [("a@example.com", "")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, shared=True), f"{MARK}\n<a@example.com>:\n<b@example.com>:\nfull", [("a@example.com", "full"), ("b@example.com", "full")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, begin=("no such line", "Recipients:")), f"{MARK}\n<x@example.com>: x\nrecipients:\n<a@example.com>: no", [("a@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, begin=("Recipients:",)), f"{MARK}\n<a@example.com>: no", [("a@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=ADDRESS, begin=("Recipients:",)), f"{MARK}\n<a@example.com>: no\nRecipients:", []),
        (Layout(marks=(MARK,), recipient=ADDRESS, stop=("no such line", "Regards")), f"{MARK}\n<a@example.com>: no\nregards\n<x@example.com>: x", [("a@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=r"^(\w+):", domain="example.com"), f"{MARK}\nfred: no", [("fred@example.com", "no")]),
        (Layout(marks=(MARK,), recipient=r"^(\w+):"), f"{MARK}\nfred: no", []),
        (Layout(marks=(MARK,), recipient=ADDRESS, needs=("Second mark",)), f"{MARK}\n<a@example.com>: no", []),
        (Layout(marks=(MARK,), recipient=ADDRESS, needs=("Second mark",)), f"{MARK}\n<a@example.com>: no\nsecond mark", [("a@example.com", "no\nsecond mark")]),
        # a mark in the header, and in a status part
        (Layout(marks=("from: mailer-daemon@",), recipient=ADDRESS), "<a@example.com>: no", [("a@example.com", "no")]),
        (Layout(marks=("x-made-up-id:",), recipient=ADDRESS), "<a@example.com>: no", [("a@example.com", "no")]),
        # a layout without recipients only names the author
        (Layout(marks=(MARK,)), f"{MARK}\n<a@example.com>: no", []),
        # a transcript, of which each recipient gets the parts that name it
        (
            Layout(marks=(MARK,), recipient=r"^<(?P<address>[^>\s]+)>", transcript=("--- Transcript",)),
            f"{MARK}\n<a@example.com>\n<b@example.com>\n--- Transcript\n>>> RCPT To:<a@example.com>\n<<< 550 no\n550 x\n>>> RCPT To:<b@example.com>\n<<< 552 full\n",
            [("a@example.com", ">>> RCPT To:<a@example.com>\n<<< 550 no\n550 x"), ("b@example.com", ">>> RCPT To:<b@example.com>\n<<< 552 full")],
        ),
        (
            Layout(marks=(MARK,), recipient=r"^<(?P<address>[^>\s]+)>", transcript=("--- Transcript",)),
            f"{MARK}\n<a@example.com>\n--- Transcript\n<<< 550 no\n",
            [("a@example.com", "<<< 550 no")],
        ),
        (
            Layout(marks=(MARK,), recipient=ADDRESS, transcript=("--- Transcript",)),
            f"{MARK}\n<a@example.com>: no\n",
            [("a@example.com", "no")],
        ),
    ],
)  # fmt: skip
def test_layouts(monkeypatch: pytest.MonkeyPatch, row: Layout, text: str, expected: list[tuple[str, str]]) -> None:
    use(monkeypatch, row)
    message = mail(text, machine=(("message/delivery-status", "X-Made-Up-Id: 7\n"),))
    notice = layouts.read(page(message))
    assert told(notice) == expected
    assert [(one.recipient, one.diagnostic) for one in layouts.passages(page(message))] == expected
    assert notice is None or (notice.kind, notice.dialect, notice.confidence) == ("bounce", "made-up", "probable")


@pytest.mark.parametrize(
    ("words", "diagnostic", "source"),
    [
        ("(generated from team@example.com)\nno such user", "no such user", "team@example.com"),
        ("(ultimately generated from Team@Example.com)\nfull", "full", "Team@example.com"),
        ("(expanded from: <team@example.com>)\n550 no", "550 no", "team@example.com"),
        ("x ##rfc822;team@example.com", "x", "team@example.com"),
        ("550 no ##", "550 no", None),
        ("no such user", "no such user", None),
    ],
)
def test_what_an_address_was_generated_from(
    monkeypatch: pytest.MonkeyPatch, words: str, diagnostic: str, source: str | None
) -> None:
    use(monkeypatch, PLAIN)
    outcome = only(layouts.read(page(mail(f"{MARK}\n<a@example.com>: {words}\n"))))
    assert (outcome.diagnostic, outcome.generated_from) == (diagnostic, source)


@pytest.mark.parametrize(
    ("row", "headers", "text", "kind"),
    [
        (PLAIN, DAEMON, MARK + "\n<a@example.com>: no", "bounce"),
        (Layout(marks=(MARK,), recipient=ADDRESS, kind=Kind.DELAY), DAEMON, MARK + "\n<a@example.com>: no", "delay"),
        (Layout(marks=(MARK,), recipient=ADDRESS, delay=("Warning",)), DAEMON, MARK + "\n<a@example.com>: warning", "delay"),
        (Layout(marks=(MARK,), recipient=ADDRESS, delay=("Warning",)), {**DAEMON, "subject": "WARNING"}, MARK + "\n<a@example.com>: no", "delay"),
        (Layout(marks=(MARK,), recipient=ADDRESS, delay=("Warning",)), DAEMON, MARK + "\n<a@example.com>: no", "bounce"),
        # what only looks like a notice
        (Layout(marks=(MARK,), kind=Kind.AUTO_REPLY), DAEMON, MARK, "auto_reply"),
        (Layout(marks=(MARK,), kind=Kind.NONE), PERSON, MARK, "none"),
        # who wrote it
        (PLAIN, PERSON, MARK + "\n<a@example.com>: no", None),
        (PLAIN, {**PERSON, "subject": "failure notice"}, MARK + "\n<a@example.com>: no", "bounce"),
        (PLAIN, {**PERSON, "subject": "failure notice", "list-id": "<x.example.org>"}, MARK + "\n<a@example.com>: no", None),
        (PLAIN, {**DAEMON, "subject": "Fwd: x", "references": "<x@example.org>"}, MARK + "\n<a@example.com>: no", None),
    ],
)  # fmt: skip
def test_the_kind_of_a_layout(
    monkeypatch: pytest.MonkeyPatch, row: Layout, headers: dict[str, str], text: str, kind: str | None
) -> None:
    use(monkeypatch, row)
    notice = layouts.read(page(mail(text, headers=headers)))
    assert (notice.kind if notice else None) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Mark\nRefused\n<fred@example.com>: no\n", Kind.BOUNCE),
        ("Mark\n<fred@example.com>: no\nRefused\n", Kind.BOUNCE),
        ("Refused\nMark\n<fred@example.com>: no\n", Kind.NONE),
        ("Mark\nRefused\n", Kind.NONE),
        ("<fred@example.com>: no\n--- Below\nRefused\n", None),
    ],
)
def test_a_mark_in_what_another_notice_returns_is_none(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: Kind | None
) -> None:
    use(
        monkeypatch,
        Layout(marks=("mark",), recipient=r"^<(\S+)>"),
        Layout(marks=("refused",), kind=Kind.NONE),  # the longer mark
    )
    notice = layouts.read(page(mail(text)))
    assert (notice and notice.kind) == kind


LETTER = {"from": "Fred <fred@example.com>", "subject": "Away"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (mail("I am away.", headers=LETTER), "auto_reply"),
        (mail(html=("<p>I am <b>away</b>.",), headers=LETTER), "auto_reply"),
        # text is made of a long letter only where a mail system wrote it
        (mail(html=("<p>I am <b>away</b>." + " " * MAX_LETTER,), headers=LETTER), None),
        (mail(html=("<p>I am <b>away</b>." + " " * MAX_LETTER,)), "auto_reply"),
        (mail("I am here.", headers=LETTER), None),
    ],
)
def test_layouts_of_letters(monkeypatch: pytest.MonkeyPatch, message: Mail, kind: str | None) -> None:
    use(monkeypatch, Layout(marks=("I am away",), kind=Kind.AUTO_REPLY))
    notice = layouts.read(page(message))
    assert (notice and notice.kind) == kind


def test_the_longest_mark_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    longer = Layout(marks=("made-up", "made-up program."), recipient=ADDRESS)
    needy = Layout(marks=("is the",), needs=("made-up program.",), recipient=ADDRESS)
    lost = Layout(marks=(MARK, "This"), recipient=r"^nobody (\S+)")
    message = mail(f"{MARK}\n<a@example.com>: no")
    use(monkeypatch, Layout(marks=("made-up",), recipient=ADDRESS), longer=longer, lost=lost)
    assert layouts.author(page(message)) == ("lost", Kind.BOUNCE)
    assert only(layouts.read(page(message))).recipient == "a@example.com"
    notice = layouts.read(page(message))
    assert notice is not None
    assert notice.dialect == "longer"  # "lost" finds nobody
    use(monkeypatch, longer, needy=needy)
    assert layouts.author(page(message))[0] == "needy"


def test_a_mark_that_stands_too_far_below_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PLAIN)
    gaps = (len(MARK) + 1, len(MARK))
    near, far = (mail("x" * (dialects.MAX_PAGE - gap) + f"\n{MARK}\n<a@example.com>: no\n") for gap in gaps)
    assert [len(page(one).candidates) for one in (near, far)] == [1, 0]


def test_the_returned_message_behind_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PLAIN)
    notice = layouts.read(page(mail(f"{MARK}\n<a@example.com>: no\n--- Below\nTo: a@example.com\n")))
    assert notice is not None
    assert mime.parse_header(notice.returned) == {"to": ["a@example.com"]}
    assert page(mail("x\n--- below this")).end() == 2
    assert page(mail("x\n--- below this\n--- BELOW that")).end(5) == 17
    assert page(mail("x\ny")).end() == 3


def test_no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PLAIN)
    message = mail("hello")
    assert (layouts.read(page(message)), layouts.author(page(message)), layouts.passages(page(message))) == (
        None,
        (None, Kind.BOUNCE),
        [],
    )


def test_a_reason_given_later_counts_for_a_recipient_that_had_none(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PLAIN)
    lines = "".join(f"<a{number}@example.com>:\n" for number in range(60))
    notice = layouts.read(page(mail(f"{MARK}\n{lines}<a1@example.com>: full\n")))
    assert told(notice)[:2] == [("a0@example.com", ""), ("a1@example.com", "full")]


def test_a_challenge_in_the_form_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Layout(marks=(MARK,), kind=Kind.CHALLENGE))
    assert dsn.read(page(status_report(STATUS, text=MARK))) == Notice(kind=Kind.CHALLENGE, dialect="made-up")


ROW = """\
name = "made-up"
title = "Made up"
source = "none"
end = ["--- Below"]

[[layout]]
marks = ["made-up"]
recipient = '^<(?P<address>[^>\\s]+)>:'
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dialects").mkdir()
    return tmp_path


def test_a_folder_of_layouts(folder: Path) -> None:
    (folder / "dialects" / "made-up.toml").write_text(ROW)
    (folder / "dialects" / "README").write_text("none")
    *built_in, dialect = dialects.load(folder).rows
    assert (dialect.name, dialect.layout[0].marks) == ("made-up", ("made-up",))
    assert tuple(built_in) == dialects.load().rows


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ROW.replace("marks", "mark"), "dialects/made-up.toml: .*mark"),
        (ROW.replace("'^<(", "'^<(("), "dialects/made-up.toml: .*missing"),
        (ROW + "[", "dialects/made-up.toml: "),
    ],
)
def test_broken_layouts_are_named(folder: Path, content: str, problem: str) -> None:
    (folder / "dialects" / "made-up.toml").write_text(content)
    with pytest.raises(BrokenRules, match=problem):
        dialects.load(folder)


# --- notices in no known layout -----------------------------------------------------

SENT = {"to": ["Fred <fred@example.com>"]}


@pytest.mark.parametrize(
    ("message", "kind", "confidence", "recipients"),
    [
        (mail("Your message to fred@example.com could not be delivered."), "bounce", "probable", ["fred@example.com"]),
        (mail("fred@example.com has been delayed, and could not be delivered yet; we will keep trying."), "delay", "probable", ["fred@example.com"]),
        # the subject tells, and a reply stands in the text
        (mail("fred@example.com\n550 zzz"), "bounce", "probable", ["fred@example.com"]),
        (mail("fred@example.com\n550 zzz", headers={**DAEMON, "subject": "hello"}), None, None, []),
        # Exim's header names them
        (mail("zzz", headers={**DAEMON, "x-failed-recipients": "fred@example.com, wilma@example.com"}), "bounce", "probable", ["fred@example.com", "wilma@example.com"]),
        (mail("zzz wilma@example.com zzz", headers={**DAEMON, "x-failed-recipients": "wilma@example.com"}), "bounce", "probable", ["wilma@example.com"]),
        # an address that the returned message went to is meant, whatever else is named
        (mail("The mail system of admin@example.net: delivery failed for <Fred@example.com>", returned=SENT), "bounce", "probable", ["Fred@example.com"]),
        # whom to write to is not
        (mail("Delivery failed.\n\n\n\nFor help write to admin@example.net\n"), None, None, []),
        (mail("Delivery failed: user unknown. For assistance contact admin@example.net"), None, None, []),
        # neither is the notice's own sender or reader
        (mail("MAILER-DAEMON@mail.example.org: user unknown"), None, None, []),
        # the single To of the returned message is a guess
        (mail("Delivery failed.", returned=SENT), "bounce", "guess", ["fred@example.com"]),
        (mail("Delivery failed.", returned={"to": ["a@example.com, b@example.com"]}), None, None, []),
        # one address named twice, several addresses
        (mail("fred@example.com: user unknown\nfred@EXAMPLE.com: user unknown\n"), "bounce", "probable", ["fred@example.com"]),
        (mail("fred@example.com: user unknown\nwilma@example.com: user unknown\n"), "bounce", "probable", ["fred@example.com", "wilma@example.com"]),
        # ... also in replies; but not where somebody has moved to, nor whom to ask
        (mail("Delivery failed.\n550 5.1.1 <fred@example.com>\n550 5.1.1 <wilma@example.com>\n"), "bounce", "probable", ["fred@example.com", "wilma@example.com"]),
        (mail("fred@example.com: 551 5.1.6 User has moved; please try <fred@example.net>"), "bounce", "probable", ["fred@example.com"]),
        (mail("Delivery failed: fred@example.com\n550 No such user. See postmaster@example.com"), "bounce", "probable", ["fred@example.com"]),
        # no notices
        (mail("fred@example.com could not be delivered", headers=PERSON), None, None, []),
        (mail("fred@example.com could not be delivered", headers={**DAEMON, "subject": "Re: x", "references": "<x@example.org>"}), None, None, []),
        (mail("hello"), None, None, []),
        (mail(""), None, None, []),
    ],
)  # fmt: skip
def test_freeform(message: Mail, kind: str | None, confidence: str | None, recipients: list[str]) -> None:
    notice = freeform.read(page(message))
    assert [address for address, _ in told(notice)] == recipients
    assert (notice.kind if notice else None, notice.confidence if notice else None) == (kind, confidence)
    assert {one.guessed for one in notice.outcomes} == {confidence == "guess"} if notice else True


def test_an_address_that_a_reply_names_instead_is_a_guess() -> None:
    text = "Delivery failed for fred@example.com:\n\n552 Quota exceeded for fred.b@example.net\n"
    notice = freeform.read(page(mail(text)))
    assert notice is not None
    assert [(one.recipient, one.guessed) for one in notice.outcomes] == [
        ("fred@example.com", False),
        ("fred.b@example.net", True),
    ]
    assert notice.outcomes[0].diagnostic == text.strip()


def test_each_address_comes_with_the_words_about_it() -> None:
    notice = freeform.read(
        page(mail("Delivery failed:\nfred@example.com\n  user unknown\nwilma@example.com\n  mailbox full\n"))
    )
    assert told(notice) == [
        ("fred@example.com", "fred@example.com\n  user unknown"),
        ("wilma@example.com", "wilma@example.com\n  mailbox full"),
    ]


def test_a_bounded_number_of_addresses_is_looked_at() -> None:
    text = "".join(f"a{number}@example.com: user unknown\n" for number in range(freeform.MAX_FOUND + 50))
    notice = freeform.read(page(mail(text)))
    assert len(told(notice)) == freeform.MAX_FOUND


# --- flufl.bounce -------------------------------------------------------------------

QMAIL = "Hi. This is the qmail-send program at mail.example.org.\n\n<fred@example.com>:\nno\n\n--- Below\n"


def test_the_last_resort() -> None:
    notice = last_resort.read(page(mail(QMAIL)))
    outcome = Outcome(recipient="fred@example.com", action=Action.FAILED, guessed=True)
    assert notice == Notice(kind=Kind.BOUNCE, outcomes=(outcome,), confidence=Confidence.GUESS)


@pytest.mark.parametrize(
    "message",
    [mail("hello"), mail(""), mail(QMAIL, headers=PERSON), mail(QMAIL, headers={**DAEMON, "subject": "hello"})],
)
def test_what_even_the_last_resort_does_not_know(message: Mail) -> None:
    assert last_resort.read(page(message)) is None


def test_the_last_resort_needs_no_author() -> None:
    notice = last_resort.read(page(mail(QMAIL, headers={"subject": "failure notice"})))
    assert notice is not None
    assert notice.outcomes[0].recipient == "fred@example.com"


def test_detectors_may_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: object) -> None:
        raise RuntimeError("a detector gave up")

    monkeypatch.setattr("flufl.bounce.all_failures", broken)
    assert last_resort.read(page(mail(QMAIL))) is None


def test_what_a_detector_raises_is_not_printed() -> None:
    """In a program that has no log."""
    code = f"""
from flufl.bounce._detectors.qmail import Qmail
from bounceclass import classify
def broken(*arguments): raise RuntimeError("a detector gave up")
Qmail.process = broken
print(classify({"From: <>" + chr(10) + "Subject: failure notice" + chr(10) * 2 + "Hello." + chr(10)!r}).kind)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_detectors_may_find_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flufl.bounce.all_failures", lambda message: ({b"fred@example.com"}, set()))
    notice = last_resort.read(page(mail(QMAIL)))
    assert notice is not None
    assert (notice.kind, notice.outcomes[0].action) == ("delay", "delayed")


# --- who wrote it -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "mailer", "daemon"),
    [
        ({"from": "MAILER-DAEMON@example.org"}, True, True),
        ({"from": "Mail Delivery System <x@example.org>"}, True, True),
        ({"from": "Postmaster <postmaster@example.org>"}, True, True),
        ({"from": "<>"}, True, True),
        ({"from": ""}, True, True),
        ({}, True, True),
        ({"from": "", "sender": "fred@example.com"}, False, False),
        ({"from": "fred@example.com"}, False, False),
        ({"from": "fred@example.com", "return-path": "<>"}, True, False),
        ({"from": "fred@example.com", "x-failed-recipients": "x@example.com"}, True, False),
    ],
)
def test_who_wrote_a_message(headers: dict[str, str], mailer: bool, daemon: bool) -> None:
    message = mail(headers=headers)
    assert (origin.written_by_mailer(message), origin.sent_by_daemon(message)) == (mailer, daemon)


@pytest.mark.parametrize(
    ("headers", "forwarded"),
    [
        ({**PERSON, "subject": "Fwd: failure notice"}, True),
        ({**DAEMON, "subject": "Fw: failure notice"}, False),
        ({**DAEMON, "subject": "RE: failure notice", "in-reply-to": "<x@example.org>"}, True),
        # James answers the message that it could not deliver
        ({**DAEMON, "subject": "Re:chairs", "in-reply-to": "<x@example.org>"}, False),
        ({**PERSON, "subject": "Re:chairs"}, True),
        ({**PERSON, "subject": "failure notice"}, False),
    ],
)
def test_forwarding(headers: dict[str, str], forwarded: bool) -> None:
    assert origin.is_forwarded(mail(headers=headers)) is forwarded


# --- who is asked when ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (arf(ARF), "feedback"),
        (status_report(STATUS), "bounce"),
        (receipt(READ), "receipt"),
        (sns(BOUNCE), "bounce"),
        (mail(headers={**PERSON, "auto-submitted": "auto-replied"}), "auto_reply"),
        (mail(headers={"from": "x@example.org", "subject": "Please confirm your message", "auto-submitted": "auto-replied"}), "challenge"),
        (mail("fred@example.com: user unknown"), "bounce"),
        (mail("hello", headers=PERSON), "none"),
    ],
)  # fmt: skip
def test_the_first_reader_that_recognises_a_message(message: Mail, kind: str) -> None:
    assert reports.read(message, KNOWN["dialects"]).kind == kind


def test_recipients_are_capped() -> None:
    notice = reports.read(
        mail("a@example.com: user unknown\nb@example.com: user unknown\n"), KNOWN["dialects"], max_recipients=1
    )
    assert told(notice) == [("a@example.com", "a@example.com: user unknown")]
    assert notice.defects == ("recipients: only the first 1 of 2 were read",)


NOTICE = "Your message could not be delivered to fred@example.com: 550 5.1.1 User unknown"
PERSON = {"from": "Support <help@shop.example>", "return-path": "<>", "subject": "Undeliverable: hello"}


@pytest.mark.parametrize(
    ("headers", "text", "kind"),
    [
        (PERSON, NOTICE, Kind.BOUNCE),
        (PERSON | {"subject": "[Ticket #48213] Undeliverable mail"}, NOTICE, None),  # a help desk quotes a bounce
        (PERSON | {"list-unsubscribe": "<mailto:x@shop.example>"}, NOTICE, None),  # a newsletter
        (PERSON | {"subject": "Nightly report"}, NOTICE, None),  # a log
        (PERSON, "Your parcel for fred@example.com could not be delivered.", None),
        (PERSON | {"return-path": "<help@shop.example>"}, NOTICE, None),  # a person
        (DAEMON, "It could not be delivered to fred@example.com.", Kind.BOUNCE),
    ],
)
def test_more_than_words_makes_a_notice(headers: dict[str, str], text: str, kind: Kind | None) -> None:
    notice = freeform.read(page(mail(text, headers=headers)))
    assert (notice and notice.kind) == kind


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        *(
            (word, "2.0.0", "failed")
            for word in ("failed", "error", "permanent", "undeliverable", "bounced", "rejected")
        ),
        *((word, "5.0.0", "delivered") for word in ("delivered", "success")),
    ],
)
def test_an_action_counts_whatever_the_status_beside_it(value: str, status: str, expected: str) -> None:
    fields = group(Final_Recipient="rfc822; fred@example.com", Action=value, Status=status)
    assert only(dsn.read(page(status_report(fields)))).action == expected


def test_fields_in_the_text_are_read_from_their_first() -> None:
    whole = dsn.read(page(mail("This report is for you.\n\n" + STATUS)))
    assert whole is not None
    assert whole.reporting_mta == "mail.example.org"
    _, _, group_ = STATUS.partition("\n\n")
    assert only(dsn.read(page(mail("A report.\n\n" + group_)))).original_recipient == "fred@example.com"
    _, _, rest = group_.partition("\n")
    assert only(dsn.read(page(mail("A report.\n\n" + rest)))).final_recipient == "fred@backend.example.com"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Diagnostic_Code": "smtp; 550", "Final_Recipient": "rfc822; a@example.com"}, {"diagnostic": "550"}),
        ({"Final_Recipient": "rfc822; /var/mail/fred"}, {"final_recipient": None}),
    ],
)
def test_more_quirks_of_groups(fields: dict[str, str], expected: dict[str, Any]) -> None:
    assert differing(only(dsn.read(page(status_report(group(Action="failed", **fields))))), expected) == {}


@pytest.mark.parametrize("diagnostic", ["550 5.1.1 [192.0.2.1]", "5.1.1 gone."])
def test_a_diagnostic_of_figures_or_of_one_word_is_helped_by_the_human_part(diagnostic: str) -> None:
    said = {"Final_Recipient": "rfc822; fred@example.com", "Action": "failed", "Diagnostic_Code": f"smtp; {diagnostic}"}
    assert only(dsn.read(page(status_report(group(**said), text=SAID)))).notes == SAID.strip()


TWO_SAID = (
    "<wilma@example.com>: could not be delivered: mailbox full\n\n"
    "<Fred@example.com>: could not be delivered: no such user\n"
)


@pytest.mark.parametrize(
    "fields",
    [
        {"Final_Recipient": "rfc822; fred@example.com"},
        {"Final_Recipient": "rfc822; FRED@example.com"},
        {"Original_Recipient": "rfc822; fred@example.com", "Final_Recipient": "rfc822; x@backend.example.com"},
    ],
)
def test_a_passage_is_found_by_either_name_in_whatever_case(fields: dict[str, str]) -> None:
    parts = [
        group(Action="failed", Status="5.0.0", **fields),
        group(Final_Recipient="rfc822; w@example.net", Action="failed"),
    ]
    notice = dsn.read(page(status_report(*parts, text=TWO_SAID)))
    assert notice is not None
    assert [one.notes for one in notice.outcomes] == ["<Fred@example.com>: could not be delivered: no such user", ""]


@pytest.mark.parametrize("action", ["failed", "relayed"])
def test_a_group_without_a_name_takes_no_passage_about_another(action: str) -> None:
    fred = group(
        Original_Recipient="rfc822; wilma@example.com", Final_Recipient="rfc822; w@backend.example.com", Action="failed"
    )
    notice = dsn.read(page(status_report(fred, group(Action=action, Status="5.0.0"), text=TWO_SAID)))
    assert notice is not None
    assert [one.recipient for one in notice.outcomes] == ["wilma@example.com", "Fred@example.com"]


def test_of_several_layouts_of_letters_behind_a_failure_the_longest_mark_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = Layout(marks=("out of office",), kind=Kind.AUTO_REPLY), Layout(marks=("refused",), kind=Kind.NONE)
    use(monkeypatch, Layout(marks=("mark",), recipient=r"^<(\S+)>"), *letters)
    notice = layouts.read(page(mail("Mark\nRefused\nOut of office\n")))
    assert notice is not None
    assert notice.kind is Kind.AUTO_REPLY


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        ("------ a@example.com ------\nno\n------ b@example.com ------\nfull\n",
         ["------ a@example.com ------\nno", "------ b@example.com ------\nfull"]),
        ("------ a@example.com ------\n------ b@example.com ------\nfull\n",
         ["------ a@example.com ------\n------ b@example.com ------\nfull"] * 2),
    ],
)  # fmt: skip
def test_a_transcript_in_parts_that_begin_with_rule_lines(
    monkeypatch: pytest.MonkeyPatch, transcript: str, expected: list[str]
) -> None:
    use(monkeypatch, Layout(marks=(MARK,), recipient=r"^<(?P<address>[^>\s]+)>", transcript=("--- Transcript",)))
    text = f"{MARK}\n<a@example.com>\n<b@example.com>\n--- Transcript\n{transcript}"
    assert [words for _, words in told(layouts.read(page(mail(text))))] == expected


SOMEONE = {"from": "Postmaster <postmaster@mail.example.org>", "to": "news@example.org", "subject": "hello"}


@pytest.mark.parametrize(
    "words",
    [
        "It has not yet been delivered.", "It has been delayed.", "We are still trying.", "We will keep trying.",
        "We will continue to try.", "It will be retried.", "The server will attempt again.", "This is a warning message only.",
        "It was temporarily deferred.", "It has been postponed.", "It is delayed.", "No action is required on your part.",
        "You do not need to resend it.", "Delivery is being delayed.",
    ],
)  # fmt: skip
def test_a_failure_that_may_yet_pass_is_a_delay(words: str) -> None:
    notice = freeform.read(page(mail(f"fred@example.com could not be delivered: 550 5.1.1 User unknown. {words}")))
    assert notice is not None
    assert (notice.kind, only(notice).action) == ("delay", "delayed")


@pytest.mark.parametrize(
    "words",
    [
        "non remis", "unzustellbar", "wurde nicht zugestellt", "no se ha podido entregar", "non è stato possibile consegnarlo",
        "non è stata consegnata", "mancata consegna", "impossibile recapitare il messaggio", "n'a pas pu être remis",
        "não foi possível entregar", "kon niet worden bezorgd", "не может быть доставлено", "送信できません", "配信できません",
        "届きません", "未能送达", "无法投递", "退信", "problems trying to deliver", "permanent fatal errors",
        "delivery to this address has failed: error", "failed permanently to deliver",
    ],
)  # fmt: skip
def test_a_failure_is_told_in_many_languages(words: str) -> None:
    notice = freeform.read(page(mail(f"fred@example.com: {words}", headers={**DAEMON, "subject": "hello"})))
    assert [address for address, _ in told(notice)] == ["fred@example.com"]


@pytest.mark.parametrize(
    ("headers", "returned", "read"),
    [
        (SOMEONE, None, False),
        (SOMEONE, SENT, True),
        ({**SOMEONE, "from": "Mail Delivery System <x@mail.example.org>"}, None, True),
    ],
)
def test_what_bears_a_postmasters_words_out(
    headers: dict[str, str], returned: dict[str, list[str]] | None, read: bool
) -> None:
    message = mail("It could not be delivered to fred@example.com.", headers=headers, returned=returned)
    assert (freeform.read(page(message)) is not None) is read


def test_the_words_about_addresses_that_a_header_names() -> None:
    headers = {**DAEMON, "x-failed-recipients": "fred@example.com, wilma@example.com"}
    notice = freeform.read(page(mail("\nFred@Example.com: unknown\nWILMA@example.com: full\n", headers=headers)))
    assert told(notice) == [
        ("Fred@example.com", "Fred@Example.com: unknown"),
        ("WILMA@example.com", "WILMA@example.com: full"),
    ]
    assert told(freeform.read(page(mail("\nzzz\n", headers=headers))))[0] == ("fred@example.com", "zzz")


def test_an_address_that_is_repeated_in_another_case_ends_no_words() -> None:
    text = "fred@example.com: user unknown\nFRED@example.com: see above\nwilma@example.com: mailbox full\n"
    assert told(freeform.read(page(mail(text)))) == [
        ("fred@example.com", "fred@example.com: user unknown\nFRED@example.com: see above"),
        ("wilma@example.com", "wilma@example.com: mailbox full"),
    ]


@pytest.mark.parametrize(
    ("text", "recipients"),
    [
        # the reader of the notice, in whatever case
        ("Delivery failed: NEWS@Example.org", []),
        # a single address is meant, wherever it stands
        ("fred@example.com\n\n\n\n\n\n\nThe message could not be delivered.", ["fred@example.com"]),
        # of several those whose line, the one before or one of the next says so
        ("fred@example.com: USER UNKNOWN\n\n\n\n\n\nadmin@example.net is nice", ["fred@example.com"]),
        ("admin@example.net is nice\n\n\n\n\n\nUser unknown:\nfred@example.com", ["fred@example.com"]),
        ("admin@example.net is nice\n1\n2\nUser unknown: fred@example.com\n", ["fred@example.com"]),
        ("admin@example.net is nice\n1\nUser unknown: fred@example.com\n", ["admin@example.net", "fred@example.com"]),
    ],
)  # fmt: skip
def test_whom_words_about_a_failure_speak_of(text: str, recipients: list[str]) -> None:
    message = mail(text, headers={**DAEMON, "to": "news@example.org"})
    assert [address for address, _ in told(freeform.read(page(message)))] == recipients


@pytest.mark.parametrize(
    "sender",
    [
        "Mailer_Daemon <x@example.org>", "maildaemon@example.org", "post_master@example.org", "Mail Delivery <x@example.org>",
        "Mail Administrator <x@example.org>", "mail-system@example.org", "The Delivery System <x@example.org>",
        "Delivery Subsystem <x@example.org>", "System Administrator <x@example.org>", "Microsoft Outlook <x@example.org>",
        "Microsoft Exchange <x@example.org>", "Internet Mail <x@example.org>", "MDaemon <x@example.org>", "imss@example.org",
        "InterScan <x@example.org>", "content-filter@example.org", "Courier Mail Server <x@example.org>",
        "email-bounces@example.org", "delivery-status@example.org", "undeliverable@example.org", "mailserver@example.org",
        "MTA-Daemon <x@example.org>",
    ],
)  # fmt: skip
def test_names_that_only_mail_systems_send_from(sender: str) -> None:
    assert origin.sent_by_daemon(mail(headers={"from": sender}))


@pytest.mark.parametrize(
    "subject",
    [
        "Returned mail: see transcript", "Mail delivery failed", "Delivery Status Notification", "Delivery problem",
        "Delivery has failed", "Delivery warning", "failed mail", "Delivery to fred", "Couldn't send", "non-delivery",
        "Mail System Error", "Not delivered: x", "Message status - x", "Failed delivery", "Failure delivery", "Non remis",
        "Mail error", "Mailbox is full", "mailbox unavailable", "Unknown address", "Your message bounced", "A bounce",
        "Mensagem não entregue", "No se pudo entregar", "Mancata consegna",
    ],
)  # fmt: skip
def test_subjects_that_notices_have(subject: str) -> None:
    assert origin.tells(subject)
    assert not origin.tells("The bouncer of the club, and other stories")


@pytest.mark.parametrize(
    "field",
    [
        "x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from", "x-mail-autoreply",
        "x-ms-exchange-inbox-rules-loop", "x-vacation", "x-autogenerated", "x-auto-responder",
    ],
)  # fmt: skip
def test_fields_that_only_autoresponders_write(field: str) -> None:
    notice = automatic.read(page(mail(headers={"from": "fred@example.com", field: "x"})))
    assert notice == Notice(kind=Kind.AUTO_REPLY)


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: x", "Autoantwort", "autoresponse", "Out of the office", "auto: x", "Vacation", "Away from my desk",
        "Abwesenheit", "Automatische Antwort", "Réponse automatique", "Absence du bureau", "Risposta automatica", "Fuori ufficio",
        "Respuesta automática", "Fuera de la oficina", "Resposta automática", "Automatisch antwoord", "Afwezig",
        "Automatyczna odpowiedź", "Автоответ", "自動返信", "不在通知", "自动回复", "Odpowiedź automatyczna", "Autosvar",
        "Automatiskt svar", "Automatická odpověď", "Automaattinen vastaus", "Автоматический ответ", "Автоматична відповідь",
        "Otomatik yanıt", "Automatikus válasz", "Răspuns automat", "Automatski odgovor", "Samodejni odgovor",
        "Αυτόματη απάντηση", "자동 회신", "מענה אוטומטי", "رد تلقائي",
    ],
)  # fmt: skip
def test_subjects_of_automatic_replies_in_many_languages(subject: str) -> None:
    headers = {"from": "fred@example.com", "subject": subject, "precedence": "bulk"}
    notice = automatic.read(page(mail(headers=headers)))
    assert notice == Notice(kind=Kind.AUTO_REPLY, confidence=Confidence.PROBABLE)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("[verify#4711]", ""), ("Please confirm", "Confirm that you are a human."), ("Challenge", "This is challenge-response."),
        ("Boxbe", "Boxbe"), ("Your message is waiting for you", "SpamArrest"), ("Please confirm", "TMDA"),
        ("Authorize", "Sender verification"), ("It requires your approval", "Please verify your email"),
        ("Approve your message", "It requires the sender's confirmation: requires your confirmation"),
        ("Approve your message", "It is pending your approval"), ("Verify", "It is awaiting verification"),
    ],
)  # fmt: skip
def test_words_of_challenges(subject: str, text: str) -> None:
    headers = {"from": "fred@example.com", "subject": subject, "auto-submitted": "auto-replied"}
    assert automatic.read_challenge(page(mail(text, headers=headers))) is not None


@pytest.mark.parametrize(
    ("sender", "value"), [("postmaster@example.com", "Auto-Replied"), ("fred@example.com", "Auto-Generated")]
)
def test_auto_submitted_is_read_in_whatever_case(sender: str, value: str) -> None:
    headers = {"from": sender, "subject": "Out of office: chairs", "auto-submitted": value}
    notice = automatic.read(page(mail(headers=headers)))
    assert notice == Notice(kind=Kind.AUTO_REPLY, confidence=Confidence.PROBABLE)


@pytest.mark.parametrize("field", ["list-post", "x-beenthere", "mailing-list"])
def test_a_list_has_not_complained_of_itself(field: str) -> None:
    returned = {"to": ["weekly@lists.example.org"], field: ["weekly@lists.example.org"]}
    notice = feedback.read(page(arf("Feedback-Type: abuse\n", returned=returned)))
    assert notice is not None
    assert notice.feedback == FeedbackReport(type="abuse")


@pytest.mark.parametrize("subject", ["Email Feedback Report", "Email abuse report", "Client TOS Notification"])
@pytest.mark.parametrize(
    "sender",
    ["staff@hotmail.com", "scomp@aol.net", "feedback@example.com", "feedbackloop@example.com", "abuse@example.com",
     "complaints@example.com", "JMRP <x@example.com>"],
)  # fmt: skip
def test_who_sent_complaints_before_the_format(sender: str, subject: str) -> None:
    notice = feedback.read(page(mail(headers={"from": sender, "subject": subject})))
    assert notice is not None
    assert notice.feedback == FeedbackReport(type="abuse")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Version: 1\nFeedback-Type: abuse\nUser-Agent: Example/1.0\n", {}),
        ("User-Agent: Example/1.0\nVersion: 1\nFeedback-Type: abuse\n", {}),
        (
            "A complaint\n\nFeedback-Type: abuse\nUser-Agent: Example/1.0\nVersion: 1\n",
            {"report_type": "feedback-report"},
        ),
    ],
)
def test_a_report_without_a_part_of_its_own(text: str, keys: dict[str, Any]) -> None:
    notice = feedback.read(page(mail(text, headers=LOOP, **keys)))
    assert notice is not None
    assert notice.feedback == FeedbackReport(type="abuse", user_agent="Example/1.0", version="1")


def test_of_a_complaint_the_first_to_counts_and_results_are_in_lower_case() -> None:
    returned = {"to": ["fred@example.com", "wilma@example.com"]}
    notice = feedback.read(page(arf("Feedback-Type: abuse\nDelivery-Result: Reject\n", returned=returned)))
    assert notice is not None
    assert notice.feedback == FeedbackReport(
        type="abuse", original_rcpt_to=("fred@example.com",), delivery_result="reject"
    )


def test_a_refusal_is_read_from_the_receipts_own_part() -> None:
    assert receipts.read(page(status_report(STATUS))) is None
    shouted = REFUSED.replace("automatic-action", "Automatic-Action").replace("deleted", "Deleted")
    message = mail(
        "Your message to <fred@example.com> was automatically rejected:\nQuota exceeded\n",
        machine=(("message/delivery-status", "Reporting-MTA: dns; x\n"), (KIND, shouted)),
        headers={"from": "fred@example.com"},
    )
    assert told(receipts.read(page(message))) == [("fred@example.com", "Quota exceeded")]


@pytest.mark.parametrize("key", ["recipient", "reason"])
def test_a_broken_pattern_of_ones_own_is_named_when_its_folder_is_loaded(folder: Path, key: str) -> None:
    row = 'name = "made-up"\ntitle = "Made up"\nsource = "none"\n\n[[layout]]\nmarks = ["made-up"]\n'
    (folder / "dialects" / "made-up.toml").write_text(f"{row}{key} = '(('\n")
    with pytest.raises(BrokenRules, match=r"dialects/made-up\.toml: '\(\('"):
        dialects.load(folder)


@pytest.mark.parametrize(
    ("kind", "about", "words"),
    [
        ("Permanent", "Suppressed", "on the suppression list"),
        ("Permanent", "OnAccountSuppressionList", "on the account suppression list"),
        ("Transient", "MailboxFull", "mailbox full"),
        ("Transient", "MessageTooLarge", "message too large"),
        ("Transient", "ContentRejected", "content rejected"),
        ("Transient", "AttachmentRejected", "attachment rejected"),
        ("Transient", "TransientCommunicationFailure", "connection timed out"),
        ("Permanent", "General", ""),
    ],
)
def test_what_ses_calls_a_bounce(kind: str, about: str, words: str) -> None:
    bounce = {"bounceType": kind, "bounceSubType": about, "bouncedRecipients": [{"emailAddress": "fred@example.com"}]}
    assert only(ses_json.read(page(sns({"notificationType": "Bounce", "bounce": bounce})))).notes == words


def test_a_page_of_a_mail_system_is_read_in_full_and_may_end_at_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, PLAIN)
    long = page(mail(html=("<pre>Feedback-Type: abuse\nUser-Agent: Example/1.0\n</pre>" + " " * MAX_LETTER,)))
    assert long.glance.lstrip().startswith("feedback-type: abuse")
    assert page(mail("--- Below is what you sent")).end() == 0
