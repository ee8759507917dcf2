"""Layouts of free-form notices, read from ``data/dialects``.

docs/dialects.md says what a row is.  All marks of all layouts are found in one pass
over the page: the header, the notice's text and the machine-readable parts.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import ahocorasick_rs
from msgspec import Struct

from bounceclass import fields
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.reports import origin
from bounceclass.rulebook import BrokenRules, Row, parse_table

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from bounceclass.model import Mail

__all__ = ["Dialect", "Layout", "author", "end_of_notice", "passages", "read"]

MAX_PAGE = 64 * 1024
"""Characters of a notice's text in which marks are looked for."""
MAX_REASON = 16 * 1024
"""Characters that are read of what a notice says about one recipient."""
MANY = 100
"""Recipients up to which so much is read."""
MAX_REASON_OF_MANY = 1024
"""Characters of each reason there."""


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


class _Compiled(Struct, frozen=True, kw_only=True):
    dialect: str
    layout: Layout
    recipient: re.Pattern[str] | None
    reason: re.Pattern[str] | None


class _Found(Struct, frozen=True, kw_only=True):
    entry: _Compiled
    mark: str
    at: int
    """Where the mark stands in the text; negative where it stands in the header."""


class Layouts:
    """Every layout, and the marks that make one a candidate."""

    def __init__(self, dialects: list[Dialect]) -> None:
        self.dialects = tuple(dialects)
        self._entries: list[_Compiled] = []
        marks: list[str] = []
        for dialect_ in dialects:
            for layout in dialect_.layout:
                entry = _Compiled(
                    dialect=dialect_.name,
                    layout=layout,
                    recipient=_compiled(layout.recipient, dialect_.name),
                    reason=_compiled(layout.reason, dialect_.name),
                )
                for mark in layout.marks:
                    marks.append(mark.lower())
                    self._entries.append(entry)
        self._marks = marks
        contiguous = ahocorasick_rs.Implementation.ContiguousNFA
        self._automaton = ahocorasick_rs.AhoCorasick(marks, implementation=contiguous)
        ends = [end.lower() for dialect_ in dialects for end in dialect_.end]
        self._ends = ahocorasick_rs.AhoCorasick(ends, implementation=contiguous)

    def candidates(self, mail: Mail) -> list[_Found]:
        """Return the layouts whose marks stand on the page, the longest mark first."""
        head, page = _page(mail)
        best: dict[int, _Found] = {}
        for index, start, _ in self._automaton.find_matches_as_indexes(page, overlapping=True):
            entry = self._entries[index]
            mark = self._marks[index]
            known = best.get(id(entry))
            if known is None or len(mark) > len(known.mark):
                best[id(entry)] = _Found(entry=entry, mark=mark, at=start - head)
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


def _compiled(pattern: str | None, name: str) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    except re.error as error:
        raise BrokenRules(f"dialects/{name}.toml: {pattern!r}: {error}") from None


@cache
def load() -> Layouts:
    """Return the built-in layouts; they are read once per process."""
    return read_folder(resources.files("bounceclass") / "data" / "dialects")


def read_folder(folder: Traversable | Path) -> Layouts:
    """Return the layouts of a folder of row files; raises BrokenRules."""
    dialects = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            dialects.append(parse_table(file.read_bytes(), Dialect, f"dialects/{file.name}"))
    return Layouts(dialects)


# --- reading ----------------------------------------------------------------------

# "(generated from a@b)", "(ultimately generated from a@b)" (Exim), "(expanded from: <a@b>)" (Sendmail, Postfix)
_GENERATED = re.compile(
    r"\(?\b(?:ultimately generated from|generated from|expanded from:?)\s{1,20}<?([^\s<>()]{1,320}@[^\s<>()]{1,255})>?\)?",
    re.I,
)
# "##rfc822;a@b" (Exchange 2007)
_HASHED = re.compile(r"##(?:rfc822;(\S{1,320}@[^\s#]{1,255}))?", re.I)


def read(mail: Mail) -> Notice | None:
    """Return what the first layout with recipients finds; see the contract in ``reports``."""
    if origin.is_forwarded(mail):
        return None
    is_notice = origin.may_be_notice(mail)
    for found in load().candidates(mail):
        layout = found.entry.layout
        if layout.kind not in (Kind.BOUNCE, Kind.DELAY):
            return Notice(kind=layout.kind, dialect=found.entry.dialect, confidence=Confidence.PROBABLE)
        outcomes, returned = _outcomes(mail, found) if is_notice else ([], "")
        if outcomes:
            kind = Kind.DELAY if all(outcome.action is Action.DELAYED for outcome in outcomes) else Kind.BOUNCE
            return Notice(
                kind=kind,
                dialect=found.entry.dialect,
                outcomes=tuple(outcomes),
                confidence=Confidence.PROBABLE,
                returned=returned,
            )
    return None


def author(mail: Mail) -> tuple[str | None, Kind]:
    """Return who wrote a notice, by the longest mark, and what that layout is for."""
    candidates = load().candidates(mail)
    if not candidates:
        return None, Kind.BOUNCE
    return candidates[0].entry.dialect, candidates[0].entry.layout.kind


def passages(mail: Mail) -> list[Outcome]:
    """Return what a notice's text says of each recipient, by the first layout that finds one."""
    for found in load().candidates(mail):
        outcomes, _ = _outcomes(mail, found)
        if outcomes:
            return outcomes
    return []


def end_of_notice(text: str) -> int:
    """Return where the returned message begins in a notice's text, or its length."""
    return load().end(text)


def _outcomes(mail: Mail, found: _Found) -> tuple[list[Outcome], str]:
    """Return the outcomes of one layout, and the text after the notice."""
    layout, pattern = found.entry.layout, found.entry.recipient
    if pattern is None:
        return [], ""
    region, transcript, end = _region(mail.text, found)
    matches = [(match, address) for match in pattern.finditer(region) if (address := _address(match, layout))]
    # an address that a reply repeats at the beginning of a line is no new recipient
    matches = [one for index, one in enumerate(matches) if not index or one[1] != matches[index - 1][1]]
    if not matches:
        return [], ""
    delayed = layout.kind is Kind.DELAY or _says_any(layout.delay, mail.text[:end] + mail.get("subject"))
    reasons = _reasons(found.entry, region, [match for match, _ in matches])
    parts = _parts(transcript) if len(matches) > 1 else {}
    outcomes: dict[str, Outcome] = {}
    for (_, address), reason in zip(matches, reasons, strict=True):
        key = address.lower()
        known = outcomes.get(key)
        if known is not None and (known.diagnostic or not reason):
            continue
        words, source = _source_of(reason)
        part = parts.get(key, "") if parts else transcript
        outcomes[key] = Outcome(
            recipient=known.recipient if known else address,
            generated_from=fields.clean(source) if source else None,
            action=Action.DELAYED if delayed else Action.FAILED,
            diagnostic=f"{words}\n{part[:MAX_REASON].strip()}".strip(),
            source="text",
        )
    return list(outcomes.values()), mail.text[end:]


def _region(text: str, found: _Found) -> tuple[str, str, int]:
    """Return where a layout looks for recipients, the session transcript below it, and where the notice ends."""
    layout = found.entry.layout
    start = _after(text, layout.begin, found.at if 0 <= found.at < len(text) else 0)
    start = text.rfind("\n", 0, start) + 1
    end = load().end(text, start)
    region = text[start:end]
    for stop in layout.stop:
        region, _ = _before(region, (stop,))
    region, transcript = _before(region, layout.transcript)
    return region, transcript, end


def _says_any(words: tuple[str, ...], text: str) -> bool:
    lower = text.lower() if words else ""
    return any(word.lower() in lower for word in words)


def _reasons(entry: _Compiled, region: str, matches: list[re.Match[str]]) -> list[str]:
    """Return the words about each recipient: on its line, after it, or where the row says."""
    limit = MAX_REASON if len(matches) <= MANY else MAX_REASON_OF_MANY
    anywhere = entry.reason.search(region) if entry.reason is not None else None
    shared = region[matches[-1].end() :][:limit]
    ends = [match.start() for match in matches[1:]] + [len(region)]
    reasons = []
    for match, end in zip(matches, ends, strict=True):
        chunk = shared if entry.layout.shared else region[match.end() : end][:limit]
        if entry.reason is not None:
            found = entry.reason.search(chunk) or anywhere
            chunk = (found[1] or "") if found else ""
        on_line = (match.groupdict().get("reason") or "").strip()
        reasons.append(f"{on_line}\n{chunk.strip()}".strip())
    return reasons


def _after(text: str, marks: tuple[str, ...], start: int) -> int:
    lower = text.lower()
    for mark in marks:
        at = lower.find(mark.lower(), start)
        if at >= 0:
            line = text.find("\n", at)
            return at if line < 0 else line + 1
    return start


def _before(region: str, titles: tuple[str, ...]) -> tuple[str, str]:
    """Return what stands before the first of *titles*, and what stands after it."""
    lower = region.lower()
    for title in titles:
        at = lower.find(title.lower())
        if at >= 0:
            return region[:at], region[at + len(title) :]
    return region, ""


def _parts(transcript: str) -> dict[str, str]:
    """Return what a session transcript says of each address that it names.

    A part ends with the mailer's own line, which follows the remote's refusal ("550 <a@b>... User
    unknown": Sendmail), or begins with a rule line ("------ a@b ------": Exim).
    """
    parts = [""]
    said: dict[str, str] = {}
    for line in transcript.split("\n"):
        if line.startswith("------ "):
            parts.append("")
        parts[-1] += line + "\n"
        if line[:1].isdigit():
            parts.append("")
    for part in parts:
        for address in {match[0].lower() for match in origin.ADDRESS.finditer(part[:MAX_REASON])}:
            said[address] = (said.get(address, "") + part)[:MAX_REASON]
    return said


def _address(match: re.Match[str], layout: Layout) -> str | None:
    groups = match.groupdict()
    address = fields.clean(groups["address"] if "address" in groups else match[1])
    if address and "@" not in address:
        return f"{address}@{layout.domain}" if layout.domain else None
    return address


def _source_of(words: str) -> tuple[str, str | None]:
    """Take off what says where an address came from, and return it."""
    found = _GENERATED.search(words)
    if found:
        return (words[: found.start()] + words[found.end() :]).strip(" \n\t:"), found[1]
    found = _HASHED.search(words)
    if found:
        return (words[: found.start()] + words[found.end() :]).strip(), found[1]
    return words, None
