"""Addresses of a list that people or other software made: one a line, or CSV as any program writes it.

Nothing is guessed: what is not understood as a whole is named, and suppresses nobody.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from bounceclass.recipients import is_plain_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

__all__ = ["addresses"]

HEADERS = ("address", "email", "e-mail", "recipient")
"""What may stand above the addresses."""
SNIFFED = 64 * 1024
"""Characters that are looked through for the delimiter."""

# The first cell of a row (RFC 4180) and what ends it: spreadsheets write the delimiter of their country, or tabs
_FIRST_CELL = re.compile(r'^(?:"(?:[^"]|"")*"|[^",;\t\r\n]*)([,;\t])', re.MULTILINE)
# What a CSV of ours has before a formula
_APOSTROPHE = re.compile(r"'(?=[=+\-@])")


def addresses(file: IO[bytes]) -> tuple[list[str], list[str]]:
    """Return the addresses in the first cells of *file*, and its lines in which there is none.

    Empty lines, comments and a header are neither.
    """
    found: list[str] = []
    wrong: list[str] = []
    for row, lines in _rows(file.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff")):
        # an address in quotes of its own is no cell of CSV
        cell = row[0].strip() if row else "".join(lines).strip()
        cell = cell[1:] if _APOSTROPHE.match(cell) else cell
        if is_plain_address(cell):
            found.append(cell)
        elif any(row or [cell]) and cell.casefold() not in HEADERS:
            wrong.extend(line.rstrip("\r\n") for line in lines)
    return found, wrong


def _rows(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the cells of each row, none where it is no row of CSV, and the lines that it stands in."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            if line.strip() and not line.lstrip().startswith("#"):
                taken.append(line)
                yield line

    first = _FIRST_CELL.search(text, 0, SNIFFED)
    rows = csv.reader(lines(), delimiter=first[1] if first else ",", skipinitialspace=True, strict=True)
    while True:
        taken.clear()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            row = []
        yield row, list(taken)
