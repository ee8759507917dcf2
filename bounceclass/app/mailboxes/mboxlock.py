"""Locking an mbox as mail software does: fcntl on the file, and a dotlock beside it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bounceclass.app.mailboxes.base import MailboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["locked"]

STALE = 300
"""Seconds after which any mail software takes a dotlock for forgotten."""
PAUSE = 0.2
"""Seconds between two attempts."""
_taken: set[tuple[int, int]] = set()
"""The files that this process has locked: fcntl tells processes apart, but not the threads of ``--watch``."""
_taking = threading.Lock()
_BUSY = {errno.EACCES, errno.EAGAIN}
_NOT_HERE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def locked(path: Path, descriptor: int, timeout: float) -> Iterator[None]:
    """Hold both locks on the mbox at *path*, which is open as *descriptor* for writing.

    Where its directory cannot be written in, or has no links, there is no dotlock.  While the locks are held
    no other descriptor of this file may be closed: POSIX drops the lock with the first.
    """
    dotlock = path.with_name(f"{path.name}.lock")
    until = time.monotonic() + timeout
    about = os.fstat(descriptor)
    file = about.st_dev, about.st_ino
    while not _acquired(descriptor, dotlock, file):
        if time.monotonic() >= until:
            raise MailboxError(f"{path} is locked by another program: try again later", temporary=True)
        time.sleep(PAUSE)
    try:
        yield
    finally:
        try:
            if _is_ours(dotlock):
                dotlock.unlink()
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
            _taken.discard(file)


def _acquired(descriptor: int, dotlock: Path, file: tuple[int, int]) -> bool:
    with _taking:
        if file in _taken or not _both(descriptor, dotlock):
            return False
        _taken.add(file)
        return True


def _both(descriptor: int, dotlock: Path) -> bool:
    """Take both locks or, so that nobody waits for us who has the other one, neither."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    try:
        if _dotlocked(dotlock):
            return True
    except BaseException:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
        raise
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    return False


def _dotlocked(dotlock: Path) -> bool:
    """Take the dotlock, which from its first moment says whose it is; nobody else of us tries meanwhile."""
    draft = dotlock.with_name(f".{dotlock.name}.bounceclass")
    try:
        draft.unlink(missing_ok=True)
        with draft.open("x") as file:
            file.write(_owner())
        dotlock.hardlink_to(draft)
    except FileExistsError:
        if _forgotten(dotlock):
            dotlock.unlink(missing_ok=True)
        return False
    except OSError as error:
        if error.errno in _NOT_HERE:
            return True
        raise
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return True


def _owner() -> str:
    return f"{os.getpid()} {socket.gethostname()}\n"


def _is_ours(dotlock: Path) -> bool:
    try:
        return dotlock.read_text("utf-8", "replace") == _owner()
    except OSError:
        return False


def _forgotten(dotlock: Path) -> bool:
    """Return whether nobody holds this lock any more: a run of ours that was killed, or any other's long ago."""
    try:
        age = time.time() - dotlock.stat().st_mtime
        process, _, host = dotlock.read_text("utf-8", "replace").strip().partition(" ")
    except OSError:
        return False
    if age > STALE:
        return True
    if host != socket.gethostname() or not process.isdecimal():
        return False
    with suppress(PermissionError):
        try:
            os.kill(int(process), 0)
        except (ProcessLookupError, OverflowError):
            return True
    return False
