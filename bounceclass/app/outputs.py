"""Where verdicts go: the formats of ``classify``, the file that they are written to, the progress bar."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import click
import msgspec

from bounceclass import wire
from bounceclass.app import show, unmatched
from bounceclass.model import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from bounceclass.app.sources import Item

__all__ = ["FORMATS", "Output", "opened", "piece", "replacing", "with_progress", "writer"]

PATIENCE = 1.0
"""Seconds that a run may take before it shows a progress bar."""


class Output(Protocol):
    """Takes what there is to say of one message at a time."""

    def add(self, source: str, piece: bytes) -> None:
        """Write *piece*, which ``piece`` made of the verdicts on the message named *source*."""

    def close(self) -> None:
        """Write what stands at the end."""


class Table(Protocol):
    """Takes the verdicts on one message at a time."""

    def add(self, source: str, report: Report) -> None:
        """Take the verdicts on the message named *source*."""

    def close(self) -> None:
        """Write what is still to be shown."""


class _Format(NamedTuple):
    """How the pieces of a format are put together; a message may have nothing to say."""

    piece: Callable[[Report, str], bytes]
    head: bytes = b""
    between: bytes = b""
    tail: bytes = b""


class _Pieces:
    """Writes each message's piece as soon as it is known."""

    def __init__(self, form: _Format, out: IO[bytes]) -> None:
        self._form = form
        self._out = out
        self._between = b""
        out.write(form.head)

    def add(self, source: str, piece: bytes) -> None:
        del source
        if piece:
            self._out.write(self._between + piece)
            self._between = self._form.between

    def close(self) -> None:
        self._out.write(self._form.tail)


class _Rows:
    """Hands verdicts on to a table, which has them all before it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.close = table.close

    def add(self, source: str, piece: bytes) -> None:
        self._table.add(source, _REPORT.decode(piece))


_REPORT = msgspec.msgpack.Decoder(Report)


def _whole(report: Report, source: str) -> bytes:
    del source
    return msgspec.msgpack.encode(report)


def _json_line(report: Report, source: str) -> bytes:
    return wire.json_line(report, source) + b"\n"


def _sisimai(report: Report, source: str) -> bytes:
    return b",\n".join(map(wire.as_json, wire.sisimai(report, source)))


def _csv(report: Report, source: str) -> bytes:
    return wire.csv_lines(wire.csv_rows(report, source)).encode()


_FORMATS = {
    "json": _Format(wire.json_line, head=b"[\n", between=b",\n", tail=b"\n]\n"),
    "jsonl": _Format(_json_line),
    "csv": _Format(_csv, head=wire.csv_lines([wire.CSV_HEADER]).encode()),
    "sisimai": _Format(_sisimai, head=b"[\n", between=b",\n", tail=b"\n]\n"),
}
FORMATS = ("table", *_FORMATS)
"""The names of the formats, the default first."""


def piece(form: str) -> Callable[[Report, str], bytes]:
    """Return what turns the verdicts on a message, and its name, into a piece of the format *form*, in any process."""
    return _FORMATS[form].piece if form in _FORMATS else _whole


def writer(
    form: str, out: IO[bytes], *, terminal: bool, lang: str, why: bool = False, only_unmatched: bool = False
) -> Output:
    """Return what writes verdicts, or only what no rule matched, to *out* in the format *form*."""
    if only_unmatched:
        return _Rows(unmatched.UnmatchedTable(out, terminal=terminal))
    if form in _FORMATS:
        return _Pieces(_FORMATS[form], out)
    return _Rows(show.VerdictTable(out, terminal=terminal, lang=lang, why=why))


@contextmanager
def opened(path: str | None) -> Iterator[IO[bytes]]:
    """Open *path*, or standard output, for writing, as ``replacing`` does; raises click's error."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(Path(path)) as out:
            yield out
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open *path* for writing; raises OSError.

    A file comes to stand under its name only when everything is in it; where that fails,
    what stood there stays.  A device or a FIFO is written to as it is.
    """
    in_place = path.exists() and not path.is_file()
    with path.open("wb") if in_place else _draft(path.resolve()) as out:  # a link goes on pointing to its target
        yield out


@contextmanager
def _draft(target: Path) -> Iterator[IO[bytes]]:
    """Open a file beside *target* that replaces it, with its permissions, unless anything is raised."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666  # of which the umask takes its share
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())  # a map that is empty after a power cut would let all mail through
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def with_progress(items: Iterator[Item], total: int | None) -> Iterator[Item]:
    """Yield *items*, with a progress bar on standard error once they have taken longer than PATIENCE."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("classifying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=total)
    started, shown = time.monotonic(), False
    try:
        for item in items:
            yield item
            bar.advance(task, item.size)
            if not shown and time.monotonic() - started > PATIENCE:
                bar.start()
                shown = True
    finally:
        if shown:
            bar.stop()
