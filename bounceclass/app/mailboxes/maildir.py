"""A Maildir, filed into its Maildir++ sub-folders by one rename for each message."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Self

from bounceclass.app import sources
from bounceclass.app.mailboxes.base import Fetched, MailboxError, disk_errors
from bounceclass.app.mailboxes.disk import make_maildir, sync_directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bounceclass.app.mailboxes.base import Kind
    from bounceclass.app.mailboxes.settings import Maildir

__all__ = ["MaildirMailbox", "subfolder", "unique"]

_MARK = "maildirfolder"
"""The empty file by which Maildir++ tells a sub-folder."""


class MaildirMailbox:
    """Messages of ``new`` and ``cur``; the handle is the path of the message."""

    def __init__(self, source: Maildir, *, dry_run: bool) -> None:
        self._source = source
        self._root = source.place
        self._leaves = dry_run or source.after == "leave"

    def __enter__(self) -> Self:
        if not all((self._root / part).is_dir() for part in sources.MAILDIR):
            raise MailboxError(f"{self._root} is not a Maildir: it has no new, cur and tmp")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def messages(self) -> Iterator[Fetched]:
        for path, error in sources.files(self._root):
            item = sources.message(path, self._source.max_bytes)
            content = error or item.content
            if not isinstance(content, FileNotFoundError):  # another program moved it meanwhile
                yield Fetched(item.name, content, path)

    @disk_errors()
    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        if self._leaves:
            return
        changed: set[Path] = set()
        targets: dict[Kind, Path] = {}
        for handle, kind in filed:
            fate, path = self._source.fate(kind), _present(handle)
            if path is None or fate == "leave":
                continue  # without a path somebody else moved or deleted it
            if fate == "delete":
                path.unlink()
            else:
                if kind not in targets:
                    targets[kind] = subfolder(self._root, self._source.folder_name(kind)) / "cur"
                path.rename(_free(targets[kind], path))
                changed.add(targets[kind])
            changed.add(path.parent)
        sync_directories(sorted(changed, key=lambda folder: folder.parent == self._root))


def subfolder(root: Path, name: str) -> Path:
    """Return the sub-folder *name* of a Maildir, which is made where there is none.

    All sub-folders stand in the topmost Maildir: one of ``.Bounces`` is ``.Bounces.Processed``.
    """
    if not name.isascii():
        from imapclient import imap_utf7

        name = imap_utf7.encode(name).decode("ascii")
    nested = (root / _MARK).exists()
    folder = root.parent / f"{root.name}.{name}" if nested else root / f".{name}"
    if not (folder / _MARK).exists():
        make_maildir(folder)
        (folder / _MARK).touch()
        sync_directories([folder, folder.parent])
    return folder


def unique(name: str) -> str:
    """Return what identifies a message in a Maildir: its file name without the flags."""
    return name.partition(":")[0]


def _present(path: Path) -> Path | None:
    """Return where the message of *path* stands now that other programs may have set its flags, or None."""
    if os.path.lexists(path):
        return path
    seen = (path.parent.parent / "cur").iterdir()
    return next((other for other in seen if unique(other.name) == unique(path.name)), None)


def _free(folder: Path, path: Path) -> Path:
    """Return a path in *folder* for the message, with its flags; a unique name that is taken gets a number."""
    flags = path.name.partition(":")[2] or "2,"
    name = unique(path.name)
    free = folder / f"{name}:{flags}"
    for number in itertools.count(1):
        if not os.path.lexists(free):
            break
        free = folder / f"{name}-{number}:{flags}"
    return free
