"""A directory of messages, a file each, filed into its sub-directories."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bounceclass.app import sources
from bounceclass.app.mailboxes.base import Fetched, Kind, MailboxError, disk_errors
from bounceclass.app.mailboxes.disk import move_file, sync_directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bounceclass.app.mailboxes.settings import Directory

__all__ = ["DirectoryMailbox"]


class DirectoryMailbox:
    """Files that look like mail; the handle is the path of the file."""

    def __init__(self, source: Directory, *, dry_run: bool) -> None:
        self._source = source
        self._root = source.place
        self._leaves = dry_run or source.after == "leave"

    def __enter__(self) -> Self:
        if not self._root.is_dir():
            raise MailboxError(f"{self._root} is not a directory")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def messages(self) -> Iterator[Fetched]:
        for path, error in sources.files(self._root, deep=False):
            if error:
                yield Fetched(str(path), error, path)
                continue
            items = list(islice(sources.messages(path, self._source.max_bytes), 2))
            if len(items) == 2:
                several = MailboxError(f"{path} holds several messages: make it a source of type mbox")
                yield Fetched(str(path), several, path)
            elif items and not isinstance(items[0].content, FileNotFoundError):
                yield Fetched(items[0].name, items[0].content, path)

    @disk_errors()
    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        if self._leaves:
            return
        changed: list[Path] = []
        for path, kind in filed:
            if not os.path.lexists(path):
                continue  # somebody else moved or deleted it
            self._forget_half_moved(path)
            fate = self._source.fate(kind)
            if fate == "leave":
                continue
            if fate == "delete":
                path.unlink()
                continue
            target = self._folder(kind)
            target.mkdir(exist_ok=True)
            move_file(path, target)
            changed.append(target)
        sync_directories([*changed, self._root])

    def _folder(self, kind: Kind) -> Path:
        return self._root / self._source.folder_name(kind)

    def _forget_half_moved(self, path: Path) -> None:
        """Take away what a crash left of *path* in one of the folders: its verdict may be another one now."""
        about = path.lstat()
        if about.st_nlink == 1:
            return
        for folder in filter(Path.is_dir, map(self._folder, Kind)):
            for entry in os.scandir(folder):
                if entry.inode() == about.st_ino and entry.is_file(follow_symlinks=False):
                    Path(entry).unlink()
