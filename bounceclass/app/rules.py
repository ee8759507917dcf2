"""The commands about rule data: ``bounceclass rules check`` and ``rules coverage``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

import bounceclass
from bounceclass import wire
from bounceclass.app import show, sources

__all__ = ["own_rules", "rules"]

FIXTURES = Path("fixtures")
"""Where a checkout of the project has its messages."""
EXPECTATION = ".toml"
"""How the name of what stands beside a message of the fixtures ends."""
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


own_rules = click.option(
    "--rules",
    "folders",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="Rules of your own, beside the built-in ones; may be given more than once.",
)


@click.group()
def rules() -> None:
    """Check the rule data, or see which of it messages reach."""


@rules.command(
    epilog="""\b
    Examples:
      bounceclass rules check
      bounceclass rules check my-rules

    Exit code: 0 every row proves itself, 1 some do not, 2 usage, or rules that cannot be read.
    """
)
@click.argument("folders", nargs=-1, metavar="[DIR]...", type=FOLDER)
@click.pass_context
def check(ctx: click.Context, folders: tuple[Path, ...]) -> None:
    """Make every row prove itself.

    Each DIR holds rules of your own, which are checked with all the built-in ones loaded: any of
    general.toml, providers/ and dialects/.
    """
    from bounceclass import rulecheck  # only this command needs it

    known = bounceclass.load_rules(*folders)
    problems = rulecheck.problems(known)
    for problem in problems:
        click.echo(wire.printable(problem))
    for line in rulecheck.overruled(known):
        click.echo(wire.printable(line))
    rows = sum(len(dialect.layout) for dialect in known.dialects.rows)
    rules_ = f"{len(known.book.rules)} rules of {len(known.book.providers)} providers"
    summary = f"{rules_}, {rows} layouts of {len(known.dialects.rows)} dialects"
    if problems:
        click.secho(f"{summary}: {len(problems)} problems", fg="red")
        ctx.exit(1)
    click.secho(f"{summary}: all prove themselves", fg="green")


@rules.command(
    epilog="""\b
    Examples:
      bounceclass rules coverage
      bounceclass rules coverage ~/Maildir
      bounceclass rules coverage --rules my-rules ~/Maildir
    """
)
@click.argument("folder", required=False, metavar="[DIR]", type=FOLDER)
@own_rules
@click.pass_context
def coverage(ctx: click.Context, folder: Path | None, folders: tuple[Path, ...]) -> None:
    """Count what the messages in DIR reach.

    That is how often each rule won a verdict and each dialect was recognised, and which
    never; DIR is ./fixtures unless given.
    """
    if folder is None and not FIXTURES.is_dir():
        raise click.UsageError(f"There is no {FIXTURES} here: name a directory of messages.")
    known = bounceclass.load_rules(*folders)
    winners: Counter[str] = Counter()
    dialects: Counter[str] = Counter()
    failed = 0
    for name, content, _ in sources.read([str(folder or FIXTURES)]):
        if isinstance(content, OSError):
            failed += 1
            click.echo(wire.printable(f"{name}: {content.strerror}"), err=True)
        elif not name.endswith(EXPECTATION):
            report = bounceclass.classify(content, rules=known)
            winners.update(failure.evidence[0].rule for failure in report.failures if failure.evidence)
            dialects[report.dialect or "none"] += 1
    _counted("rules and codes", [rule.id for rule in known.book.rules], winners)
    _counted("dialects", [dialect.name for dialect in known.dialects.rows], dialects)
    ctx.exit(1 if failed else 0)


def _counted(title: str, known: list[str], found: Counter[str]) -> None:
    """Write how often each of *found* won, and which of *known* never did."""
    out = sys.stdout.buffer
    rows = [(str(number), name) for name, number in found.most_common()]
    never = [name for name in known if name not in found]
    if rows:
        show.table(("times", title), rows, out, terminal=sys.stdout.isatty())
    show.lines(["", f"{len(never)} of {len(known)} never:", *(f"  {name}" for name in never), ""], out)
