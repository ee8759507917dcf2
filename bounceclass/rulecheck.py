"""The proof that rule data owes: what is wrong with the rows of rules and of layouts.

Every rule wins each of its own examples with all rules loaded, and none of its
counter-examples.  No two rules that disagree tie on any example.  Every pattern is
linear: see ``unsafe``.
"""

from __future__ import annotations

import re
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from bounceclass import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bounceclass.rows import Rule
    from bounceclass.rulebook import Match, Rulebook
    from bounceclass.rules import Rules

__all__ = ["overruled", "problems", "unsafe"]


def problems(rules: Rules) -> list[str]:
    """Return what is wrong, one line each, beginning with the row that it is about; empty where all is well.

    Raises BrokenRules for a pattern that is none.
    """
    rules.dialects.compile()
    found = [problem for rule in rules.book.rules for problem in _of_rule(rule, rules.book)]
    for name, pattern in _patterns(rules):
        found.extend(f"{name}: the pattern {pattern!r} {danger}" for danger in unsafe(pattern))
    return found


def overruled(rules: Rules) -> list[str]:
    """Return the examples that a rule of a later folder wins, one line each: what that folder is for, or too much."""
    book = rules.book
    return [
        f"{winner.id} ({winner.reason}) of yours wins an example of {rule.id} ({rule.reason}): {example!r}"
        for rule in book.rules
        for example in rule.examples
        if (winner := _winner(example, rule, book)) is not None and _is_later(winner, rule, book)
    ]


# --- examples ---------------------------------------------------------------------


def _of_rule(rule: Rule, rules: Rulebook) -> Iterator[str]:
    lost = 0
    for example in rule.examples:
        winner = _winner(example, rule, rules)
        if winner is None or (winner is not rule and not _is_later(winner, rule, rules)):
            lost += 1
            yield f"{rule.id}: {winner.id if winner else 'nothing'} wins its example {example!r}"
        yield from _ties(rule, _matches(example, rule, rules), example)
    if lost == len(rule.examples):
        yield f"{rule.id}: is dead, for it wins none of its examples"
    for example in rule.counter_examples:
        if _winner(example, rule, rules) is rule:
            yield f"{rule.id}: wins its counter-example {example!r}"


def _winner(reply: str, rule: Rule, rules: Rulebook) -> Rule | None:
    matches = _matches(reply, rule, rules)
    return matches[0].rule if matches else None


def _is_later(winner: Rule, rule: Rule, rules: Rulebook) -> bool:
    """Tell whether *winner* is of a later folder than *rule*, which it may overrule."""
    return rules.precedence[winner.id] > rules.precedence[rule.id]


def _ties(rule: Rule, matches: Sequence[Match], example: str) -> Iterator[str]:
    for other in matches[1:]:
        if other.rank != matches[0].rank:
            return
        if other.rule.reason is not matches[0].rule.reason:
            first, second = matches[0].rule, other.rule
            yield f"{rule.id}: {first.id} ({first.reason}) and {second.id} ({second.reason}) tie on {example!r}"


def _matches(reply: str, rule: Rule, rules: Rulebook) -> list[Match]:
    """Return the rules that fit *reply* as given by the provider, and quoted in the dialect, that *rule* is for."""
    dialect = rule.dialect[0] if rule.dialect else None
    return judge.read_words(reply, rules, dialect=dialect, provider=rules.owner[rule.id]).matches


# --- patterns ---------------------------------------------------------------------

_REPEATS = (_parser.MAX_REPEAT, _parser.MIN_REPEAT)
_SINGLES = (_parser.LITERAL, _parser.NOT_LITERAL, _parser.ANY, _parser.IN)
# Characters that tell the classes of patterns apart: ASCII, and a few beyond it
_ALPHABET = "".join(map(chr, range(128))) + "\xa0\xe9\u0430\u3000\u4e00\uff10"

_ANCHORS = (_parser.AT_BEGINNING, _parser.AT_BEGINNING_STRING)

Node = tuple[Any, Any]
"""What a regular expression is parsed into: an operation and its arguments."""


def _patterns(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield every regular expression of the rule data and whose it is."""
    for rule in rules.book.rules:
        if rule.pattern:
            yield rule.id, rule.pattern
    for dialect in rules.dialects.rows:
        for layout in dialect.layout:
            for pattern in (layout.recipient, layout.reason):
                if pattern:
                    yield f"dialects/{dialect.name}", pattern


def unsafe(pattern: str) -> list[str]:
    r"""Return how *pattern* could take more than linear time; empty where none of three ways is found.

    - An unbounded repetition whose body holds an unbounded repetition: ``(?:a+b?)*``.
    - Two unbounded repetitions that can take the same character, with nothing between them
      that must match: ``\s*[^:]*:``.  Groups are looked into, alternatives each by itself.
    - An unbounded repetition at the beginning, which a search tries anew from every
      character, ``\S+@``, or from every line, ``^\s*x``: it must stand after ``^`` and
      not take the end of a line.

    A pattern may be slow in other ways; bounded repetitions never are by much.
    """
    tree = _parser.parse(pattern, re.IGNORECASE | re.MULTILINE)
    found = []
    for nodes in _sequences(tree):
        if any(_is_unbounded(node) and any(map(_is_unbounded, _inside(node))) for node in nodes):
            found.append("repeats a repetition without bound")
        if _has_rivals(nodes, tree.state):
            found.append("has two unbounded repetitions side by side that take the same character")
    if _starts_open(list(_flat(tree)), tree.state):
        found.append("begins with an unbounded repetition that is tried from everywhere")
    return list(dict.fromkeys(found))


def _flat(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield *nodes* with groups opened."""
    for operation, argument in nodes:
        if operation is _parser.SUBPATTERN:
            yield from _flat(argument[-1])
        else:
            yield operation, argument


def _sequences(nodes: Iterable[Node]) -> Iterator[list[Node]]:
    """Yield *nodes*, and every sequence of nodes in a body or an alternative within them."""
    sequence = list(_flat(nodes))
    yield sequence
    for node in sequence:
        for body in _bodies(node):
            yield from _sequences(body)


def _bodies(part: object) -> Iterator[Iterable[Node]]:
    if isinstance(part, _parser.SubPattern):
        yield part
    elif isinstance(part, (tuple, list)):
        for piece in part:
            yield from _bodies(piece)


def _inside(node: Node) -> Iterator[Node]:
    for body in _bodies(node):
        for sequence in _sequences(body):
            yield from sequence


def _is_unbounded(node: Node) -> bool:
    return node[0] in _REPEATS and node[1][1] is _parser.MAXREPEAT


def _must_match(node: Node, state: Any) -> bool:
    """Tell whether *node* takes at least one character."""
    shortest: int = _parser.SubPattern(state, [node]).getwidth()[0]
    return shortest > 0


def _has_rivals(nodes: list[Node], state: Any) -> bool:
    still_open: set[str] = set()
    for node in nodes:
        takes: set[str] = set()
        if _is_unbounded(node):
            takes = _characters(node, state)
            if takes & still_open:
                return True
        if _must_match(node, state):
            still_open = set()
        still_open |= takes
    return False


def _starts_open(nodes: list[Node], state: Any) -> bool:
    anchored = False
    for node in nodes:
        if _is_unbounded(node):
            return not anchored or "\n" in _characters(node, state)
        if _must_match(node, state):
            return False
        anchored = anchored or (node[0] is _parser.AT and node[1] in _ANCHORS)
    return False


def _characters(node: Node, state: Any) -> set[str]:
    """Return what of _ALPHABET stands in anything that *node* can take."""
    taken: set[str] = set()
    for single in _inside(node):
        if single[0] in _SINGLES:
            one = _compiler.compile(_parser.SubPattern(state, [single]), state.flags)
            taken.update(filter(one.fullmatch, _ALPHABET))
    return taken
