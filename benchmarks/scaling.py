"""How the cost grows: with the size of a message, with its recipients, with the number of messages."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bounceclass
from benchmarks.messages import FIXTURES
from benchmarks.table import show
from bounceclass import parallel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["figures", "mbox", "print_figures", "report"]

MEGABYTES = (1, 2, 4, 8, 16)
RECIPIENTS = (1, 10, 100, 1_000, 10_000)
MESSAGES = 100_000

_HEAD = b"""\
From: MAILER-DAEMON@mx.example.net
To: news@example.org
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

The message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

"""
_RECIPIENT = b"""\
Final-Recipient: rfc822; user%d@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <user%d@example.com>: Recipient address rejected: User unknown

"""
_RETURNED = b"""\
--b
Content-Type: message/rfc822

From: news@example.org
To: user0@example.com
Subject: News
MIME-Version: 1.0
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

"""


def report(recipients: int, size: int = 0) -> bytes:
    """Return a report on *recipients*, with a returned message of about *size* bytes."""
    groups = b"".join(_RECIPIENT % (number, number) for number in range(recipients))
    line = b"QUJD" * 18 + b"\n"
    return _HEAD + groups + _RETURNED + line * (size // len(line)) + b"--b--\n"


def mbox(path: Path, messages: int) -> None:
    """Write an mbox of *messages* messages of ``fixtures/``, each with a Message-ID of its own."""
    contents = [file.read_bytes() for file in sorted(FIXTURES.rglob("*.eml"))]
    with path.open("wb") as file:
        for number, content in enumerate(islice(cycle(contents), messages)):
            quoted = re.sub(rb"(?m)^(>*From )", rb">\1", content)
            file.write(b"From MAILER-DAEMON Mon Nov 23 10:00:00 2026\nX-Number: %d\n%s\n\n" % (number, quoted))


def figures(
    messages: int = MESSAGES, megabytes: tuple[int, ...] = MEGABYTES, recipients: tuple[int, ...] = RECIPIENTS
) -> dict[str, Any]:
    """Return seconds by size, by recipients and by processes, and the peak memory of those."""
    sizes = []
    for size in megabytes:
        raw = report(1, size * 1_000_000)
        capped = _seconds(lambda raw=raw: bounceclass.classify(raw))  # type: ignore[misc]
        whole = _seconds(lambda raw=raw: bounceclass.classify(raw, max_bytes=len(raw)))  # type: ignore[misc]
        sizes.append({"megabytes": size, "capped": capped, "whole": whole})
    counts = []
    for count in recipients:
        raw = report(count)
        counts.append({"recipients": count, "seconds": _seconds(lambda raw=raw: bounceclass.classify(raw))})  # type: ignore[misc]
    return {"sizes": sizes, "recipients": counts, "mbox": {"messages": messages, "runs": _runs(messages)}}


def _seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _runs(messages: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder) / "box.mbox"
        mbox(box, messages)
        _run(box, 1)  # the file is in memory from now on
        return [_run(box, jobs) for jobs in sorted({1, 2, parallel.cores()})]


def _run(box: Path, jobs: int) -> dict[str, Any]:
    """Run the command line over *box*; return its seconds and the most memory that the parent held (Linux)."""
    command = [sys.executable, "-m", "bounceclass", "classify", "--format", "jsonl", "--jobs", str(jobs), str(box)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        peak = 0
        while running.poll() is None:
            peak = _peak(running.pid) or peak
            time.sleep(0.02)
    assert running.returncode == 0
    return {"jobs": jobs, "seconds": time.perf_counter() - start, "peak_mb": peak / 1000}


def _peak(pid: int) -> int:
    """Return the most memory that a process has held, in KB; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0


def print_figures(found: dict[str, Any]) -> None:
    """Print what ``figures`` returned."""
    base = found["sizes"][0]
    show(
        "A report by the size of the message that it returns, in milliseconds and times the first",
        ("MB", "classify (reads 2 MiB)", "all of it (max_bytes)"),
        [
            (one["megabytes"], *(f"{one[key] * 1e3:.2f}  {one[key] / base[key]:.1f}" for key in ("capped", "whole")))
            for one in found["sizes"]
        ],
    )
    show(
        "A report by its recipients",
        ("recipients", "milliseconds", "microseconds each"),
        [
            (one["recipients"], f"{one['seconds'] * 1e3:.2f}", f"{one['seconds'] / one['recipients'] * 1e6:.0f}")
            for one in found["recipients"]
        ],
    )
    runs = found["mbox"]["runs"]
    show(
        f"bounceclass classify --format jsonl over an mbox of {found['mbox']['messages']} messages",
        ("processes", "seconds", "times one", "peak MB of the parent"),
        [
            (
                one["jobs"],
                f"{one['seconds']:.1f}",
                f"{runs[0]['seconds'] / one['seconds']:.2f}",
                f"{one['peak_mb']:.0f}",
            )
            for one in runs
        ],
    )
