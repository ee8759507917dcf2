"""Locking an mbox as mail software does: fcntl on the file, and a dotlock beside it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from bounceclass.app.mailboxes.base import MailboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["locked", "settled_size"]

STALE = 300
"""Seconds after which any mail software takes a dotlock for forgotten."""
PAUSE = 0.2
"""Seconds between two attempts."""
_taken: set[tuple[int, int]] = set()
"""The files that this process has locked: fcntl tells processes apart, but not the threads of ``--watch``."""
_taking = threading.Lock()
_BUSY = {errno.EACCES, errno.EAGAIN}
_NOT_HERE = {errno.EACCES, errno.EPERM, errno.EROFS}


T = TypeVar("T")


@contextmanager
def locked(path: Path, descriptor: int, timeout: float) -> Iterator[None]:
    """Hold both locks on the mbox at *path*, which is open as *descriptor* for writing.

    Where its directory cannot be written in, or has no links, there is no dotlock.  While the locks are held
    no other descriptor of this file may be closed: POSIX drops the lock with the first.
    """
    dotlock, file = _dotlock(path), _file(descriptor)
    _patiently(lambda: _acquired(descriptor, dotlock, file) or None, path, timeout)
    try:
        yield
    finally:
        try:
            if _is_ours(dotlock):
                dotlock.unlink()
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
            _taken.discard(file)


def settled_size(path: Path, descriptor: int, timeout: float) -> int:
    """Return the size of the mbox at *path*, which is open as *descriptor*, when nobody is delivering into it.

    Both locks of others are respected and nothing is made, for who may only read.
    """
    dotlock = _dotlock(path)
    return _patiently(lambda: _settled(descriptor, dotlock), path, timeout)


def _patiently(attempt: Callable[[], T | None], path: Path, timeout: float) -> T:
    """Return what *attempt* does, tried again for as long as that is None."""
    until = time.monotonic() + timeout
    while (found := attempt()) is None:
        if time.monotonic() >= until:
            raise MailboxError(f"{path} is locked by another program: try again later", temporary=True)
        time.sleep(PAUSE)
    return found


def _dotlock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _file(descriptor: int) -> tuple[int, int]:
    about = os.fstat(descriptor)
    return about.st_dev, about.st_ino


def _settled(descriptor: int, dotlock: Path) -> int | None:
    """Return the size, or None where somebody holds a lock, or delivered while we looked."""
    with _taking:
        if _file(descriptor) in _taken or _held(dotlock):
            return None
        if not _fcntl_locked(descriptor, fcntl.LOCK_SH):
            return None
        try:
            size = os.fstat(descriptor).st_size
            return None if _held(dotlock) or os.fstat(descriptor).st_size != size else size
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _held(dotlock: Path) -> bool:
    return os.path.lexists(dotlock) and not _forgotten(dotlock)


def _fcntl_locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.lockf(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def _acquired(descriptor: int, dotlock: Path, file: tuple[int, int]) -> bool:
    with _taking:
        if file in _taken or not _both(descriptor, dotlock):
            return False
        _taken.add(file)
        return True


def _both(descriptor: int, dotlock: Path) -> bool:
    """Take both locks or, so that nobody waits for us who has the other one, neither."""
    if not _fcntl_locked(descriptor, fcntl.LOCK_EX):
        return False
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
        if time.time() - dotlock.stat().st_mtime > STALE:
            return True
        process, _, host = dotlock.read_text("utf-8", "replace").strip().partition(" ")
    except OSError:
        return False
    if host != socket.gethostname() or not process.isdecimal():
        return False
    with suppress(PermissionError):
        try:
            os.kill(int(process), 0)
        except (ProcessLookupError, OverflowError):
            return True
    return False
