"""A message made fit for a public report: who and where is replaced, what was said is kept.

The message is rewritten line by line as its own boundaries divide it, twice: once to learn
every name in it, once to replace them wherever they stand.
"""

from __future__ import annotations

import base64
import codecs
import quopri
import re
from email.errors import MessageError
from email.header import Header, decode_header, make_header
from typing import TYPE_CHECKING

from msgspec import Struct

import bounceclass
from bounceclass import fields, mime, model
from bounceclass.app.pseudonyms import Pseudonyms, marks
from bounceclass.reports import dialects, origin
from bounceclass.reports.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bounceclass.model import Report

__all__ = ["Anonymised", "anonymise"]

REMOVED = "removed"
"""What stands for a value, and for a body, that was left out."""
COMPARED = ("reason", "severity", "scope", "suppress", "status", "reply_code", "command", "provider", "confidence")
"""What a failure must keep; its recipient becomes the stand-in of what it was."""

_FIELD = re.compile(r"([!-9;-~]{1,200})([ \t]{0,20}):")
_FOLD = re.compile(r"\n(?![ \t])")
_BOUNDARY = re.compile(r"boundary\s{0,9}=\s{0,9}(?:\"([^\"\n]{1,200})\"|([^\s\";]{1,200}))", re.I)
_PARAMETER = re.compile(r"\b(charset|report-type)\s{0,9}=\s{0,9}[\"']?([\w.:+-]{1,60})", re.I)
# A display name before an address, and a comment (RFC 5322 3.4); possessive, so that time stays linear
_DISPLAY = re.compile(r"(?:^|(?<=[,;>]))[ \t\n]{0,9}+(?:\"[^\"\n]*+\"|[^<>,;\"]*+)(?=\s{0,9}<)")
_COMMENT = re.compile(r"(?<=\()[^()\n]{1,200}(?=\))")
_MESSAGE_ID = re.compile(r"[^\s<>]{1,998}")
# Fields that a notice quotes in its text, and how Outlook shows who was written to
_FIELD_IN_TEXT = re.compile(
    r"^([> \t]{0,9}(subject|thread-topic|from|to|cc|sender):[ \t]{0,9})(\S[^\n]{0,998})$", re.I | re.M
)
_SUBJECT_IN_JSON = re.compile(r"(\"(subject)\\{0,3}\"\s{0,9}:\s{0,9}\\{0,3}\")([^\"\n\\]{1,998})", re.I)
_MAILTO = re.compile(r"^([^\n<@:]{2,80})(?=<mailto:)", re.M)
_ENCODED_WORDS = re.compile(
    r"=\?[\w*-]{1,40}\?[BbQq]\?[^?\s]{0,400}\?=(?:\s{1,9}=\?[\w*-]{1,40}\?[BbQq]\?[^?\s]{0,400}\?=){0,99}"
)
_PREFIXED = re.compile(r"([^:\n]{1,50}:\s{0,3})(.+)", re.S)

# Fields by what their values are; of any other only the name is kept
_PEOPLE = re.compile(
    r"(?:resent-|x-)?(?:from|to|b?cc|sender|reply-to|errors-to|return-path|delivered-to|original-to|apparently-to|rcpt-to"
    r"|failed-recipients|display-name|hmxmroriginalrecipient|beenthere|loop|envelope-(?:to|from))"
    r"|list-(?:id|post)|return-receipt-to|disposition-notification-to"
)
_MESSAGE_IDS = re.compile(r"(?:resent-|original-)?message-id|in-reply-to|references|content-id")
_RECIPIENT = re.compile(r"(?:original|final|x-actual)-recipient|original-rcpt-to")
_TEXT = re.compile(
    r"date|received|mime-version|content-(?:transfer-encoding|description|language)|auto-submitted|precedence|importance"
    r"|(?:x-)?priority|x-auto-response-suppress|x-mailer|user-agent|list-unsubscribe|diagnostic-code"
)


class Anonymised(Struct, frozen=True, kw_only=True):
    """A message without names, and what its verdict lost by that."""

    message: bytes
    differences: tuple[str, ...]
    """Where the verdict on it is another one, a line each."""


def anonymise(raw: bytes) -> Anonymised:
    """Return *raw* with stand-ins for addresses, names, hosts, IP addresses and ids, and without what was sent.

    The words of the refusal, the codes, the parts and the names of the fields stay.  Where
    line ends differ, all become those of the first line.  Never raises on what a message
    says; no more is read than ``mime.MAX_BYTES``.
    """
    raw = raw[: mime.MAX_BYTES]
    before = bounceclass.classify(raw)
    strict = _anonymised(raw, before)
    if not strict.differences:
        return strict
    return min(strict, _anonymised(raw, before, keep_title=True), key=lambda one: len(one.differences))


def _anonymised(raw: bytes, before: Report, *, keep_title: bool = False) -> Anonymised:
    end = next((one for one in (b"\r\r\n", b"\r\n", b"\n", b"\r") if one in raw), b"\n")
    lines = re.sub(rb"\r\r\n|\r\n|\r", b"\n", raw).removeprefix(b"\xef\xbb\xbf").lstrip()
    text = lines.decode("utf-8", "surrogateescape")
    if not re.match(rf">?From |{_FIELD.pattern}", text):
        text = "\n" + text  # no header
    names = Pseudonyms()
    _Rewriter(names).message(text)
    recipients = [names.text(failure.recipient) if failure.recipient else None for failure in before.failures]
    message = _bytes(_Rewriter(names, guess_title=not keep_title).message(text)).replace(b"\n", end)
    differences = _differences(before, bounceclass.classify(message), recipients)
    return Anonymised(message=message, differences=tuple(differences))


def _differences(old: Report, new: Report, recipients: list[str | None]) -> Iterator[str]:
    """Yield what *new* says otherwise than *old*, whose recipients should have become *recipients*."""
    pairs: list[tuple[str, object, object]] = [("kind", old.kind, new.kind), ("dialect", old.dialect, new.dialect)]
    pairs.append(("failures", len(old.failures), len(new.failures)))
    for number, (one, other, recipient) in enumerate(zip(old.failures, new.failures, recipients, strict=False), 1):
        pairs.append((f"failure {number}: recipient", recipient, other.recipient))
        pairs += [(f"failure {number}: {key}", getattr(one, key), getattr(other, key)) for key in COMPARED]
    for what, before, after in pairs:
        if before != after:
            yield f"{what}: was {before}, is {after}"


class _Rewriter:
    """One pass over a message whose lines end in LF."""

    def __init__(self, names: Pseudonyms, *, guess_title: bool = False) -> None:
        self.names = names
        self.guess_title = guess_title and not names.knows_subject
        self.boundaries: dict[str, str] = {}
        self.has_plain = False
        """A text for people has been met: HTML after it says the same, and is not read."""

    def message(self, text: str) -> str:
        """Return the whole message; a line that is a boundary declared before begins another part."""
        done: list[str] = []
        part: list[str] = []
        in_head, after_last = True, False
        for line in text.split("\n"):
            if line.startswith("--") and (mark := self._mark(line)):
                done += [*self._part(part, after_last=after_last), mark]
                part, in_head, after_last = [], True, mark.endswith("_=--")
                continue
            part.append(line)
            if in_head and not line:
                in_head = False
                content_type = _value_of("content-type", "\n".join(part))
                if content_type.lower().startswith("multipart/"):
                    self._content(content_type)
        return "\n".join([*done, *self._part(part, after_last=after_last)])

    def _boundary(self, found: re.Match[str]) -> str:
        """Return the stand-in of a boundary, which may hold hosts and ids; a dialect's mark in it is kept."""
        boundary = (found[1] or found[2]).strip()
        kept = "".join(mark for mark in marks() if mark.startswith("-") and mark in boundary)
        return self.boundaries.setdefault(boundary, f"=_{self.names.identifier('--' + boundary)}{kept}_=")

    def _mark(self, line: str) -> str | None:
        line = line[2:].rstrip()
        if line in self.boundaries:
            return f"--{self.boundaries[line]}"
        new = self.boundaries.get(line.removesuffix("--"))
        return f"--{new}--" if new else None

    def _part(self, lines: list[str], *, after_last: bool) -> list[str]:
        """Return the lines of a part rewritten; after the last part of a multipart nothing is read."""
        if after_last or not lines:
            return [_removed("\n".join(lines))] if lines else []
        end = [*lines, ""].index("")
        head, body = "\n".join(lines[:end]), "\n".join(lines[end + 1 :])
        content_type, encoding, disposition = (
            _value_of(f"content-{name}", head) for name in ("type", "transfer-encoding", "disposition")
        )
        done = [self.header(head)] if head else []
        if end < len(lines):
            done.append("")
        if body:
            change = self._change(content_type, disposition)
            done.append(_recoded(body, encoding.lower(), content_type, change))
        return done

    def _change(self, content_type: str, disposition: str) -> Callable[[str], str]:
        """Return what a part of this type is rewritten by."""
        kind = _type(content_type).lower()
        if kind in mime.RETURNED_HEADER:
            return self.returned
        if kind in mime.MACHINE_READABLE:
            return self.machine
        if kind.startswith("multipart/"):
            return self.notice
        if disposition.lower().startswith("attachment") or (kind == "text/html" and self.has_plain):
            return _removed
        if kind == "text/plain" or "/" not in kind:
            return self.plain
        return self.words if kind == "text/html" else _removed

    def plain(self, text: str) -> str:
        """Return a part that is read before any HTML."""
        self.has_plain = self.has_plain or bool(text.strip())
        return self.notice(text)

    def notice(self, text: str) -> str:
        """Return a notice, and of the message below it only the header."""
        plain = text.encode("utf-8", "replace").decode()  # of the same length
        end = Page(model.Mail(headers={}, text=plain), dialects.load()).end()
        if end == len(text):
            return self.words(text)
        line, newline, rest = text[end:].partition("\n")
        lines = rest.split("\n")
        begin = next((i for i, line in enumerate(lines[: mime.MAX_RULE_LINES]) if _FIELD.match(line.lstrip())), None)
        below = _removed(rest) if begin is None else "\n" * begin + self.returned("\n".join(lines[begin:]))
        return self.words(text[:end] + line) + newline + below

    def words(self, text: str) -> str:
        """Return running text; the fields in it are the returned message's."""
        for found in _MAILTO.finditer(text):
            self.names.name(found[1])
        return _apart(
            _FIELD_IN_TEXT, text, self._quoted, lambda rest: _apart(_SUBJECT_IN_JSON, rest, self._quoted, self._said)
        )

    def _quoted(self, found: re.Match[str]) -> str:
        return found[1] + self._value(found[2].lower(), found[3], returned=True)

    def _said(self, text: str) -> str:
        return self.names.text(_ENCODED_WORDS.sub(REMOVED, text))

    def returned(self, text: str) -> str:
        """Return the header of a returned message."""
        blank = len(text) - len(text.lstrip("\n"))
        head, gap, body = text[blank:].partition("\n\n")
        return text[:blank] + self.header(head, returned=True) + gap + _removed(body)

    def machine(self, text: str) -> str:
        """Return the fields of a machine-readable part."""
        return "\n\n".join(self.header(group, machine=True) for group in text.split("\n\n"))

    # -- fields

    def header(self, head: str, *, returned: bool = False, machine: bool = False) -> str:
        """Return a block of fields; what is no field is read as text."""
        done: list[str] = []
        for line in _FOLD.split(head):
            found = _FIELD.match(line)
            if not found:
                done.append(self.names.text(line))
                continue
            value = line[found.end() :]
            space = value[: len(value) - len(value.lstrip())]
            new = self._field(found[1].lower(), value.strip(), returned=returned, machine=machine)
            done.append(line[: found.end()] + space + new)
        return "\n".join(done)

    def _field(self, name: str, value: str, *, returned: bool, machine: bool) -> str:
        """Return a value, RFC 2047 words decoded before and encoded after."""
        if machine or "=?" not in value:
            return self._value(name, value, returned=returned, machine=machine) if value else value
        plain = _ENCODED_WORDS.sub(_decoded, " ".join(value.split())[: model.MAX_VALUE])
        new = self._value(name, " ".join(plain.split()), returned=returned)
        return (
            new if new.isascii() else Header(new.encode("utf-8", "replace").decode(), "utf-8", maxlinelen=70).encode()
        )

    def _value(self, name: str, value: str, *, returned: bool = False, machine: bool = False) -> str:
        if name in ("subject", "thread-topic"):
            return self.names.subject(value) if returned else self._title(value)
        if _RECIPIENT.fullmatch(name) and (address := fields.address(value)):
            kind, semicolon, _ = value.partition(";")
            return f"{kind};{self.names.text(address)}" if semicolon else self.names.text(address)
        if _MESSAGE_IDS.fullmatch(name):
            return _MESSAGE_ID.sub(self._message_id, value)
        if _PEOPLE.fullmatch(name):
            return self._people(value)
        if name in ("content-type", "content-disposition"):
            return "text/plain" if returned else self._content(value)
        if name.endswith("id"):
            return self.names.identifier(value)
        if machine or _TEXT.fullmatch(name) or any(mark.lstrip().startswith(f"{name}:") for mark in marks()):
            return "7bit" if returned and name == "content-transfer-encoding" else self.words(value)
        return REMOVED

    def _title(self, subject: str) -> str:
        """Return the subject of a notice.

        Where nothing else shows the returned message's, it is what follows "Undeliverable:" or "Re:".
        """
        found = _PREFIXED.fullmatch(subject) if self.guess_title else None
        if found and not origin.tells(found[2]):
            return self.names.text(found[1]) + self.names.subject(found[2])
        return self.words(subject)

    def _content(self, value: str) -> str:
        """Return a Content-Type or Content-Disposition with the parameters that parts are read by."""
        found = _BOUNDARY.search(value)
        boundary = f'; boundary="{self._boundary(found)}"' if found else ""
        parameters = "".join(f'; {one[1]}="{one[2]}"' for one in _PARAMETER.finditer(value))
        return f"{_type(value)}{parameters}{boundary}"

    def _message_id(self, found: re.Match[str]) -> str:
        """Return the stand-in of a Message-ID; the beginning that tells its writer is kept."""
        begins = (mark.removeprefix("message-id: <") for mark in marks() if mark.startswith("message-id: <"))
        kept = next((begin for begin in begins if found[0].lower().startswith(begin)), "")
        local, at, host = found[0].rpartition("@") if "@" in found[0] else (found[0], "", "")
        return f"{found[0][: len(kept)]}{self.names.identifier(local)}{at}{self.names.host(host)}"

    def _people(self, value: str) -> str:
        if "@" not in value and "<" not in value:
            return self.names.name(value)
        return _apart(_DISPLAY, value, self._name, lambda rest: _apart(_COMMENT, rest, self._name, self.names.text))

    def _name(self, found: re.Match[str]) -> str:
        return self.names.name(found[0])


def _apart(
    pattern: re.Pattern[str], text: str, inside: Callable[[re.Match[str]], str], outside: Callable[[str], str]
) -> str:
    """Return *text*, what *pattern* finds changed by one function and what stands between by the other."""
    done: list[str] = []
    at = 0
    for found in pattern.finditer(text):
        done += [outside(text[at : found.start()]), inside(found)]
        at = found.end()
    return "".join([*done, outside(text[at:])])


def _value_of(name: str, head: str) -> str:
    """Return the value of a field, unfolded, or an empty string."""
    found = re.search(rf"^{name}[ \t]{{0,20}}:((?:[^\n]|\n[ \t])*)", head, re.I | re.M)
    return " ".join(found[1].split()) if found else ""


def _type(value: str) -> str:
    """Return the media type of a Content-Type, without its parameters."""
    return re.split(r"[\s;]", value, maxsplit=1)[0]


def _decoded(words: re.Match[str]) -> str:
    try:
        return str(make_header(decode_header(words[0])))
    except (LookupError, ValueError, MessageError):
        return REMOVED


def _removed(text: str) -> str:
    """Return what stands for a body that was left out."""
    return f"{REMOVED}\n" if text.strip() else text


def _recoded(body: str, encoding: str, content_type: str, change: Callable[[str], str]) -> str:
    """Return the body of a part: decoded, changed and encoded again."""
    data = _bytes(body)
    if encoding == "base64":
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
        whole = letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4)
        data = base64.encodebytes(_changed(base64.b64decode(whole), content_type, change))
    elif encoding == "quoted-printable":
        data = quopri.encodestring(_changed(quopri.decodestring(data), content_type, change))
    else:
        return _changed(data, content_type, change).decode("utf-8", "surrogateescape")
    return data.decode("ascii").rstrip("\n") + body[len(body.rstrip("\n")) :]


def _changed(data: bytes, content_type: str, change: Callable[[str], str]) -> bytes:
    """Return *data*, read in its charset or else as UTF-8, changed; bytes that are neither stay as they are."""
    declared = (one[2] for one in _PARAMETER.finditer(content_type) if one[1].lower() == "charset")
    try:
        codec = codecs.lookup(next(declared, "utf-8")).name
        if codec in ("punycode", "idna"):  # of domain names, and quadratic
            codec = "utf-8"
        return change(data.decode(codec).replace("\r\n", "\n")).encode(codec)
    except (LookupError, ValueError):
        return _bytes(change(data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
