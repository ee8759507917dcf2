"""Where ``process`` fetches messages and files them: mbox, Maildir, a directory, IMAP, POP3.

A mailbox is a context manager with two methods (``Mailbox``): ``messages`` fetches, and
``file``, called once the verdicts are safe, moves each message to a folder by what it
is, deletes or leaves it.  Whatever moment a run is killed at, the next one finds every
message either in the source or in its folder.  Two runs on one mailbox must not
overlap: the caller locks on ``lock_name``.

Each type has its settings in ``settings`` and its module, imported when one is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bounceclass.app.mailboxes.base import Fetched, Kind, Mailbox, MailboxError, Secret
from bounceclass.app.mailboxes.settings import (
    TYPES,
    Account,
    Directory,
    Imap,
    Maildir,
    Mbox,
    Pop3,
    Settings,
    lock_name,
    mark,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TYPES",
    "Account",
    "Directory",
    "Fetched",
    "Imap",
    "Kind",
    "Mailbox",
    "MailboxError",
    "Maildir",
    "Mbox",
    "Pop3",
    "Secret",
    "Settings",
    "lock_name",
    "mark",
    "open",
    "settings",
]


def open(source: Settings, *, dry_run: bool = False) -> Mailbox:  # noqa: A001 - mailboxes.open, as gzip.open
    """Return the mailbox that the settings describe, not yet connected; a dry run changes nothing in it."""
    name = type(source).__name__
    module = import_module(f"bounceclass.app.mailboxes.{name.lower()}")
    make: Callable[..., Mailbox] = getattr(module, f"{name}Mailbox")
    return make(source, dry_run=dry_run)
