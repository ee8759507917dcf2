"""The layouts of free-form notices: loaded from ``data/dialects``, and found by their marks.

docs/dialects.md says what a row is.  All marks of all layouts are found in one pass
over the page: the header, the notice's text and the machine-readable parts.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING

import ahocorasick_rs
from msgspec import Struct

from bounceclass.model import Kind
from bounceclass.rulebook import BUILT_IN, BrokenRules, Row, parse_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from bounceclass.model import Mail

__all__ = ["Dialect", "Dialects", "Entry", "Found", "Layout", "Page", "load", "read_folder"]

MAX_PAGE = 64 * 1024
"""Characters of a notice's text in which marks are looked for."""


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


class Entry:
    """A layout and its patterns, which are compiled when the first notice needs them: there are many."""

    def __init__(self, dialect: str, layout: Layout) -> None:
        self.dialect = dialect
        self.layout = layout

    @cached_property
    def recipient(self) -> re.Pattern[str] | None:
        """What finds recipients; raises BrokenRules."""
        return self._compiled(self.layout.recipient)

    @cached_property
    def reason(self) -> re.Pattern[str] | None:
        """What finds the words about a recipient; raises BrokenRules."""
        return self._compiled(self.layout.reason)

    def _compiled(self, pattern: str | None) -> re.Pattern[str] | None:
        try:
            return None if pattern is None else re.compile(pattern, re.MULTILINE | re.IGNORECASE)
        except re.error as error:
            raise BrokenRules(f"dialects/{self.dialect}.toml: {pattern!r}: {error}") from None


class Found(Struct, frozen=True, kw_only=True):
    entry: Entry
    mark: str
    at: int
    """Where the mark stands in the text; negative where it stands in the header."""


class Dialects:
    """Every layout of every dialect, and the marks that make one a candidate."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self.rows = tuple(dialects)
        self._entries: list[Entry] = []
        marks: list[str] = []
        for dialect_ in dialects:
            for layout in dialect_.layout:
                entry = Entry(dialect_.name, layout)
                for mark in layout.marks:
                    marks.append(mark.lower())
                    self._entries.append(entry)
        self._marks = marks
        contiguous = ahocorasick_rs.Implementation.ContiguousNFA
        self._automaton = ahocorasick_rs.AhoCorasick(marks, implementation=contiguous)
        ends = [end.lower() for dialect_ in dialects for end in dialect_.end]
        self._ends = ahocorasick_rs.AhoCorasick(ends, implementation=contiguous)

    def compile(self) -> None:
        """Compile every pattern now; raises BrokenRules."""
        for entry in self._entries:
            _ = entry.recipient, entry.reason

    def candidates(self, mail: Mail) -> list[Found]:
        """Return the layouts whose marks stand on the page, the longest mark first."""
        head, page = _page(mail)
        best: dict[int, Found] = {}
        for index, start, _ in self._automaton.find_matches_as_indexes(page, overlapping=True):
            entry = self._entries[index]
            mark = self._marks[index]
            known = best.get(id(entry))
            if known is None or len(mark) > len(known.mark):
                best[id(entry)] = Found(entry=entry, mark=mark, at=start - head)
        found = [one for one in best.values() if all(need.lower() in page for need in one.entry.layout.needs)]
        return sorted(
            found, key=lambda one: (len(one.mark) + sum(map(len, one.entry.layout.needs)), one.mark), reverse=True
        )

    def end(self, text: str, start: int = 0) -> int:
        """Return where the returned message begins in *text*, or its length."""
        lower = text[start:].lower()
        for _, at, _ in self._ends.find_matches_as_indexes(lower):
            line = lower.rfind("\n", 0, at) + 1
            if not lower[line:at].strip(" \t*-=_>|#"):  # an end stands at the beginning of its line
                return start + line
        return len(text)


def _page(mail: Mail) -> tuple[int, str]:
    """Return the header, text and status parts in lower case, and where the text begins."""
    header = (
        "".join(f"\n{name}: {value[:300]}" for name, values in mail.headers.items() for value in values[:3]) + "\n\n"
    )
    machine = "".join("\n\n" + text[:4096] for _, text in mail.machine)
    page = (header + mail.text[:MAX_PAGE] + machine).lower()
    return len(header.lower()), page


class Page:
    """A message, and the layouts that its notice may be in: what readers are given.

    What one reader has found, the next does not look for again.
    """

    def __init__(self, mail: Mail, dialects: Dialects) -> None:
        self.mail = mail
        self._dialects = dialects

    @cached_property
    def text(self) -> str:
        """The notice's text in lower case."""
        return self.mail.text.lower()

    @cached_property
    def candidates(self) -> list[Found]:
        """The layouts whose marks stand on the page, the longest mark first."""
        return self._dialects.candidates(self.mail)

    @cached_property
    def end(self) -> int:
        """Where the returned message begins in the notice's text, or its length."""
        return self.end_of(self.mail.text)

    def end_of(self, text: str, start: int = 0) -> int:
        """Return where the returned message begins in *text*, or its length."""
        return self._dialects.end(text, start)


@cache
def load(*folders: Path) -> Dialects:
    """Return the built-in dialects and those of *folders*; they are read once per process. Raises BrokenRules."""
    rows = read_folder(BUILT_IN / "dialects")
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
