"""Whatever a message says, it is read: no exception, no wait, and output that is safe to pass on.

``BOUNCECLASS_MUTATIONS`` is how many damaged messages ``test_mutations`` reads; 2,000 unless it says more.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bounceclass
from benchmarks.hostile import SHAPES
from bounceclass.judge import MAX_EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.mark.parametrize("name", SHAPES)
def test_hostile_shapes(name: str) -> None:
    shape, size, kind, failures, defects = SHAPES[name]
    report = check(shape(size))
    assert (report.kind, len(report.failures), report.defects) == (kind, failures, defects)
