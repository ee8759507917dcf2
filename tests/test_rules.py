"""Every row of the rule data proves itself, and what must fail the proof does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bounceclass import rulebook, rulecheck
from bounceclass.reports.dialects import Dialect, Dialects
from bounceclass.rows import Provider, Rule
from bounceclass.rulebook import OwnedRule, Rulebook
from bounceclass.rules import Rules, load_rules


def book(*rules: dict[str, Any], owner: str | None = None) -> Rulebook:
    """Return a small rulebook with the codes and reasons of the real one."""
    built_in = rulebook.load()
    rows = [msgspec.convert({"source": "made up", **rule}, Rule) for rule in rules]
    return Rulebook(
        reasons=built_in.reasons,
        statuses=built_in.statuses,
        replies=built_in.replies,
        providers={"google": Provider(name="google", title="Google", marks=("gsmtp",))},
        rules=[OwnedRule(owner, row) for row in rows],
        version="0",
    )


NO_DIALECTS = Dialects([])
UNKNOWN = {
    "id": "a.unknown",
    "reason": "user_unknown",
    "phrases": ["nobody here"],
    "examples": ["550 5.1.1 Nobody here"],
}
FULL = {"id": "b.full", "reason": "mailbox_full", "phrases": ["it is full"], "examples": ["552 It is full"]}


def test_the_rule_data() -> None:
    assert rulecheck.problems(load_rules()) == []


def test_rows_that_prove_themselves() -> None:
    assert rulecheck.problems(Rules(book(UNKNOWN, FULL), NO_DIALECTS)) == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            [UNKNOWN | {"examples": ["550 Nobody here", "550 Somebody here"]}],
            ["a.unknown: nothing wins its example '550 Somebody here'"],
            id="an example without the words",
        ),
        pytest.param(
            [UNKNOWN, FULL | {"examples": ["552 It is full", "552 Nobody here, it is full"]}],
            ["b.full: a.unknown wins its example '552 Nobody here, it is full'"],
            id="an example that a longer phrase wins",
        ),
        pytest.param(
            [UNKNOWN, FULL | {"examples": ["552 Nobody here: full"]}],
            [
                "b.full: a.unknown wins its example '552 Nobody here: full'",
                "b.full: is dead, for it wins none of its examples",
            ],
            id="a dead row",
        ),
        pytest.param(
            [UNKNOWN | {"counter_examples": ["250 Nobody here complains", "250 ok"]}],
            ["a.unknown: wins its counter-example '250 Nobody here complains'"],
            id="a counter-example that is won",
        ),
        pytest.param(
            [
                UNKNOWN,
                FULL
                | {"phrases": ["it is full", "nobody home"], "counter_examples": ["550 Nobody here, nobody home!"]},
            ],
            [],
            id="a tie on a counter-example is none of the row's own",
        ),
        pytest.param(
            [
                UNKNOWN | {"examples": ["550 5.1.1 Nobody here", "550 nobody here, overfilled!"]},
                FULL | {"phrases": ["it is full", "overfilled!"]},
            ],
            ["a.unknown: a.unknown (user_unknown) and b.full (mailbox_full) tie on '550 nobody here, overfilled!'"],
            id="a tie of rows that disagree",
        ),
        pytest.param(
            [
                UNKNOWN | {"examples": ["550 5.1.1 Nobody here", "550 nobody here, overfilled!"]},
                UNKNOWN | {"id": "c.unknown", "phrases": ["overfilled!"], "examples": ["550 overfilled!"]},
            ],
            [],
            id="a tie of rows that agree",
        ),
        pytest.param(
            [UNKNOWN | {"pattern": "(?:n+o?)*body"}],
            [
                "a.unknown: the pattern '(?:n+o?)*body' repeats a repetition without bound",
                "a.unknown: the pattern '(?:n+o?)*body' begins with an unbounded repetition that is tried from everywhere",
            ],
            id="an unsafe pattern",
        ),
    ],
)
def test_rows_that_do_not(rules: list[dict[str, Any]], expected: list[str]) -> None:
    found = rulecheck.problems(Rules(book(*rules), NO_DIALECTS))
    # which of two rows that tie comes first is luck
    assert [" ".join(sorted(line.split())) for line in found] == [" ".join(sorted(line.split())) for line in expected]


def test_a_provider_s_row_is_tried_as_its_own_provider_s_reply() -> None:
    assert rulecheck.problems(Rules(book(UNKNOWN, FULL, owner="google"), NO_DIALECTS)) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"^<(?P<address>[^>\s]+)>:",
        r"^[ \t]*(\S{1,320}@\S+)$",
        r"user unknown",
        r"xa+b+",
        r"^\d+[ ]*[a-z]*",
        r"x(?:a*,)?b",
        r"x[^:]*:\s*",
        r"x(?:ab|c+)d+",
        r"(?i)(?<!relay )access denied",
    ],
)
def test_safe_patterns(pattern: str) -> None:
    assert rulecheck.unsafe(pattern) == []


NESTED = "repeats a repetition without bound"
RIVALS = "has two unbounded repetitions side by side that take the same character"
OPEN = "begins with an unbounded repetition that is tried from everywhere"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"x(a+)+", [NESTED]),
        (r"x(?:a|b*c)*", [NESTED]),
        (r"x(?:(?:a{2,}))*?", [NESTED]),
        (r"x\s*\s*", [RIVALS]),
        (r"x\s*[^:]*:", [RIVALS]),
        (r"x(?P<a>\S+)b?(?P<c>[a-z]+)", [RIVALS]),
        (r"x.*(?=a)\w*", [RIVALS]),
        (r"xa*b*a*", [RIVALS]),
        (r"x(?:y|[^>]+.*)", [RIVALS]),
        (r"x[A-Z]+[a-z]+", [RIVALS]),  # patterns take no notice of case
        (r"x\D+\u3000+", [RIVALS]),
        (r"\S+@", [OPEN]),
        (r"(?:\b[a-z]*)x", [OPEN]),
        (r"^\s*x", [OPEN]),
        (r"a?^[^>]*>", [OPEN]),
    ],
)
def test_unsafe_patterns(pattern: str, expected: list[str]) -> None:
    assert rulecheck.unsafe(pattern) == expected


def test_layouts_are_held_to_the_same() -> None:
    rows = [{"marks": ["hello"], "recipient": r"^(?P<address>\S+)", "reason": r"said:\s*\s*(.*)"}]
    dialect = msgspec.convert({"name": "made-up", "title": "Made up", "source": "none", "layout": rows}, Dialect)
    assert rulecheck.problems(Rules(book(UNKNOWN), Dialects([dialect]))) == [
        rf"dialects/made-up: the pattern 'said:\\s*\\s*(.*)' {RIVALS}"
    ]
