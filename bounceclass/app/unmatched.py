"""Which rule to write next: the diagnostics that no rule matched, grouped by their shape."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bounceclass import phrasing, rulebook, smtp
from bounceclass.app import show
from bounceclass.model import Reason
from bounceclass.wire import printable

if TYPE_CHECKING:
    from typing import IO

    from bounceclass.model import Failure, Report

__all__ = ["UnmatchedTable", "shape", "unmatched"]

MAX_SHAPE = 400
"""Characters of a shape that are kept."""
MAX_CODES = 3
"""Pairs of codes that are shown of a shape."""
MIN_ID = 8
"""Letters and digits mixed, from this length on, are the name of a message, a queue or a session."""

HEADER = ("times", "codes", "provider or host", "shape", "example")

_WORD = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]+")


def unmatched(failure: Failure) -> bool:
    """Tell whether no rule matched the diagnostic of *failure*.

    Then it ended undetermined, or by a frame or a generic code alone.  What carries no
    diagnostic has nothing that a rule could match.
    """
    if not failure.diagnostic:
        return False
    if failure.reason is Reason.UNDETERMINED:
        return True
    kind, _, code = failure.evidence[0].rule.partition(":")
    if kind == "status":
        status = rulebook.load().status_row(code)
        return status is None or status.generic
    if kind == "reply":
        reply = rulebook.load().reply_row(int(code))
        return reply is None or reply.generic
    return kind == "frame"


def shape(diagnostic: str) -> str:
    """Return *diagnostic* as general rules see it, numbers and identifiers as ``#``; no more than MAX_SHAPE characters.

    Its codes are left out; addresses, hosts and URLs are ``~``.
    """
    words = smtp.dissect(diagnostic).text or diagnostic[: smtp.MAX_DIAGNOSTIC]
    plain = _WORD.sub(_without_numbers, phrasing.blanked(phrasing.normalised(words)))
    return plain if len(plain) <= MAX_SHAPE else plain[: MAX_SHAPE - 3] + "..."


def _without_numbers(found: re.Match[str]) -> str:
    word = found[0]
    is_id = len(word) >= MIN_ID and any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return "#" if is_id else _NUMBER.sub("#", word)


class _Group(NamedTuple):
    """The diagnostics of one shape."""

    example: str
    """Where the first of them stands."""
    codes: Counter[str]
    hosts: Counter[str]
    """The providers that said so; where none is known, the hosts."""


class UnmatchedTable:
    """One line for each shape, the most frequent first: a table on a terminal, fields between tabs elsewhere."""

    def __init__(self, out: IO[bytes], *, terminal: bool) -> None:
        self._out = out
        self._terminal = terminal
        self._groups: dict[str, _Group] = {}
        self._diagnostics = 0

    def add(self, source: str, report: Report) -> None:
        """Take what no rule matched in one message."""
        for failure in report.failures:
            self._diagnostics += bool(failure.diagnostic)
            if failure.diagnostic and unmatched(failure):
                group = self._groups.setdefault(shape(failure.diagnostic), _Group(source, Counter(), Counter()))
                group.codes[show.codes(failure.reply_code, failure.status)] += 1
                group.hosts[failure.provider or failure.remote_mta or show.NOTHING] += 1

    def close(self) -> None:
        """Write the shapes; on a terminal also how many diagnostics they are."""
        groups = sorted(self._groups.items(), key=lambda item: (-item[1].codes.total(), item[0]))
        rows = [_row(words, group) for words, group in groups]
        if not self._terminal:
            self._out.write("".join("\t".join(map(printable, row)) + "\n" for row in rows).encode())
            return
        if rows:
            show.table(HEADER, rows, self._out, terminal=True)
        number = sum(group.codes.total() for group in self._groups.values())
        show.lines([f"no rule matched {number} of {self._diagnostics} diagnostics"], self._out)


def _row(words: str, group: _Group) -> show.Row:
    codes = ", ".join(code for code, _ in group.codes.most_common(MAX_CODES))
    ((host, _),) = group.hosts.most_common(1)
    return (str(group.codes.total()), codes, host, words, group.example)
