"""Messages taken apart, and the two readers of MIME held to the same result."""

from __future__ import annotations

import base64
import re
import warnings
from email.header import decode_header
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bounceclass import _stdlib_mime, mime, model

if TYPE_CHECKING:
    from bounceclass.model import Mail

FIXTURES = Path(__file__).parent.parent / "fixtures"
CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"


def message(body: bytes = b"hello", *fields: bytes) -> bytes:
    return b"\n".join((b"From: a@example.org", *fields, b"", body))


def multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    body = b"".join(b"\n--b\n" + part for part in parts) + b"\n--b--\n"
    return message(body, b"Content-Type: multipart/" + kind + b"; boundary=b")


TEXT = b"Content-Type: text/plain\n\nplain"
HTML = b"Content-Type: text/html\n\n<p>rich</p>"
STATUS = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.org\n"


# --- what stands before and between -------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text", "defects"),
    [
        (b"From: a@example.org\n\nhello", "hello", ()),
        (b"From: a@example.org\r\n\r\nhello\r\nyou", "hello\nyou", ()),
        (b"From: a@example.org\r\rhello\ryou", "hello\nyou", ("lines: end in CR alone",)),
        (b"From: a@example.org\r\r\n\r\r\nhello\r\r\nyou", "hello\nyou", ("lines: end in CR CR LF",)),
        (b"\r\n \tFrom: a@example.org\n\nhello", "hello", ()),
        (b"\xef\xbb\xbfFrom: a@example.org\n\nhello", "hello", ()),
        (b"From a@example.org Thu Jan  2 03:04:05 2025\nFrom: a@example.org\n\nhello", "hello", ()),
        (b">From a@example.org x\n>From b@example.org x\nFrom: a@example.org\n\nhello", "hello", ()),
        (b"hello without a header", "hello without a header", ("header: none",)),
        (b"", "", ("header: none",)),
    ],
)
def test_lines_and_beginnings(raw: bytes, text: str, defects: tuple[str, ...]) -> None:
    mail = mime.parse(raw)
    assert (mail.text.rstrip(), mail.defects) == (text, defects)
    assert mail.get("from") == ("" if "header: none" in defects else "a@example.org")


def test_headers() -> None:
    mail = mime.parse(message(b"", b"X-Two: 1", b"x-two: 2", b"Subject: =?utf-8?q?caf=C3=A9?=\n and\n\tmore"))
    assert mail.headers["x-two"] == ["1", "2"]
    assert mail.get("subject") == "café and more"
    assert mail.get("x-none") == ""


@pytest.mark.parametrize(
    ("field", "content_type", "report_type"),
    [
        (b"multipart/report; report-type=Delivery-Status; boundary=b", "multipart/report", "delivery-status"),
        (b'multipart/report; boundary=b; report-type = "feedback-report"', "multipart/report", "feedback-report"),
        (b"multipart/report; boundary=b", "multipart/report", ""),
    ],
)
def test_the_type_of_a_report(field: bytes, content_type: str, report_type: str) -> None:
    mail = mime.parse(message(b"--b\n" + TEXT + b"\n--b--\n", b"Content-Type: " + field))
    assert (mail.content_type, mail.report_type) == (content_type, report_type)


# --- parts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (multipart(TEXT, HTML, kind=b"alternative"), "plain"),
        (multipart(HTML, TEXT, kind=b"alternative"), "plain"),
        (multipart(TEXT, TEXT), "plain\n\nplain"),
        (multipart(HTML), "rich"),
        # an empty text beside HTML says nothing
        (multipart(b"Content-Type: text/plain\n\n \n", HTML, kind=b"alternative"), "rich"),
        # what is attached is no notice
        (multipart(TEXT, b"Content-Type: text/plain\nContent-Disposition: attachment\n\nfile"), "plain"),
        (multipart(b"Content-Type: text/html\nContent-Disposition: ATTACHMENT; filename=x\n\n<p>file"), ""),
        (multipart(TEXT, b"Content-Type: image/png\n\nxyz"), "plain"),
        # Gmail: text parts nested in the report
        (multipart(b"Content-Type: multipart/alternative; boundary=c\n\n--c\n" + TEXT + b"\n--c--\n", STATUS), "plain"),
        (message(b"caf\xc3\xa9", b"Content-Type: text/plain; charset=utf-8"), "café"),
    ],
)
def test_the_text_of_a_notice(raw: bytes, text: str) -> None:
    mail = mime.parse(raw)
    assert mime.readable(mail).strip() == text
    assert mail.defects == ()


@pytest.mark.parametrize("kind", sorted(mime.MACHINE_READABLE))
@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
def test_machine_readable_parts(kind: str, encoding: str) -> None:
    said = b"Reporting-MTA: dns; mail.example.org\n\nFinal-Recipient: rfc822; fred@example.com\n"
    body = base64.encodebytes(said) if encoding == "base64" else said
    part = f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + body
    mail = mime.parse(multipart(TEXT, part, kind=b"report"))
    ((got_kind, got),) = mail.machine
    assert (got_kind, got.strip()) == (kind, said.decode().strip())
    assert mail.text.strip() == "plain"


@pytest.mark.parametrize("kind", sorted(mime.RETURNED_HEADER - {"message/partial"}))
def test_returned_messages(kind: str) -> None:
    part = f"Content-Type: {kind}\n\nTo: fred@example.com\nSubject: chairs\n\nbody\n".encode()
    second = f"Content-Type: {kind}\n\nTo: wilma@example.com\n\nbody\n".encode()
    mail = mime.parse(multipart(TEXT, part, second))
    assert mail.returned == {"to": ["fred@example.com"], "subject": ["chairs"]}
    assert mail.text.strip() == "plain"


def test_a_returned_message_that_returns_a_message_is_not_looked_into() -> None:
    inner = b"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\nTo: outer@example.com\n\nTo: inner@example.com\n\nx"
    assert (mime.parse(multipart(TEXT, inner)).returned or {})["to"] == ["outer@example.com"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("To: a@example.com\nSubject: x\n y\n\nbody: no field", {"to": ["a@example.com"], "subject": ["x y"]}),
        ("\n\nTo: a@example.com\n\nbody", {"to": ["a@example.com"]}),
        # rule lines and remarks before a header
        ("-----\nThis is a copy\n\nTo: a@example.com\n", {"to": ["a@example.com"]}),
        ("no field here\n", {}),
        ("x\n" * 100 + "To: a@example.com\n", {}),
        ("", {}),
        ("From a@example.com x\nTo: b@example.com\n", {"to": ["b@example.com"]}),
        ("To: \udce9@example.com\n", {"to": ["é@example.com"]}),
    ],
)
def test_parse_header(text: str, expected: dict[str, list[str]]) -> None:
    assert mime.parse_header(text) == expected


# --- charsets -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "content", "text", "defects"),
    [
        ("utf-8", "caffè".encode(), "caffè", ()),
        ("iso-8859-1", "caffè – €".encode("cp1252"), "caffè – €", ()),
        ("gb2312", "退信 镕".encode("gb18030"), "退信 镕", ()),
        ("ks_c_5601-1987", "반송 똠".encode("cp949"), "반송 똠", ()),
        ("shift_jis", "①送信".encode("cp932"), "①送信", ()),
        ("iso-2022-jp", "送信できません".encode("iso2022_jp"), "送信できません", ()),
        ("utf-7", "caff\u00e8".encode("utf-7"), "caffè", ()),
        # halves of surrogate pairs
        ("utf-7", b"a+2AA-b", "a\ufffdb", ()),
        ("raw_unicode_escape", b"\\ud800\xe8", "\ufffdè", ()),
        ("utf-16", "\ufeffcaffè".encode("utf-16-le"), "caffè", ()),
        ("us-ascii", "caffè".encode(), "caffè", ()),
        # undeclared, or not what was declared
        ("", "caffè".encode(), "caffè", ()),
        ("", "caffè".encode("cp1252"), "caffè", ("charset: not utf-8",)),
        ("us-ascii", "送信できません".encode("iso2022_jp"), "送信できません", ()),
        ("x-unknown", "caffè".encode(), "caffè", ("charset: not x-unknown",)),
        ("base64", "caffè".encode(), "caffè", ("charset: not base64",)),
        # bytes that no guess can read: every one becomes something
        ("utf-8", b"a\x81b", "a\ufffdb", ("charset: not utf-8", "charset: not cp1252")),
        ("koi8-unknown", b"a\x81b", "a\x81b", ("charset: not koi8-unknown", "charset: not utf-8", "charset: not cp1252")),
    ],
)  # fmt: skip
def test_charsets(charset: str, content: bytes, text: str, defects: tuple[str, ...]) -> None:
    field = f"Content-Type: text/plain; charset={charset}" if charset else "Content-Type: text/plain"
    raw = message(base64.encodebytes(content), field.encode(), b"Content-Transfer-Encoding: base64")
    mail = mime.parse(raw)
    assert (mail.text, mail.defects) == (text, defects)


# --- HTML ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("one<br>two<p>three</p>four", ["one", "two", "three", "four"]),
        (
            "<style>p{}</style><script>x()</script><title>t</title>a&nbsp;&lt;fred@example.com&gt;",
            ["a <fred@example.com>"],
        ),
        ("<table><tr><td>a<td>b<tr><td>c</table>", ["ab", "c"]),
        ("<b>bo</b>ld", ["bold"]),
        ("", []),
        ("<frameset></frameset>", []),
        # more tags than a parser should see
        ("<div>" * (mime.MAX_TAGS + 1) + "deep", ["deep"]),
    ],
)
def test_html(html: str, lines: list[str]) -> None:
    text = mime.readable(mime.parse(message(html.encode(), b"Content-Type: text/html")))
    assert [line.strip() for line in text.splitlines() if line.strip()] == lines


# --- caps ---------------------------------------------------------------------


def test_no_more_than_max_bytes_are_read() -> None:
    mail = mime.parse(message(b"x" * 1000), max_bytes=121)
    assert len(mail.text) == 121 - len(message(b""))
    assert mail.defects == ("size: only the first 121 bytes were read",)


def test_long_texts_are_cut() -> None:
    mail = mime.parse(message(b"x" * (mime.MAX_TEXT + 1)))
    assert len(mail.text) == mime.MAX_TEXT
    assert mail.defects == (f"text: only the first {mime.MAX_TEXT} characters were read",)


def test_long_html_is_cut() -> None:
    mail = mime.parse(message(b"x" * (mime.MAX_HTML + 1), b"Content-Type: text/html"))
    assert len(mime.readable(mail)) == mime.MAX_HTML
    assert mail.defects == (mime.LONG_HTML,)


def test_much_html_is_cut() -> None:
    part = b"Content-Type: text/html\n\n" + b"x" * (mime.MAX_HTML - 1) + b"\n"
    mail = mime.parse(multipart(*[part] * 4))
    assert len("".join(mail.html)) == mime.MAX_TEXT
    assert mail.defects == (mime.LONG_HTML,)


def test_long_fields_are_cut() -> None:
    assert len(mime.parse(message(b"", b"Subject: " + b"x" * model.MAX_VALUE * 2)).get("subject")) == model.MAX_VALUE


def test_deep_nesting_is_cut() -> None:
    raw = b"From: a@example.org\n"
    depth = mime.MAX_DEPTH + 1
    for level in range(depth):
        raw += b"Content-Type: multipart/mixed; boundary=b%dx\n\n--b%dx\n" % (level, level)
    raw += b"Content-Type: text/plain\n\ndeep\n" + b"".join(b"--b%dx--\n" % level for level in reversed(range(depth)))
    mail = mime.parse(raw)
    assert mail.text == ""
    assert mail.defects == (f"mime: nested deeper than {mime.MAX_DEPTH} parts",)


def test_many_encoded_words_are_left_alone() -> None:
    mail = mime.parse(message(b"", b"Subject: " + b"=?utf-8?q?=41?= " * (mime.MAX_WORDS + 1)))
    assert mail.get("subject").startswith("= ?utf-8?q?")
    assert mail.defects == (f"header: more than {mime.MAX_WORDS} encoded words, none was decoded",)


def test_many_boundaries_are_left_alone() -> None:
    mail = mime.parse(message(b"one" + b"\n--x" * (mime.MAX_BOUNDARIES + 1)))
    assert mail.text.count("--x") == mime.MAX_BOUNDARIES
    assert mail.defects == (f"mime: read up to boundary line {mime.MAX_BOUNDARIES}",)


# --- what only ``email`` reads --------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text", "defects"),
    [
        (message(b"no part", b"Content-Type: multipart/report; boundary=b"), "no part", ("mime: a multipart without parts",)),
        (message(b"QUJD!*", b"Content-Transfer-Encoding: base64"), "ABC", ("mime: DecodeError",)),
        (multipart(b"Content-Type: multipart/mixed; boundary=c\n\nlost", TEXT), "lost\n\n\nplain", ("mime: a multipart without parts",)),
    ],
)  # fmt: skip
def test_email_reads_the_rest(raw: bytes, text: str, defects: tuple[str, ...]) -> None:
    mail = mime.parse(raw)
    assert (mail.text.strip(), mail.defects) == (text, defects)


def test_a_large_broken_message_is_cut() -> None:
    mail = mime.parse(message(b"x" * (mime.MAX_BROKEN + 1), b"Content-Type: multipart/report; boundary=b"))
    assert mail.defects == (
        "mime: a multipart without parts",
        f"size: only the first {mime.MAX_BROKEN} bytes of a broken message were read",
    )
    assert len(mail.text) < mime.MAX_BROKEN


def test_email_does_not_recurse_into_what_is_nested_too_deep() -> None:
    raw = b"From: a@example.org\n" + b"Content-Type: message/rfc822\n\n" * (_stdlib_mime.MAX_NESTED + 1)
    node = _stdlib_mime.read(raw)
    assert (node.children, node.headers["From"]) == ([], ["a@example.org"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?q?caf=C3=A9?=", "café"),
        (b"=?x-unknown?q?caf=E9?=", "=?x-unknown?q?caf=E9?="),
        (b"=?utf-8?b?QUJDR?= x", "=?utf-8?b?QUJDR?= x"),
        (b"=?utf-7?q?a+2AA-b?=", "a?b"),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\ufffd"),
    ],
)
def test_email_decodes_words(value: bytes, expected: str) -> None:
    assert _stdlib_mime.read(b"Subject: " + value + b"\n\n").headers["Subject"] == [expected]


# --- agreement ------------------------------------------------------------------

_WORD = re.compile(r"=\?([\w-]+)(?:\*\w+)?\?([bq])\?([^?\s]*)\?=", re.I)
_PART_HEADER = re.compile(r"^--[^\n]+\n((?:[^\n]+\n)+)", re.M)
_FIELD = re.compile(r"[!-9;-~]+[ \t]*:|[ \t]")


def folded(text: str) -> str:
    """Without white space, and with every RFC 2047 word decoded.

    Where words stand in quotes or touch their neighbours, RFC 2047 5 leaves it to the
    reader whether they are words, and ``email`` puts spaces around those that it decodes.
    """
    return "".join(_WORD.sub(_decoded, text).split())


def _decoded(word: re.Match[str]) -> str:
    ((content, _),) = decode_header(word[0])
    # QUIRK: senders say gb2312 and mean gb18030
    return (
        content.decode("gb18030" if word[1].lower() == "gb2312" else word[1], "replace")
        if isinstance(content, bytes)
        else content
    )


def differences(raw: bytes) -> list[str]:
    """Name what the two readers see differently; nothing where only ``email`` reads the message."""
    defects: list[str] = []
    plain = mime._bounded(mime._plain_lines(raw[: mime.MAX_BYTES], []), [])
    if not mime._FIELD.match(plain):
        plain = b"\n" + plain
    fast = mime._taken_apart(plain, defects)
    if any(defect.startswith("mime: ") for defect in defects):
        return []
    slow = mime._mail(_stdlib_mime.read(plain), [])
    found = []
    if folded(mime.readable(fast)) != folded(mime.readable(slow)) and not _lost_in_quoted_printable(plain, fast, slow):
        found.append("text")
    if _header_is_cut(plain):
        return found
    if [(kind, folded(text)) for kind, text in fast.machine] != [(kind, folded(text)) for kind, text in slow.machine]:
        found.append("machine-readable parts")
    for name, one, other in (("returned header", fast.returned, slow.returned), ("header", fast.headers, slow.headers)):
        if _values(one) != _values(other):
            found.append(name)
    if (fast.content_type, fast.report_type) != (slow.content_type, slow.report_type):
        found.append("type")
    return found


def _values(fields: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
    """Fields to compare.  Inside a returned header ``email`` drops an mbox separator, "From a@b Thu Jan 2 03:04",
    and fast-mail-parser takes it for a field."""
    if fields is None:
        return None
    return {name: list(map(folded, values)) for name, values in fields.items() if " " not in name}


def _lost_in_quoted_printable(raw: bytes, fast: Mail, slow: Mail) -> bool:
    """fast-mail-parser drops octets that quoted-printable does not allow (RFC 2045 6.7): not ASCII and not encoded."""
    if raw.isascii() or b"quoted-printable" not in raw.lower():
        return False
    left, right = (re.sub(r"[^\x21-\x7e]", "", mime.readable(mail)) for mail in (fast, slow))
    return left == right


def _header_is_cut(raw: bytes) -> bool:
    """``email`` ends the header of a part at the first line that is no field; fast-mail-parser reads on."""
    text = raw.decode("latin-1").replace("\r\n", "\n")
    headers = (block[1].splitlines() for block in _PART_HEADER.finditer(text))
    return any(_FIELD.match(lines[0]) and not all(map(_FIELD.match, lines)) for lines in headers)


def disagreements(folder: Path) -> dict[str, list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            str(path.relative_to(folder)): differences(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".eml", ".txt")
        }
    assert found
    return {name: names for name, names in found.items() if names}


def test_agreement_over_fixtures() -> None:
    assert disagreements(FIXTURES) == {}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="there is no shared/corpus beside the project")
def test_agreement_over_the_corpus() -> None:
    assert disagreements(CORPUS) == {}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (message(b"caf=C3=A9", b"Content-Transfer-Encoding: quoted-printable"), "caf\u00e9"),
        (message(b"caf\xc3\xa9!", b"Content-Transfer-Encoding: quoted-printable"), "caf!"),
    ],
)
def test_the_known_difference_in_quoted_printable(raw: bytes, expected: str) -> None:
    assert mime.parse(raw).text == expected
    assert differences(raw) == []


@pytest.mark.parametrize(
    "kind",
    [
        "message/delivery-status", "message/global-delivery-status", "application/xdelivery-status", "text/delivery-status",
        "message/disposition-notification", "message/global-disposition-notification", "message/feedback-report",
    ],
)  # fmt: skip
def test_the_media_types_of_machine_readable_parts(kind: str) -> None:
    mail = mime.parse(multipart(TEXT, f"Content-Type: {kind}\n\nReporting-MTA: dns; x\n".encode(), kind=b"report"))
    assert [(one, text.strip()) for one, text in mail.machine] == [(kind, "Reporting-MTA: dns; x")]


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        ("utf-16", "hello".encode("utf-16-le"), "hello"),
        ("idna", b"\x1b.xn--caf-dma", "\x1b.xn--caf-dma"),
        ("us-ascii", b"\xff\xfe" + "hello".encode("utf-16-le"), "hello"),
        ("us-ascii", b"\xfe\xff" + "hello".encode("utf-16-be"), "hello"),
    ],
)
def test_more_charsets(charset: str, content: bytes, text: str) -> None:
    fields = (f"Content-Type: text/plain; charset={charset}".encode(), b"Content-Transfer-Encoding: base64")
    assert mime.parse(message(base64.b64encode(content), *fields)).text == text


def test_encoded_words_of_a_header_in_the_text_are_decoded() -> None:
    assert mime.parse_header("Subject: =?utf-8?q?caf=C3=A9?=\nTo: x@example.org\n\n") == {
        "subject": ["café"],
        "to": ["x@example.org"],
    }


def test_lines_of_html_are_stripped() -> None:
    html = b"Content-Type: text/html\n\n<p>\xc2\xa0 rich &nbsp;</p><pre>  550 no  </pre>"
    assert mime.readable(mime.parse(multipart(html))).strip("\n") == "rich\n\n550 no"
