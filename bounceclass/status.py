"""Enhanced mail system status codes (RFC 3463) in text, and which to believe."""

from __future__ import annotations

import re

__all__ = ["find", "is_expiry", "is_generic", "plain", "prefer"]

# status-code = class "." subject "." detail (RFC 3463 2), not part of an IP address,
# a version or a longer number.  It begins with its digit, so that a text is scanned fast for it.
_STATUS = re.compile(r"([245])(?<![\w.].)\.(\d{1,3})\.(\d{1,3})(?![\w]|\.\d)")
# Words after which a dotted number is a version, and how far before it they are looked for
_VERSIONED = ("version", "v", "exim", "postfix", "qmail", "sendmail", "smtpd", "release", "build", "mta", "server")
MAX_BEFORE = 12

# Codes that say permanent or transient and nothing more.
_GENERIC = frozenset(("0.0", "3.0", "5.0", "1.0", "2.0", "4.0", "6.0", "7.0"))
_EMPTY = frozenset(("0.0", "3.0", "5.0"))


def find(text: str) -> str | None:
    """Return the first status code in *text*, or None."""
    found = _STATUS.search(text)
    while found and _is_version(text, found.start()):
        found = _STATUS.search(text, found.end())
    return plain(found[0]) if found else None


def plain(status: str) -> str:
    """Return *status* without leading zeros."""
    return ".".join([str(int(number)) for number in status.split(".")]) if "0" in status else status


def _is_version(text: str, start: int) -> bool:
    return text[max(0, start - MAX_BEFORE) : start].rstrip(" /(-").lower().endswith(_VERSIONED)


def is_generic(status: str) -> bool:
    """Tell whether *status* says no more than its subject: X.0.0, X.5.0, X.2.0, ..."""
    return status[2:] in _GENERIC


def is_expiry(status: str) -> bool:
    """Tell whether *status* says that the time ran out (X.4.7, Exchange Online's X.4.300), and not what failed."""
    return status[1:] in (".4.7", ".4.300")


def prefer(quoted: str | None, field: str | None) -> tuple[str | None, str | None]:
    """Return the status to believe and where it stood.

    *quoted* stood in the remote's own words and wins over *field*, the Status field,
    which is the reporting MTA's translation; unless it says nothing and the field does.
    """
    if quoted and not (quoted[2:] in _EMPTY and field and not is_generic(field) and field[0] == quoted[0]):
        return quoted, "diagnostic"
    return (field, "status_field") if field else (None, None)
