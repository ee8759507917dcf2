"""What every mailbox gives and takes, and the one error that all of them raise."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from bounceclass.wire import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

__all__ = ["Fetched", "Kind", "Mailbox", "MailboxError", "Secret", "disk_errors"]

_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EMFILE, errno.ENFILE}


class Kind(StrEnum):
    """What a message turned out to be; the value is the name of the folder that it goes to unless another is set."""

    PROCESSED = "Processed"
    COMPLAINTS = "Complaints"
    NOT_A_BOUNCE = "Not-a-bounce"
    UNSURE = "Unsure"


class Fetched(NamedTuple):
    """A message of a mailbox, or why it could not be read."""

    name: str
    """For people: the path, ``box.mbox:3`` or ``imap://host/INBOX;UID=5``."""
    content: bytes | Exception
    """No more than the cap and one byte, by which the parser sees that the message was cut."""
    handle: Any
    """By what the mailbox finds the message again, when it is to be filed."""


class Mailbox(Protocol):
    """Where messages are fetched from and filed in; a context manager that connects, and releases whatever happens.

    Entering, leaving and both methods raise ``MailboxError`` and nothing else.
    """

    def __enter__(self) -> Self:
        """Connect, or open the files."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Finish what was filed, and release everything."""

    def messages(self) -> Iterator[Fetched]:
        """Yield the messages that are there now; those that arrive meanwhile may be left for the next call."""

    def file(self, filed: Sequence[tuple[Any, Kind]]) -> None:
        """Do what is set with the messages of these handles: move them into a folder by kind, delete or leave them.

        Of what is set to be deleted, what is no bounce or unsure is left (``Settings.fate``).
        To be called only once their verdicts are safe.  Batches come in the order in which
        they were fetched; in a dry run nothing happens.  It may be done only when the
        mailbox is left: what is interrupted before is fetched again by the next run.
        """


class MailboxError(Exception):
    """Why a mailbox cannot be opened, read or filed into: one line that says what to do, without any secret."""

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(printable(message))
        self.temporary = temporary
        """Whether the same run may well succeed later, without anybody doing anything."""


class Secret:
    """A password or a token, or what gives one when asked; never shown."""

    __slots__ = ("_source",)

    def __init__(self, source: str | Callable[[], str]) -> None:
        self._source = source

    def __call__(self) -> str:
        """Return the secret itself."""
        return self._source if isinstance(self._source, str) else self._source()

    @property
    def given(self) -> str | None:
        """The secret itself; None where it is got only when asked for."""
        return self._source if isinstance(self._source, str) else None

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be stored")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an OSError about a file into a ``MailboxError``."""
    try:
        yield
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise MailboxError(f"{where}{error.strerror or error}", temporary=error.errno in _PASSING) from error
