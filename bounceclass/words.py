"""Many words looked for in a text at once: the only module that meets the Aho-Corasick library.

A regular expression of fifty alternatives tries each of them at each character; an
automaton reads the text once, however many words there are.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import ahocorasick_rs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Words", "automaton", "on_one_line", "once"]

# "(a|b)", "(a|)", and the literal text between such
_CHOICE = re.compile(r"\(([^()]*)\)")


Value = TypeVar("Value")


def automaton(words: Iterable[str], *, overlapping: bool = True) -> ahocorasick_rs.AhoCorasick:
    """Return what finds *words* in one pass over a text; few words several times as fast if no *overlapping* ones count."""
    kinds = ahocorasick_rs.MatchKind
    return ahocorasick_rs.AhoCorasick(
        words,
        implementation=ahocorasick_rs.Implementation.ContiguousNFA,
        matchkind=kinds.Standard if overlapping else kinds.LeftmostFirst,
    )


def on_one_line(text: str) -> str:
    """Return *text* with each run of white space as one space, and none at its ends."""
    if text.isprintable() and "  " not in text:  # as nearly all is: of white space only the space is printable
        return text.strip(" ")
    return " ".join(text.split())


class once(Generic[Value]):  # noqa: N801 - a decorator
    """A property that is worked out once: ``functools.cached_property`` without the lock that it has until Python 3.12."""

    def __init__(self, function: Callable[[Any], Value]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> once[Value] | Value:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._function(instance)
        return value


class Words:
    """Expressions of which any may stand in a text."""

    def __init__(self, *expressions: str, patterns: Mapping[str, str] | None = None) -> None:
        """Take *expressions*, in lower case: literal but for ``(one|another)`` and ``(perhaps|)``.

        *patterns* are regular expressions, each under a literal that stands in all it finds.
        """
        self._words = tuple(word for expression in expressions for word in _spelled_out(expression))
        self._patterns = [re.compile(pattern) for pattern in (patterns or {}).values()]
        self._automaton = automaton([*self._words, *(patterns or ())])

    def begin(self, text: str) -> bool:
        """Tell whether *text*, which is in lower case, begins with a literal one of the expressions."""
        return text.startswith(self._words)

    def stand_in(self, text: str) -> bool:
        """Tell whether any of the expressions stands in *text*, which is in lower case."""
        try:
            found = self._automaton.find_matches_as_indexes(text, overlapping=True)
        except UnicodeEncodeError:  # the library takes no halves of surrogate pairs
            return self.stand_in(text.encode("utf-8", "replace").decode())
        tried: set[int] = set()
        for index, _, _ in found:
            if index < len(self._words):
                return True
            if index not in tried:
                tried.add(index)
                if self._patterns[index - len(self._words)].search(text):
                    return True
        return False


def _spelled_out(expression: str) -> list[str]:
    """Return every text that *expression* stands for."""
    pieces = _CHOICE.split(expression)  # literal text and choices in turn
    choices = [piece.split("|") if odd % 2 else [piece] for odd, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]
