"""A message made fit for a public report: judged as before, and nobody is named in it."""

from __future__ import annotations

import base64
import email
import ipaddress
import re
import time
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fixtures import differences

import bounceclass
from bounceclass import mime, rulebook
from bounceclass.app.anonymise import anonymise
from bounceclass.app.cli import cli
from bounceclass.app.fixture import TO_REVIEW
from bounceclass.app.pseudonyms import Pseudonyms, marks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bounceclass.app.anonymise import Anonymised

ROOT = Path(__file__).parent.parent
FIXTURES = sorted((ROOT / "fixtures").rglob("*.eml"))
CORPUS = ROOT.parent / "shared" / "corpus"
SECONDS = 60
"""Many times what 1 MB takes: machines that run tests are slow."""

ADDRESS = re.compile(r"(?<![\w.+=-])([\w.+=-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63}){1,10})")
IP = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w.-])")
STAND_IN = re.compile(r"(?:user|host|id|tenant)\d+(?:@.*)?")
PEOPLE = ("from", "to", "cc", "sender", "reply-to", "return-path", "delivered-to", "x-original-to", "envelope-to")
# Words that say nothing of anyone: of stand-ins, and of those who made the corpus fit to be published
PLACEHOLDERS = {"example", "redacted"}


@cache
def anonymised(path: Path) -> Anonymised:
    return anonymise(path.read_bytes())


def corpus() -> list[Path]:
    if not CORPUS.is_dir():
        pytest.skip("there is no corpus of messages beside this checkout")
    return [path for path in sorted(CORPUS.rglob("*")) if path.is_file() and path.suffix not in (".md", ".jsonl")]


# --- the verdict ------------------------------------------------------------------


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_fixture_is_judged_as_before(path: Path) -> None:
    raw = path.read_bytes()
    done = anonymised(path)
    assert done.differences == ()
    before, after = bounceclass.classify(raw), bounceclass.classify(done.message)
    assert (before.kind, before.dialect, len(before.failures)) == (after.kind, after.dialect, len(after.failures))
    for one, other in zip(before.failures, after.failures, strict=True):
        kept = ("severity", "reason", "scope", "suppress", "status", "reply_code", "command", "provider", "confidence")
        assert [getattr(one, key) for key in kept] == [getattr(other, key) for key in kept]
    pairs = {(one.recipient, other.recipient) for one, other in zip(before.failures, after.failures, strict=True)}
    assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs})


def test_a_message_of_the_corpus_is_judged_as_before() -> None:
    paths = corpus()
    changed = [f"{path}: {line}" for path in paths for line in anonymised(path).differences[:1]]
    print("\n".join(changed))
    assert len(changed) <= len(paths) / 200


def test_a_verdict_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """flufl.bounce knows this mailer by its host, which is nobody's provider."""
    raw = b"From: MAILER-DAEMON@mr.its.yale.edu\nSubject: Returned mail - nameservice error report\nTo: ann@example.org\n\n"
    raw += b"  --Message not delivered to the following:\n\n  fred    No matches to nameserver query\n\n  --Error Detail (x)\n"
    path = tmp_path / "bounce.eml"
    path.write_bytes(raw)
    before, after = bounceclass.classify(raw), bounceclass.classify(anonymise(raw).message)
    assert (before.kind, after.kind) == ("bounce", "none")
    result = CliRunner().invoke(cli, ["anonymise", str(path)])
    assert (result.exit_code, result.stdout_bytes) == (1, anonymise(raw).message)
    assert result.stderr.splitlines()[0] == f"{path}: the verdict changed: kind: was bounce, is none"


# --- nobody is named ---------------------------------------------------------------


def people(raw: bytes) -> set[tuple[str, str]]:
    """The addresses of who wrote, and of who was written to."""
    mail, report = mime.parse(raw), bounceclass.classify(raw)
    values = [one for head in (mail.headers, mail.returned or {}) for name in PEOPLE for one in head.get(name, ())]
    for one in report.failures:
        values += [name for name in (one.recipient, one.original_recipient, one.final_recipient) if name]
    return {(found[1].lower(), found[2].lower()) for value in values for found in ADDRESS.finditer(value)}


def readable(raw: bytes) -> str:
    """What can be read in a message, decoded; without the names of fields and types."""
    mail = mime.parse(raw)
    texts = [raw.decode("utf-8", "replace"), mail.text, *(text for _, text in mail.machine)]
    texts += [value for name, values in mail.headers.items() if name != "content-type" for value in values]
    for part in email.message_from_bytes(raw).walk():
        if isinstance(data := part.get_payload(decode=True), bytes):
            texts.append(data.decode("utf-8", "replace"))
    return re.sub(
        r"(?m)^(?:content-type:.*|[!-9;-~]+:)|(?:text|message|multipart|application)/[\w+.-]+",
        "",
        "\n".join(texts).lower(),
    )


def holds(text: str, word: str) -> bool:
    return bool(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-]|\.\w)", text))


def leaks(path: Path) -> Iterator[str]:
    raw, text = path.read_bytes(), readable(anonymised(path).message)
    names, rules = Pseudonyms(), rulebook.load()
    phrases = [phrase.lower() for rule in rules.rules for phrase in rule.phrases] + [*marks()]
    words = {word for phrase in phrases for word in re.findall(r"\w+", phrase)}
    for local, domain in people(raw):
        if names.user(local) == local or STAND_IN.fullmatch(local):
            continue  # postmaster, mailer-daemon
        if holds(text, f"{local}@{domain}"):
            yield f"{local}@{domain}"
        if len(local) > 3 and local not in words | PLACEHOLDERS and holds(text, local):
            yield local
        if not (rules.provider_of_host(domain) or rules.provider_of_domain(domain)) and names.host(domain) != domain:
            yield from [domain] if holds(text, domain) else []
    for found in {found[0] for found in IP.finditer(raw.decode("latin-1"))}:
        if all(int(number) < 256 for number in found.split(".")) and not re.search(r"\b0\d", found):
            yield from [found] if ipaddress.ip_address(found).is_global and holds(text, found) else []


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nobody_is_named(path: Path) -> None:
    assert list(leaks(path)) == []


def test_nobody_of_the_corpus_is_named() -> None:
    assert [f"{path}: {word}" for path in corpus() for word in leaks(path)] == []


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_documentation_addresses_are_numbered(path: Path) -> None:
    raw = path.read_text("latin-1")
    new = set(
        re.findall(
            r"(?<![\w.])(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}(?![\w.])",
            anonymised(path).message.decode("latin-1"),
        )
    )
    assert new <= {f"192.0.2.{number}" for number in range(1, len(set(IP.findall(raw))) + 2)}


# --- what becomes of what ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("<Fred@Example.COM>: user unknown; fred is gone", "<user1@domain1.example>: user unknown; user1 is gone"),
        ("host mx1.example.com[192.0.2.77] said: 550-5.1.1", "host host1.domain1.example[192.0.2.1] said: 550-5.1.1"),
        ("250-mx1.example.com, mx1.example.com", "250-host1.domain1.example, host1.domain1.example"),
        ("ann@example.com ann@example.net", "user1@domain1.example user1@domain2.example"),
        ("to wilma.secret%40example.com", "to user1%40domain1.example"),
        ("to=ann@example.com 'bob@example.com'", "to=user1@domain1.example 'user2@domain1.example'"),
        ("bounces+ann=example.com@example.net", "user1@domain1.example"),
        ("ann@[198.51.100.9] ann@[IPv6:2001:db8:7::1]", "user1@[192.0.2.1] user1@[ipv6:2001:db8::1]"),
        ("198.51.100.7 203.0.113.9 198.51.100.7 127.0.0.1", "192.0.2.1 192.0.2.2 192.0.2.1 127.0.0.1"),
        ("host gmail-smtp-in.l.google.com said", "host gmail-smtp-in.l.google.com said"),
        ("ann@gmail.com", "user1@gmail.com"),
        ("shop-example.mail.protection.outlook.com", "tenant1.mail.protection.outlook.com"),
        ("7.100.51.198.zen.spamhaus.org", "192.0.2.1.zen.spamhaus.org"),
        ("https://check.spamhaus.org/query/ip/198.51.100.7", "https://check.spamhaus.org/query/ip/192.0.2.1"),
        ("see https://news.example.org/u/12?e=ann", "see https://host1.domain1.example/"),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
        ("queued as 4G7m2q0t9Xz5vLk", "queued as id1"),
        ("at 2024-03-18T06:58:02 0x800CCC78a1b2", "at 2024-03-18T06:58:02 0x800CCC78a1b2"),
        ("Name: /O=ACME/OU=EU/CN=JSMITH", "Name: /O=removed/OU=removed/CN=removed"),
        ("helo=workstation and workstation", "helo=host1 and host1"),
    ],
)  # fmt: skip
def test_text(given_: str, expected: str) -> None:
    names = Pseudonyms()
    names.text(given_)
    assert names.text(given_) == expected


LETTER = b"""From: Ann Example <ann@example.com>\r
To: Mail Delivery System <postmaster@example.net>\r
Cc: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r
Subject: Undeliverable: Our secret plan\r
DKIM-Signature: v=1; d=example.com; b=abc\r
X-Authenticated-User: ann\r
References: <a1b2@example.com>\r
Content-Type: multipart/mixed; boundary="example.com-77"\r
\r
--example.com-77\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: base64\r
\r
RGVhciBBbm4sCnlvdXIgT3VyIHNlY3JldCBwbGFuIHRvIGZyZWRAZXhhbXBsZS5vcmcgZmFpbGVkLgo=\r
--example.com-77\r
Content-Type: message/rfc822\r
\r
Subject: Our secret plan\r
To: fred@example.org\r
\r
It is secret.\r
--example.com-77\r
Content-Type: application/pdf; name="plan.pdf"\r
Content-Disposition: attachment; filename="plan.pdf"\r
\r
secret\r
--example.com-77--\r
"""


def test_a_message() -> None:
    parts = anonymise(LETTER).message.split(b"--=_id1_=")
    assert parts[0].split(b"\r\n") == [
        b"From: Name1 Name2 <user1@domain1.example>",
        b"To: Mail Delivery System <postmaster@domain2.example>",
        b"Cc: Name3 <user2@domain1.example>",
        b"Subject: Undeliverable: Subject1",
        b"DKIM-Signature: removed",
        b"X-Authenticated-User: removed",
        b"References: <id2@domain1.example>",
        b'Content-Type: multipart/mixed; boundary="=_id1_="',
        b"",
        b"",
    ]
    assert (
        base64.b64decode(parts[1].split(b"\r\n\r\n")[1])
        == b"Dear Name1,\nyour Subject1 to user3@domain3.example failed.\n"
    )
    assert parts[2] == (
        b"\r\nContent-Type: message/rfc822\r\n\r\nSubject: Subject1\r\nTo: user3@domain3.example\r\n\r\nremoved\r\n\r\n"
    )
    assert parts[3] == (b"\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment\r\n\r\nremoved\r\n\r\n")
    assert parts[4].strip() == b"--"


def test_a_returned_message_in_the_text_is_left_out() -> None:
    raw = (ROOT / "fixtures" / "qmail" / "after-data.eml").read_bytes()
    new = anonymise(raw).message
    assert (b"Half price" in raw, b"Half price" in new, b"offer of the month" in new) == (True, False, False)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\r\n"])
def test_line_ends_stay(end: bytes) -> None:
    raw = (ROOT / "fixtures" / "postfix" / "user-unknown.eml").read_bytes().replace(b"\r\n", b"\n")
    assert anonymise(raw.replace(b"\n", end)).message == anonymise(raw).message.replace(b"\n", end)


# --- hostile input -----------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FIXTURES), st.data())
def test_damaged_mail_never_raises(path: Path, data: st.DataObject) -> None:
    raw = path.read_bytes()
    at = data.draw(st.integers(0, len(raw)))
    cut = data.draw(st.integers(0, 200))
    raw = raw[:at] + data.draw(st.binary(max_size=40)) + raw[at + cut :]
    assert anonymise(raw) == anonymise(raw)


@given(st.binary(max_size=500))
def test_no_mail_at_all_never_raises(raw: bytes) -> None:
    assert anonymise(raw) == anonymise(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain; charset=punycode\n\n",
        b"Content-Type: text/plain; charset=utf-7\n\n",
        b"Content-Type: text/plain; charset=rot13\nContent-Transfer-Encoding: base64\n\n",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n",
        b"Subject: =?utf-7?q?+2AA-?=\nContent-Type: text/plain; charset=utf-7\n\n+2AA- ",
        b"From: =?utf-8?q?a=0AX:_y?= <a@b>\nSubject: =?x?q?a?= =?utf-8?b?a?=\n\n",
    ],
)
def test_odd_encodings_never_raise(head: bytes) -> None:
    raw = head + b"a@example.com =E9 +AGE- \xe9\xff YUBi\n" * 20
    assert b"a@example.com" not in anonymise(raw).message


@pytest.mark.parametrize(
    "unit",
    [b"a", b"a.", b"a@", b"a@b.", b"<", b"(", b'"', b",a ", b":", b"1:", b"1.", b"=?", b"/o=", b"id 1", b"--a\n", b"a: ", b" ", b"\n", b"\n ",
     b"=?utf-8?q?a?= ", b"Subject: a\n", b"From: a <", b"https://a", b"a-1b2c3d4e5f6-", b"\xff", b"\"subject\": \"", b"boundary=a;", b"-", b"_"],
)  # fmt: skip
def test_time_is_linear(unit: bytes) -> None:
    third = unit * (333_333 // len(unit))
    begun = time.perf_counter()
    anonymise(b"From: " + third + b"\nReceived: " + third + b"\nTo: a@b\n\n" + third)
    assert time.perf_counter() - begun < SECONDS


def test_many_parts_take_no_longer() -> None:
    parts = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1) for i in range(16_000))
    begun = time.perf_counter()
    anonymise(b"From: a@b\nContent-Type: multipart/mixed; boundary=b0\n\n" + parts)
    assert time.perf_counter() - begun < SECONDS


# --- the commands ------------------------------------------------------------------


def test_anonymise_command(tmp_path: Path) -> None:
    path = tmp_path / "bounce.eml"
    path.write_bytes(LETTER)
    for arguments, stdin in (["anonymise", str(path)], b""), (["anonymise"], LETTER), (["anonymise", "-"], LETTER):
        result = CliRunner().invoke(cli, arguments, input=stdin)
        assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, anonymise(LETTER).message, "")
    assert CliRunner().invoke(cli, ["anonymise", str(tmp_path / "none")]).exit_code == 1


def test_an_mbox_of_several_messages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(b"From a@example.com Mon Jan  1 00:00:00 2024\nFrom: a@example.com\n\nx\n\n" * 2)
    result = CliRunner().invoke(cli, ["anonymise", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{path} does not hold one message" in result.stderr


FIXTURE = ROOT / "fixtures" / "postfix" / "user-unknown.eml"


def test_fixture_add(tmp_path: Path) -> None:
    arguments = ["fixture", "add", str(FIXTURE), "--dialect", "postfix", "--folder", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    pair = [tmp_path / "postfix" / f"user-unknown{end}" for end in (".eml", ".toml")]
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [str(path) for path in pair]
    assert pair[0].read_bytes() == anonymise(FIXTURE.read_bytes()).message
    expected = tomllib.loads(pair[1].read_text())
    assert expected.pop("about").startswith(TO_REVIEW)
    assert expected["failures"][0]["recipient"] == "user2@domain2.example"
    assert set(expected) == {"kind", "dialect", "failures"}
    assert differences(expected, bounceclass.classify(pair[0].read_bytes()).to_dict()) == []

    again = CliRunner().invoke(cli, arguments)
    assert (again.exit_code, again.stderr) == (1, f"Error: {pair[0]} exists: choose another --name.\n")
    assert CliRunner().invoke(cli, [*arguments, "--name", "another"]).exit_code == 0
    assert len(list(tmp_path.rglob("*.*"))) == 4


@pytest.mark.parametrize(
    ("option", "value"), [("--dialect", "../x"), ("--name", "a/b"), ("--name", ""), ("--dialect", "-")]
)
def test_fixture_add_stays_in_its_folder(tmp_path: Path, option: str, value: str) -> None:
    arguments = [
        "fixture",
        "add",
        str(FIXTURE),
        "--dialect",
        "postfix",
        "--folder",
        str(tmp_path / "new"),
        option,
        value,
    ]
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, (tmp_path / "new").exists()) == ((0, True) if value == "" else (2, False))


def test_fixture_add_names_another_dialect(tmp_path: Path) -> None:
    arguments = ["fixture", "add", "--dialect", "exim", "--name", "new", "--folder", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments, input=FIXTURE.read_bytes())
    assert (result.exit_code, result.stderr) == (0, "The rules take it for a message of postfix, not exim.\n")
