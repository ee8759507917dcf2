"""The layouts of free-form notices: loaded from ``data/dialects``, and found by their marks.

docs/dialects.md says what a row is.  All marks of all layouts are found in one pass
over the page: the header, the notice's text and the machine-readable parts.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from bounceclass.model import Kind
from bounceclass.rulebook import BUILT_IN, BrokenRules, Row, parse_table
from bounceclass.words import automaton

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from bounceclass.model import Mail

__all__ = ["Dialect", "Dialects", "Entry", "Found", "Layout", "Page", "load", "read_folder"]

MAX_PAGE = 64 * 1024
"""Characters of a notice's text in which marks are looked for."""
MAX_PART = 4 * 1024
"""Characters of each machine-readable part."""
MAX_VALUE = 300
"""Characters of each header field."""
MAX_VALUES = 3
"""Fields of one name."""
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
    """Where the mark stands in the text; negative where it stands in the header or a machine-readable part."""


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
        named = filter(None, map(_FIELD.match, [*marks, *(need for entry in self._entries for need in entry.needs)]))
        # Content-Type, for Exim and others are known by their boundaries
        self.fields = frozenset(("content-type", *(found[1] for found in named)))
        """The fields of a header that marks stand in."""
        self._automaton = automaton([*marks, *(end.lower() for dialect_ in dialects for end in dialect_.end)])

    def compile(self) -> None:
        """Compile every pattern now; raises BrokenRules."""
        for entry in self._entries:
            _ = entry.recipient, entry.reason

    def find(self, before: str, text: str) -> tuple[list[Found], list[int]]:
        """Return the layouts whose marks stand on a page, the longest mark first, and where its notice may end.

        *text* is the notice's and *before* all that stands on the page before it, both in lower case.
        """
        page = before + text
        best: dict[Entry, Found] = {}
        ends = []
        for index, start, _ in self._automaton.find_matches_as_indexes(page, overlapping=True):
            at = start - len(before)
            if index >= len(self._marks):
                line = text.rfind("\n", 0, at) + 1 if at >= 0 else 0
                if at >= 0 and not text[line:at].strip(" \t*-=_>|#"):  # an end stands at the beginning of its line
                    ends.append(line)
            elif at < MAX_PAGE:
                entry, mark = self._entries[index], self._marks[index]
                if entry not in best or len(mark) > len(best[entry].mark):
                    best[entry] = Found(entry=entry, mark=mark, at=at)
        found = [one for one in best.values() if all(need in page for need in one.entry.needs)]
        if len(found) > 1:
            found.sort(key=lambda one: (len(one.mark) + sum(map(len, one.entry.needs)), one.mark), reverse=True)
        return found, ends


class Page:
    """A message, and the layouts that its notice may be in: what readers are given.

    What one reader has found, the next does not look for again.
    """

    def __init__(self, mail: Mail, dialects: Dialects) -> None:
        self.mail = mail
        self.text = mail.text.lower()
        """The notice's text in lower case."""
        self.subject = mail.get("subject").lower()
        """The Subject in lower case, or an empty string."""
        self._dialects = dialects

    @cached_property
    def _found(self) -> tuple[list[Found], list[int]]:
        header = self.mail.headers
        lines = [
            f"\n{name}: {value[:MAX_VALUE]}"
            for name, values in header.items()
            if name in self._dialects.fields
            for value in values[:MAX_VALUES]
        ]
        parts = [text[:MAX_PART] for _, text in self.mail.machine]
        return self._dialects.find("\n\n".join(["".join(lines), *parts, ""]).lower(), self.text)

    @property
    def candidates(self) -> list[Found]:
        """The layouts whose marks stand in the header, the machine-readable parts or the text, the longest mark first."""
        return self._found[0]

    def end(self, start: int = 0) -> int:
        """Return where the returned message begins in the notice's text, from *start* on, or its length."""
        return next((end for end in self._found[1] if end >= start), len(self.mail.text))


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
