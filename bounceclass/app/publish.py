"""Bring what other software reads up to date: the files of the exports, and the commands that follow them.

A command is owed from before its file is replaced until it has ended with 0, and a mark
beside the file says so (``.suppressed.then`` for ``suppressed``): whatever fails or is
killed in between, the next run runs it, though the file itself is up to date by then.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bounceclass.app import exports, outputs
from bounceclass.app.exports import COMPLAINT, Format, List
from bounceclass.wire import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bounceclass.app.config import Config
    from bounceclass.app.ledger import Ledger

__all__ = ["ExportError", "check", "rendering", "replaced", "update", "written"]

PATIENCE = 300
"""Seconds that the command after a change may take."""
MOST_TIMES = 3
"""How often a file is written in one go because its list has changed meanwhile."""


class ExportError(Exception):
    """What others read cannot be written, or the command that follows failed; the message is one line."""

    temporary = False


def update(config: Config, ledger: Ledger, failed: Callable[[ExportError], None]) -> Iterator[tuple[str, bool]]:
    """Bring the exports of the configuration up to date; yield the name of each, and whether its file changed.

    *failed* is told of each that could not be; it does not keep the others from it.  Raises LedgerError.
    """
    for name, wanted in config.export.items():
        path = Path(wanted.path)
        try:
            changed = written(path, ledger, wanted.format, wanted.list, then=wanted.then)
        except ExportError as error:
            failed(ExportError(f"[export.{name}]: {error}"))
        else:
            yield name, changed


def written(path: Path, ledger: Ledger, form: Format, chosen: List, *, then: str | None = None) -> bool:
    """Bring the export at *path* up to date, and return whether it was written; *then* as ``replaced`` has it.

    A ledger that knows nothing empties no file: it may be another one than was meant.  Raises ExportError and
    LedgerError.
    """
    render = rendering(ledger, form, chosen)
    _refuse_to_empty(path, ledger, render)
    return replaced(path, render, then=then)


def check(config: Config, ledger: Ledger) -> None:
    """Raise ExportError where what *ledger* is going to have would empty an export; for whoever is to write into it."""
    if config.export and ledger.is_empty() and not ledger.hashed:
        for name, wanted in config.export.items():
            try:
                _refuse_to_empty(Path(wanted.path), ledger, rendering(ledger, wanted.format, wanted.list))
            except ExportError as error:
                raise ExportError(f"[export.{name}]: {error}") from None


def _refuse_to_empty(path: Path, ledger: Ledger, render: Callable[[], bytes]) -> None:
    if ledger.is_empty() and _content(path) not in (b"", render()):
        raise ExportError(
            f"{path} is left as it is, for nothing was ever recorded in {ledger.place}: name the right ledger, or "
            "remove the file; bounceclass suppress import takes addresses over from another"
        )


def _content(path: Path) -> bytes:
    """Return what stands in the file at *path*; nothing where there is none."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror}") from None


def replaced(path: Path, render: Callable[[], bytes], *, then: str | None = None) -> bool:
    """Write what *render* makes to *path* as a whole, unless it stands there already; return whether it was written.

    It is made once more after that, for another process may have written something older
    over something newer.  *then* is run when the file has changed, and when it is owed from
    before.  Raises ExportError and what *render* raises.
    """
    target = path.resolve()
    owed = target.with_name(f".{target.name}.then")
    changed = False
    try:
        for _ in range(MOST_TIMES):
            content = render()
            if path.is_file() and path.read_bytes() == content:
                break
            if then:
                owed.touch()
            with outputs.replacing(path) as out:
                out.write(content)
            changed = True
            if not path.is_file():
                break  # a device or a FIFO, which takes it once
        if then and (changed or owed.exists()):
            _run(then)
            owed.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from None
    return changed


def _run(command: str) -> None:
    """Run what the configuration wants after a change (``postmap``)."""
    try:
        done = subprocess.run(words := shlex.split(command), check=False, timeout=PATIENCE)  # noqa: S603 - the owner's own
    except subprocess.TimeoutExpired:
        raise ExportError(f"then: {words[0]}: took longer than {PATIENCE} seconds") from None
    except OSError as error:
        raise ExportError(f"then: {words[0]}: {error.strerror}") from None
    if done.returncode:
        raise ExportError(f"then: ended with {done.returncode}")


def rendering(ledger: Ledger, form: Format, chosen: List) -> Callable[[], bytes]:
    """Return what makes a list of *ledger* in the form asked for, each time from what the ledger has then.

    Who is left out is named on standard error, once.  Raises ExportError; what is returned raises LedgerError.
    """
    if ledger.hashed:
        raise ExportError(
            "the ledger keeps hashes instead of addresses, which cannot be exported: ask bounceclass suppress check -"
        )
    named: set[str] = set()

    def left_out(address: str) -> None:
        if address not in named:
            named.add(address)
            click.echo(printable(f"left out, for this form cannot have it: {address}"), err=True)

    return lambda: exports.rendered(form, _listed(ledger, chosen), left_out)


def _listed(ledger: Ledger, chosen: List) -> Iterator[exports.Line]:
    lists = {
        List.SUPPRESSED: ledger.suppressed,
        List.COMPLAINTS: ledger.complaints,
        List.UNMAILABLE: ledger.unmailable,
    }
    for one in lists[chosen]():
        standing = one.standing
        # of two causes the complaint holds longer
        complained = standing.complained if chosen is not List.SUPPRESSED else None
        yield exports.Line(
            address=one.address or "",
            key=one.key,
            reason=COMPLAINT if complained else str(standing.reason),
            since=complained or standing.since,
            until=None if complained else standing.until,
        )
