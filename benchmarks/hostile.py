"""How the time for hostile messages grows: with their length, and not with its square."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import bounceclass
from benchmarks.messages import FIXTURES
from benchmarks.table import show
from bounceclass import mime, reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SHAPES", "Growth", "figures", "print_figures"]

BYTES = 100_000
"""Of the smaller of two messages: the larger one is within most caps still."""
TRIES = 6
MOST = 3.0
"""Times as long that twice the message may take, at best of a few tries; four times is quadratic."""
LEAST = 0.002
"""Seconds of computing that are nothing to measure by."""

HEAD = b"From: MAILER-DAEMON@mail.example.org\nSubject: failure notice\n"
FAILED = HEAD + b"\ncould not be delivered\n"
NOTICE = (
    b"From: MAILER-DAEMON@mail.example.org\r\nTo: list-bounces@example.org\r\n"
    b"Subject: Undelivered Mail Returned to Sender\r\n"
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at mail.example.org.\r\n\r\n"
)
EXIM = NOTICE.partition(b"This is")[0] + (
    b"This message was created automatically by mail delivery software.\n\n"
    b"A message that you sent could not be delivered to one or more of its\n"
    b"recipients. This is a permanent error. The following address(es) failed:\n\n"
)
STATUS = b"\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.example.org\r\n\r\n"
END = b"\r\n--b--\r\n"
SENDMAIL = (
    b"From: Mail Delivery Subsystem <MAILER-DAEMON@mail.example.org>\nSubject: Returned mail: User unknown\n\n"
    b"   ----- The following addresses had permanent fatal errors -----\n<a@b.example>\n<c@d.example>\n\n"
    b"   ----- Transcript of session follows -----\n"
)
TWO_OF_EXIM = EXIM + (
    b"  u@b.example\n    local delivery failed\n  v@b.example\n    local delivery failed\n\n"
    b"The following text was generated during the delivery attempts:\n\n"
)


def group(number: int, words: bytes = b"User unknown") -> bytes:
    return (
        b"Final-Recipient: rfc822; u%d@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 <u%d@example.com>: %s\r\n\r\n" % (number, number, words)
    )


def multiparts(depth: int) -> bytes:
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%dx\n\n--b%dx\n" % (n, n) for n in range(depth))
    return b"From: MAILER-DAEMON@mail.example.org\n" + levels + b"\n550 5.1.1 user unknown\n"


def messages(depth: int) -> bytes:
    return b"From: MAILER-DAEMON@mail.example.org\n" + b"Content-Type: message/rfc822\n\n" * depth + b"x: y\n\nhello"


def body(content: bytes, fields: bytes) -> bytes:
    return HEAD + fields + b"\n\n" + content


SIZE = f"size: only the first {mime.MAX_BYTES} bytes were read"
TEXT = f"text: only the first {mime.MAX_TEXT} characters were read"
BROKEN = f"size: only the first {mime.MAX_BROKEN} bytes of a broken message were read"

SHAPES: dict[str, tuple[Callable[[int], bytes], int, str, int, tuple[str, ...]]] = {
    # name: message of a size, a size beyond all bounds, its kind, failures, defects
    "multiparts, 200 deep": (multiparts, 200, "none", 0, (f"mime: nested deeper than {mime.MAX_DEPTH} parts",)),
    "multiparts, 5,000 deep": (multiparts, 5_000, "none", 0, ("mime: MimeStructureError", BROKEN)),
    "messages, 200 deep": (messages, 200, "none", 0, ()),
    "messages, 3,000 deep": (messages, 3_000, "none", 0, ("mime: MimeStructureError",)),
    "20 MB returned": (
        lambda n: NOTICE + STATUS + group(1) + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n"
        + (b"0123456789" * 7 + b"\r\n") * n + END,
        290_000, "bounce", 1, (SIZE,),
    ),
    "a line of 5 MB": (lambda n: HEAD + b"\n" + b"a" * n, 5_000_000, "none", 0, (SIZE, TEXT)),
    "5 MB of spaces": (lambda n: HEAD + b"\n" + b" " * n, 5_000_000, "none", 0, (SIZE,)),
    "many recipients": (
        lambda n: NOTICE + STATUS + b"".join(map(group, range(n))) + END, 11_000,
        "bounce", reports.MAX_RECIPIENTS, (f"recipients: only the first {reports.MAX_RECIPIENTS} of 11000 were read",),
    ),
    "many recipients of an alias, and others in the text": (
        lambda n: EXIM + b"".join(b"  u%d@b.example\n    (generated from l@b.example)\n    550 x\n" % i for i in range(n)) + STATUS
        + b"".join(b"Final-Recipient: rfc822; l@b.example\nAction: failed\nDiagnostic-Code: smtp; 55%d\n\n" % i for i in range(n)) + END,
        8_000, "bounce", 8_000, (),
    ),
    "many recipients, and as many others in the text": (
        lambda n: EXIM + b"".join(b"  u%d@b.example\n    550 x\n" % i for i in range(n)) + STATUS
        + b"".join(b"Final-Recipient: rfc822; v%d@b.example\nAction: failed\n\n" % i for i in range(n)) + END,
        8_000, "bounce", 8_000, (),
    ),
    "many long diagnostics that may name a host": (
        lambda n: NOTICE + STATUS + b"".join(group(i, b"a.b.c.d.e" * 890 + b"] said") for i in range(n)) + END,
        250, "bounce", 250, (),
    ),
    "many recipients without a name, and as many To fields returned": (
        lambda n: NOTICE + STATUS + b"Action: failed\nStatus: 5.0.0\n\n" * n + b"--b\nContent-Type: text/rfc822-headers\n\n" + b"To: u@a.example\n" * (n * 10) + END,
        4_000, "bounce", 4_000, (),
    ),
    "many recipients generated from one that many fields may name": (
        lambda n: EXIM + b"".join(b"  u%d@b.example\n    (ultimately generated from l@b.example)\n    550 x\n" % i for i in range(n)) + STATUS
        + b"".join(b"Final-Recipient: rfc822; u%d@b.example\nAction: failed\n\n" % i for i in range(n))
        + b"--b\nContent-Type: text/rfc822-headers\n\n" + b"Received: from a by b for <u@a.example>; x\n" * (n * 2) + END,
        4_000, "bounce", 4_000, (),
    ),
    "many failed recipients of one long text": (
        lambda n: b"From: MAILER-DAEMON@x.example\nX-Failed-Recipients: " + b", ".join(b"u%d@b.example" % i for i in range(n))
        + b"\nSubject: Undelivered\n\nYour message could not be delivered\n" + b"550 bad words here and there\n" * 600,
        8_000, "bounce", 8_000, (),
    ),
    "a long line of brackets that no reader knows": (
        lambda n: b"From: MAILER-DAEMON@x.example\nSubject: Undelivered mail\n\nYour message could not be delivered:\n" + b"<" * n,
        64_000, "none", 0, (),
    ),
    "a long boundary of many parts": (
        lambda n: b'Content-Type: multipart/mixed; boundary="x' + b"&#40;" * n + b'"\n\nx\n', 20_000, "none", 0, ("mime: a multipart without parts",),
    ),
    "many spellings of one name": (
        lambda n: b"".join(b"".join(b"%c" % (c ^ 32 if i >> bit & 1 else c) for bit, c in enumerate(b"abcdefghijklmnop")) + b": x\n" for i in range(n))
        + b"\nx\n",
        40_000, "none", 0, (),
    ),
    "many boundaries": (
        lambda n: NOTICE + b"--b\r\n" * n, 1_000_000,
        "bounce", 0, (SIZE, f"mime: read up to boundary line {mime.MAX_BOUNDARIES}"),
    ),
    "a diagnostic of many replies": (lambda n: NOTICE + STATUS + group(1, b"x 550 5.1.1 " * n) + END, 90_000, "bounce", 1, ()),
    "a diagnostic of 1 MB": (lambda n: NOTICE + STATUS + group(1, b"x" * n) + END, 1_000_000, "bounce", 1, ()),
    "many fields in a status part": (lambda n: NOTICE + STATUS + b"a:b\r\n" * n + END, 400_000, "bounce", 0, ()),
    "many folds in a status part": (
        lambda n: NOTICE + STATUS + b"Diagnostic-Code: smtp; 550\r\n" + b" x\r\n" * n + END, 500_000, "bounce", 1, (),
    ),
    "many brackets": (lambda n: FAILED + b"<" * n, 2_000_000, "none", 0, (TEXT,)),
    "many signs": (lambda n: FAILED + b"@" * n, 2_000_000, "none", 0, (TEXT,)),
    "many addresses on a line": (lambda n: FAILED + b"a@b " * n, 500_000, "bounce", 1, (TEXT,)),
    "many addresses on lines": (lambda n: FAILED + b"a@b.example\n" * n, 150_000, "bounce", 1, (TEXT,)),
    "many fields": (lambda n: b"X-A: b\n" * n + HEAD, 300_000, "none", 0, (SIZE,)),
    "a field of 3 MB": (lambda n: b"Subject: " + b"x" * n + b"\n\nfoo", 3_000_000, "none", 0, (SIZE,)),
    "many readers": (lambda n: HEAD + b"To: " + b"a@b.example, " * n + b"\n\n", 150_000, "none", 0, ()),
    "many lines of spaces": (lambda n: FAILED + b" \n" * n, 1_000_000, "none", 0, (TEXT,)),
    "many dots and digits": (lambda n: FAILED + b"1.1.1." * n, 300_000, "none", 0, (TEXT,)),
    "many digits": (lambda n: FAILED + b"5" * n, 2_000_000, "none", 0, (TEXT,)),
    "many reply codes": (lambda n: FAILED + b"550 " * n, 500_000, "none", 0, (TEXT,)),
    "qmail, one address many times": (
        lambda n: HEAD + b"\nHi. This is the qmail-send program at x.\n" + b"<a@example.com>:\nno such user\n" * n,
        60_000, "bounce", 1, (TEXT,),
    ),
    "many tags": (lambda n: body(b"<div>" * n, b"Content-Type: text/html"), 400_000, "none", 0, (mime.LONG_HTML,)),
    "many tags that are never closed": (
        lambda n: body(b"<a " * n, b"Content-Type: text/html"), 600_000, "none", 0, (mime.LONG_HTML,),
    ),
    "many encoded words": (
        lambda n: b"Subject: " + b"=?utf-8?q?=41?= " * n + b"\n\nx", 100_000,
        "none", 0, (f"header: more than {mime.MAX_WORDS} encoded words, none was decoded",),
    ),
    "many parentheses": (lambda n: FAILED + b"(" * n, 2_000_000, "none", 0, (TEXT,)),
    "spaces after a phrase": (lambda n: FAILED + b"<a@b.example>: (expanded from " + b" " * n, 1_000_000, "bounce", 1, (TEXT,)),
    "a phrase many times": (lambda n: FAILED + b"while talking to " * n, 120_000, "none", 0, (TEXT,)),
    "many NULs": (lambda n: HEAD + b"\n" + b"\0" * n, 2_000_000, "none", 0, (TEXT,)),
    "much base64": (lambda n: body(b"QUJD" * n, b"Content-Transfer-Encoding: base64"), 500_000, "none", 0, (TEXT,)),
    "many colons": (lambda n: FAILED + b":" * n, 1_900_000, "none", 0, (TEXT,)),
    "many letters and dots": (lambda n: FAILED + b"a." * n, 900_000, "none", 0, (TEXT,)),
    "many lines of a transcript": (lambda n: FAILED + b"<<< 550 x\n" * n, 150_000, "none", 0, (TEXT,)),
    "many commands of a transcript": (lambda n: FAILED + b">>> RCPT\n" * n + b"<<< 550 no\n", 150_000, "none", 0, (TEXT,)),
    "a transcript of empty lines": (lambda n: SENDMAIL + b"\n" * n, 500_000, "bounce", 2, ()),
    "a transcript of many lines about one address": (
        lambda n: SENDMAIL + b"550 <a@b.example>... User unknown\n" * n, 60_000, "bounce", 2, (TEXT,),
    ),
    "a transcript of short lines about one address": (lambda n: SENDMAIL + b"5a@b.example\n" * n, 150_000, "bounce", 2, (TEXT,)),
    "a transcript of many addresses": (
        lambda n: SENDMAIL + b"".join(b"550 <a%d@b.example>... User unknown\n" % i for i in range(n)), 40_000, "bounce", 2, (TEXT,),
    ),
    "a transcript of many rule lines": (
        lambda n: TWO_OF_EXIM + b"------ u@b.example ------\nx\n" * n, 9_000, "bounce", 2, (),
    ),
    "lines that end in CR CR LF": (lambda n: FAILED + b"x\r\r\n" * n, 400_000, "none", 0, ("lines: end in CR CR LF", TEXT)),
    "lines that end in CR": (
        lambda n: HEAD.replace(b"\n", b"\r") + b"\r" + b"a@b.example could not be delivered\r" * n, 40_000,
        "bounce", 1, ("lines: end in CR alone", TEXT),
    ),
}  # fmt: skip

# Of shapes whose time is linear beyond a cap only: depth costs fast-mail-parser its square, up to MAX_BOUNDARIES
BEYOND: dict[Callable[[int], bytes], int] = {multiparts: 1_000_000, messages: 1_000_000}


class Growth(NamedTuple):
    """What a message costs, and twice the message."""

    name: str
    once: float
    twice: float
    """Seconds of computing."""

    @property
    def ratio(self) -> float:
        return self.twice / max(self.once, LEAST)


def figures(every: int = 20) -> list[Growth]:
    """Return how each shape grows, and one in *every* fixture of which a passage is repeated, the worst first."""
    grown = [_measured(name, shape(size), shape(2 * size)) for name, shape, size in _shapes()]
    grown += [_measured(name, *pair) for name, *pair in _repeated(every)]
    return sorted(grown, key=lambda one: one.ratio, reverse=True)


def print_figures(found: list[Growth]) -> None:
    """Print the ten that grow most."""
    rows = [[one.name, f"{one.once * 1e3:.1f}", f"{one.twice * 1e3:.1f}", f"{one.ratio:.1f}"] for one in found[:10]]
    show("Hostile messages: the ten that grow most", ["", "ms", "twice as long, ms", "ratio"], rows)


def _shapes() -> Iterator[tuple[str, Callable[[int], bytes], int]]:
    for name, (shape, *_) in SHAPES.items():
        yield name, shape, BEYOND.get(shape, BYTES) // (len(shape(20)) - len(shape(10))) * 10


def _repeated(every: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield messages a passage of which is repeated until it fills BYTES, and until it fills twice as many."""
    for path in sorted(FIXTURES.rglob("*.eml"))[::every]:
        lines = path.read_bytes().splitlines(keepends=True)
        chance = random.Random(path.name)  # noqa: S311 - always the same
        at = chance.randrange(len(lines) or 1)
        passage = b"".join(lines[at : at + chance.choice((1, 1, 2, 3, 5))]) or b"\n"
        once, twice = (
            b"".join([*lines[:at], passage * (size // len(passage)), *lines[at:]]) for size in (BYTES, 2 * BYTES)
        )
        yield f"{path.relative_to(FIXTURES)}, {passage[:30]!r}", once, twice


def _measured(name: str, once: bytes, twice: bytes) -> Growth:
    """Return the best of a few tries, no more than it takes to see that the growth is small."""
    growth = Growth(name, math.inf, math.inf)
    for _ in range(TRIES):
        growth = Growth(name, min(growth.once, _seconds(once)), min(growth.twice, _seconds(twice)))
        if growth.ratio < MOST:
            break
    return growth


def _seconds(raw: bytes) -> float:
    """Return how long this process computes, whatever else the machine is doing."""
    started = time.process_time()
    bounceclass.classify(raw)
    return time.process_time() - started
