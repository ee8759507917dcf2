"""The commands that hand a message on: ``bounceclass anonymise`` and ``fixture add``."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bounceclass
from bounceclass import wire
from bounceclass.app import outputs, sources
from bounceclass.app.rules import EXPECTATION, FIXTURES

if TYPE_CHECKING:
    from bounceclass.app.anonymise import Anonymised

__all__ = ["anonymise", "fixture"]

TO_REVIEW = "TO REVIEW"
"""How the ``about`` of an expectation begins that nobody has read; the test suite refuses it."""
KEYS = (
    "recipient",
    "severity",
    "reason",
    "scope",
    "suppress",
    "reply_code",
    "status",
    "command",
    "provider",
    "confidence",
)
"""What an expectation says of each failure."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_COMMENT = """\
# Written from what the rules say today, which may be wrong: that is why it is here.
# Compare each line with the message, correct what is wrong, and say in `about` what the case shows.
"""

message = click.argument("path", default=sources.STDIN, metavar="[PATH|-]")


def _read(path: str) -> Anonymised:
    """Return the message in *path* anonymised; what its verdict lost by that is told on standard error."""
    from bounceclass.app.anonymise import anonymise  # ``email`` costs 20 ms

    if path == sources.STDIN and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("Nothing to read: name a file, or send a message to standard input.")
    items = list(itertools.islice(sources.read([path], sys.stdin.buffer if sys.stdin else None), 2))
    if len(items) != 1:
        raise click.UsageError(f"{path} does not hold one message: name a file that does.")
    if isinstance(items[0].content, OSError):
        raise items[0].content
    done = anonymise(items[0].content)
    for line in done.differences:
        click.echo(wire.printable(f"{path}: the verdict changed: {line}"), err=True)
    return done


@click.command(
    epilog="""\b
    Examples:
      bounceclass anonymise bounce.eml > report.eml
      bounceclass anonymise < bounce.eml > report.eml

    Exit code: 0 done, 1 not read, or the verdict on the result is another one (standard error says where), 2 usage.
    """
)
@message
@click.pass_context
def anonymise(ctx: click.Context, path: str) -> None:
    """Make a message fit for a public report.

    Addresses, names, hosts, IP addresses and ids are replaced, the same always by the
    same; what was sent is left out. Codes, the words of the refusal and the names of
    known providers stay, and so does the verdict. Read the result before you post it:
    nobody knows a name that stands only in running text.
    """
    done = _read(path)
    sys.stdout.buffer.write(done.message)
    ctx.exit(1 if done.differences else 0)


@click.group()
def fixture() -> None:
    """Add to the messages that the test suite judges."""


@fixture.command(
    epilog="""\b
    Examples:
      bounceclass fixture add bounce.eml --dialect postfix --name greylisted
      bounceclass fixture add mailbox-full.eml --dialect exim

    Exit code: 0 done, 1 not written, or the verdict on the result is another one, 2 usage.
    """
)
@message
@click.option("--dialect", required=True, metavar="NAME", help="Who wrote it, as in postfix: its folder.")
@click.option(
    "--name", metavar="CASE", help="What the case shows, as in mailbox-full; the name of the file unless given."
)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FIXTURES, show_default=True)
@click.pass_context
def add(ctx: click.Context, path: str, dialect: str, name: str | None, folder: Path) -> None:
    """Write an anonymised message and what is expected of it, for you to review.

    That is FOLDER/NAME/CASE.eml and CASE.toml. Nothing is overwritten.
    """
    case = name or Path(path).stem.lower()
    for option, value in (("--dialect", dialect), ("--name", case)):
        if not _NAME.fullmatch(value):
            raise click.BadParameter(f"{value!r} is not made of a-z, 0-9 and hyphens.", param_hint=option)
    paths = [folder / dialect / f"{case}{end}" for end in (".eml", EXPECTATION)]
    for target in paths:
        if target.exists():
            raise click.ClickException(f"{target} exists: choose another --name.")
    done = _read(path)
    report = bounceclass.classify(done.message).to_dict()
    if report["dialect"] not in (None, dialect):
        click.echo(f"The rules take it for a message of {report['dialect']}, not {dialect}.", err=True)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with outputs.opened(str(paths[0])) as eml, outputs.opened(str(paths[1])) as toml:  # both or neither
        eml.write(done.message)
        toml.write(_expectation(report).encode())
    for target in paths:
        click.echo(wire.printable(str(target)))
    click.echo(f"Now read {paths[0].name} for names that are left, correct {paths[1].name}, and run the tests.")
    ctx.exit(1 if done.differences else 0)


def _expectation(report: dict[str, Any]) -> str:
    """Return the verdict as the file that stands beside a message of the fixtures."""
    about = f"{TO_REVIEW}: say in a sentence what this case shows"
    lines = [_COMMENT + _line("about", about), _line("kind", report["kind"]), _line("dialect", report["dialect"])]
    for failure in report["failures"]:
        lines += ["\n[[failures]]\n", *(_line(key, failure[key]) for key in KEYS)]
    return "".join(lines)


def _line(key: str, value: object) -> str:
    """Return a line of TOML, whose strings are those of JSON but for DEL; TOML has no null."""
    return "" if value is None else f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
