"""Enhanced status codes (RFC 3463) in text."""

from __future__ import annotations

import pytest

from bounceclass import status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.1.1", "5.1.1"),
        ("550 5.1.1 User unknown", "5.1.1"),
        ("550 #5.1.1", "5.1.1"),
        ("(5.7.26)", "5.7.26"),
        ("Status: 4.4.7 (expired)", "4.4.7"),
        ("2.1.5 delivered", "2.1.5"),
        ("5.01.001 zeros that lead", "5.1.1"),
        ("first 4.2.2, then 5.2.2", "4.2.2"),
        # no class of RFC 3463 2
        ("1.1.1 3.1.1 6.1.1", None),
        # addresses and longer numbers
        ("192.0.2.5.1.1.9", None),
        ("host [5.1.1.1] said", None),
        ("15.1.1", None),
        ("5.1.1234", None),
        # versions of programs
        ("Exim 4.9.2", None),
        ("Postfix (version 2.1.5) said", None),
        ("Exim 4.9.2: 550 5.1.1 unknown", "5.1.1"),
        ("", None),
    ],
)
def test_find(text: str, expected: str | None) -> None:
    assert status.find(text) == expected


@pytest.mark.parametrize(
    ("code", "generic", "expiry"),
    [
        ("5.0.0", True, False),
        ("4.3.0", True, False),
        ("5.5.0", True, False),
        ("5.7.0", True, False),
        ("5.1.1", False, False),
        ("5.7.26", False, False),
        ("4.4.7", False, True),
        ("5.4.7", False, True),
        ("5.4.300", False, True),
        ("5.4.70", False, False),
    ],
)
def test_what_a_code_says(code: str, generic: bool, expiry: bool) -> None:
    assert (status.is_generic(code), status.is_expiry(code)) == (generic, expiry)


@pytest.mark.parametrize(
    ("quoted", "field", "expected"),
    [
        # the remote's own words win over the reporting MTA's translation
        ("5.1.1", "5.0.0", ("5.1.1", "diagnostic")),
        ("5.7.1", "5.1.1", ("5.7.1", "diagnostic")),
        ("4.2.2", "5.2.2", ("4.2.2", "diagnostic")),
        # unless they say nothing, and the field does, of the same class
        ("5.0.0", "5.1.1", ("5.1.1", "status_field")),
        ("5.5.0", "5.1.1", ("5.1.1", "status_field")),
        ("5.0.0", "4.1.1", ("5.0.0", "diagnostic")),
        ("5.0.0", "5.3.0", ("5.0.0", "diagnostic")),
        # X.1.0 names its subject
        ("5.1.0", "5.1.1", ("5.1.0", "diagnostic")),
        (None, "5.1.1", ("5.1.1", "status_field")),
        ("5.1.1", None, ("5.1.1", "diagnostic")),
        (None, None, (None, None)),
    ],
)
def test_prefer(quoted: str | None, field: str | None, expected: tuple[str | None, str | None]) -> None:
    assert status.prefer(quoted, field) == expected


@pytest.mark.parametrize(
    "word",
    ["Version", "v", "Exim", "Postfix", "qmail", "Sendmail", "smtpd", "Release", "build", "MTA", "Server"],
)
def test_the_version_of_a_program_is_no_status(word: str) -> None:
    assert status.find(f"Our {word} 5.1.1 said no") is None
    assert status.find(f"Our {word} (5.1.1) said 5.2.2") == "5.2.2"


@pytest.mark.parametrize("subject", range(8))
def test_a_status_that_ends_in_zero_is_generic(subject: int) -> None:
    assert status.is_generic(f"5.{subject}.0")
    assert not status.is_generic(f"5.{subject}.10")


@pytest.mark.parametrize("quoted", ["5.0.0", "5.3.0", "5.5.0"])
def test_what_a_quoted_status_does_not_say_the_field_says(quoted: str) -> None:
    assert status.prefer(quoted, "5.1.1") == ("5.1.1", "status_field")
