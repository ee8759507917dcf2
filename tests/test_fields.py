"""The field grammar of RFC 3464 and the values in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounceclass import fields

MTA = "Reporting-MTA: dns; mail.example.org\n"
FRED = "Final-Recipient: rfc822; fred@example.com\nAction: failed\n"
WILMA = "Final-Recipient: rfc822; wilma@example.com\nAction: delayed\n"


def finals(text: str) -> list[str]:
    _, groups = fields.groups(text)
    return [group.get("final-recipient", "").removeprefix("rfc822; ") for group in groups]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MTA}\n{FRED}\n{WILMA}", ["fred@example.com", "wilma@example.com"]),
        # no blank line between groups
        (f"{MTA}{FRED}{WILMA}", ["fred@example.com", "wilma@example.com"]),
        # no per-message fields
        (f"{FRED}\n{WILMA}", ["fred@example.com", "wilma@example.com"]),
        # blank lines inside a group (IceWarp, MimeKit#253)
        (f"{MTA}\nFinal-Recipient: rfc822; fred@example.com\n\nAction: failed\n\nStatus: 5.1.1\n", ["fred@example.com"]),
        # groups of which only the first names its recipient
        (f"{MTA}\n{FRED}\nAction: failed\nStatus: 5.2.2\n", ["fred@example.com", ""]),
        # an indented group (IceWarp)
        (f"{MTA}\n   Final-Recipient: rfc822; fred@example.com\n\n   Action: failed\n", ["fred@example.com"]),
        # per-message fields after the recipients
        (f"{FRED}\n{MTA}\n{WILMA}", ["fred@example.com", "wilma@example.com"]),
        # the original recipient may come first
        (f"{MTA}\nOriginal-Recipient: rfc822; a@example.net\n{FRED}\nOriginal-Recipient: rfc822; b@example.net\n{WILMA}",
         ["fred@example.com", "wilma@example.com"]),
        ("no field at all\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_groups_are_told_apart(text: str, expected: list[str]) -> None:
    assert finals(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Diagnostic-Code: smtp; 550\n 5.1.1 User\n\tunknown\n", "smtp; 550 5.1.1 User unknown"),
        # folded lines that lost their indent (KumoMTA, James)
        ("Diagnostic-Code: smtp; 550\nUser unknown\n", "smtp; 550 User unknown"),
        ("Diagnostic-Code : smtp; 550 spaces before the colon\n", "smtp; 550 spaces before the colon"),
        ("DIAGNOSTIC-CODE: X\n", "X"),
        # of a repeated field the first value counts
        ("Diagnostic-Code: first\nDiagnostic-Code: second\n", "first"),
        # a URL is no field
        ("Diagnostic-Code: see\nhttps://example.com/help\n", "see https://example.com/help"),
        # neither does text that follows a blank line continue a field
        ("Diagnostic-Code: smtp; 550\n\nsome remark\n", "smtp; 550"),
    ],
)
def test_values_are_unfolded(lines: str, expected: str) -> None:
    _, (group,) = fields.groups(FRED + lines)
    assert group["diagnostic-code"] == expected


def test_fields_of_the_message_after_a_recipient_belong_to_the_message() -> None:
    message, groups = fields.groups(f"{FRED}\n{MTA}Arrival-Date: x\n")
    assert message == {"reporting-mta": "dns; mail.example.org", "arrival-date": "x"}
    assert groups == [{"final-recipient": "rfc822; fred@example.com", "action": "failed"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("rfc822; fred@example.com", ("rfc822", "fred@example.com")),
        ("RFC822;fred@example.com", ("rfc822", "fred@example.com")),
        ("fred@example.com", ("", "fred@example.com")),
        ("550 5.1.1 no; really", ("", "550 5.1.1 no; really")),
        ("; x", ("", "; x")),
        ("fred@example.com; x", ("", "fred@example.com; x")),
        ("x" * 41 + "; y", ("", "x" * 41 + "; y")),
    ],
)
def test_typed(value: str, expected: tuple[str, str]) -> None:
    assert fields.typed(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("rfc822; fred@example.com", "fred@example.com"),
        ("rfc822; <Fred@EXAMPLE.com>", "Fred@example.com"),
        ("fred@example.com", "fred@example.com"),
        ("rfc822; fred@example.com (Fred)", "fred@example.com"),
        # xtext (RFC 3461 4), only where it can be nothing else
        ("rfc822; fred+2Bnews@example.com", "fred+news@example.com"),
        ("rfc822; fred+3Dwilma@example.com", "fred=wilma@example.com"),
        ("rfc822; fred+news@example.com", "fred+news@example.com"),
        ("rfc822; fred+20241@example.com", "fred+20241@example.com"),
        ("rfc822; fred+10@example.com", "fred+10@example.com"),
        ("rfc822; fred+41@example.com", "fred+41@example.com"),
        ("rfc822; fred+40home@example.com", "fred+40home@example.com"),
        ("rfc822; fred+99@example.com", "fred+99@example.com"),
        ("rfc822; fred+2Bnews+40example.com", "fred+news@example.com"),
        # utf-8-addr-xtext (RFC 6533 3)
        (r"utf-8; \x{5E97}@example.com", "店@example.com"),
        ("utf-8; 店@example.com", "店@example.com"),
        (r"utf-8; a\x{D800}\x{110000}@example.com", "a\ufffd\ufffd@example.com"),
        (r"rfc822; \x{5E97}@example.com", r"\x{5E97}@example.com"),
        ("", None),
        ("rfc822;", None),
    ],
)
def test_address(value: str, expected: str | None) -> None:
    assert fields.address(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fred <fred@example.com>", "fred@example.com"),
        ("<fred@example.com>,", "fred@example.com"),
        ("mailto:fred@example.com", "fred@example.com"),
        ("SMTP:fred@example.com", "fred@example.com"),
        ('"fred@example.com"', "fred@example.com"),
        ('"fred flint"@example.com', '"fred flint"@example.com'),
        ('"fred (x)"@example.com', '"fred (x)"@example.com'),
        ("fred@example.com.", "fred@example.com"),
        ("fred@\r\nexample.com\x00", "fred@example.com"),
        ("fred\u2028@example.com", "fred@example.com"),
        ("<> fred@example.com", None),
        ("<>", None),
        ("fred < > @example.com", "fred < > @example.com"),
        ("a" * 400, "a" * 320),
        ("", None),
    ],
)
def test_clean(text: str, expected: str | None) -> None:
    assert fields.clean(text) == expected


@given(st.text())
def test_an_address_from_strangers_is_harmless(text: str) -> None:
    """No control characters, and no line ends that would begin another header or record."""
    address = fields.clean(text)
    assert address is None or 0 < len(address) <= 320
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in address or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fred@Example.COM", "example.com"), ("fred", ""), ("", ""), (None, ""), ("a@b@example.com", "example.com")],
)
def test_domain(text: str | None, expected: str) -> None:
    assert fields.domain(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("dns; mail.example.org", "mail.example.org"),
        ("dns;Mail.Example.ORG.", "mail.example.org"),
        ("dns; mail.example.org (192.0.2.1, the server for the domain)", "mail.example.org"),
        ("dns; mail.example.org[192.0.2.1]", "mail.example.org"),
        ("dns; [192.0.2.1]", "192.0.2.1"),
        ("mail.example.org", "mail.example.org"),
        ("dns; <mail.example.org>", "mail.example.org"),
        ("dns; ", None),
        ("", None),
    ],
)
def test_host(value: str, expected: str | None) -> None:
    assert fields.host(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Thu, 2 Jan 2025 03:04:05 +0100", "2025-01-02T03:04:05+01:00"),
        ("2 January 2025 03:04 -0330", "2025-01-02T03:04:00-03:30"),
        ("02-Jan-2025 03:04:05 GMT", "2025-01-02T03:04:05Z"),
        ("Thu, 02 Jan 25 03:04:05 EST", "2025-01-02T03:04:05-05:00"),
        ("02 Jan 99 03:04:05 UT", "1999-01-02T03:04:05Z"),
        ("02 Jan 69 03:04:05 UT", "2069-01-02T03:04:05Z"),
        ("2 Jan 2025 03:04:05.678 (UTC)", "2025-01-02T03:04:05Z"),
        # an unknown zone (RFC 3339 4.3)
        ("2 Jan 2025 03:04:05", "2025-01-02T03:04:05-00:00"),
        ("2 Jan 2025 03:04:05 MESZ", "2025-01-02T03:04:05-00:00"),
        # a leap second
        ("31 Dec 2016 23:59:60 +0000", "2016-12-31T23:59:60+00:00"),
        ("2 Foo 2025 03:04:05 +0000", None),
        ("32 Jan 2025 03:04:05 +0000", None),
        ("0 Jan 2025 03:04:05 +0000", None),
        ("2 Jan 2025 24:04:05 +0000", None),
        ("2 Jan 2025 03:60:05 +0000", None),
        ("2 Jan 2025 03:04:61 +0000", None),
        ("Thu, 31 Feb 2025 03:04:05 +0100", None),
        ("Thu, 29 Feb 2024 03:04:05 +0100", "2024-02-29T03:04:05+01:00"),
        ("Thu, 30 Feb 25 03:04 EST", None),
        ("Thu, 2 Jan 2025 03:04:05 +9999", "2025-01-02T03:04:05-00:00"),
        ("Thu, 2 Jan 2025 03:04:05 +0560", "2025-01-02T03:04:05-00:00"),
        ("Thu, 2 Jan 0000 03:04:05 +0100", None),
        ("2 Jan 101 03:04:05 GMT", "2001-01-02T03:04:05Z"),
        ("yesterday", None),
        ("", None),
    ],
)
def test_date(value: str, expected: str | None) -> None:
    assert fields.date(value) == expected


@given(st.text(alphabet="final-recipt:;@ \n\tAction<>+=\\x{}0159é\x00", max_size=200))
def test_whatever_a_status_part_says_is_read(text: str) -> None:
    message, groups = fields.groups(text)
    for group in (message, *groups):
        for name, value in group.items():
            assert name == name.lower()
            assert "\n" not in value
            fields.address(value)
            fields.host(value)
            fields.date(value)


@pytest.mark.parametrize(
    "name",
    [
        "original-recipient", "action", "status", "diagnostic-code", "remote-mta", "last-attempt-date", "will-retry-until",
        "final-log-id", "x-actual-recipient",
    ],
)  # fmt: skip
def test_a_group_may_begin_with_any_of_its_fields(name: str) -> None:
    message, groups = fields.groups(f"{MTA}\n{name}: x\nFinal-Recipient: rfc822; fred@example.com\n")
    assert list(message) == ["reporting-mta"]
    assert groups == [{name: "x", "final-recipient": "rfc822; fred@example.com"}]


def test_a_folded_line_is_no_field_and_one_that_ends_in_a_space_may_be() -> None:
    _, (group,) = fields.groups(f"{FRED}Diagnostic-Code: smtp; 550\n status: 5.1.1\nstatus: 4.0.0 \n")
    assert (group["diagnostic-code"], group["status"]) == ("smtp; 550 status: 5.1.1", "4.0.0")


def test_another_field_after_a_blank_line_ends_no_group() -> None:
    _, groups = fields.groups(f"{MTA}\n{FRED}\nX-Note: hello\nStatus: 5.1.1\n")
    assert [group["status"] for group in groups] == ["5.1.1"]


def test_the_date_of_arrival_belongs_to_the_message_wherever_it_stands() -> None:
    message, groups = fields.groups(f"{FRED}\nArrival-Date: x\n\n{WILMA}")
    assert (message, len(groups)) == ({"arrival-date": "x"}, 2)
