"""Verdicts for people: a table on a terminal, aligned plain text in a pipe.

Whatever a stranger wrote goes through ``wire.printable``.  rich is imported only where
there is a terminal to show it on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bounceclass import advice
from bounceclass.wire import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import IO

    from bounceclass.model import Evidence, Explanation, Failure, Report

__all__ = ["NOTHING", "Row", "VerdictTable", "codes", "explanation", "lines", "table"]

BATCH = 500
"""Rows that are aligned together: memory stays constant however many there are."""
MAX_NAMED = 3
"""Recipients of a report without failures that are named."""

HEADER = ("source", "recipient", "verdict", "reason", "code", "suppress", "action")
NOTHING = "-"
"""What stands where there is nothing to show."""
_STYLES = {"hard": "red", "soft": "yellow", "yes": "bold red"}

Row = tuple[str, ...]


# --- the page ---------------------------------------------------------------------


def lines(texts: Iterable[str], out: IO[bytes]) -> None:
    """Write *texts*, one a line."""
    out.write("".join(f"{printable(text)}\n" for text in texts).encode())


def table(header: Row, rows: Sequence[Row], out: IO[bytes], *, terminal: bool) -> None:
    """Write *rows* in columns; without words in *header* there is no header."""
    rows = [tuple(map(printable, row)) for row in rows]
    if terminal:
        _coloured(header, rows, out)
        return
    shown = [header, *rows] if any(header) else rows
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines(("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown), out)


def _coloured(header: Row, rows: Sequence[Row], out: IO[bytes]) -> None:
    """Write a table that folds its cells to the width of the terminal and honours NO_COLOR."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*header, box=None, show_header=any(header), pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        shown.add_row(*(Text(text, style=_STYLES.get(text, ""), overflow="fold") for text in row))
    page = StringIO()
    Console(file=page, force_terminal=True).print(shown)
    out.write(page.getvalue().encode())


# --- verdicts ---------------------------------------------------------------------


class VerdictTable:
    """One line for each failure, one for each message without any, and a summary.

    With *why* each line becomes a paragraph that ends with the evidence.
    """

    def __init__(self, out: IO[bytes], *, terminal: bool, lang: str, why: bool) -> None:
        self._out = out
        self._terminal = terminal
        self._words = advice.phrasebook(lang)
        self._why = why
        self._header: Row = HEADER
        self._rows: list[Row] = []
        self._kinds: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._dead = 0

    def add(self, source: str, report: Report) -> None:
        """Take the verdicts on one message."""
        rows = [self._row(source, failure) for failure in report.failures] or [_without_failures(source, report)]
        self._kinds[report.kind] += 1
        for failure in report.failures:
            self._reasons[failure.reason] += 1
            self._dead += failure.suppress
        if self._why:
            self._paragraphs(rows, [failure.evidence for failure in report.failures] or [()])
            return
        self._rows.extend(rows)
        if len(self._rows) >= BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is still to be shown, and the summary."""
        self._flush()
        if not self._kinds:
            lines(["no messages"], self._out)
            return
        summary = [f"{_number(self._kinds, 'message')}: {_counts(self._kinds)}"]
        if self._reasons:
            summary += [f"{_number(self._reasons, 'failure')}: {_counts(self._reasons)}", f"{self._dead} to suppress"]
        lines(summary if self._why else ["", *summary], self._out)

    def _flush(self) -> None:
        if self._rows:
            table(self._header, self._rows, self._out, terminal=self._terminal)
            self._rows.clear()
            self._header = ("",) * len(HEADER)

    def _paragraphs(self, rows: Sequence[Row], evidence: Sequence[Sequence[Evidence]]) -> None:
        for row, found in zip(rows, evidence, strict=True):
            pairs = [*zip(HEADER, row, strict=True), *_because(found)]
            table(("", ""), pairs, self._out, terminal=self._terminal)
            lines([""], self._out)

    def _row(self, source: str, failure: Failure) -> Row:
        return (
            source,
            failure.recipient or NOTHING,
            str(failure.severity),
            str(failure.reason),
            codes(failure.reply_code, failure.status),
            "yes" if failure.suppress else "no",
            self._words.action[failure.suggested_action],
        )


def _without_failures(source: str, report: Report) -> Row:
    names = [delivery.recipient for delivery in report.deliveries]
    if report.feedback:
        names.extend(report.feedback.original_rcpt_to)
    rest = len(names) - MAX_NAMED
    named = ", ".join(name or NOTHING for name in names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    return (source, named or NOTHING, str(report.kind), NOTHING, NOTHING, "no", NOTHING)


def _number(counter: Counter[str], noun: str) -> str:
    return f"{counter.total()} {noun}{'' if counter.total() == 1 else 's'}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common())


def codes(reply_code: int | None, status: str | None) -> str:
    """Return the codes of a failure as they are shown."""
    return " ".join(str(code) for code in (reply_code, status) if code) or NOTHING


def _because(evidence: Sequence[Evidence], label: str = "because") -> list[Row]:
    """Return what a verdict rests on, as pairs of a label and the words."""
    texts = [f'{one.rule} "{one.text}" in {one.source}: {one.effect}' for one in evidence]
    return [(label if number == 0 else "", text) for number, text in enumerate(texts)]


# --- an explanation ---------------------------------------------------------------


def explanation(found: Explanation, lang: str, out: IO[bytes], *, terminal: bool) -> None:
    """Write what a code or a reply means, who must act and what to do."""
    words = advice.phrasebook(lang)
    label = words.label
    rows: list[Row] = [(label["query"], found.query)]
    for meaning in found.meanings:
        rows.append((meaning.code, f"{meaning.meaning} ({meaning.source})"))
        rows.extend(("", text) for text in (meaning.vendor, meaning.action) if text)
    if found.suggestion:
        rows.append((label["reason"], f"{found.reason}: {words.reason[found.reason].meaning}"))
    if found.severity:
        hardness = words.severity[found.severity]
        rows.append((label["verdict"], f"{found.severity} ({hardness}), {label['about']} {words.scope[found.scope]}"))
    if found.suggestion:
        rows.append((label["suppress"], label["yes"] if found.suppress else label["no"]))
        rows.append((label["who"], found.who))
        rows.append((label["what to do"], found.suggestion))
    if found.provider:
        rows.append((label["provider"], found.provider))
    rows.extend(_because(found.evidence, label["because"]))
    table(("", ""), rows, out, terminal=terminal)
