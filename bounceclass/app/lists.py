"""Lists of addresses that people or other software made: one a line, or CSV as any program writes it.

Nothing is guessed: what is not understood as a whole is no address.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from bounceclass.recipients import bare, is_plain_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

__all__ = ["Entry", "read"]

HEADERS = ("address", "email", "e-mail", "recipient")
"""What may stand above the addresses."""
SNIFFED = 64 * 1024
"""Characters that are looked through for the delimiter."""

# The first cell of a row (RFC 4180) and what ends it: spreadsheets write the delimiter of their country, or tabs
_FIRST_CELL = re.compile(r'^(?:"(?:[^"]|"")*"|[^",;\t\r\n]*)([,;\t])', re.MULTILINE)
# What a CSV of ours has before a formula
_APOSTROPHE = re.compile(r"'(?=[=+\-@])")
# What stands at the beginning of text that is not in UTF-8: Excel's "Unicode text"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Entry(NamedTuple):
    """A row of a list."""

    address: str
    """The address in it, without a display name; empty where there is none."""
    lines: list[str]
    """As they were read, without their ends."""
    is_header: bool = False


def read(file: IO[bytes]) -> Iterator[Entry]:
    """Yield the rows of *file*; empty lines and comments are none.

    The address stands in the first cell, or in that below a title which is one of HEADERS; titles stand before the
    first address.  A row without titles that has several addresses has none: which is meant?
    """
    buffered = io.BufferedReader(file)  # type: ignore[type-var]  # all that it needs is readinto
    coding = "utf-16" if buffered.peek(2)[:2] in _UTF_16 else "utf-8-sig"
    text = io.TextIOWrapper(buffered, coding, "surrogateescape" if coding == "utf-8-sig" else "replace", newline="")
    column, began = None, False
    try:
        for row, lines in _rows(text):
            # an address in quotes of its own is no cell of CSV
            cells = [cell.strip() for cell in row or ["".join(lines)]]
            found = [address for address in map(_address, cells) if address]
            began = began or bool(found)
            title = (
                next((at for at, cell in enumerate(cells) if cell.casefold() in HEADERS), None) if not began else None
            )
            column = column if title is None else title
            if column is not None:
                address = _address(cells[column]) if column < len(cells) else ""
            else:
                address = _address(cells[0]) if len(found) == 1 else ""
            if any(cells):
                yield Entry(address, [line.rstrip("\r\n") for line in lines], is_header=title is not None)
    finally:
        text.detach()  # whoever opened it closes it
        buffered.detach()


def _address(cell: str) -> str:
    """Return the address that *cell* is, or an empty string."""
    cell = cell[1:] if _APOSTROPHE.match(cell) else cell
    address = bare(cell.removeprefix("mailto:"))
    return address if is_plain_address(address) else ""


def _rows(text: io.TextIOBase) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the cells of each row, none where it is no row of CSV, and the lines that it stands in."""
    head: list[str] = []
    size = 0
    while size < SNIFFED and (line := text.readline()):
        head.append(line)
        size += len(line)
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in itertools.chain(head, text):
            if line.strip() and not line.lstrip().startswith("#"):
                taken.append(line)
                yield line

    first = _FIRST_CELL.search("".join(head), 0, SNIFFED)
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
