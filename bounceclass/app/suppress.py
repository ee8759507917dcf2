"""``bounceclass suppress``: who must not be mailed, why, and in what form other software wants to know."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bounceclass.app import lists, publish, show
from bounceclass.app.exports import COMPLAINT, Format, List
from bounceclass.app.options import configured, ledger_as_it_is, plainly, settings
from bounceclass.app.sources import STDIN
from bounceclass.recipients import bare, is_plain_address
from bounceclass.wire import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    from bounceclass.app.config import Config
    from bounceclass.app.ledger import Ledger
    from bounceclass.app.policy import Event, Standing

__all__ = ["suppress"]

SUPPRESSED = 3
"""Exit code of ``check``."""
MAX_NAMED = 10
"""Lines without an address that are named."""
MAX_SHOWN = 200
"""Characters that are shown of one."""


@contextmanager
def _opened(path: Path | None, *, create: bool = False) -> Iterator[tuple[Config, Ledger]]:
    with plainly():
        config = configured(path)
        with closing(ledger_as_it_is(config, create=create)) as ledger:
            yield config, ledger


@click.group()
def suppress() -> None:
    """See, check and change who must not be mailed."""


which = click.option("--complaints", is_flag=True, help="The list of those who complained, instead of the suppressed.")
note = click.option("--note", default="", metavar="TEXT", help="Why, for whoever asks later.")
addresses = click.argument("given", nargs=-1, required=True, metavar="ADDRESS...")


@suppress.command(
    "list",
    epilog="""\b
    Examples:
      bounceclass suppress list
      bounceclass suppress list --complaints
    """,
)
@which
@settings
def list_(path: Path | None, complaints: bool) -> None:
    """List the suppressed addresses, with the reason and how long."""
    header = ("address", "reason", "since", "until", "because")
    with _opened(path) as (_, ledger):
        out, terminal = sys.stdout.buffer, sys.stdout.isatty()
        rows = []
        for one in ledger.complaints() if complaints else ledger.suppressed():
            standing = one.standing
            reason, since = (COMPLAINT, standing.complained) if complaints else (standing.reason or "", standing.since)
            until = None if complaints else standing.until
            rows.append((one.address or one.key, reason, _day(since), _day(until, never="never"), standing.because))
        if rows:
            show.table(header, rows, out, terminal=terminal)
        elif terminal:
            click.echo("nobody", err=True)


@suppress.command(
    epilog="""\b
    Examples:
      bounceclass suppress check fred@example.com
      bounceclass suppress check - < addresses.txt > mailable.txt
      bounceclass suppress check - < people.csv > mailable.csv

    Exit code: 0 all may be mailed, 3 some may not, 1 some lines have no address, 2 usage,
    75 the ledger cannot be read.
    """
)
@addresses
@settings
@click.pass_context
def check(ctx: click.Context, path: Path | None, given: tuple[str, ...]) -> None:
    """Tell whether addresses may be mailed.

    Those that may not are named on standard error, with the reason. With - a list is read from
    standard input, one address a line or CSV with the address first or under a title such as
    email, and the lines of those that may be mailed are written to standard output. A line without
    an address, or with several and no title, is named on standard error and left out.
    """
    with _opened(path) as (_, ledger):
        if given == (STDIN,):
            ctx.exit(_filtered(ledger))
        out = [one for one in given if ledger.is_suppressed(one)]
        for one in out:
            standing = ledger.standing(one)
            click.echo(printable(f"{one}: {_says(standing)}"), err=True)
        _checked(one for one in given if one not in out)
        ctx.exit(SUPPRESSED if out else 0)


def _filtered(ledger: Ledger) -> int:
    """Write those lines of standard input to standard output that may be mailed, and return the exit code."""
    wrong: list[str] = []
    asked = left = 0

    def addressed() -> Iterator[lists.Entry]:
        nonlocal asked
        for entry in lists.read(sys.stdin.buffer):
            if entry.address or entry.is_header:
                asked += 1
                yield entry
            else:
                wrong.extend(entry.lines)

    for entry in ledger.mailable(addressed(), address=attrgetter("address")):
        left += 1
        for line in entry.lines:
            sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    _name(wrong)
    return 1 if wrong else SUPPRESSED if left < asked else 0


@suppress.command(
    epilog="""\b
    Example:
      bounceclass suppress why fred@example.com
    """
)
@click.argument("address")
@settings
def why(path: Path | None, address: str) -> None:
    """Show where an address stands, and every event and rule behind it."""
    with _opened(path) as (_, ledger):
        found = ledger.why(address)
        events = [line for event in found.events for line in _told(event)] or ["Nothing is known of it."]
        show.lines([f"{address}: {_says(found.standing)}", "", *events], sys.stdout.buffer)


def _told(event: Event) -> Iterator[str]:
    """Yield an event in a line, and what was said below it."""
    verdict = f"{event.reason} ({event.confidence})" if event.reason else ""
    codes = " ".join(str(code) for code in (event.reply_code, event.status) if code)
    about = (f"{event.happened_at:%Y-%m-%d %H:%M}", event.what, verdict, codes, event.rule, event.source)
    yield "  ".join(str(part) for part in about if part)
    if event.diagnostic:
        yield f"    {' '.join(event.diagnostic.split())}"


@suppress.command(
    epilog="""\b
    Examples:
      bounceclass suppress add fred@example.com --note "asked by phone"
      bounceclass suppress add --complaints fred@example.com
    """
)
@addresses
@which
@note
@settings
def add(path: Path | None, given: tuple[str, ...], complaints: bool, note: str) -> None:
    """Suppress addresses by hand, until they are released by hand."""
    with _opened(path, create=True) as (config, ledger):
        publish.check(config, ledger)
        done = (ledger.complain if complaints else ledger.add)(_checked(given), note=note)
        click.echo(f"{done} added, {len(given) - done} were on the list")
        _update(config, ledger)


@suppress.command(
    epilog="""\b
    Example:
      bounceclass suppress release fred@example.com --note "wrote to us"
    """
)
@addresses
@note
@settings
def release(path: Path | None, given: tuple[str, ...], note: str) -> None:
    """Release addresses: nothing that happened before counts any more."""
    with _opened(path) as (config, ledger):
        done = ledger.release(given, note=note)
        click.echo(f"{done} released, {len(given) - done} were not known")
        _update(config, ledger)


@suppress.command(
    "import",
    epilog="""\b
    Examples:
      bounceclass suppress import old-list.txt --note "from the old system"
      bounceclass suppress import - < bounced.csv

    Exit code: 0 done, 1 some lines have no address, 2 usage.
    """,
)
@click.argument("file", type=click.File("rb"))
@which
@note
@settings
@click.pass_context
def import_(ctx: click.Context, path: Path | None, file: IO[bytes], complaints: bool, note: str) -> None:
    """Suppress the addresses of a file by hand: one a line, or the first cell of each row of a CSV file.

    Its cells may end with a comma, a semicolon or a tab. Lines without an address are named and passed over.
    """
    found, wrong = [], []
    for entry in lists.read(file):
        if entry.address:
            found.append(entry.address)
        elif not entry.is_header:
            wrong += entry.lines
    with _opened(path, create=True) as (config, ledger):
        done = (ledger.complain if complaints else ledger.add)(found, note=note)
        click.echo(f"{done} added, {len(found) - done} were on the list, {len(wrong)} lines without an address")
        _name(wrong)
        _update(config, ledger)
    ctx.exit(1 if wrong else 0)


@suppress.command(
    epilog="""\b
    Examples:
      bounceclass suppress export
      bounceclass suppress export --format csv > suppressed.csv
      bounceclass suppress export --format postfix --unmailable --output /etc/postfix/suppressed

    Without --format these are the exports of the configuration. A file is replaced as a
    whole, and only where what stands in it has changed.
    """
)
@click.option("--format", "form", type=click.Choice([str(one) for one in Format]))
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE.")
@which
@click.option("--unmailable", is_flag=True, help="The suppressed and those who complained, on one list.")
@settings
def export(path: Path | None, form: str | None, output: str | None, complaints: bool, unmailable: bool) -> None:
    """Write the suppressed addresses in the form that other software reads."""
    if complaints and unmailable:
        raise click.UsageError("Choose one list: --unmailable has the --complaints too.")
    chosen = List.COMPLAINTS if complaints else List.UNMAILABLE if unmailable else List.SUPPRESSED
    with _opened(path, create=True) as (config, ledger):  # a mail server wants the map before the first bounce
        if form is None:
            if output or chosen is not List.SUPPRESSED:
                raise click.UsageError("--output, --complaints and --unmailable need a --format.")
            if not config.export:
                raise click.UsageError("Name a --format, or add an [export.<name>] to the configuration.")
            for name, changed in _update(config, ledger).items():
                click.echo(f"{name}: {'written' if changed else 'unchanged'}")
            return
        if output is None:
            sys.stdout.buffer.write(publish.rendering(ledger, Format(form), chosen)())
        else:
            changed = publish.written(Path(output), ledger, Format(form), chosen)
            click.echo(printable(f"{output}: {'written' if changed else 'unchanged'}"))


# --- exports ------------------------------------------------------------------------


def _update(config: Config, ledger: Ledger) -> dict[str, bool]:
    """Bring the exports of the configuration up to date; return which of them changed.

    Raises ExportError once all have had their turn.
    """
    problems: list[str] = []
    changed = dict(publish.update(config, ledger, lambda error: problems.append(str(error))))
    if problems:
        raise publish.ExportError("; ".join(problems))
    return changed


# --- words --------------------------------------------------------------------------


def _says(standing: Standing) -> str:
    said = str(standing.state)
    if standing.until:
        said += f" until {_day(standing.until)}"
    if standing.because:
        said += f" ({standing.because})"
    parts = [said]
    if standing.complained:  # first: whoever complained is not mailed, wherever else he stands
        parts.insert(0, f"complained on {_day(standing.complained)}")
    if standing.held:
        parts.append(f"strikes are held by {', '.join(standing.held)}")
    return ", ".join(parts)


def _day(moment: object, never: str = "") -> str:
    return f"{moment:%Y-%m-%d}" if moment else never


def _name(wrong: list[str]) -> None:
    """Name the first few of the lines of a list in which there is no address."""
    for line in wrong[:MAX_NAMED]:
        shown = line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}..."
        click.echo(printable(f"no address: {shown}"), err=True)
    if len(wrong) > MAX_NAMED:
        click.echo(f"... and {len(wrong) - MAX_NAMED} more", err=True)


def _checked(given: Iterable[str]) -> list[str]:
    """Return the addresses of *given*; raises click's error where there is none."""
    found = []
    for one in given:
        if not is_plain_address(bare(one)):
            raise click.BadParameter(
                f"no address: {one!r} (it takes a local part and a domain, and nothing beside them but a name)",
                param_hint="ADDRESS",
            )
        found.append(bare(one))
    return found
