"""The settings of each type of mailbox, as a configuration file has them; the type stands under ``type``."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from bounceclass import mime
from bounceclass.app.mailboxes.base import Kind, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LONGEST",
    "TYPES",
    "Account",
    "Directory",
    "Imap",
    "Maildir",
    "Mbox",
    "Pop3",
    "Settings",
    "lock_name",
    "mark",
    "settings",
]

LONGEST = 7 * 24 * 3600
"""Seconds that anything may be set to take or wait: infinity is nothing that a clock can count to."""

After = Literal["move", "leave", "delete"]
Security = Literal["tls", "starttls", "none"]
Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=LONGEST)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What all types have in common."""

    after: After = "move"
    """What becomes of a message whose verdict is recorded; ``delete`` cannot be undone, see ``fate``."""
    folders: dict[Kind, Text] = {}
    """Other names for the folders that messages are moved to."""
    max_bytes: Annotated[int, Meta(ge=1)] = mime.MAX_BYTES
    """Bytes of a message that are read."""

    def folder_name(self, kind: Kind) -> str:
        """Return the name of the folder for messages of this kind."""
        return self.folders.get(kind, kind.value)

    def fate(self, kind: Kind) -> After:
        """Return what becomes of a message of this kind: what may be a letter to a person is never deleted."""
        return "leave" if self.after == "delete" and kind in (Kind.NOT_A_BOUNCE, Kind.UNSURE) else self.after


class _Local(Settings, frozen=True, kw_only=True):
    path: Text

    def __post_init__(self) -> None:
        for name in self.folders.values():
            if "/" in name or "\0" in name or name.startswith("."):
                raise ValueError(f"folders: {name!r} is not the name of a folder: leave out / and the dot before it")

    @property
    def place(self) -> Path:
        """The path."""
        return Path(self.path)


class Maildir(_Local, frozen=True, kw_only=True, tag="maildir"):
    """A Maildir; messages are moved to its Maildir++ sub-folders (``.Processed``)."""


class Directory(_Local, frozen=True, kw_only=True, tag="directory"):
    """The files directly in a directory, a message each; messages are moved to sub-directories, which are not read."""


class Mbox(_Local, frozen=True, kw_only=True, tag="mbox"):
    """An mbox; messages are moved to mboxes beside it (``bounces.mbox.Processed``)."""

    into: Text | None = None
    """A directory for these mboxes, where they cannot stand beside the source, as in ``/var/mail``."""
    timeout: Seconds = 60.0
    """Seconds to wait for another program that has locked the mbox."""

    @property
    def shelf(self) -> Path:
        """The directory that the other mboxes stand in."""
        return Path(self.into) if self.into else self.place.parent


class Account(Settings, frozen=True, kw_only=True):
    """A mailbox on a server."""

    host: Text
    user: Text
    password: Secret | None = None
    port: Port | None = None
    """993 or 995; with ``starttls`` or ``none``, 143 or 110."""
    security: Security = "tls"
    """``none`` sends the password in the clear: for a tunnel or this very machine."""
    ca_file: Text | None = None
    """A file of the certificates that are trusted instead of the system's."""
    timeout: Seconds = 60.0
    """Seconds that the server may take to answer."""


class Imap(Account, frozen=True, kw_only=True, tag="imap"):
    """A folder of an IMAP account; messages are moved to other folders of the account."""

    folder: Text = "INBOX"
    token: Secret | None = None
    """An OAuth2 access token, used instead of a password."""

    def __post_init__(self) -> None:
        if self.password is None and self.token is None:
            raise ValueError("neither a password nor a token: set one, or the command that prints it")
        if self.after == "move" and self.folder in map(self.folder_name, Kind):
            raise ValueError(f"folders: messages cannot be moved to {self.folder!r}, which they come from")

    @property
    def service(self) -> int:
        """The port to connect to."""
        return self.port or (993 if self.security == "tls" else 143)


class Pop3(Account, frozen=True, kw_only=True, tag="pop3"):
    """A POP3 maildrop.  It has no folders: messages are left, deleted, or moved to a Maildir on this machine."""

    after: After = "leave"
    keep: Text | None = None
    """The Maildir that messages are moved to; it is made where there is none."""

    def __post_init__(self) -> None:
        if self.password is None:
            raise ValueError("no password: set one, or the command that prints it")
        if self.after == "move" and self.keep is None:
            raise ValueError("POP3 has no folders to move messages to: set keep to a Maildir of your own")

    @property
    def service(self) -> int:
        """The port to connect to."""
        return self.port or (995 if self.security == "tls" else 110)


TYPES: dict[str, type[Settings]] = {
    "maildir": Maildir,
    "mbox": Mbox,
    "directory": Directory,
    "imap": Imap,
    "pop3": Pop3,
}
"""The types of mailboxes by their names in a configuration file."""


def settings(table: Mapping[str, Any]) -> Settings:
    """Return the settings that a table of a configuration file makes; its secrets are text or callables.

    Raises msgspec.ValidationError, which names the key.
    """
    known = Maildir | Mbox | Directory | Imap | Pop3
    made: Settings = msgspec.convert(dict(table), known, dec_hook=_secret)
    return made


def _secret(wanted: type, value: Any) -> Any:
    if wanted is Secret and (isinstance(value, str) or callable(value)):
        return Secret(value)
    raise TypeError("Expected `str`")


def lock_name(source: Settings) -> str:
    """Return what identifies the mailbox whatever else is set: two runs on the same one must not overlap."""
    if isinstance(source, _Local):
        return f"file:{os.path.realpath(source.place)}"
    if isinstance(source, (Imap, Pop3)):
        kind = type(source).__name__.lower()
        folder = getattr(source, "folder", "")
        return f"{kind}://{source.user}@{source.host.lower()}:{source.service}/{folder}"
    raise TypeError(f"no mailbox: {source!r}")


def mark(source: Settings) -> str:
    """Return what stands for ``lock_name`` in the name of a file, so that none is shared with another mailbox."""
    return sha256(lock_name(source).encode("utf-8", "surrogateescape")).hexdigest()[:16]
