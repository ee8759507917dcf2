"""What differs from run to run, and what stands in its place."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["normalised"]

_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"
    rb" \d\d:\d\d:\d\d(?= [+-]\d{4}| [A-Z]{3}\b)"
)

# Of the world's servers, which are numbered
_ADDRESS = re.compile(rb"\b192\.0\.2\.\d{3}\b")


class _Token(NamedTuple):
    """What is made up for each message, and what the first, the second, ... of a notice becomes."""

    pattern: re.Pattern[bytes]
    stand_in: bytes


_FIXED: dict[str, tuple[tuple[re.Pattern[bytes], bytes], ...]] = {
    "chasquid": ((re.compile(rb"\bTLS_[A-Z0-9_]+"), b"TLS_AES_128_GCM_SHA256"),),
    "postfix": (
        (re.compile(rb"<20\d{12}(?=\.)"), b"<20261123100000"),
        (re.compile(rb"(?<=[0-9A-F]\.)\d{10}(?=/)"), b"1795428000"),
    ),
    "sendmail": (
        (re.compile(rb"<20\d{10}(?=\.)"), b"<202611231000"),
        (re.compile(rb"(?<=[0-9]\.)\d{10}(?=/)"), b"1795428000"),
    ),
}
_TOKENS: dict[str, tuple[_Token, ...]] = {
    "chasquid": (
        _Token(re.compile(rb"(?<=chasquid-dsn-)[\w-]{11}(?=@)"), b"%011d"),
        _Token(re.compile(rb"(?:(?<=boundary=\")|(?<=\n--))[\w-]{11}(?=\"|\n|--\n)"), b"boundary%03d"),
    ),
    "courier": (
        _Token(re.compile(rb"\b[0-9A-F]{16}\.[0-9A-F]{16}\.[0-9A-F]{8}\b"), b"0000000000000000.0000000069000000.%08X"),
        _Token(re.compile(rb"=_mail\.example\.org-\d+-\d+-\d+-\d+\b"), b"=_mail.example.org-%d"),
        _Token(re.compile(rb"(?<=<courier\.)[0-9A-F]{16}\.[0-9A-F]{8}\b"), b"0000000069000000.%08X"),
    ),
    "dma": (_Token(re.compile(rb"(?:(?<=\n\tid )|(?<=Id: <))[0-9a-f]+\b"), b"%d"),),
    "exim": (
        _Token(
            re.compile(rb"(?<![0-9A-DF-Za-z])[12][0-9A-Za-z]{5}-[0-9A-Za-z]{6}(?:[0-9A-Za-z]{5})?-[0-9A-Za-z]{2,4}\b"),
            b"1vNvAA-0000%02d-00",
        ),
        _Token(re.compile(rb"\b\d{10,}-eximdsn-\d+\b"), b"1764000000-eximdsn-%d"),
    ),
    "nullmailer": (
        _Token(re.compile(rb"(?<=nullmailer pid )\d+"), b"%d"),
        _Token(re.compile(rb"\b\d{10}\.\d{1,6}\.\d+\b"), b"1795428000.%06d.1"),
    ),
    "opensmtpd": (
        _Token(re.compile(rb"(?:(?<=id )|(?<=ID: <))[0-9a-f]{6,16}\b"), b"a1b2c3%02x"),
        _Token(re.compile(rb"\b\d{15,20}(?=/mail\.)"), b"25877613335602620%02d"),
    ),
    "postfix": (
        _Token(
            re.compile(
                rb"(?:(?<=\bid )|(?<=Queue-ID: )|(?<=--)|(?<=boundary=\")|(?<=<20261123100000\.))[0-9A-F]{5,12}\b"
            ),
            b"4F1A0000%02X",
        ),
    ),
    "sendmail": (_Token(re.compile(rb"\b\d[0-9A-Z]{3}[0-9A-Za-z]{4}\d{6}\b"), b"6ANA0000%06d"),),
}
# Of several recipients: they stand as their numbers fell out
_UNORDERED: dict[str, tuple[tuple[re.Pattern[bytes], re.Pattern[bytes]], ...]] = {
    "opensmtpd": (
        (re.compile(rb"^(?:[^\s:@]+@[^\s:@]+: .*\n)+", re.M), re.compile(rb".+\n")),
        (re.compile(rb"^(?:Final-Recipient: .*\n(?:.+\n)+\n)+", re.M), re.compile(rb"(?:.+\n)+\n")),
    ),
}


def normalised(server: str, notice: bytes) -> bytes:
    """Return a *notice* of *server* as it would be in any other run."""
    notice = _DATE.sub(b"Mon, 23 Nov 2026 10:00:00", notice)
    notice = _ADDRESS.sub(b"192.0.2.100", notice)
    for pattern, stand_in in _FIXED.get(server, ()):
        notice = pattern.sub(stand_in, notice)
    for token in _TOKENS.get(server, ()):
        notice = _numbered(token, notice)
    for block, item in _UNORDERED.get(server, ()):
        notice = block.sub(lambda found: b"".join(sorted(item.findall(found[0]))), notice)  # noqa: B023
    return notice


def _numbered(token: _Token, notice: bytes) -> bytes:
    known: dict[bytes, bytes] = {}
    return token.pattern.sub(lambda found: known.setdefault(found[0], token.stand_in % (len(known) + 1)), notice)
