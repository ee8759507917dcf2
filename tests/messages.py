"""Messages that tests of the application are made of, and what each of them is."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

__all__ = ["Made", "bounce", "complaint", "many", "message"]


class Made(NamedTuple):
    """A message, the folder that it belongs in, and whose mail failed, as the one who made it knows."""

    content: bytes
    folder: str
    failed: str | None = None


def bounce(
    address: str,
    diagnostic: str = "550 5.1.1 User unknown",
    *,
    number: int = 0,
    action: str = "failed",
    days_ago: int = 2,
) -> bytes:
    """Return a report on one recipient (RFC 3464); its number makes it another message."""
    day = (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%a, %d %b %Y")
    return f"""\
Return-Path: <>
Date: {day} 10:{number // 60 % 60:02}:{number % 60:02} +0000
From: MAILER-DAEMON@mail.example.net
To: news@example.org
Subject: Undelivered Mail Returned to Sender
Message-ID: <report-{number}@mail.example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

Your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.net

Final-Recipient: rfc822; {address}
Action: {action}
Status: {diagnostic.split()[1]}
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; {diagnostic}

--b
Content-Type: text/rfc822-headers

From: News <news@example.org>
To: {address}
Subject: Spring programme
Message-ID: <spring-{number}@example.org>

--b--
""".encode()


def message(number: int, subject: str, *more: str, text: str = "Hello.") -> bytes:
    """Return an ordinary message from a person, with the header fields *more*."""
    fields = "".join(f"{field}\n" for field in more)
    return f"""\
Date: Mon, 5 Jan 2026 10:00:00 +0000
From: Ann <ann{number}@example.com>
To: news@example.org
Subject: {subject}
Message-ID: <letter-{number}@example.com>
{fields}
{text}
""".encode()


def complaint(number: int, address: str) -> bytes:
    """Return a feedback report on *address*."""
    return f"""\
Date: Mon, 5 Jan 2026 10:00:00 +0000
From: feedback@isp.example
To: abuse@example.org
Subject: Complaint
Message-ID: <complaint-{number}@isp.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

Somebody complained.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Loop/1.0
Version: 1
Original-Rcpt-To: {address}

--b--
""".encode()


def many(count: int, seed: int) -> list[Made]:
    """Return *count* messages of all kinds, no two alike, the same for the same *seed*."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        address = f"user{number}@example.com"
        kind = chance.choices(("dead", "full", "delay", "complaint", "vacation", "letter"), (50, 20, 10, 5, 5, 10))[0]
        if kind == "dead":
            one = Made(bounce(address, number=number), "Processed", address)
        elif kind == "full":
            one = Made(bounce(address, "452 4.2.2 Mailbox full", number=number), "Processed", address)
        elif kind == "delay":
            delayed = bounce(address, "421 4.4.1 Try again later", number=number, action="delayed")
            one = Made(delayed, "Processed")
        elif kind == "complaint":
            one = Made(complaint(number, f"angry{number}@example.com"), "Complaints")
        elif kind == "vacation":
            one = Made(message(number, "Out of office", "Auto-Submitted: auto-replied"), "Not-a-bounce")
        else:
            one = Made(message(number, "Thank you"), "Not-a-bounce")
        made.append(one)
    return made
