"""A POP3 maildrop (RFC 1939).

POP3 has no folders and forgets everything but deletions, which take effect when the
session ends in order (QUIT).  A message that is to be moved is written to the Maildir on
this machine while it is read, and only then deleted from the server; its name there is
made of its content, so that one that comes again after an interruption is not kept twice.
"""

from __future__ import annotations

import hashlib
import poplib
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bounceclass.app.mailboxes.base import Fetched, Kind, MailboxError, disk_errors
from bounceclass.app.mailboxes.disk import make_maildir, sync_directories, sync_file
from bounceclass.app.mailboxes.maildir import subfolder, unique
from bounceclass.app.mailboxes.network import Refused, Server, tls
from bounceclass.app.mailboxes.settings import mark
from bounceclass.app.sources import CHUNK

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from typing import IO

    from bounceclass.app.mailboxes.settings import Pop3

__all__ = ["Pop3Mailbox"]

_DRAFT = ".bounceclass"
"""How the name of a message ends that is still being read."""
_FORGOTTEN = 36 * 3600
"""Seconds after which whoever reads a Maildir may delete what stands in its ``tmp``."""


class _Handle(NamedTuple):
    number: int
    """The message number, which holds for this session."""
    draft: Path | None
    """Where it is written on this machine until it is filed, if it is to be kept."""
    unique: str
    """Its name in the Maildir."""


class _Lines:
    """Reads messages of any size and line length, which poplib does not."""

    def lines(self, number: int) -> Iterator[bytes]:
        """Yield a message, line by line, a long line in pieces."""
        file: IO[bytes] = self.file  # type: ignore[attr-defined]
        self._shortcmd(f"RETR {number}")  # type: ignore[attr-defined]
        begins = True
        while line := file.readline(CHUNK):
            if begins and line.startswith(b"."):
                if line in (b".\r\n", b".\n"):
                    return
                line = line[1:]
            begins = line.endswith(b"\n")
            yield line
        raise EOFError


class _Plain(_Lines, poplib.POP3):
    pass


class _Tls(_Lines, poplib.POP3_SSL):
    pass


class Pop3Mailbox:
    """The messages of a maildrop; a handle holds for as long as the mailbox is open."""

    def __init__(self, source: Pop3, *, dry_run: bool) -> None:
        self._source = source
        self._after = "leave" if dry_run else source.after
        self._server = Server(source, source.service, poplib.error_proto, lambda error: "EOF" in str(error))
        self._connection: _Plain | _Tls | None = None
        self._deleted = False
        self._kept: dict[str, Path] = {}  # what stands in the folders of the Maildir, by its unique name
        self._keep = Path(source.keep or "") if self._after == "move" else None
        self._mark = mark(source)  # other accounts may be kept in the same Maildir

    # --- the connection -----------------------------------------------------------

    @disk_errors()
    def __enter__(self) -> Self:
        if self._keep:
            self._open_keep(self._keep)
        source = self._source
        context = tls(source) if source.security != "none" else None
        self._connection = self._server.ask("a connection", _connect, source, context)
        try:
            if source.security == "starttls":
                self._server.ask("STLS (correct port, or set security)", self._client.stls, context)
            self._server.connected = True
            password = self._server.secret(source.password) if source.password else ""
            self._server.ask(f"the user {source.user}", self._client.user, source.user)
            self._server.ask(f"the password for {source.user}", self._client.pass_, password)
        except BaseException:
            self._hang_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._deleted:
                self._server.ask("to delete messages", self._client.quit)
            elif self._server.connected:
                # QUIRK: Dovecot marks as seen what was read, but not after a RSET
                with suppress(MailboxError):
                    self._server.ask("RSET", self._client.rset)
        finally:
            self._hang_up()
            if self._keep:
                for draft in self._drafts(self._keep):
                    draft.unlink(missing_ok=True)

    def _hang_up(self) -> None:
        """End the connection; without QUIT the server deletes nothing."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
        self._connection = None
        self._server.connected = False

    @property
    def _client(self) -> _Plain | _Tls:
        if self._connection is None:
            raise ValueError("the mailbox is not open")
        return self._connection

    # --- fetching -----------------------------------------------------------------

    def messages(self) -> Iterator[Fetched]:
        numbers = self._server.ask("the list of messages", self._numbers)
        names = self._names()
        for number in numbers:
            name = f"pop3://{self._source.host}/{self._source.user};{names.get(number, number)}"
            try:
                content, handle = self._retrieve(number, names.get(number, ""))
            except Refused as refused:
                yield Fetched(name, refused, _Handle(number, None, ""))
            else:
                yield Fetched(name, content, handle)

    def _numbers(self) -> list[int]:
        return [int(line.split()[0]) for line in self._client.list()[1]]

    def _names(self) -> dict[int, str]:
        """Return the unique identifiers of the messages; none where the server has none (they are optional)."""
        try:
            answer = self._server.ask("the identifiers of messages", self._client.uidl)[1]
        except Refused:
            return {}
        pairs = (line.decode("ascii", "replace").split(maxsplit=1) for line in answer)
        return {int(pair[0]): pair[1] for pair in pairs if len(pair) == 2 and pair[0].isdecimal()}

    @disk_errors()
    def _retrieve(self, number: int, name: str) -> tuple[bytes, _Handle]:
        """Return what is to be read of a message; all of it is written to a draft where it is to be kept."""
        seen, content = hashlib.sha256(name.encode()), bytearray()
        draft = self._keep / "tmp" / f"{self._mark}.{number}{_DRAFT}" if self._keep else None
        with draft.open("wb") if draft else nullcontext() as file:
            lines = self._client.lines(number)
            while (line := self._server.ask("a message", next, lines, None)) is not None:
                if len(content) <= self._source.max_bytes:
                    content += line
                    del content[self._source.max_bytes + 1 :]
                seen.update(line)
                if file:
                    file.write(line)
        return bytes(content), _Handle(number, draft, seen.hexdigest()[:40])

    # --- filing -------------------------------------------------------------------

    @disk_errors()
    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        if self._after == "leave":
            return
        if self._keep:
            for handle, kind in filed:
                self._move(handle.draft, handle.unique, self._folder(self._keep, kind) / "cur")
            sync_directories(self._folder(self._keep, kind) / "cur" for kind in Kind)
        for handle in (handle for handle, kind in filed if self._source.fate(kind) != "leave"):
            self._server.ask("to delete a message", self._client.dele, handle.number)
            self._deleted = True

    def _move(self, draft: Path, name: str, folder: Path) -> None:
        """Keep a message in *folder*, whether or not an interrupted run did so, there or elsewhere."""
        kept = self._kept.pop(name, None)
        if kept and kept.parent == folder:
            draft.unlink()
            return
        sync_file(draft)
        draft.rename(folder / f"{name}:2,")
        if kept:
            kept.unlink(missing_ok=True)

    # --- the Maildir --------------------------------------------------------------

    def _open_keep(self, keep: Path) -> None:
        make_maildir(keep)
        for draft in self._drafts(keep):
            draft.unlink()  # of a run that was killed
        for draft in (keep / "tmp").glob(f"*{_DRAFT}"):  # of an account that is read no more
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _FORGOTTEN:
                    draft.unlink()
        for kind in Kind:
            self._kept |= {unique(path.name): path for path in (self._folder(keep, kind) / "cur").iterdir()}

    def _folder(self, keep: Path, kind: Kind) -> Path:
        return subfolder(keep, self._source.folder_name(kind))

    def _drafts(self, keep: Path) -> Iterator[Path]:
        return (keep / "tmp").glob(f"{self._mark}.*{_DRAFT}")


def _connect(source: Pop3, context: ssl.SSLContext | None) -> _Plain | _Tls:
    if source.security == "tls":
        return _Tls(source.host, source.service, timeout=source.timeout, context=context)
    return _Plain(source.host, source.service, timeout=source.timeout)
