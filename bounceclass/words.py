"""Many words looked for in a text at once: the only module that meets the Aho-Corasick library.

A regular expression of fifty alternatives tries each of them at each character; an
automaton reads the text once, however many words there are.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import ahocorasick_rs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Words", "automaton"]

# "(a|b)", "(a|)", and the literal text between such
_CHOICE = re.compile(r"\(([^()]*)\)")


def automaton(words: Iterable[str], *, overlapping: bool = True) -> ahocorasick_rs.AhoCorasick:
    """Return what finds *words* in one pass over a text; few words several times as fast if no *overlapping* ones count."""
    kinds = ahocorasick_rs.MatchKind
    return ahocorasick_rs.AhoCorasick(
        words,
        implementation=ahocorasick_rs.Implementation.ContiguousNFA,
        matchkind=kinds.Standard if overlapping else kinds.LeftmostFirst,
    )


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
