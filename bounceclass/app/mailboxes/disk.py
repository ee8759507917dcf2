"""Moving files so that a crash loses none, and making what was written last."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["make_maildir", "move_file", "sync_directories", "sync_file"]

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}


def sync_file(path: Path) -> None:
    """Bring the content of a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directories(folders: Iterable[Path]) -> None:
    """Bring the names in directories to the disk, in this order, each once."""
    for folder in dict.fromkeys(folders):
        sync_file(folder)


def make_maildir(folder: Path) -> None:
    """Make a Maildir, or what is missing of it."""
    for part in ("tmp", "new", "cur"):
        (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)


def move_file(source: Path, folder: Path) -> None:
    """Move a file into *folder*; where its name is taken there, it gets a number.  Nothing is overwritten.

    The file stands in both places for a moment, and may after a crash.
    """
    for number in itertools.count():
        target = folder / (f"{source.stem}-{number}{source.suffix}" if number else source.name)
        if os.path.lexists(target):
            continue
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            source.rename(target)  # a file system without links
        else:
            source.unlink()
        return
