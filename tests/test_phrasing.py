"""The words of a refusal: made alike, and blanked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounceclass import phrasing


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" as it is ", "as it is"),
        ("two  spaces", "two spaces"),
        ("a\n\tfold and a\u00a0space\u3000", "a fold and a space"),
        ("a\x07bell", "a\x07bell"),
    ],
)
def test_white_space_becomes_one_space(text: str, line: str) -> None:
    assert phrasing.on_one_line(text) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("User  Unknown\r\n\there ", "user unknown here"),
        ("can\u2019t \u201creach\u201d a\u00a0b \u2013 c", 'can\'t "reach" a b - c'),
        ("エラー：\u3000不明", "エラー: 不明"),
        ("", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert phrasing.normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<fred@example.com>: user unknown", "~: user unknown"),
        ("no such user fred@example.com here", "no such user ~ here"),
        ("<fred@example.com>... unknown", "~... unknown"),
        ('"fred@example.com"', "~"),
        ("user=fred@example.com;", "user=~;"),
        ("fred@example.com,wilma@example.com", "~~"),
        ("(fred@example.com)blocked", "~blocked"),
        ("see https://example.com/spam?blocked", "see ~"),
        ("see (https://example.com/spam)", "see ~"),
        ("www.example.com", "~"),
        ("mail.spam-blocked.example refused", "~ refused"),
        ("mail.example.com[192.0.2.1] said", "~ said"),
        ("[192.0.2.1]", "~"),
        ("192.0.2.0/24 is listed", "~ is listed"),
        ("192.0.2.1:25", "~"),
        ("2001:db8::1 is listed", "~ is listed"),
        ("mx.example.com.", "~."),
        # no hosts
        ("rejected.see the manual", "rejected.see the manual"),
        ("code 5.7.1: no", "code 5.7.1: no"),
        ("user@ unknown", "~ unknown"),
        ("@ alone", "@ alone"),
        ("a: b", "a: b"),
        ("", ""),
    ],
)
def test_blanked(text: str, expected: str) -> None:
    assert phrasing.blanked(text) == expected


def test_a_word_too_long_for_a_host_is_none() -> None:
    name = "a" * 250 + ".example"
    assert (phrasing.blanked(name), phrasing.blanked(name[3:])) == (name, "~")


@given(st.text(alphabet="ab@.:/<>[]()\"' =hw5-", max_size=60))
def test_blanking_is_done_at_once(text: str) -> None:
    text = phrasing.normalised(text)
    once = phrasing.blanked(text)
    assert phrasing.blanked(once).count("@") <= once.count("@") <= text.count("@")
    assert len(once.split(" ")) == len(text.split(" "))
