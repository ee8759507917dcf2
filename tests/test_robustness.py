"""Whatever a message says, it is read: no exception, no wait, and output that is safe to pass on.

``BOUNCECLASS_MUTATIONS`` is how many damaged messages ``test_mutations`` reads; 2,000 unless it says more.
A twentieth as many have a passage repeated.
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bounceclass
from bounceclass import mime, reports
from bounceclass.judge import MAX_EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIXTURES = Path(__file__).parent.parent / "fixtures"
CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
MESSAGES = sorted(FIXTURES.rglob("*.eml"))
MUTATIONS = int(os.environ.get("BOUNCECLASS_MUTATIONS", "2000"))

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check(raw: bytes) -> bounceclass.Report:
    """Classify *raw*, and hold the report to what is promised of every report."""
    report = bounceclass.classify(raw)
    plain = msgspec.json.decode(report.to_json())
    assert plain == report.to_dict()
    assert report.failures == () or report.kind in ("bounce", "delay")
    assert (report.feedback is not None) <= (report.kind == "feedback")
    for failure in report.failures:
        for address in (failure.recipient, failure.original_recipient, failure.final_recipient):
            assert address is None or (0 < len(address) <= 320 and not _CONTROL.search(address))
        assert failure.action in ("failed", "delayed")
        assert failure.reply_code is None or 400 <= failure.reply_code < 600
        assert failure.status is None or re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", failure.status)
        assert len(failure.evidence) <= MAX_EVIDENCE
        if failure.suppress:
            assert (failure.severity, failure.action) == ("hard", "failed")
            assert failure.scope in ("address", "domain")
            assert failure.confidence != "guess"
            assert failure.recipient
    return report


# --- damaged messages ---------------------------------------------------------


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Return *raw* with one kind of damage that mail suffers."""
    kind = chance.randrange(9)
    at = chance.randrange(len(raw) + 1)
    to = min(len(raw), at + chance.choice((1, 10, 200, 2000)))
    if kind == 0:  # cut
        return raw[:at]
    if kind == 1:  # beheaded
        return raw[at:]
    if kind == 2:  # a piece is lost
        return raw[:at] + raw[to:]
    if kind == 3:  # a piece comes twice
        return raw[:to] + raw[at:]
    if kind == 4:  # bits flip
        flipped = bytearray(raw)
        for _ in range(min(len(raw), chance.choice((1, 5, 50)))):
            flipped[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        return bytes(flipped)
    if kind == 5:  # wrapped anew
        width = chance.choice((20, 60, 76))
        return b"\n".join(line[i : i + width] for line in raw.split(b"\n") for i in range(0, len(line) or 1, width))
    if kind == 6:  # other line ends
        plain = raw.replace(b"\r\n", b"\n")
        return plain.replace(b"\n", chance.choice((b"\n", b"\r\n", b"\r", b"\r\r\n", b"\n\n", b" \n")))
    if kind == 7:  # sent on inside another message
        return nested(raw, chance.choice((b"message/rfc822", b"text/plain", b"message/delivery-status", b"text/html")))
    lines = raw.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def nested(raw: bytes, kind: bytes) -> bytes:
    return (
        b"From: MAILER-DAEMON@mail.example.org\nSubject: failure notice\n"
        b"Content-Type: multipart/report; boundary=outer\n\n--outer\n"
        b"Content-Type: " + kind + b"\n\n" + raw + b"\n--outer--\n"
    )


def mutations(folder: Path, each: int) -> Iterator[tuple[str, bytes]]:
    """Yield *each* damaged copies of every message under *folder*, always the same ones."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".eml", ".txt"):
            raw = path.read_bytes()
            chance = random.Random(path.name)
            for number in range(each):
                once = damaged(raw, chance)
                yield f"{path.relative_to(folder)} #{number}", damaged(once, chance) if number % 3 == 2 else once


def test_mutations_are_always_the_same() -> None:
    first, again = (dict(mutations(FIXTURES / "qmail", 9)) for _ in range(2))
    assert first == again
    assert len(set(first.values())) > 0.9 * len(first)


@pytest.mark.parametrize("folder", [FIXTURES, CORPUS], ids=["fixtures", "corpus"])
def test_mutations(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"there is no {folder.parent.name}/{folder.name} beside the project")
    count = sum(1 for path in folder.rglob("*") if path.suffix in (".eml", ".txt"))
    read = 0
    for name, raw in mutations(folder, max(1, MUTATIONS // count)):
        try:
            check(raw)
        except Exception as error:
            error.add_note(name)
            raise
        read += 1
    assert read >= min(MUTATIONS, count) / 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(path=st.sampled_from(MESSAGES), chance=st.randoms(use_true_random=False), times=st.integers(1, 4))
def test_damage_upon_damage(path: Path, chance: random.Random, times: int) -> None:
    raw = path.read_bytes()
    for _ in range(times):
        raw = damaged(raw, chance)
    check(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(raw: bytes) -> None:
    check(raw)


@settings(max_examples=100, deadline=None)
@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(
                ["From", "Subject", "Return-Path", "Content-Type", "X-Failed-Recipients", "Auto-Submitted", "To"]
            ),
            st.text(st.characters(exclude_characters="\r\n"), max_size=60),
        ),
        max_size=6,
    ),
    body=st.text(max_size=200),
)
def test_any_text_in_the_fields(fields: list[tuple[str, str]], body: str) -> None:
    report = bounceclass.classify("".join(f"{name}: {value}\n" for name, value in fields) + "\n" + body)
    assert msgspec.json.decode(report.to_json()) == report.to_dict()


@pytest.mark.parametrize("ends", [b"\r\n", b"\r", b"\r\r\n"], ids=["CRLF", "CR", "CR CR LF"])
def test_line_ends_change_no_verdict(ends: bytes) -> None:
    """Of two messages that differ in their line ends alone, both say the same."""
    different = []
    for path in MESSAGES:
        raw = path.read_bytes()
        if b"\r" in raw:
            continue
        one, other = (bounceclass.classify(text) for text in (raw, raw.replace(b"\n", ends)))
        if verdicts(one) != verdicts(other):
            different.append(str(path.relative_to(FIXTURES)))
    assert different == []


def test_an_mbox_separator_changes_no_verdict() -> None:
    separator = b"From MAILER-DAEMON Thu Jan  2 03:04:05 2025\n"
    for path in MESSAGES:
        raw = path.read_bytes()
        if b"\n" in raw:
            assert verdicts(bounceclass.classify(separator + raw)) == verdicts(bounceclass.classify(raw)), path


def verdicts(report: bounceclass.Report) -> list[Any]:
    return [
        report.kind,
        report.dialect,
        *((one.recipient, one.reason, one.severity, one.suppress) for one in report.failures),
    ]


# --- hostile shapes -----------------------------------------------------------

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


@pytest.mark.parametrize("name", SHAPES)
def test_hostile_shapes(name: str) -> None:
    shape, size, kind, failures, defects = SHAPES[name]
    report = check(shape(size))
    assert (report.kind, len(report.failures), report.defects) == (kind, failures, defects)


# --- time ---------------------------------------------------------------------

BYTES = 100_000
"""Of the smaller of two messages: the larger one is within most caps still."""
BEYOND: dict[Callable[[int], bytes], int] = {multiparts: 1_000_000}
"""Of shapes whose time is linear beyond a cap only: depth costs fast-mail-parser its square, up to MAX_BOUNDARIES."""
TRIES = 6
LEAST = 0.002
"""Seconds of computing that are nothing to measure by."""


@pytest.mark.parametrize("name", SHAPES)
def test_time_is_linear_in_a_hostile_shape(name: str) -> None:
    shape = SHAPES[name][0]
    size = BEYOND.get(shape, BYTES) // (len(shape(20)) - len(shape(10))) * 10
    assert_linear(shape(size), shape(2 * size))


def test_time_is_linear_in_a_passage_that_is_repeated() -> None:
    for path in MESSAGES[:: max(1, len(MESSAGES) * 20 // MUTATIONS)]:
        lines = path.read_bytes().splitlines(keepends=True)
        chance = random.Random(path.name)
        at = chance.randrange(len(lines) or 1)
        passage = b"".join(lines[at : at + chance.choice((1, 1, 2, 3, 5))]) or b"\n"
        one, twice = (
            b"".join([*lines[:at], passage * (size // len(passage)), *lines[at:]]) for size in (BYTES, 2 * BYTES)
        )
        try:
            assert_linear(one, twice)
        except AssertionError as error:
            error.add_note(f"{path.relative_to(FIXTURES)}, {passage!r}")
            raise


def assert_linear(one: bytes, twice: bytes) -> None:
    """Twice the message takes less than three times as long, at best of a few times; four times where it is quadratic."""
    best_of_one = best_of_twice = math.inf
    for _ in range(TRIES):
        best_of_one, best_of_twice = min(best_of_one, seconds(one)), min(best_of_twice, seconds(twice))
        if best_of_twice < 3 * best_of_one + LEAST:
            return
    raise AssertionError(f"{len(one)} bytes took {best_of_one:.4f} s, {len(twice)} bytes {best_of_twice:.4f} s")


def seconds(raw: bytes) -> float:
    """Return how long this process computes, whatever else the machine is doing."""
    started = time.process_time()
    bounceclass.classify(raw)
    return time.process_time() - started
