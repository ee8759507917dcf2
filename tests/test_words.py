"""Words: every spelling of every expression, found in one pass."""

from __future__ import annotations

import pytest

from bounceclass.words import Words

CASES = [
    ("undeliver", "it was undeliverable", True),
    ("mail( delivery|) fail", "mail failure", True),
    ("mail( delivery|) fail", "mail delivery failed", True),
    ("mail( delivery|) fail", "mail delivery status", False),
    ("(no|unknown) (user|box)", "no user, unknown box", True),
    ("(no|unknown) (user|box)", "no known user", False),
    ("[x].*", "[x].*", True),
    ("[x].*", "x", False),
    ("übrig", "etwas ist übrig", True),
    ("übrig", "half of a pair \udcae and übrig", True),
]


@pytest.mark.parametrize(("expression", "text", "stands"), CASES)
def test_an_expression_is_found_in_every_spelling(expression: str, text: str, stands: bool) -> None:
    assert Words("something else", expression).stand_in(text) is stands


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("deliver: it did fail", True),
        ("deliver it, do not fail", False),
        ("deliver deliver fail fail", True),
        ("", False),
    ],
)
def test_a_pattern_is_tried_where_its_literal_stands(text: str, stands: bool) -> None:
    words = Words("never", patterns={"deliver": r"deliver\W+(?:\w+ ){0,2}fail"})
    assert words.stand_in(text) is stands


def test_a_text_begins_with_one_of_the_expressions() -> None:
    words = Words("auto(matic|) reply", "away")
    assert words.begin("automatic reply: hello")
    assert words.begin("away until Monday")
    assert not words.begin("re: auto reply")
