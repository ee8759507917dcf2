"""The words of a refusal made alike, so that rules can be matched: in small letters, and without what names somebody."""

from __future__ import annotations

import re

__all__ = ["MAX_HOST", "SENDER_FRAMES", "blanked", "normalised", "on_one_line", "unframed"]

MAX_HOST = 255
"""Octets of a host name (RFC 1035 2.3.4); a longer word is none."""

_TYPOGRAPHIC = tuple(zip("\u2018\u2019\u201c\u201d\u2013\u2014\uff1a", "''\"\"--:", strict=True))
# What stands before "rejected:" and says what was
_FRAMES = ("recipient address", "sender address", "client host", "client", "helo command", "ehlo command", "end-of-data", "data command", "relay")  # fmt: skip
SENDER_FRAMES = frozenset(("sender address", "client host", "client", "helo command", "ehlo command"))
# Host names of two labels need a last label that is one: "rejected.see" has none.
_HOST = re.compile(
    r"(?=.*[a-z])[a-z0-9_*-]+(?:\.[a-z0-9_-]+)*\.(?:[a-z]{2}|com|net|org|edu|gov|mil|int|arpa|info|biz|name|mobi|email|cloud|online|local|localdomain|example|invalid|test|xn--[a-z0-9-]+)"
)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?|(?=.*[0-9a-f]*:[0-9a-f]*:)[0-9a-f:.]{3,45}")
# An address as it nearly always stands in a reply: alone or in brackets
_ADDRESS = re.compile(r"[<(\[\"'{`]?[\w.+/-]+@[\w.-]*[\w-][>)\]\"'}]?")
_OPENING = "<([{\"'`«"
_CLOSING = ">)]}\"'`»"


def on_one_line(text: str) -> str:
    """Return *text* with each run of white space as one space, and none at its ends."""
    if text.isprintable() and "  " not in text:  # as nearly all is: of white space only the space is printable
        return text.strip(" ")
    return " ".join(text.split())


def normalised(text: str) -> str:
    """Return *text* in lower case, white space as one space, typographic quotes as plain ones."""
    text = on_one_line(text).lower()
    if not text.isascii():
        for character, plain in _TYPOGRAPHIC:  # each search is fast, and str.translate is slow
            if character in text:
                text = text.replace(character, plain)
    return text


def blanked(text: str) -> str:
    """Return normalised *text* with every address, host, IP address and URL as ``~``."""
    return " ".join([_blank(word) if "." in word or "@" in word or ":" in word else word for word in text.split(" ")])


def _blank(word: str) -> str:
    core = word.rstrip(".,;:!?…")
    if not ("." in core or "@" in core or ":" in core):
        return word
    tail = word[len(core) :]
    if "@" in core and _ADDRESS.fullmatch(core):
        return "~" + tail
    addresses = ""
    while "@" in core and len(core) > 1:
        at = core.index("@")
        start = max(core.rfind(mark, 0, at) for mark in "<(\"'=:[{`") + 1
        stop = min((i for i in (core.find(mark, at) for mark in ">)\"']};,|") if i > 0), default=len(core))
        addresses += core[:start].rstrip(_OPENING) + "~"
        core = core[stop:].lstrip(_CLOSING)
    return addresses + _blank_host(core) + tail


def unframed(text: str) -> tuple[str, str]:
    """Return *text* without its frames, and the first of them."""
    first = ""
    at = text.find(" rejected")
    while at >= 0:
        before = text[:at]
        if before.endswith(_FRAMES):
            (frame,) = [one for one in _FRAMES if before.endswith(one)]
            first = first or frame
            start = at - len(frame)
            text = text[:start] + text[at + len(" rejected") :].removeprefix(":").removeprefix(" ")
            at = text.find(" rejected", start)
        else:
            at = text.find(" rejected", at + 1)
    return text, first


def _blank_host(word: str) -> str:
    if "://" in word or word.startswith("www."):
        start = word.find("http")
        return word[: max(start, 0)].rstrip(_OPENING) + "~"
    bare = word.strip(_OPENING + _CLOSING)
    name = bare.partition("[")[0]
    if len(name) > MAX_HOST or (name.count(".") == 2 and name.replace(".", "").isdigit()):  # "5.1.1" above all
        return word
    if _HOST.fullmatch(name.rstrip(".:")) or _IP.fullmatch(name) or _IP.fullmatch(name.partition(":")[0]):
        return "~"
    return word
