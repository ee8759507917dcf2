"""Taking messages out of one mbox into others so that a crash neither loses nor doubles any.

Each message is first copied to a stage, a file for each target in a hidden directory
beside them (``.bounces.mbox.<mark>.filing``, as other sources of the same name may be filed
there too).  ``commit`` stages what stays in the source too and writes a journal: from that
moment the filing is as good as done.  ``carry_out`` appends the stages to their targets and
writes what stays over the source; it can be repeated from whatever point it was interrupted
at, and is by the next run.

The source is written in place, never replaced: a mail server that has opened it and
waits for the lock would deliver into the file that was.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bounceclass.app.mailboxes.base import MailboxError
from bounceclass.app.mailboxes.disk import sync_directories
from bounceclass.app.mailboxes.mboxlock import locked
from bounceclass.app.sources import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

__all__ = ["Place", "Span", "Stage", "changed", "digest"]

_ENDS = (b"\n\n", b"\n\r\n")
"""The empty line between a message and the separator after it."""


class Place(NamedTuple):
    """Where a message stands in its mbox, and what stood there when it was fetched."""

    start: int
    end: int
    digest: bytes


class _Run:
    """Neighbouring messages that are staged, and what they were."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.content = hashlib.blake2b()


class _Target(msgspec.Struct, frozen=True):
    stage: str
    path: str
    size: int
    """The size of the target before anything was appended."""


class _Journal(msgspec.Struct, frozen=True):
    targets: tuple[_Target, ...]
    size: int
    """The size of the source when it was written."""
    kept: int
    """The size of what stays in it."""
    rest: str
    """The digest of the source from ``kept`` to ``size``, by which to see whether that is cut off yet."""
    source: str = ""
    """The path of the source, for people too; earlier versions did not write it."""


class Stage:
    """What is to be taken out of the mbox *box* into others in the directory *shelf*; *mark* is in no other's names."""

    def __init__(self, box: Path, shelf: Path, timeout: float, mark: str) -> None:
        self._box = box
        self._shelf = shelf
        self._timeout = timeout
        self._origin = os.fsencode(os.path.realpath(box)).decode("utf-8", "backslashreplace")
        # as earlier versions called it, whichever source of this name it was
        self._before = shelf / f".{box.name}.filing"
        self._folder = shelf / f".{box.name}.{mark}.filing"
        self._journal = self._folder / "journal"
        self._kept = self._folder / "kept"
        self._runs: list[_Run] = []
        self._files: dict[str, IO[bytes]] = {}

    @property
    def interrupted(self) -> bool:
        """Whether a run committed something that it did not carry out."""
        return self._journal.exists() or (self._before / "journal").exists()

    def open(self, source: int) -> None:
        """Make sure that there is a place for stages that nobody else has laid there; the mbox *source* is open."""
        if self._before.is_dir():
            self._refuse_foreign(self._before)
            self._adopt(source)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except PermissionError:
            hint = "set into to a directory that you may write in"
            raise MailboxError(f"{self._shelf}: messages cannot be filed here: {hint}") from None
        self._refuse_foreign(self._folder)
        self.clear()

    def _refuse_foreign(self, folder: Path) -> None:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise MailboxError(f"{folder} belongs to somebody else: set into to a directory of your own")

    def _adopt(self, source: int) -> None:
        """Make ours what a run of an earlier version left, unless it may be that of another source of this name.

        Ours it is where the source still ends as the journal says, or where the mboxes stand
        beside the source.  Stages without a journal are copies, and of no use to anybody.
        """
        journal = self._before / "journal"
        if not journal.exists():
            for path in self._before.iterdir():
                path.unlink()
            self._before.rmdir()
            return
        about = _read(journal)
        untouched = digest(source, about.kept, about.size).hex() == about.rest
        if not untouched and self._shelf != self._box.parent:
            raise MailboxError(
                f"{self._before} is what an interrupted run left, of another source of this name, it seems: "
                "process that one first; where there is none, delete it"
            )
        self._before.rename(self._folder)

    def clear(self) -> None:
        """Forget what is staged, unless it is committed."""
        files, self._files, self._runs = self._files, {}, []
        for file in files.values():
            with suppress(OSError):  # it may still hold what there was no room for
                file.close()
        if not self._journal.exists():
            for path in self._folder.iterdir():
                path.unlink()

    def close(self) -> None:
        """Leave no trace but what is still to be carried out."""
        if self._folder.exists() and not self._journal.exists():
            self.clear()
            self._folder.rmdir()

    def add(self, source: int, place: Place, target: str | None) -> None:
        """Stage a message of the open mbox *source* for the folder *target*, or for nowhere.

        Messages come in the order of the mbox; one that is staged already is passed over.
        """
        if self._runs and place.start < self._runs[-1].end:
            return
        if not self._runs or place.start > self._runs[-1].end:
            self._runs.append(_Run(place.start))
        run, seen, tail = self._runs[-1], hashlib.blake2b(), b""
        file = self._file(target) if target else None
        for chunk in _chunks(source, place.start, place.end):
            seen.update(chunk)
            run.content.update(chunk)
            tail = tail[-3:] + chunk[-3:]
            if file:
                file.write(chunk)
        if seen.digest() != place.digest:
            raise changed(self._box)
        if file:
            file.write(_missing_end(tail))
        run.end = place.end

    def _file(self, target: str) -> IO[bytes]:
        if target not in self._files:
            self._files[target] = (self._folder / f"to {target}").open("xb")
        return self._files[target]

    def commit(self, source: int) -> bool:
        """Promise that everything staged will be carried out; return whether there is anything.

        The mbox *source* is open and locked.
        """
        if not self._runs:
            return False
        size = os.fstat(source).st_size
        if not os.path.samestat(self._box.stat(), os.fstat(source)) or not all(
            digest(source, run.start, run.end) == run.content.digest() for run in self._runs
        ):
            raise changed(self._box)
        for file in self._files.values():
            _finish(file)
        with self._kept.open("xb") as kept:
            for start, end in _between(self._runs, size):
                kept.writelines(_chunks(source, start, end))
            _finish(kept)
            kept_size = kept.tell()
        self._promise(source, tuple(self._target(source, name) for name in self._files), size, kept_size)
        return True

    def _target(self, source: int, name: str) -> _Target:
        """Return how the target stands now, made where there is none; it ends with an empty line."""
        path = self._shelf / f"{self._box.name}.{name}"
        with self._opened(path, source) as descriptor:
            return _Target(f"to {name}", str(path), _end(descriptor))

    @contextmanager
    def _opened(self, path: Path, source: int) -> Iterator[int]:
        """Open and lock a target, made where there is none.

        Whoever may write in its directory may have laid a link to any file there, or a file
        of somebody else: only one of ours or of the owner of the mbox *source* is opened.
        """
        refused = MailboxError(
            f"{path} is no file of yours or of the owner of {self._box}: nothing is appended to it; take it away"
        )
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise refused from None
            raise
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_uid not in (os.geteuid(), os.fstat(source).st_uid):
                raise refused
            with locked(path, descriptor, self._timeout):
                yield descriptor
        finally:
            os.close(descriptor)

    def _promise(self, source: int, targets: tuple[_Target, ...], size: int, kept: int) -> _Journal:
        """Write the journal, all of it or nothing."""
        journal = _Journal(targets, size, kept, digest(source, kept, size).hex(), self._origin)
        draft = self._folder / "draft"
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(journal))
            _finish(file)
        draft.replace(self._journal)
        sync_directories([self._folder, self._shelf])
        return journal

    def carry_out(self, source: int) -> None:
        """Do what is promised, or the rest of it; the mbox *source* is open and locked."""
        if self._journal.exists():
            journal = _read(self._journal)
            if journal.source not in ("", self._origin):
                raise MailboxError(f"{self._folder} is what an interrupted run on {journal.source} left: process that")
            for target in journal.targets:
                self._append(source, target)
            self._shrink(source, journal)
            self._journal.unlink()
            sync_directories([self._folder, self._shelf])
        self.clear()

    def _append(self, source: int, target: _Target) -> None:
        """Append a stage to its target, or what is still missing of it.

        Where the target was changed by somebody else since it was promised, all is appended.
        """
        staged = self._folder / target.stage
        with staged.open("rb") as stage, self._opened(Path(target.path), source) as descriptor:
            done = _in_common(stage, descriptor, target.size)
            at = _end(descriptor) if done is None else target.size + done
            stage.seek(done or 0)
            _copy(stage, descriptor, at)
            os.fsync(descriptor)

    def _shrink(self, source: int, journal: _Journal) -> None:
        """Write what is kept over the source and cut off the rest, unless that is done."""
        if digest(source, journal.kept, journal.size).hex() != journal.rest:
            return
        with self._kept.open("r+b") as kept:
            size = os.fstat(source).st_size
            if size > journal.size:  # what was delivered since the interruption is kept too
                kept.truncate(journal.kept)
                kept.seek(journal.kept)
                kept.writelines(_chunks(source, journal.size, size))
                _finish(kept)
                self._promise(source, journal.targets, size, kept.tell())
            kept.seek(0)
            _copy(kept, source, 0)
            os.fsync(source)
            os.ftruncate(source, kept.tell())
            os.fsync(source)


class Span(io.RawIOBase):
    """The bytes of an open file from *start* to *end*, wherever its own position is."""

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._at = start
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = os.pread(self._descriptor, min(len(buffer), self._end - self._at), self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def digest(descriptor: int, start: int, end: int) -> bytes:
    """Return what identifies the bytes of an open file from *start* to *end*."""
    seen = hashlib.blake2b()
    for chunk in _chunks(descriptor, start, end):
        seen.update(chunk)
    return seen.digest()


def changed(box: Path) -> MailboxError:
    """Return the error that another program interfered."""
    return MailboxError(
        f"{box} was changed by another program; what was not moved stays for the next run", temporary=True
    )


def _chunks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    with Span(descriptor, start, end) as span:
        while chunk := span.read(CHUNK):
            yield chunk


def _read(journal: Path) -> _Journal:
    try:
        return msgspec.json.decode(journal.read_bytes(), type=_Journal)
    except (msgspec.MsgspecError, UnicodeError):
        raise MailboxError(
            f"{journal} is damaged: see what the files beside it have that the mboxes lack, then delete {journal.parent}"
        ) from None


def _between(runs: Iterable[_Run], size: int) -> Iterator[tuple[int, int]]:
    """Yield where everything stands that is in none of the *runs*."""
    at = 0
    for run in runs:
        yield at, run.start
        at = run.end
    yield at, size


def _missing_end(tail: bytes) -> bytes:
    """Return what is missing after the last bytes of a message, to the empty line that ends it."""
    if tail.endswith(_ENDS) or tail in (b"\n", b"\r\n"):
        return b""
    return b"\n" if tail.endswith(b"\n") else b"\n\n"


def _end(descriptor: int) -> int:
    """Return where an mbox ends, which is given an empty line there, unless it has one."""
    size = os.fstat(descriptor).st_size
    if not size:
        return 0
    missing = _missing_end(os.pread(descriptor, 3, max(size - 3, 0)))
    _write(descriptor, missing, size)
    return size + len(missing)


def _in_common(stage: IO[bytes], descriptor: int, at: int) -> int | None:
    """Return how much of the stage the target has from *at* on; None where it has something else, or ends before."""
    if os.fstat(descriptor).st_size < at:
        return None
    done = 0
    while chunk := stage.read(CHUNK):
        there = os.pread(descriptor, len(chunk), at + done)
        if not chunk.startswith(there):
            return None
        done += len(there)
        if len(there) < len(chunk):
            break
    return done


def _copy(file: IO[bytes], descriptor: int, at: int) -> None:
    while chunk := file.read(CHUNK):
        _write(descriptor, chunk, at)
        at += len(chunk)


def _write(descriptor: int, content: bytes, at: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, at)
        content, at = content[written:], at + written


def _finish(file: IO[bytes]) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())
