"""Bytes to ``Mail``: the only module that meets a MIME library.

fast-mail-parser reads nearly everything.  The standard library's ``email``
(policy ``compat32``) reads what it refuses or loses: a header that begins with a
space, a multipart without parts, bad base64.  Both give nodes of the same shape
(``_Node``), and one walk over either makes the ``Mail``; a test holds the two to
the same result.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Protocol

import fast_mail_parser

from bounceclass.model import Mail

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "FEEDBACK_PARTS",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_TEXT",
    "RECEIPT_PARTS",
    "STATUS_PARTS",
    "parse",
    "parse_header",
    "readable",
]

NO_HEADER = "header: none"
"""The defect of a text that begins with no header."""
MAX_BYTES = 2 * 1024 * 1024
"""Bytes of a message that are read: a report's machine-readable parts come first."""
MAX_BROKEN = 128 * 1024
"""Bytes of a message that are read where only ``email`` can read it: it is fifty times as slow."""
MAX_TEXT = 512 * 1024
"""Characters of notice text that are kept."""
MAX_HTML = 256 * 1024
"""Characters of an HTML part that are kept; of all of them MAX_TEXT."""
MAX_TAGS = 10_000
"""Tags of an HTML part up to which it is parsed; HTML parsers are quadratic in nesting."""
MAX_HTML_PARTS = 8
"""HTML parts that are read where there is no plain text."""
MAX_BOUNDARIES = 10_000
"""Lines that may be boundaries; a message is read up to the last of them."""
MAX_WORDS = 5_000
"""RFC 2047 words that are decoded; parsers are quadratic in their number."""
MAX_RULE_LINES = 12
"""Lines that may stand between the end of a notice and the header of the returned message."""
MAX_DEPTH = 32
"""Levels of nested parts that are walked."""

LONG_TEXT = f"text: only the first {MAX_TEXT} characters were read"
LONG_HTML = f"html: only the first {MAX_HTML} characters of a part were read, and {MAX_TEXT} of all"

STATUS_PARTS = frozenset(
    (
        "message/delivery-status",
        "message/global-delivery-status",
        # QUIRK: XWall calls its status part so; Exchange 5.5 gateways drop the "message/".
        "application/xdelivery-status",
        "text/delivery-status",
    )
)
"""Media types of delivery status notifications (RFC 3464, RFC 6533)."""
RECEIPT_PARTS = frozenset(("message/disposition-notification", "message/global-disposition-notification"))
"""Media types of message disposition notifications (RFC 8098, RFC 6533)."""
FEEDBACK_PARTS = frozenset(("message/feedback-report",))
"""Media types of feedback reports (RFC 5965)."""
MACHINE_READABLE = STATUS_PARTS | RECEIPT_PARTS | FEEDBACK_PARTS
RETURNED_HEADER = {
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
    "message/global",
    "message/rfc822",
    "message/news",
    "message/partial",
    "text/rfc822",
}

# the separator of an mbox, and as mboxrd quotes it (RFC 4155)
_SEPARATORS = re.compile(rb"(?:>?From [^\r\n]*(?:\r{0,2}\n|\r|$)){1,9}")
_BOUNDARY = re.compile(rb"\n--")
# field-name (RFC 5322 3.6.8) and the colon, spaces between them as obs-* allows
_FIELD = re.compile(rb"[!-9;-~]{1,200}[ \t]{0,20}:")
_FIELD_NAME = re.compile(r"[A-Za-z][!-9;-~]{0,100}[ \t]{0,20}:(?!//)")
# White space at the beginning of a line folds it into the one before (RFC 5322 2.2.3)
_FOLD = re.compile(r"\n[ \t]+")
# Charsets in which ASCII octets may stand for other letters
_SHIFTED = ("utf-7", "utf-16", "hz", "unicode")
_CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?([^\s\"';]{1,40})", re.I)
_REPORT_TYPE = re.compile(r"report-type\s{0,9}=\s{0,9}\"?([^\s\";]{1,80})", re.I)
# ISO-2022 designations of JIS X 0208 and 0201 (RFC 1468)
_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\([BJ])")

# Halves of surrogate pairs, which utf-7 lets through and nothing can be encoded with
_SURROGATE = re.compile("[\ud800-\udfff]")
# Names that senders use for charsets which Python knows by another one, and
# names that are used for a superset of what they denote.
_CODECS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "iso-8859-1": "cp1252",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
    "iso-8859-8-i": "iso8859_8",
    "unicode": "utf-16",
    # codecs of domain names, which are quadratic
    "punycode": "utf-8",
    "idna": "utf-8",
}


class _Childless(Exception):
    """A multipart has no parts: fast-mail-parser drops its body."""


class _Node(Protocol):
    """One part of a message, as fast-mail-parser's ``PyLazyMimePart`` has it."""

    @property
    def content_type(self) -> str: ...
    @property
    def headers(self) -> dict[str, list[str]]: ...
    @property
    def content(self) -> bytes | None: ...
    @property
    def is_message(self) -> bool: ...
    @property
    def disposition(self) -> str | None: ...
    @property
    def children(self) -> Sequence[_Node]: ...


def parse(raw: bytes, *, max_bytes: int = MAX_BYTES) -> Mail:
    """Return *raw* taken apart.

    Never raises on what the bytes say; what was damaged, cut or worked around is
    named in ``defects``.  No more than *max_bytes* are read.
    """
    defects: list[str] = []
    if len(raw) > max_bytes:
        raw = raw[:max_bytes]
        defects.append(f"size: only the first {max_bytes} bytes were read")
    raw = _bounded(_plain_lines(raw, defects), defects)
    if not _FIELD.match(raw):
        defects.append(NO_HEADER)
        raw = b"\n" + raw
    return _taken_apart(raw, defects)


def parse_header(text: str) -> dict[str, list[str]]:
    """Return the first header in *text*, whose lines end in LF; names in lower case.

    Up to MAX_RULE_LINES lines before it are skipped: rule lines, blank lines, remarks.
    """
    begin = 0
    for _ in range(MAX_RULE_LINES):
        if _FIELD_NAME.match(text, begin):
            break
        begin = text.find("\n", begin) + 1
        if not begin:
            return {}
    else:
        return {}
    end = text.find("\n\n", begin)
    head = text[begin:end] if end >= 0 else text[begin:]
    if "=?" in head or not head.isascii():
        raw = _bounded(head.encode("utf-8", "surrogateescape")[:MAX_TEXT], [])
        return _fields(_root(raw + b"\n\n").headers)
    return _split(head[:MAX_TEXT])


def _root(raw: bytes) -> _Node:
    """Return the root of *raw*, read by ``email`` where it must be."""
    try:
        return fast_mail_parser.parse_email_tree(raw, mode="lazy")
    except fast_mail_parser.ParseError:
        return _stdlib_root(raw)


def _stdlib_root(raw: bytes) -> _Node:
    from bounceclass import _stdlib_mime  # ``email`` costs 20 ms, and few need it

    return _stdlib_mime.read(raw[:MAX_BROKEN])


def _split(head: str) -> dict[str, list[str]]:
    """Return the fields of a header in plain ASCII, like ``_fields``."""
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    fields: dict[str, list[str]] = {}
    for line in head.split("\n"):
        name, colon, value = line.partition(":")
        name = name.rstrip().lower()
        if not colon or not name or " " in name:
            continue
        if name in fields:
            fields[name].append(value.strip())
        else:
            fields[name] = [value.strip()]
    return fields


def _plain_lines(raw: bytes, defects: list[str]) -> bytes:
    """Drop what stands before the header and give lines an end that parsers know."""
    if raw[:1].isspace():
        raw = raw.lstrip(b" \t\r\n")
    if raw[:3] == b"\xef\xbb\xbf":
        raw = raw[3:]
    if raw.startswith((b"From ", b">From ")) and (found := _SEPARATORS.match(raw)):
        raw = raw[found.end() :]
    if b"\r" not in raw:
        return raw
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
        defects.append("lines: end in CR alone")
    elif b"\r\r\n" in raw:
        raw = raw.replace(b"\r\r\n", b"\r\n")
        defects.append("lines: end in CR CR LF")
    return raw


def _bounded(raw: bytes, defects: list[str]) -> bytes:
    """Cut what only an attack has so many of, and what would take parsers minutes."""
    if len(raw) < 2 * MAX_WORDS:
        return raw  # there is no room for so many, nor for the boundaries
    # a single byte is counted many times as fast as two or three
    if len(raw) > 3 * MAX_BOUNDARIES and raw.count(b"\n") > MAX_BOUNDARIES and raw.count(b"\n--") > MAX_BOUNDARIES:
        last = next(itertools.islice(_BOUNDARY.finditer(raw), MAX_BOUNDARIES, None))
        raw = raw[: last.start() + 1]
        defects.append(f"mime: read up to boundary line {MAX_BOUNDARIES}")
    if raw.count(b"?") > MAX_WORDS and raw.count(b"=?") > MAX_WORDS:
        raw = raw.replace(b"=?", b"= ?")
        defects.append(f"header: more than {MAX_WORDS} encoded words, none was decoded")
    return raw


def _taken_apart(raw: bytes, defects: list[str]) -> Mail:
    try:
        return _mail(fast_mail_parser.parse_email_tree(raw, mode="lazy"), defects.copy())
    except _Childless:
        defects.append("mime: a multipart without parts")
    except (fast_mail_parser.ParseError, fast_mail_parser.DecodeError) as error:
        defects.append(f"mime: {type(error).__name__}")
    if len(raw) > MAX_BROKEN:
        defects.append(f"size: only the first {MAX_BROKEN} bytes of a broken message were read")
    return _mail(_stdlib_root(raw), defects)


def _mail(root: _Node, defects: list[str]) -> Mail:
    """Return what the parts of *root* hold; raises DecodeError and _Childless where ``email`` must read the message."""
    plain: list[str] = []
    html: list[str] = []
    room = MAX_TEXT
    machine: list[tuple[str, str]] = []
    returned: dict[str, list[str]] | None = None
    waiting = [(root, 0)]
    while waiting:  # every part in its order; a returned message is one part
        node, depth = waiting.pop()
        kind = node.content_type
        if depth == MAX_DEPTH:
            defects.append(f"mime: nested deeper than {MAX_DEPTH} parts")
            break
        if kind.startswith("multipart/"):
            if not node.children:
                raise _Childless
            waiting += [(child, depth + 1) for child in reversed(node.children)]
        elif kind in MACHINE_READABLE:
            machine.append((kind, _text(node, defects)))
        elif kind in RETURNED_HEADER:
            if not returned:
                returned = _returned(node, defects)
        elif kind == "text/html":
            if not plain and len(html) < MAX_HTML_PARTS and not _attached(node):
                html.append(_cut(_text(node, defects), min(MAX_HTML, room), LONG_HTML, defects))
                room -= len(html[-1])
        elif kind.startswith("text/") and not _attached(node):
            text = _text(node, defects)
            if text and not text.isspace():
                plain.append(text)
    text = _cut("\n\n".join(plain), MAX_TEXT, LONG_TEXT, defects)
    headers = _fields(root.headers)
    found = _REPORT_TYPE.search(headers["content-type"][0]) if "content-type" in headers else None
    return Mail(
        headers=headers,
        content_type=root.content_type,
        report_type=found[1].lower() if found else "",
        text=text,
        html=() if plain else tuple(html),
        machine=tuple(machine),
        returned=returned,
        defects=tuple(defects),
    )


def _cut(text: str, most: int, note: str, defects: list[str]) -> str:
    if len(text) > most and note not in defects:
        defects.append(note)
    return text[:most]


def _attached(node: _Node) -> bool:
    return (node.disposition or "").lower().startswith("attachment")


def _fields(headers: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return *headers* with their names in lower case."""
    fields = {name.strip().lower(): values for name, values in headers.items()}
    if len(fields) < len(headers):  # "To" and "TO"
        fields = {}
        for name, values in headers.items():
            fields.setdefault(name.strip().lower(), []).extend(values)
    return fields


def _returned(node: _Node, defects: list[str]) -> dict[str, list[str]]:
    if node.is_message and node.children:
        return _fields(node.children[0].headers)
    return parse_header(_text(node, defects))


def _text(node: _Node, defects: list[str]) -> str:
    """Return the text of a leaf, lines ending in LF."""
    content = node.content
    if not content:
        return ""
    if (
        content.isascii()
        and b"\x1b" not in content
        and not (_may_shift(content) and _charset(node).startswith(_SHIFTED))
    ):
        text = content.decode("ascii")  # whatever charset was declared
    else:
        text = _decode(content, _charset(node), defects)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _may_shift(content: bytes) -> bool:
    """Tell whether an octet stands in *content* that UTF-7, HZ or UTF-16 shifts with."""
    return b"+" in content or b"~" in content or b"\0" in content


def _charset(node: _Node) -> str:
    """Return the charset parameter of a part in lower case, or an empty string."""
    headers = node.headers
    values = headers.get("Content-Type") or next(
        (values for name, values in headers.items() if name.lower() == "content-type"), None
    )
    if not values or "=" not in values[0]:
        return ""
    found = _CHARSET.search(values[0])
    return found[1].lower() if found else ""


def _decode(content: bytes, charset: str, defects: list[str]) -> str:
    """Return *content* as text, whatever *charset* was declared.

    The declared one is tried, then what the bytes look like; the last resort maps
    every byte to something.
    """
    guesses = [_CODECS.get(charset, charset) or "utf-8", "utf-8", "cp1252"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        guesses.insert(0, "utf-16")
    elif b"\x1b" in content and _ISO_2022_JP.search(content):
        guesses.insert(0, "iso2022_jp_ext")
    for codec in guesses:
        try:
            text = content.decode(codec)
            return text if codec == "utf-8" else _SURROGATE.sub("\ufffd", text)
        except (UnicodeError, LookupError, ValueError):
            if (note := f"charset: not {codec}") not in defects:
                defects.append(note)
    return content.decode(
        guesses[0] if guesses[0] in ("utf-8", "gb18030", "iso2022_jp_ext", "cp932") else "latin-1", "replace"
    )


def readable(mail: Mail) -> str:
    """Return what a person would read of the notice: its plain text, or what a browser would show of its HTML."""
    return mail.text or "\n\n".join(map(_shown, mail.html))


def _shown(html: str) -> str:
    if html.count("<") > MAX_TAGS:
        return _TAG.sub(" ", html)
    from selectolax.lexbor import LexborHTMLParser  # 15 ms, and only HTML-only notices need it

    tree = LexborHTMLParser(_BREAKS.sub("\n<", html))
    tree.strip_tags(["script", "style", "head", "title"])
    body = tree.body
    lines = (body.text() if body is not None else "").replace("\xa0", " ").splitlines()
    return "\n".join(line.strip() for line in lines)


_TAG = re.compile(r"<[^<>]{0,4000}>")
# what elements begin with before which a browser begins a new line
_BREAKS = re.compile(r"<(?=(?:br|/?p|/?div|/?tr|/?table|/?li|/?ul|/?h[1-6]|hr|/?pre|/?blockquote)\b)", re.I)
