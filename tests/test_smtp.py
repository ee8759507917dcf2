"""SMTP replies in the words that reports quote them with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounceclass import smtp

TRANSCRIPT = """\
   ----- Transcript of session follows -----
... while talking to mx.example.com.:
>>> RCPT To:<fred@example.com>
<<< 550-5.7.1 blocked,
<<< 550 5.7.1 see https://example.com/why
>>> DATA
<<< 503 5.5.2 Need rcpt command
550 5.1.1 <fred@example.com>... User unknown
"""


@pytest.mark.parametrize(
    ("diagnostic", "expected"),
    [
        ("550 5.1.1 User unknown", {"code": 550, "status": "5.1.1", "text": "User unknown", "before": ""}),
        ("smtp; 550-5.1.1 no\n550 5.1.1 such user", {"code": 550, "status": "5.1.1", "text": "no such user"}),
        ("550 #5.1.1 no", {"code": 550, "status": "5.1.1", "text": "no"}),
        ("550 User unknown", {"code": 550, "status": None, "text": "User unknown"}),
        ("550 no such user (5.1.1)", {"code": 550, "status": "5.1.1", "text": "no such user (5.1.1)"}),
        ("User unknown", {"code": None, "status": None, "text": "User unknown"}),
        ("Status 5.1.1", {"code": None, "status": "5.1.1", "text": "Status 5.1.1"}),
        ("", {"code": None, "status": None, "text": ""}),
        # what introduces a reply
        (
            "host mx.example.com[192.0.2.1] said: 550 5.1.1 No (in reply to RCPT TO command)",
            {
                "code": 550,
                "status": "5.1.1",
                "text": "No",
                "before": "host mx.example.com[192.0.2.1] said: ",
                "host": "mx.example.com",
                "command": "RCPT",
            },
        ),
        ("Remote server replied: 452 try later", {"code": 452, "text": "try later"}),
        ("SMTP error from remote mail server after initial connection: 421 busy", {"code": 421, "command": "CONN"}),
        ("Your mail was not taken, for 550 Sorry was the answer", {"code": 550, "text": "Sorry was the answer"}),
        # figures that are none
        ("the limit is 500 KB and the port 587", {"code": None}),
        ("took 450 seconds", {"code": None}),
        ("error 550.1", {"code": None}),
        # on expiry the last failure is quoted behind the MTA's own words
        (
            "550 4.4.7 QUEUE.Expired; last failure: 451 4.2.2 mailbox full",
            {"code": 451, "status": "4.2.2", "text": "mailbox full"},
        ),
        ("550 4.4.7 QUEUE.Expired", {"code": 550, "status": "4.4.7"}),
        # Sendmail 5 quotes the resolver's answer behind its own
        ("554 <fred@example.com>... 550 Host unknown", {"code": 550, "text": "Host unknown"}),
        # what the remote said in a session wins over the MTA's own line, and no 503 after it counts
        (
            TRANSCRIPT,
            {
                "code": 550,
                "status": "5.7.1",
                "text": "blocked, see https://example.com/why",
                "host": "mx.example.com",
                "command": "RCPT",
                "transcript": True,
            },
        ),
        ("<<< 503 bad sequence", {"code": 503, "transcript": True, "command": None}),
        ("<<< 250 ok\n550 5.1.1 no", {"code": 550, "status": "5.1.1", "transcript": False}),
        # a name without a dot is no host
        ("host mx[192.0.2.1] said: 550 no", {"code": 550, "host": None}),
        ("host localhost[127.0.0.1] said: 550 no", {"code": 550, "host": "localhost"}),
    ],
)
def test_dissect(diagnostic: str, expected: dict[str, Any]) -> None:
    reply = smtp.dissect(diagnostic)
    assert {name: getattr(reply, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("in reply to RCPT TO command", "RCPT"),
        ("in reply to end of DATA command", "DATA"),
        ("in reply to MAIL FROM command", "MAIL"),
        ("refused to talk to me: 554 no", "CONN"),
        ("SMTP error from remote mail server after pipelined end of data", "DATA"),
        ("error after RCPT TO:<fred@example.com>", "RCPT"),
        ("mx.example.com does not like recipient.", "RCPT"),
        ("failed after I sent the message", "DATA"),
        ("[MAIL_FROM] refused", "MAIL"),
        ("SMTP:RCPT", "RCPT"),
        (">>> STARTTLS", "STARTTLS"),
        (">>> AUTH", "AUTH"),
        ("EHLO command rejected", "EHLO"),
        # ordinary words are no commands
        ("in reply to mail from you", None),
        ("the data are lost", None),
        ("", None),
    ],
)
def test_command_refused(words: str, expected: str | None) -> None:
    assert smtp.command_refused(words) == expected


def test_no_more_than_the_cap_is_read() -> None:
    reply = smtp.dissect("550 " + "x" * 3 * smtp.MAX_DIAGNOSTIC)
    assert (reply.code, len(reply.text)) == (550, smtp.MAX_DIAGNOSTIC - 4)


@given(
    st.lists(
        st.sampled_from(["550", " 5.1.1", "-", "\n", "<<< ", ">>> RCPT", " said: ", "a@example.com", "x ", "...", ": "])
    )
)
def test_every_text_is_dissected(pieces: list[str]) -> None:
    text = "".join(pieces)
    reply = smtp.dissect(text)
    assert reply.code in (None, 550)
    assert reply.status in (None, "5.1.1")
    assert reply.command in (None, "RCPT")
    assert text.startswith(reply.before)
    assert "\n" not in reply.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("after end of message", "DATA"),
        ("during data block", "DATA"),
        ("while sending, during message body", "DATA"),
        ("during connection establishment", "CONN"),
        ("greeting failed", "CONN"),
        ("mx.example.com did not like our connect", "CONN"),
        ("sender was rejected", "MAIL"),
        ("name was rejected", "EHLO"),
        ("rejected command BDAT", "DATA"),
        ("rejected command HELO", "EHLO"),
        ("[BODY] refused", "DATA"),
        ("[CONNECT] refused", "CONN"),
        ("[END_OF_DATA] refused", "DATA"),
        ("TEXT command rejected", "DATA"),
    ],
)
def test_every_stage_of_a_session_has_its_words(words: str, expected: str) -> None:
    assert smtp.command_refused(words) == expected


@pytest.mark.parametrize("mark", ["<<<", "Received >>>", "Remote server replied:"])
def test_what_marks_the_remotes_line_in_a_transcript(mark: str) -> None:
    reply = smtp.dissect(f"Sent >>> RCPT TO:<fred@example.com>\n{mark} 550 5.1.1 no\nSent >>> RSET\n")
    assert (reply.transcript, reply.code, reply.status, reply.text) == (True, 550, "5.1.1", "no")


def test_of_nothing_but_503_the_first_counts() -> None:
    reply = smtp.dissect(">>> MAIL FROM:<a@example.org>\n<<< 503 no\n>>> RCPT TO:<b@example.com>\n<<< 503 no\n")
    assert (reply.code, reply.command) == (503, "MAIL")
