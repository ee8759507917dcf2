"""The standard library's reading of a message, in the shape ``mime`` walks.

Kept apart because importing ``email`` costs more than reading a hundred messages,
and only what fast-mail-parser refuses needs it.
"""

from __future__ import annotations

import email.errors
import email.header
from contextlib import suppress
from email.message import Message
from email.parser import BytesParser
from typing import Any

MAX_NESTED = 40
"""Parts of a broken message that are taken apart."""
MAX_FIELD = 4000
"""Characters of a field in which ``email`` looks for parameters: its search is quadratic."""


class _Part(Message):
    """A part whose body stays bytes unless it is a multipart or a returned message.

    ``email`` would parse the body of every message/* as a message, before undoing
    its transfer encoding; ``message/delivery-status`` in base64 would be lost.
    """

    def get(self, name: str, failobj: Any = None) -> Any:
        value = super().get(name, failobj)
        return value if value is failobj else str(value)[:MAX_FIELD]

    def get_content_type(self) -> str:
        kind = super().get_content_type()
        is_leaf = kind.startswith("message/") and (kind != "message/rfc822" or self._encoded())
        return "text/" + kind.removeprefix("message/") if is_leaf else kind

    def get_content_maintype(self) -> str:
        return self.get_content_type().partition("/")[0]

    def _encoded(self) -> bool:
        return str(self.get("content-transfer-encoding", "")).strip().lower() in ("base64", "quoted-printable")


class EmailNode:
    """One part of a message, read by ``email``; see ``mime._Node``."""

    __slots__ = ("children", "content", "content_type", "disposition", "headers", "is_message")

    def __init__(self, part: Message) -> None:
        self.content_type = Message.get_content_type(part)
        self.disposition = part.get_content_disposition()
        self.headers: dict[str, list[str]] = {}
        for name, value in part.raw_items():
            self.headers.setdefault(name, []).append(_words(str(value)))
        payload = part.get_payload()
        self.is_message = self.content_type == "message/rfc822" and isinstance(payload, list)
        self.content: bytes | None = None
        self.children: list[EmailNode] = []
        if isinstance(payload, list):
            self.children = [EmailNode(child) for child in payload if isinstance(child, Message)]
            return
        if self.content_type.startswith("multipart/"):
            self.content_type = "text/plain"  # a multipart without parts is the text that it holds
        decoded = part.get_payload(decode=True)
        self.content = decoded if isinstance(decoded, bytes) else b""


def read(raw: bytes) -> EmailNode:
    """Return the tree of *raw*, or its header and one text where it is nested too deep.

    ``email`` recurses into parts and takes a step at each level for each line.
    """
    depth = raw.lower().count(b"multipart/") + raw.lower().count(b"message/rfc822")
    parser = BytesParser(_class=_Part)
    return EmailNode(parser.parsebytes(raw, headersonly=depth > MAX_NESTED))


def _words(value: str) -> str:
    """Unfold a value and decode its RFC 2047 words; a word that cannot be decoded stays as it is."""
    value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if "=?" in value and value.isascii():
        with suppress(LookupError, UnicodeError, ValueError, email.errors.HeaderParseError):
            value = str(email.header.make_header(email.header.decode_header(value)))
            value = value.encode("utf-8", "replace").decode()  # utf-7 lets halves of surrogate pairs through
    return " ".join(value.split())
