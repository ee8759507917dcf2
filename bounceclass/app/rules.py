"""The commands about rule data: ``bounceclass rules check`` and ``rules coverage``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

import bounceclass
from bounceclass import rulebook, wire
from bounceclass.app import show, sources
from bounceclass.reports import layouts

__all__ = ["rules"]

FIXTURES = Path("fixtures")
"""Where a checkout of the project has its messages."""
EXPECTATION = ".toml"
"""How the name of what stands beside a message of the fixtures ends."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def rules() -> None:
    """Check the rule data, or see which of it messages reach."""


@rules.command(
    epilog="""\b
    Examples:
      bounceclass rules check
      bounceclass rules check bounceclass/data

    Exit code: 0 every row proves itself, 1 some do not, 2 usage.
    """
)
@click.argument("folder", required=False, metavar="[DIR]", type=FOLDER)
@click.pass_context
def check(ctx: click.Context, folder: Path | None) -> None:
    """Make every row prove itself.

    Without DIR these are the built-in rules; DIR is laid out like bounceclass/data.
    """
    from bounceclass import rulecheck  # only this command needs it

    book = rulebook.load() if folder is None else rulebook.read(folder)
    pages = layouts.load() if folder is None else layouts.read_folder(folder / "dialects")
    problems = rulecheck.problems(book, pages)
    for problem in problems:
        click.echo(wire.printable(problem))
    rows = sum(len(dialect.layout) for dialect in pages.dialects)
    rules_ = f"{len(book.rules)} rules of {len(book.providers)} providers"
    summary = f"{rules_}, {rows} layouts of {len(pages.dialects)} dialects"
    if problems:
        click.secho(f"{summary}: {len(problems)} problems", fg="red")
        ctx.exit(1)
    click.secho(f"{summary}: all prove themselves", fg="green")


@rules.command(
    epilog="""\b
    Examples:
      bounceclass rules coverage
      bounceclass rules coverage ~/Maildir
    """
)
@click.argument("folder", required=False, metavar="[DIR]", type=FOLDER)
@click.pass_context
def coverage(ctx: click.Context, folder: Path | None) -> None:
    """Count what the messages in DIR reach.

    That is how often each rule won a verdict and each dialect was recognised, and which
    never; DIR is ./fixtures unless given.
    """
    if folder is None and not FIXTURES.is_dir():
        raise click.UsageError(f"There is no {FIXTURES} here: name a directory of messages.")
    winners: Counter[str] = Counter()
    dialects: Counter[str] = Counter()
    failed = 0
    for name, content, _ in sources.read([str(folder or FIXTURES)]):
        if isinstance(content, OSError):
            failed += 1
            click.echo(wire.printable(f"{name}: {content.strerror}"), err=True)
        elif not name.endswith(EXPECTATION):
            report = bounceclass.classify(content)
            winners.update(failure.evidence[0].rule for failure in report.failures if failure.evidence)
            dialects[report.dialect or "none"] += 1
    _counted("rules and codes", [rule.id for rule in rulebook.load().rules], winners)
    _counted("dialects", [dialect.name for dialect in layouts.load().dialects], dialects)
    ctx.exit(1 if failed else 0)


def _counted(title: str, known: list[str], found: Counter[str]) -> None:
    """Write how often each of *found* won, and which of *known* never did."""
    out = sys.stdout.buffer
    rows = [(str(number), name) for name, number in found.most_common()]
    never = [name for name in known if name not in found]
    if rows:
        show.table(("times", title), rows, out, terminal=sys.stdout.isatty())
    show.lines(["", f"{len(never)} of {len(known)} never:", *(f"  {name}" for name in never), ""], out)
