"""An mbox, filed into mboxes beside it: read without a lock up to where it ended, changed once, at the end."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Any, Self

from bounceclass.app import sources
from bounceclass.app.mailboxes.base import Fetched, MailboxError, disk_errors
from bounceclass.app.mailboxes.mboxlock import locked, settled_size
from bounceclass.app.mailboxes.mboxstage import Place, Span, Stage, digest
from bounceclass.app.mailboxes.settings import mark
from bounceclass.app.sources import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from bounceclass.app.mailboxes.base import Kind
    from bounceclass.app.mailboxes.settings import Mbox

__all__ = ["MboxMailbox"]

FROM = b"From "


class MboxMailbox:
    """The messages that an mbox has when they are asked for; the handle is a ``Place``."""

    def __init__(self, source: Mbox, *, dry_run: bool) -> None:
        self._source = source
        self._path = source.place
        self._dry = dry_run
        self._leaves = dry_run or source.after == "leave"
        self._stage = Stage(self._path, source.shelf, source.timeout, mark(source))
        self._file: IO[bytes] | None = None

    @disk_errors()
    def __enter__(self) -> Self:
        if not stat.S_ISREG(self._path.stat().st_mode):
            raise MailboxError(f"{self._path} is no file: a Maildir or a directory is a source of another type")
        # opened without a buffer: what stands in the file is read where it stands
        self._file = self._path.open("rb" if self._leaves else "r+b", buffering=0)
        try:
            self._prepare(self._file.fileno())
        except BaseException:
            self._file.close()
            raise
        return self

    def _prepare(self, descriptor: int) -> None:
        if self._leaves:
            if self._stage.interrupted:
                raise MailboxError(f"{self._path}: a run was interrupted and must be finished by one that files")
        else:
            self._stage.open(descriptor)
            with locked(self._path, descriptor, self._source.timeout):
                self._stage.carry_out(descriptor)
        if os.pread(descriptor, len(FROM), 0) not in (FROM, b""):
            self._stage.close()
            raise MailboxError(f"{self._path} is not an mbox: it does not begin with From")

    @disk_errors()
    def __exit__(self, *_: object) -> None:
        try:
            self._settle()
        finally:
            self._opened.close()
            self._file = None
            if not self._leaves:
                self._stage.close()

    def messages(self) -> Iterator[Fetched]:
        with disk_errors():
            self._settle()
            descriptor, start = self._opened.fileno(), 0
            name = os.fsencode(self._path).decode("utf-8", "replace")
            file = io.BufferedReader(Span(descriptor, 0, self._size()), CHUNK)
            first = file.readline(CHUNK)
            for item in sources.mbox(file, first, name, self._source.max_bytes) if first else ():
                end = start + item.size
                yield Fetched(item.name, item.content, Place(start, end, digest(descriptor, start, end)))
                start = end

    @disk_errors()
    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        if self._leaves:
            return
        try:
            for place, kind in sorted(filed):
                fate = self._source.fate(kind)
                if fate != "leave":
                    name = None if fate == "delete" else self._source.folder_name(kind)
                    self._stage.add(self._opened.fileno(), place, name)
        except BaseException:
            self._stage.clear()  # half a message may be staged: the next run begins again
            raise

    @property
    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("the mailbox is not open")
        return self._file

    def _size(self) -> int:
        """Return the size of the mbox when no message is being delivered."""
        descriptor = self._opened.fileno()
        if self._leaves:
            return settled_size(self._path, descriptor, self._source.timeout)
        with locked(self._path, descriptor, self._source.timeout):
            return os.fstat(descriptor).st_size

    def _settle(self) -> None:
        """Take what is filed out of the mbox, with whatever is to be done at once for all of it."""
        if self._leaves:
            return
        with locked(self._path, self._opened.fileno(), self._source.timeout):
            if self._stage.commit(self._opened.fileno()):
                self._stage.carry_out(self._opened.fileno())
