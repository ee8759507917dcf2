"""Where messages come from: files, directories, mbox files, Maildirs, standard input.

Every input becomes a stream of ``Item``.  One that cannot be read becomes an item whose
content is the OSError, and the stream goes on.  Memory stays constant: no more of a
message is kept than its cap, and an mbox of any size is read line by line.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bounceclass import mime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

__all__ = ["CHUNK", "MAILDIR", "STDIN", "Item", "files", "mbox", "message", "messages", "read", "size"]

STDIN = "-"
"""The path that means standard input."""

CHUNK = 64 * 1024
"""Bytes that are read at once; no line is held that is longer."""

# The separator of an mbox (RFC 4155) behind an empty line: a sender, or what stands for one, and the time
_SEPARATOR = re.compile(rb"\nFrom (?:(?<=\n\nFrom )|(?<=\n\r\nFrom ))[^\r\n]*\d:\d\d[^\n]*\n?")
# How a message begins, and an mbox
_MAIL = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,999}(?:>?From |[A-Za-z][!-9;-~]{0,199}[ \t]{0,20}:)")
# What mboxo or mboxrd put before a line
_QUOTED = re.compile(rb"\n>(?=>*From )")
# How files begin that have mail in them and are none, and what to do with them
_PACKED = {
    b"\x1f\x8b": "is packed with gzip: unpack it first (zcat)",
    b"BZh": "is packed with bzip2: unpack it first (bzcat)",
    b"\xfd7zXZ": "is packed with xz: unpack it first (xzcat)",
    b"PK\x03\x04": "is packed with zip: unpack it first",
    b"\xd0\xcf\x11\xe0": "is in a format of Outlook's own: save the message as .eml",
}
MAILDIR = ("cur", "new", "tmp")
"""The directories that make a Maildir; a message in the last is still being written."""


class Item(NamedTuple):
    """A message of an input, or why it could not be read."""

    name: str
    """The path; in an mbox of several messages with their number, ``box.mbox:3``."""
    content: bytes | OSError
    """No more than the cap and one byte, by which the parser sees that the message was cut."""
    size: int
    """Bytes that the message took in its input."""


def read(paths: Iterable[str], stdin: IO[bytes] | None = None, *, max_bytes: int = mime.MAX_BYTES) -> Iterator[Item]:
    """Yield every message of *paths*, in their order; a directory's in the order of its names.

    A file that begins with ``From `` is an mbox, unless its name says that it is one
    message (``.eml``).  In a directory hidden names are passed over, and so are FIFOs,
    devices, sockets, links to directories and files that neither end in ``.eml`` nor
    begin with a header field; named explicitly they are read.
    """
    for path in paths:
        if path == STDIN:
            closed = Item(STDIN, OSError(errno.EBADF, "standard input is closed"), 0)
            yield from _stream(stdin, STDIN, max_bytes) if stdin else [closed]
            continue
        for file, error in files(Path(path)):
            if error is None:
                yield from messages(file, max_bytes, named=file == Path(path))
            else:
                yield Item(_name(file), error, 0)


def size(paths: Iterable[str]) -> int | None:
    """Return how many bytes ``read`` will go through, or None where that cannot be known."""
    total = 0
    for path in paths:
        if path == STDIN:
            return None
        for file, error in files(Path(path)):
            if error is None:
                try:
                    about = file.stat()
                except OSError:
                    continue  # gone since; read will say so
                if not stat.S_ISREG(about.st_mode):
                    return None
                total += about.st_size
    return total


# --- directories ------------------------------------------------------------------


def files(start: Path, *, deep: bool = True) -> Iterator[tuple[Path, OSError | None]]:
    """Yield the files under *start*, or *start* itself, each with what keeps it from being read.

    Where they are not to be *deep*, directories in *start* are passed over.
    """
    waiting = [start]
    while waiting:
        path = waiting.pop()
        try:
            mode = path.stat().st_mode
            if not stat.S_ISDIR(mode):
                if path is start or stat.S_ISREG(mode):
                    yield path, None
            elif path is start or (deep and not path.is_symlink()):
                waiting.extend(reversed(_children(path)))
        except OSError as error:
            yield path, error


def _children(folder: Path) -> list[Path]:
    """Return what a directory holds, sorted; of a Maildir its messages, and not those still being written."""
    maildir = [folder / name for name in MAILDIR]
    if all(part.is_dir() for part in maildir):
        return maildir[:2]
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _name(path: Path) -> str:
    """Return *path* as text, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "replace")


# --- files and streams ------------------------------------------------------------


def message(path: Path, max_bytes: int) -> Item:
    """Return the message that the file at *path* is."""
    name = _name(path)
    try:
        with path.open("rb") as file:
            return _single(file, b"", name, max_bytes)
    except OSError as error:
        return Item(name, error, 0)


def messages(path: Path, max_bytes: int, *, named: bool = False) -> Iterator[Item]:
    """Yield the messages of the file at *path*; none where it looks like no mail and was not *named* by the user."""
    if path.suffix.lower() == ".eml":
        yield message(path, max_bytes)
        return
    name = _name(path)
    try:
        with path.open("rb") as file:
            if named or _MAIL.match(file.peek(CHUNK)):
                yield from _stream(file, name, max_bytes)
    except OSError as error:
        yield Item(name, error, 0)


def _stream(file: IO[bytes], name: str, max_bytes: int) -> Iterator[Item]:
    """Yield the messages of *file*: of an mbox, or the one that it is; of an empty file there are none."""
    try:
        first = file.readline(CHUNK)
        packed = next((what for mark, what in _PACKED.items() if first.startswith(mark)), None)
        if packed:
            yield Item(name, OSError(packed), 0)
        elif not first:
            return  # what a run has worked through is an empty mbox
        elif first.startswith(b"From "):
            yield from mbox(file, first, name, max_bytes)
        else:
            yield _single(file, first, name, max_bytes)
    except OSError as error:
        yield Item(name, error, 0)


def _single(file: IO[bytes], first: bytes, name: str, max_bytes: int) -> Item:
    """Return the message that begins with *first*, read to its end: a pipe's writer must not be cut off."""
    content = first + file.read(max(max_bytes + 1 - len(first), 0))
    length = len(content)
    if length > max_bytes:
        while chunk := file.read(CHUNK):
            length += len(chunk)
    return Item(name, content[: max_bytes + 1], length)


def mbox(file: IO[bytes], first: bytes, name: str, max_bytes: int) -> Iterator[Item]:
    """Yield the messages of an mbox whose first line is *first*, without separators and quoting.

    A separator is a From_ line after an empty line.  Of a message longer than the cap the
    rest is passed over.  An mbox of one message keeps the name of its file.  The sizes
    of the items add up to what was read.
    """
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # no more than there is: a pipe must not wait
    number, length, message = 1, len(first), bytearray()
    begins, rest = first.endswith(b"\n"), b""
    while True:
        block = read(CHUNK)
        data = rest + block
        whole = _whole_lines(data) if block else len(data)
        # the newline before what begins a line, or else it could not be told that it does
        text, at = b"\n" * begins + data[:whole], int(begins)
        for found in _SEPARATOR.finditer(text):
            line = found.start() + 1
            _grow(message, text, at, line, max_bytes)
            yield Item(f"{name}:{number}", _without_last_line(message), length + line - at)
            number, length, message, at = number + 1, found.end() - line, bytearray(), found.end()
        _grow(message, text, at, len(text), max_bytes)
        length += len(text) - at
        begins, rest = text.endswith(b"\n"), data[whole:]
        if not block:
            break
    yield Item(f"{name}:{number}" if number > 1 else name, _without_last_line(message), length)


def _whole_lines(data: bytes) -> int:
    """Return how much of *data* are whole lines, but for an empty one at the end: a separator may come after it."""
    end = data.rfind(b"\n") + 1
    for empty in (b"\r\n", b"\n"):
        if data.endswith(b"\n" + empty, 0, end) or data[:end] == empty:
            end -= len(empty)
            break
    return end if end or len(data) < 2 * CHUNK else len(data)  # a line without an end must not be held


def _grow(message: bytearray, text: bytes, start: int, end: int, max_bytes: int) -> None:
    """Add lines to *message*, without their quoting, until it is one byte longer than the cap."""
    if len(message) <= max_bytes:
        piece = text[start:end]
        if b">From " in piece:
            piece = _QUOTED.sub(b"\n", text[max(start - 1, 0) : end])[min(start, 1) :]
        message += piece[: max_bytes + 1 - len(message)]


def _without_last_line(message: bytearray) -> bytes:
    """Return *message* without the empty line that belongs to the separator after it, or stands for it at the end."""
    for end in (b"\r\n", b"\n"):
        if message.endswith(b"\n" + end):
            return bytes(message[: -len(end)])
    return bytes(message)
