"""Talking to a mail server: TLS, and what goes wrong in words that say what to do.

Passwords must not get out with an error.  The exceptions of the libraries carry what was
sent and answered, so none is ever chained to a ``MailboxError``, not even as its context:
``Server.ask`` raises outside the handler.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

from bounceclass.app.mailboxes.base import MailboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bounceclass.app.mailboxes.base import Secret
    from bounceclass.app.mailboxes.settings import Account

T = TypeVar("T")

__all__ = ["Refused", "Server", "tls"]

MAX_QUOTED = 200
"""Characters of a server's answer that are shown."""
# The response codes of RFC 5530, RFC 2449 and RFC 3206 that speak of a passing state
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|IN-USE|SERVERBUG|LIMIT|OVERQUOTA|LOGIN-DELAY|SYS/TEMP)\b", re.IGNORECASE)
_NONSENSE = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(RecursionError, OverflowError, MemoryError),
)
"""What the libraries and we stumble over when a server does not keep to its protocol."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Refused(MailboxError):
    """The server understood and said no."""


class Server:
    """The server of an account.

    *refused* is the exception that says no, *lost* tells which of them say that the connection is gone.
    """

    def __init__(self, account: Account, port: int, refused: type[Exception], lost: Callable[[Exception], bool]):
        self._account = account
        self._place = f"{account.host}:{port}"
        self._refused = refused
        self._lost = lost
        self._secrets: list[str] = []
        self.connected = False
        """Whether it can be talked to: set by whoever connects, taken back here."""

    def secret(self, source: Secret) -> str:
        """Return a password or a token, which from now on no error will show."""
        value = source()
        if not value or _CONTROL.search(value):
            raise MailboxError(f"the password or token for {self._account.user} is empty or has a control character")
        self._secrets.append(value)
        return value

    def ask(self, what: str, do: Callable[..., T], *args: Any, **options: Any) -> T:
        """Return what *do* returns for these arguments; raise a ``MailboxError`` where the server or the way to it fails.

        *what* is what we ask for, as in "the login".  It is a ``Refused`` where the server said no.
        *do* makes of the answer what is needed of it, so that one that makes no sense fails here.
        """
        try:
            return do(*args, **options)
        except UnicodeError:
            problem = MailboxError(f"{self._place} does not take {what}: it is not plain ASCII")
        except self._refused as error:
            problem = self._gone() if self._lost(error) else self._no(what, error)
        except (OSError, EOFError) as error:
            problem = self._gone(error) if self.connected else self._unreachable(error)
        except _NONSENSE:
            problem = MailboxError(f"{self._place} gave an answer to {what} that makes no sense: ask who runs it")
        raise problem

    def _no(self, what: str, error: Exception) -> MailboxError:
        words = " ".join(
            part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in error.args
        )
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return Refused(f"{self._place} refused {what}: {words[:MAX_QUOTED]}", temporary=bool(_PASSING.search(words)))

    def _gone(self, error: Exception | None = None) -> MailboxError:
        self.connected = False
        if isinstance(error, TimeoutError):
            return self._silent()
        return MailboxError(
            f"the connection to {self._place} was lost: run again, nothing is lost with it", temporary=True
        )

    def _silent(self) -> MailboxError:
        return MailboxError(
            f"{self._place} did not answer within {self._account.timeout:g} seconds: try again later, or raise timeout",
            temporary=True,
        )

    def _unreachable(self, error: Exception) -> MailboxError:
        """Return why no connection came about."""
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "correct host, or set ca_file to the certificates to trust"
            return MailboxError(f"the certificate of {self._place} is not trusted: {error.verify_message}: {hint}")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return MailboxError(f"{self._place} does not speak TLS: correct port, or set security to starttls or none")
        if isinstance(error, socket.gaierror):
            passing = error.errno == socket.EAI_AGAIN
            return MailboxError(f"the host {self._account.host} is not known: correct host", temporary=passing)
        if isinstance(error, TimeoutError):
            return self._silent()
        reason = getattr(error, "strerror", None) or "it closed the connection"
        return MailboxError(
            f"no connection to {self._place}: {reason}: correct host and port, or try again later", temporary=True
        )


def tls(account: Account) -> ssl.SSLContext:
    """Return what the server's certificate is checked with."""
    try:
        return ssl.create_default_context(cafile=account.ca_file)
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate"
        raise MailboxError(f"ca_file {account.ca_file} cannot be used: {reason}") from None
