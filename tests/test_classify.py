"""The whole line, and the judgement of one outcome."""

from __future__ import annotations

import email
import email.message
import email.policy
import io
import itertools
import multiprocessing
import pickle
from typing import TYPE_CHECKING, Any

import mailparser
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bounceclass
from bounceclass import rulebook
from bounceclass.judge import MAX_EVIDENCE, judge, read_words
from bounceclass.model import (
    Action,
    Confidence,
    Failure,
    Kind,
    Mail,
    Notice,
    Outcome,
    Scope,
    Severity,
    SuggestedAction,
)
from bounceclass.recipients import Traffic

if TYPE_CHECKING:
    from pathlib import Path

RULES = rulebook.load()
NOTICE = Notice(kind=Kind.BOUNCE, dialect="rfc3464", reporting_mta="mail.example.org")

RAW = b"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mail.example.org>
To: list-bounces@example.org
Subject: Undelivered Mail Returned to Sender
Message-ID: <notice@mail.example.org>
Date: Thu, 2 Jan 2025 03:04:05 +0100
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.org
Original-Envelope-Id: QQ314159
Arrival-Date: Thu, 2 Jan 2025 03:04:00 +0100

Final-Recipient: rfc822; fred@Example.COM
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 <fred@example.com>: User unknown
Last-Attempt-Date: Thu, 2 Jan 2025 03:04:05 +0100

Final-Recipient: rfc822; wilma@example.com
Action: relayed
Status: 2.1.9

--b
Content-Type: message/rfc822

Return-Path: <list-bounces@example.org>
Received: from web.example.org (web.example.org [192.0.2.7])
\tby mail.example.org (Postfix) with ESMTP id 4B7C
\tfor <fred@example.com>; Thu, 2 Jan 2025 03:04:00 +0100
Received: from localhost (localhost [127.0.0.1])
\tby web.example.org (Postfix) with ESMTP id 1A2B
\tfor <fred@example.com>; Thu, 2 Jan 2025 03:03:50 +0100
From: News <news@example.org>
To: fred@example.com
Subject: chairs
Message-ID: <chairs@example.org>
Date: Thu, 2 Jan 2025 03:03:50 +0100
List-Id: <news.example.org>

Chairs are cheap.

--b--
"""


def verdict(**said: Any) -> Failure:
    """The verdict on one outcome, with ``notice`` and ``returned`` as given."""
    notice, returned = said.pop("notice", NOTICE), said.pop("returned", {})
    said = {"final_recipient": "fred@example.com", "action": Action.FAILED, "source": "dsn.diagnostic", **said}
    return judge(Outcome(**said), notice, Traffic(Mail(headers={}), returned), RULES)


def differing(got: object, expected: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name in expected if (value := getattr(got, name)) != expected[name]}


# --- what a message may be ------------------------------------------------------


def test_a_report_in_full() -> None:
    report = bounceclass.classify(RAW)
    (failure,) = report.failures
    plain = report.to_dict()
    failures, deliveries = plain.pop("failures"), plain.pop("deliveries")
    assert plain == {
        "schema": "bounceclass/1",
        "kind": "bounce",
        "dialect": report.dialect,
        "reporting_mta": "mail.example.org",
        "arrival_date": "2025-01-02T03:04:00+01:00",
        "envelope_id": "QQ314159",
        "message_id": "<notice@mail.example.org>",
        "date": "2025-01-02T03:04:05+01:00",
        "from": "MAILER-DAEMON@mail.example.org",
        "subject": "Undelivered Mail Returned to Sender",
        "original": {
            "message_id": "<chairs@example.org>",
            "from": "news@example.org",
            "to": "fred@example.com",
            "subject": "chairs",
            "date": "2025-01-02T03:03:50+01:00",
            "list_id": "<news.example.org>",
            "return_path": "list-bounces@example.org",
        },
        "feedback": None,
        "defects": [],
        "rules_version": RULES.version,
    }
    assert failures == [
        {
            "recipient": "fred@example.com",
            "original_recipient": None,
            "final_recipient": "fred@example.com",
            "action": "failed",
            "severity": "hard",
            "reason": "user_unknown",
            "scope": "address",
            "suppress": True,
            "suggested_action": "suppress",
            "suggestion": failure.suggestion,
            "reply_code": 550,
            "status": "5.1.1",
            "status_source": "diagnostic",
            "diagnostic": "550 5.1.1 <fred@example.com>: User unknown",
            "remote_mta": "mx.example.com",
            "command": None,
            "provider": None,
            "last_attempt": "2025-01-02T03:04:05+01:00",
            "will_retry_until": None,
            "confidence": "certain",
            "evidence": [msgspec.to_builtins(one) for one in failure.evidence],
        }
    ]
    assert failure.evidence[0].source == "dsn.diagnostic"
    assert failure.evidence[0].effect == "user_unknown"
    assert "status:5.1.1" in [one.rule for one in failure.evidence[1:]]
    assert deliveries == [
        {
            "recipient": "wilma@example.com",
            "original_recipient": None,
            "final_recipient": "wilma@example.com",
            "action": "relayed",
            "status": "2.1.9",
            "diagnostic": None,
            "remote_mta": None,
        }
    ]


class Duck:
    """An object of no type that anybody knows."""


@pytest.mark.parametrize(
    "message",
    [
        RAW,
        bytearray(RAW),
        memoryview(RAW),
        RAW.decode(),
        io.BytesIO(RAW),
        email.message_from_bytes(RAW),
        email.message_from_string(RAW.decode()),
        email.message_from_bytes(RAW, policy=email.policy.default),
        mailparser.parse_from_bytes(RAW),
        mailparser.parse_from_string(RAW.decode()),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_message_may_be(message: Any) -> None:
    report = bounceclass.classify(message)
    assert (report.kind, [one.recipient for one in report.failures]) == ("bounce", ["fred@example.com"])
    assert report.original.subject == "chairs"


def test_a_path(tmp_path: Path) -> None:
    path = tmp_path / "bounce.eml"
    path.write_bytes(RAW)
    assert bounceclass.classify(path).to_json() == bounceclass.classify(RAW).to_json()
    with pytest.raises(FileNotFoundError):
        bounceclass.classify(tmp_path / "none.eml")
    with pytest.raises(OSError, match="directory"):
        bounceclass.classify(tmp_path)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (None, "not a message: NoneType"),
        (7, "not a message: int"),
        (["x"], "not a message: list"),
        (Duck(), "not a message: Duck"),
        (io.StringIO("Subject: x\n\n"), "the file must be opened in binary mode"),
    ],
)
def test_what_is_no_message(message: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        bounceclass.classify(message)


ODD = "Subject: caffè 店\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ncaffè"


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (ODD, "caffè 店"),
        (email.message_from_string(ODD), "caffè 店"),
        (email.message_from_string(ODD, policy=email.policy.default), "caffè 店"),
        (email.message_from_bytes(ODD.encode(), policy=email.policy.default), "caffè 店"),
        (mailparser.parse_from_string(ODD), "caffè 店"),
        # a byte that Python escaped, and half of a surrogate pair that stands for none
        ("Subject: caff\udcc3\udca8\n\n", "caffè"),
        ("Subject: caff\ud800\n\n", "caff?"),
    ],
)
def test_text_that_is_not_ascii(message: Any, subject: str) -> None:
    assert bounceclass.classify(message).to_dict()["subject"] == subject


def test_a_charset_that_lets_surrogates_through_harms_nothing() -> None:
    raw = RAW.replace(b"Content-Type: text/plain", b"Content-Type: text/plain; charset=utf-7").replace(
        b"It could", b"+2AA-It could"
    )
    assert bounceclass.classify(raw).to_json() == bounceclass.classify(RAW).to_json()


def test_an_empty_message() -> None:
    report = bounceclass.classify(b"")
    assert (report.kind, report.failures, report.deliveries) == ("none", (), ())
    assert report.original == bounceclass.Original()
    assert (report.from_, report.subject, report.date, report.message_id) == (None, None, None, None)


def test_suggestions_come_in_the_language_asked_for() -> None:
    english, italian = (bounceclass.classify(RAW, lang=lang).failures[0].suggestion for lang in ("en", "it"))
    assert english.startswith("Stop mailing")
    assert italian != english
    with pytest.raises(ValueError, match="there are en, it"):
        bounceclass.classify(RAW, lang="de")


def test_caps_are_named() -> None:
    report = bounceclass.classify(RAW, max_recipients=1)
    assert report.defects == ("recipients: only the first 1 of 2 were read",)
    assert (len(report.failures), len(report.deliveries)) == (1, 0)
    short = bounceclass.classify(io.BytesIO(RAW), max_bytes=400)
    assert short.defects[0] == "size: only the first 400 bytes were read"


def test_hops() -> None:
    report = bounceclass.classify(RAW)
    first, second = report.hops()
    assert (first.by, second.by) == ("web.example.org (Postfix)", "mail.example.org (Postfix)")
    assert second.delay == 10
    assert bounceclass.classify(b"Subject: x\n\n").hops() == ()
    assert msgspec.structs.replace(report).hops() in ((), (first, second))


def test_reports_are_values() -> None:
    report = bounceclass.classify(RAW)
    assert report == bounceclass.classify(RAW)
    assert pickle.loads(pickle.dumps(report)).to_json() == report.to_json()
    with pytest.raises((AttributeError, TypeError)):
        report.kind = Kind.NONE  # type: ignore[misc]
    assert msgspec.json.decode(report.to_json()) == report.to_dict()


# --- whose address --------------------------------------------------------------

TO_LIST = {"to": ["Team <TEAM@example.com>"]}


@pytest.mark.parametrize(
    ("said", "returned", "recipient"),
    [
        ({"final_recipient": "b@example.net"}, {}, "b@example.net"),
        ({"final_recipient": "b@example.net", "original_recipient": "a@example.com"}, {}, "a@example.com"),
        ({"final_recipient": None, "recipient": "a@example.com"}, {}, "a@example.com"),
        ({"final_recipient": None}, {}, None),
        # expanded from an address that the returned message was sent to, or from somebody's alias
        ({"final_recipient": "b@example.net", "generated_from": "team@example.com"}, TO_LIST, "team@example.com"),
        ({"final_recipient": "b@example.net", "generated_from": "team@example.com"}, {}, "b@example.net"),
        ({"final_recipient": "b@example.net", "generated_from": "root@example.com"}, TO_LIST, "b@example.net"),
        (
            {"final_recipient": "b@example.net", "generated_from": "team@example.com"},
            {"received": ["by mail.example.com for <Team@example.com>; Thu"]},
            "team@example.com",
        ),
        (
            {"final_recipient": "b@example.net", "generated_from": "team@example.com"},
            {"received": ["by mail.example.com for other@example.com; Thu"], "cc": ["x@example.com"]},
            "b@example.net",
        ),
        ({"final_recipient": None, "generated_from": "team@example.com"}, {}, "team@example.com"),
        # a file or a pipe is no address
        ({"final_recipient": None, "recipient": "|/bin/procmail", "generated_from": "team@example.com"}, {}, "team@example.com"),
    ],
)  # fmt: skip
def test_the_address_that_was_mailed(
    said: dict[str, Any], returned: dict[str, list[str]], recipient: str | None
) -> None:
    failure = verdict(**said, diagnostic="550 5.1.1 User unknown", returned=returned)
    assert failure.recipient == recipient
    assert failure.suppress is (recipient is not None)


# --- what it means --------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # rule and code agree
        (
            {"diagnostic": "550 5.1.1 User unknown", "status": "5.1.1"},
            {"reason": "user_unknown", "severity": "hard", "confidence": "certain", "suppress": True, "status_source": "diagnostic"},
        ),
        # words beat a code
        ({"diagnostic": "550 5.7.1 No such user"}, {"reason": "user_unknown", "suppress": True, "status": "5.7.1"}),
        # a code alone
        (
            {"diagnostic": "", "status": "5.1.1"},
            {"reason": "user_unknown", "confidence": "probable", "suppress": True, "status_source": "status_field", "reply_code": None},
        ),
        (
            {"diagnostic": "", "status": "5.0.0"},
            {"reason": "undetermined", "severity": "hard", "scope": "unknown", "confidence": "guess", "suppress": False},
        ),
        (
            {"diagnostic": "550", "status": None},
            {"reason": "undetermined", "severity": "hard", "confidence": "guess", "reply_code": 550, "evidence": ()},
        ),
        ({"diagnostic": "556 5.1.10 no"}, {"reason": "domain_no_mail", "severity": "hard", "scope": "domain"}),
        # words alone
        (
            {"diagnostic": "No such user here"},
            {"reason": "user_unknown", "severity": "hard", "confidence": "probable", "suppress": True, "status": None},
        ),
        # nothing at all
        (
            {"diagnostic": ""},
            {
                "reason": "undetermined",
                "severity": "soft",
                "confidence": "guess",
                "suppress": False,
                "suggested_action": "review",
                "diagnostic": None,
            },
        ),
        # soft whatever the code
        ({"diagnostic": "552 5.2.2 Mailbox full"}, {"reason": "mailbox_full", "severity": "soft", "suppress": False}),
        # the first digit decides, and what disagrees costs confidence
        (
            {"diagnostic": "550 5.1.1 User unknown", "status": "4.1.1"},
            {"reason": "user_unknown", "severity": "soft", "confidence": "probable", "suppress": False},
        ),
        (
            {"diagnostic": "450 5.1.1 User unknown"},
            {"reason": "user_unknown", "severity": "soft", "confidence": "probable", "suppress": False},
        ),
        # a delay is soft, and never about a dead address
        (
            {"diagnostic": "550 5.1.1 User unknown", "action": Action.DELAYED},
            {"action": "delayed", "reason": "user_unknown", "severity": "soft", "suppress": False},
        ),
        # an address that was guessed at
        (
            {"diagnostic": "550 5.1.1 User unknown", "guessed": True},
            {"reason": "user_unknown", "severity": "hard", "confidence": "guess", "suppress": False},
        ),
        # nobody's address
        (
            {"diagnostic": "550 5.1.1 User unknown", "final_recipient": "fred@"},
            {"recipient": "fred@", "reason": "user_unknown", "severity": "hard", "suppress": False},
        ),
        # the most that a notice can claim
        (
            {"diagnostic": "550 5.1.1 User unknown", "notice": Notice(kind=Kind.BOUNCE, confidence=Confidence.PROBABLE)},
            {"confidence": "probable", "suppress": True},
        ),
        # before RCPT nothing is about the recipient
        (
            {"diagnostic": "550 5.1.2 Domain of sender does not exist", "command": "MAIL"},
            {"reason": "sender_rejected", "scope": "sender", "command": "MAIL", "suppress": False},
        ),
        (
            {"diagnostic": "550 5.1.1 <a@example.org>: Sender address rejected: User unknown"},
            {"reason": "sender_rejected", "scope": "sender", "suppress": False},
        ),
        # a frame without words
        ({"diagnostic": "554 5.0.0 <a@example.org>: Sender address rejected: zzz"}, {"reason": "sender_rejected"}),
        ({"diagnostic": "554 5.0.0 <fred@example.com>: Recipient address rejected: zzz"}, {"reason": "recipient_rejected"}),
        # notes, where the diagnostic says too little
        (
            {"diagnostic": "smtp; 550", "notes": "mx.example.com said: 550 5.1.1 User unknown"},
            {"reason": "user_unknown", "reply_code": 550, "diagnostic": "smtp; 550"},
        ),
        ({"diagnostic": "", "notes": "452 4.2.2 try later"}, {"reply_code": 452, "status": "4.2.2", "diagnostic": "452 4.2.2 try later"}),
        ({"diagnostic": "550 5.1.1 User unknown", "notes": "552 5.2.2 Mailbox full"}, {"reason": "user_unknown", "reply_code": 550}),
        ({"diagnostic": "550 zzz", "notes": "nothing of use"}, {"reason": "undetermined", "reply_code": 550}),
        (
            {"diagnostic": "550 5.4.7 zzz", "notes": "last failure: 451 4.2.2 Mailbox full"},
            {"reason": "mailbox_full", "reply_code": 451, "status": "4.2.2"},
        ),
        # the host that refused
        ({"diagnostic": "host mx.example.com[192.0.2.1] said: 550 no"}, {"remote_mta": "mx.example.com"}),
        ({"diagnostic": "host mx.example.com[192.0.2.1] said: 550 no", "remote_mta": "mx2.example.com"}, {"remote_mta": "mx2.example.com"}),
        ({"diagnostic": "550 5.1.1 no", "remote_mta": "gmail-smtp-in.l.google.com"}, {"provider": "google"}),
        ({"diagnostic": "550 5.1.1 no", "final_recipient": "fred@gmail.com"}, {"provider": "google"}),
        ({"diagnostic": "550 5.1.1 no a1-b2 - gsmtp"}, {"provider": "google"}),
    ],
)  # fmt: skip
def test_judge(said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert differing(verdict(**said), expected) == {}


def test_evidence_names_the_winner_and_why_others_lost() -> None:
    failure = verdict(diagnostic="550 5.7.1 <fred@example.com>: Recipient address rejected: User unknown")
    first, *others = failure.evidence
    assert (first.effect, first.source, first.text) == ("user_unknown", "dsn.diagnostic", "user unknown")
    assert {one.effect.partition(": ")[2] for one in others} <= {"lost, weaker evidence", "lost, less specific"}
    assert len(failure.evidence) <= MAX_EVIDENCE


def test_evidence_says_where_a_code_stood() -> None:
    (evidence,) = verdict(status="5.1.1").evidence
    assert (evidence.rule, evidence.source, evidence.text) == ("status:5.1.1", "dsn.status", "5.1.1")


@given(
    diagnostic=st.lists(
        st.sampled_from(
            ["550 ", "450 ", "5.1.1 ", "4.2.2 ", "user unknown ", "spam ", "mailbox full ", "<<< ", "said: ", "\n"]
        ),
        max_size=8,
    ).map("".join),
    status=st.sampled_from([None, "5.1.1", "4.4.7", "5.0.0", "9"]),
    action=st.sampled_from([Action.FAILED, Action.DELAYED]),
    command=st.sampled_from([None, "MAIL", "RCPT", "DATA"]),
    guessed=st.booleans(),
)
def test_only_a_dead_address_is_suppressed(
    diagnostic: str, status: str | None, action: Action, command: str | None, guessed: bool
) -> None:
    failure = verdict(diagnostic=diagnostic, status=status, action=action, command=command, guessed=guessed)
    row = RULES.reasons[failure.reason]
    if failure.suppress:
        assert failure.severity is Severity.HARD
        assert failure.scope in (Scope.ADDRESS, Scope.DOMAIN)
        assert failure.confidence is not Confidence.GUESS
        assert (row.suppress, failure.action, failure.command) != (False, Action.DELAYED, "MAIL")
        assert row.suppress
    expected = (
        row.action
        if row.action is not SuggestedAction.SUPPRESS or failure.suppress
        else SuggestedAction.SUPPRESS_IF_REPEATED
    )
    assert failure.suggested_action is expected


# --- explanations -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "keys", "expected", "codes"),
    [
        ("550", {}, {"reply_code": 550, "severity": "hard", "reason": "undetermined", "suppress": False}, ["550"]),
        ("250", {}, {"reply_code": 250, "severity": None}, ["250"]),
        ("5yz", {}, {"reply_code": None, "severity": None}, ["5yz"]),
        ("9yz", {}, {"reply_code": None}, []),
        ("5.1.1", {}, {"status": "5.1.1", "reason": "user_unknown", "severity": "hard", "suppress": True}, ["5.X.X", "X.1.1"]),
        ("4.1.99", {}, {"status": "4.1.99", "severity": "soft"}, ["4.X.X", "X.1.X"]),
        ("5.99.99", {}, {"status": "5.99.99", "severity": "hard", "reason": "undetermined"}, ["5.X.X"]),
        ("550 5.1.1 User unknown", {}, {"reason": "user_unknown", "who": bounceclass.explain("5.1.1").who}, ["550", "5.X.X", "X.1.1"]),
        ("599 zzz", {}, {"reply_code": 599, "severity": "hard"}, []),
        ("hello", {}, {"reply_code": None, "status": None, "severity": None, "reason": "undetermined", "evidence": ()}, []),
        ("550 caff\udce8", {}, {"query": "550 caff?"}, ["550"]),
        ("550 5.4.1 Recipient address rejected: Access denied", {"provider": "microsoft"}, {"provider": "microsoft", "reason": "user_unknown"}, ["550", "5.X.X", "X.4.1"]),
    ],
)  # fmt: skip
def test_explain(query: str, keys: dict[str, Any], expected: dict[str, Any], codes: list[str]) -> None:
    explanation = bounceclass.explain(query, **keys)
    assert differing(explanation, expected) == {}
    assert [meaning.code for meaning in explanation.meanings] == codes
    assert msgspec.json.decode(explanation.to_json()) == explanation.to_dict()


@pytest.mark.parametrize("keys", [{"provider": "nobody"}, {"lang": "de"}])
def test_explain_knows_what_it_does_not_know(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are "):
        bounceclass.explain("550", **keys)


@given(st.text(max_size=80))
def test_everything_is_explained(query: str) -> None:
    assert bounceclass.explain(query).to_json()


@pytest.mark.parametrize("policy", [email.policy.compat32, email.policy.default])
@pytest.mark.parametrize(
    "field", ["Subject: \udcff", "Subject: \xe9 \udcff", "X: \u3042", "Content-Type: multipart/mixed; boundary=b"]
)
def test_an_email_object_of_text_that_is_not_ascii(policy: email.policy.Policy[Any], field: str) -> None:
    text = f"From: MAILER-DAEMON@x.example\n{field}\n\n<a@b.example>: 550 5.1.1 user unknown \xe9 \udcff\n"
    message = email.message_from_string(text, policy=policy)
    report = bounceclass.classify(message)
    assert [(one.recipient, one.reason) for one in report.failures] == [("a@b.example", "user_unknown")]
    assert report == bounceclass.classify(text)


def test_an_email_object_that_email_cannot_write() -> None:
    message, part = email.message.Message(), email.message.Message()
    message["From"], message["Content-Type"] = "MAILER-DAEMON@x.example", "text/plain"
    part.set_payload("<a@b.example>: 550 5.1.1 user unknown")
    message.attach(part)
    with pytest.raises((AttributeError, TypeError)):
        message.as_bytes()
    assert [one.reason for one in bounceclass.classify(message).failures] == ["user_unknown"]


def test_classify_many_is_closed_as_a_generator_is() -> None:
    reports = bounceclass.classify_many(itertools.repeat(RAW), jobs=2)
    assert next(reports) == bounceclass.classify(RAW)
    before = multiprocessing.active_children()
    reports.close()
    assert len(before) == 2
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("command", ["CONN", "EHLO", "STARTTLS", "AUTH", "MAIL"])
def test_what_is_refused_before_the_recipient_is_named_is_not_about_it(command: str) -> None:
    failure = verdict(diagnostic="550 5.1.1 User unknown", command=command)
    assert (failure.reason, failure.scope, failure.suppress) == ("sender_rejected", "sender", False)
    assert failure.evidence[0].effect == "user_unknown, read as sender_rejected: refused before the recipient was named"


@pytest.mark.parametrize("words", ["try later", "connection closed", "blocked", "spam", "sender domain"])
def test_a_code_for_a_dead_address_is_a_guess_beside_words_about_something_else(words: str) -> None:
    failure = verdict(diagnostic=f"550 5.1.1 {words}", status="5.1.1")
    assert (failure.reason, failure.confidence, failure.suppress) == ("user_unknown", "guess", False)


@pytest.mark.parametrize(
    "reason",
    [
        "system_error", "network_error", "greylisted", "blocked_reputation", "spam_content", "auth_failure", "ptr_missing",
        "rate_limited", "sender_rejected", "relay_denied", "virus_detected", "content_rejected",
    ],
)  # fmt: skip
def test_a_generic_rule_of_ones_own_keeps_a_code_from_killing_an_address(reason: str, tmp_path: Path) -> None:
    row = f'[[rule]]\nid = "own.zzz"\nreason = "{reason}"\nsource = "here"\ngeneric = true\nphrases = ["zzz"]\nexamples = ["zzz"]\n'
    (tmp_path / "general.toml").write_text(row)
    outcome = Outcome(
        final_recipient="fred@example.com", action=Action.FAILED, source="dsn.diagnostic", diagnostic="550 5.1.1 zzz"
    )
    failure = judge(outcome, NOTICE, Traffic(Mail(headers={}), {}), rulebook.load(tmp_path))
    assert (failure.reason, failure.confidence, failure.suppress) == ("user_unknown", "guess", False)


def test_a_status_in_notes_that_quote_no_reply_is_not_believed() -> None:
    failure = verdict(diagnostic="go away now", status="5.0.0", notes="see #5.1.1 there")
    assert (failure.reason, failure.status, failure.suppress) == ("undetermined", "5.0.0", False)


def test_a_status_in_the_diagnostic_is_kept_where_the_notes_have_the_words() -> None:
    failure = verdict(diagnostic="#5.4.1 zzz", notes="452 4.2.2 Mailbox full")
    assert (failure.reason, failure.reply_code, failure.status) == ("mailbox_full", None, "5.4.1")


def test_the_diagnostic_is_cited_where_the_notes_say_the_same() -> None:
    failure = verdict(diagnostic="550 blocked", notes="blocked")
    assert [(one.source, one.text) for one in failure.evidence] == [("dsn.diagnostic", "blocked")]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("Client host", "blocked_reputation"),
        ("client", "blocked_reputation"),
        ("EHLO command", "sender_rejected"),
        ("Helo command", "sender_rejected"),
        ("Sender address", "sender_rejected"),
        ("Recipient address", "recipient_rejected"),
    ],
)
def test_a_frame_without_words_gives_the_reason(frame: str, reason: str) -> None:
    failure = verdict(diagnostic=f"554 5.0.0 <mx.example.org[192.0.2.1]>: {frame} rejected: zzz")
    assert (failure.reason, failure.evidence[0].rule, failure.suppress) == (reason, "frame", False)


def test_a_frame_about_the_recipient_is_no_stronger_than_a_generic_status() -> None:
    failure = verdict(diagnostic="554 5.7.1 <fred@example.com>: Recipient address rejected: zzz")
    assert [one.effect for one in failure.evidence] == ["policy_rejected", "recipient_rejected: lost, less specific"]


def test_no_more_evidence_is_kept_than_the_cap() -> None:
    words = "550 5.7.1 spam blocked policy user unknown mailbox full relaying denied virus found greylisted"
    assert len(read_words(words, RULES).matches) > MAX_EVIDENCE
    assert len(verdict(diagnostic=words).evidence) == MAX_EVIDENCE


def test_a_rule_of_ones_own_that_says_whom_it_is_about_suppresses_nobody_else(tmp_path: Path) -> None:
    row = '[[rule]]\nid = "own.zzz"\nreason = "user_unknown"\nscope = "sender"\nsource = "here"\nphrases = ["zzz"]\nexamples = ["zzz"]\n'
    (tmp_path / "general.toml").write_text(row)
    outcome = Outcome(
        final_recipient="fred@example.com", action=Action.FAILED, source="dsn.diagnostic", diagnostic="550 5.1.1 zzz"
    )
    failure = judge(outcome, NOTICE, Traffic(Mail(headers={}), {}), rulebook.load(tmp_path))
    assert (failure.reason, failure.scope, failure.suppress) == ("user_unknown", "sender", False)
    assert failure.suggested_action == "suppress_if_repeated"


@pytest.mark.parametrize(("code", "severity"), [(499, "soft"), (500, "hard")])
def test_a_reply_of_5yz_is_permanent(code: int, severity: str) -> None:
    assert verdict(diagnostic=f"{code} zzz").severity == severity


def test_what_is_guessed_stays_a_guess_where_codes_disagree() -> None:
    failure = verdict(diagnostic="550 4.1.1 User unknown", status="5.1.1", guessed=True)
    assert (failure.severity, failure.confidence, failure.suppress) == ("hard", "guess", False)


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to", "resent-to"])
def test_the_mailed_address_may_stand_in_any_field_of_recipients(field: str) -> None:
    said = {"generated_from": "ALIAS@example.com", "diagnostic": "550 5.1.1 User unknown"}
    assert verdict(**said, returned={field: ["Alias <Alias@example.com>"]}).recipient == "ALIAS@example.com"
    assert verdict(**said, returned={"from": ["alias@example.com"]}).recipient == "fred@example.com"


@pytest.mark.parametrize("name", ["@example.com", "fred@", "fred", "@", " "])
def test_what_is_nobodys_address_is_not_suppressed(name: str) -> None:
    assert verdict(diagnostic="550 5.1.1 User unknown", final_recipient=name).suppress is False


def test_a_trace_field_may_say_for_in_capitals() -> None:
    said = {"generated_from": "team@example.com", "diagnostic": "550 5.1.1 User unknown"}
    assert verdict(**said, returned={"received": ["by mx FOR <team@example.com>; Thu"]}).recipient == "team@example.com"


@pytest.mark.parametrize("name", ["|/bin/vacation fred@example.net", "/home/fred@example.net/inbox", "backup"])
def test_a_file_a_pipe_or_a_local_name_is_not_whom_was_mailed(name: str) -> None:
    said = {"final_recipient": None, "recipient": name, "generated_from": "team@example.com"}
    assert verdict(**said, diagnostic="550 5.1.1 User unknown").recipient == "team@example.com"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("Sender address", "sender_rejected"),
        ("Client host", "blocked_reputation"),
        ("Client", "blocked_reputation"),
        ("Helo command", "sender_rejected"),
        ("Ehlo command", "sender_rejected"),
    ],
)
def test_what_a_frame_says_of_the_sender_kills_no_recipient(frame: str, reason: str) -> None:
    failure = verdict(diagnostic=f"550 5.1.1 <news@example.org>: {frame} rejected: User unknown", status="5.1.1")
    assert (failure.reason, failure.scope, failure.suppress) == (reason, "sender", False)


def test_what_the_diagnostic_says_for_certain_is_not_looked_for_in_the_notes() -> None:
    words = "recipient address rejected: user unknown in virtual mailbox table"
    failure = verdict(diagnostic="550 mailbox full, rejected", notes=words)
    assert (failure.reason, failure.suppress) == ("mailbox_full", False)


def test_a_reply_without_known_words_is_not_read_as_another_in_the_notes() -> None:
    failure = verdict(diagnostic="550 zzz", notes="452 <a@example.org>: Sender address rejected: zzz")
    assert (failure.reason, failure.reply_code) == ("undetermined", 550)


def test_where_an_alias_led_is_kept_beside_it() -> None:
    said = {"final_recipient": None, "recipient": "b@example.net", "generated_from": "team@example.com"}
    failure = verdict(**said, diagnostic="550 5.1.1 User unknown", returned=TO_LIST)
    assert (failure.recipient, failure.final_recipient) == ("team@example.com", "b@example.net")


@pytest.mark.parametrize(
    ("diagnostic", "effects"),
    [
        ("552 spam", ["spam_content", "mailbox_full: lost, weaker evidence"]),
        ("556 rejected", ["domain_no_mail", "policy_rejected: lost, weaker evidence"]),
    ],
)
def test_a_reply_code_is_weaker_than_words_unless_it_is_a_specific_one(diagnostic: str, effects: list[str]) -> None:
    failure = verdict(diagnostic=diagnostic)
    assert [one.effect for one in failure.evidence] == effects


@pytest.mark.parametrize(
    ("recipient", "diagnostic"),
    [
        ("Fred@Example.com", "550 <Fred@Example.com>: No such user; news@example.org wrote"),
        ("fred", "550 <news@example.org>: No such user"),
    ],
)
def test_a_reply_that_names_the_sender_beside_the_recipient_is_about_the_recipient(
    recipient: str, diagnostic: str
) -> None:
    failure = verdict(final_recipient=recipient, diagnostic=diagnostic, returned={"from": ["news@example.org"]})
    assert failure.reason == "user_unknown"


@pytest.mark.parametrize(
    ("status", "source"), [("550-5.7.1 ", "diagnostic"), ("550-", "text")], ids=["the same", "only in the notes"]
)
def test_of_a_reply_that_is_cut_the_notes_have_the_rest(status: str, source: str) -> None:
    failure = verdict(
        diagnostic=f"{status}mailbox unavailable",
        notes=f"<<< {status}mailbox unavailable\n<<< 550 5.7.1 Reject due to policy restrictions.",
    )
    assert (failure.reason, failure.reply_code, failure.status, failure.status_source, failure.suppress) == (
        *("policy_rejected", 550, "5.7.1"),
        *(source, False),
    )


@pytest.mark.parametrize("most", [0, -1])
def test_at_least_a_byte_is_to_be_read(most: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes must be 1 or more, not {most}"):
        bounceclass.classify(RAW, max_bytes=most)
