"""The layouts of free-form notices: loaded from ``data/dialects``, and found by their marks.

docs/dialects.md says what a row is.  All marks of all layouts are found in one pass
over the page: the header, the notice's text and the machine-readable parts.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct

from bounceclass.model import Kind
from bounceclass.once import once
from bounceclass.rows import BrokenRules, Row, built_in, parse_table
from bounceclass.words import automaton

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = ["Dialect", "Dialects", "Entry", "Found", "Layout", "load", "read_folder"]

MAX_PAGE = 64 * 1024
"""Characters of a notice's text in which marks, and where it ends, are looked for."""
# A mark or a need that stands in the header begins with the name of its field
_FIELD = re.compile(r"\s*([a-z0-9-]+):")


class Layout(Row, frozen=True, kw_only=True):
    """One way in which a mailer lays out its notices; see docs/dialects.md."""

    marks: tuple[str, ...]
    needs: tuple[str, ...] = ()
    recipient: str | None = None
    begin: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    reason: str | None = None
    transcript: tuple[str, ...] = ()
    shared: bool = False
    domain: str | None = None
    kind: Kind = Kind.BOUNCE
    delay: tuple[str, ...] = ()


class Dialect(Row, frozen=True, kw_only=True):
    """A mailer's notices."""

    name: str
    title: str
    source: str
    end: tuple[str, ...] = ()
    layout: tuple[Layout, ...] = ()


def _lower(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)


class Entry:
    """A layout, its words in lower case, and its patterns, which are compiled when the first notice needs them."""

    def __init__(self, dialect: str, layout: Layout) -> None:
        self.dialect = dialect
        self.layout = layout
        self.needs = _lower(layout.needs)
        self.begin = _lower(layout.begin)
        self.stop = _lower(layout.stop)
        self.transcript = _lower(layout.transcript)
        self.delay = _lower(layout.delay)
        self.tells_of_failure = layout.kind in (Kind.BOUNCE, Kind.DELAY)
        self.weight = sum(map(len, self.needs))
        self.needed: frozenset[int] = frozenset()
        """Its needs, as ``Dialects`` numbers them."""

    @once
    def recipient(self) -> re.Pattern[str] | None:
        """What finds recipients; raises BrokenRules."""
        return self._compiled(self.layout.recipient)

    @once
    def reason(self) -> re.Pattern[str] | None:
        """What finds the words about a recipient; raises BrokenRules."""
        return self._compiled(self.layout.reason)

    @once
    def names_address(self) -> bool:
        """*recipient* has a group named ``address``; otherwise its first one is the address."""
        return self.recipient is not None and "address" in self.recipient.groupindex

    @once
    def names_reason(self) -> bool:
        """*recipient* has a group named ``reason``."""
        return self.recipient is not None and "reason" in self.recipient.groupindex

    def _compiled(self, pattern: str | None) -> re.Pattern[str] | None:
        try:
            return None if pattern is None else re.compile(pattern, re.MULTILINE | re.IGNORECASE)
        except re.error as error:
            raise BrokenRules(f"dialects/{self.dialect}.toml: {pattern!r}: {error}") from None


class Found(Struct, frozen=True, kw_only=True):
    entry: Entry
    mark: str
    at: int
    """Where the mark stands in the text; negative where it stands in the header or a machine-readable part."""


class Dialects:
    """Every layout of every dialect, and the marks that make one a candidate."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self.rows = tuple(dialects)
        entries = [Entry(dialect.name, layout) for dialect in dialects for layout in dialect.layout]
        marked = [(mark.lower(), entry) for entry in entries for mark in entry.layout.marks]
        needs = sorted({need for entry in entries for need in entry.needs})
        ends = [end.lower() for dialect in dialects for end in dialect.end]
        self._entries = tuple(entries)
        self._marked = marked
        self._first_end = len(marked)
        self._first_need = len(marked) + len(ends)
        for entry in entries:
            entry.needed = frozenset(self._first_need + needs.index(need) for need in entry.needs)
        marks = [mark for mark, _ in marked]
        named = filter(None, map(_FIELD.match, [*marks, *needs]))
        # Content-Type, for Exim and others are known by their boundaries
        self.fields = frozenset(("content-type", *(found[1] for found in named)))
        """The fields of a header that marks stand in."""
        self._automaton = automaton([*marks, *ends, *needs])
        letters = [mark for mark, entry in marked if not entry.tells_of_failure]
        self._letters = automaton(letters, overlapping=False)

    def compile(self) -> None:
        """Compile every pattern now; raises BrokenRules."""
        for entry in self._entries:
            _ = entry.recipient, entry.reason

    def find(self, before: str, text: str) -> tuple[list[Found], list[int]]:
        """Return the layouts whose marks stand on a page, the longest mark first, and where its notice may end.

        *text* is the notice's and *before* all that stands on the page before it, both in lower case.
        """
        marked, first_end, first_need, shift = self._marked, self._first_end, self._first_need, len(before)
        best: dict[Entry, Found] = {}
        ends: list[int] = []
        needs = set()
        for index, start, _ in self._automaton.find_matches_as_indexes(before + text[:MAX_PAGE], overlapping=True):
            if index >= first_need:
                needs.add(index)
            elif index >= first_end:
                line = text.rfind("\n", 0, start - shift) + 1 if start >= shift else 0
                # an end stands at the beginning of its line
                if start >= shift and not text[line : start - shift].strip(" \t*-=_>|#"):
                    ends.append(line)
            else:
                mark, entry = marked[index]
                if entry not in best or len(mark) > len(best[entry].mark):
                    best[entry] = Found(entry=entry, mark=mark, at=start - shift)
        found = [one for entry, one in best.items() if entry.needed <= needs]
        if len(found) > 1:
            found.sort(key=lambda one: (len(one.mark) + one.entry.weight, one.mark), reverse=True)
        return found, ends

    def concern_letters(self, before: str, text: str) -> bool:
        """Tell whether a mark of a layout stands on a page that is neither for bounces nor for delays."""
        return bool(self._letters.find_matches_as_indexes(before + text[:MAX_PAGE]))


@cache
def load(*folders: Path) -> Dialects:
    """Return the built-in dialects and those of *folders*; they are read once per process. Raises BrokenRules."""
    rows = read_folder(built_in() / "dialects")
    for folder in folders:
        rows += read_folder(folder / "dialects")
    made = Dialects(rows)
    if folders:  # the built-in ones were proved before they were shipped
        made.compile()
    return made


def read_folder(folder: Traversable | Path) -> list[Dialect]:
    """Return the dialects of a folder of row files, none where there is no folder; raises BrokenRules."""
    if not folder.is_dir():
        return []
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return [parse_table(file.read_bytes(), Dialect, str(file)) for file in files if file.name.endswith(".toml")]
