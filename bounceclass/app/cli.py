"""The command line: ``bounceclass classify``, ``explain``, ``schema``, and the commands of other modules.

Exit codes: 0 done, 1 some input could not be read or judged, 2 usage or broken rules; 130 after Ctrl-C
and 141 when the reader of a pipe has gone, as a shell has them for any program.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import msgspec

import bounceclass
from bounceclass import advice, parallel, wire
from bounceclass.app import outputs, show, sources
from bounceclass.app.configcheck import config
from bounceclass.app.fixture import anonymise, fixture
from bounceclass.app.governing import incidents, policy, runs
from bounceclass.app.rules import own_rules, rules
from bounceclass.app.run import pipe, process
from bounceclass.app.suppress import suppress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bounceclass.model import Report

__all__ = ["cli"]

USAGE = 2
INTERRUPTED = 130
READER_GONE = 141
# What click (from 8.2 on) shows the help of a group with, where no command of it is named
_HELP: tuple[type[Exception], ...] = tuple(filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)]))


class _Group(click.Group):
    """A group whose commands end in one line and without a traceback, whatever the machine does to them.

    Python's development mode (``python -X dev -m bounceclass``) has the traceback.
    """

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]  # as it is called
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        _fill_closed()
        try:
            code = super().main(args, standalone_mode=False, **extra)
            sys.stdout.flush()
        except Exception as error:
            if sys.flags.dev_mode:
                raise
            code = _told(error)
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; click itself would say of these two that something went wrong."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _write_no_more()
            ctx.exit(READER_GONE)
        except KeyboardInterrupt:
            _write_no_more()
            ctx.exit(INTERRUPTED)
        return result


def _fill_closed() -> None:
    """Fill the places of standard streams that are closed, or the next file to be opened would come to stand there.

    What stands there instead fails as a closed one does.
    """
    places = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
    for name, direction, mode in places:
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, direction), mode, encoding="utf-8"))


def _told(error: Exception) -> int:
    """Say in one line what *error* is, harmless on a terminal, and return the exit code."""
    if isinstance(error, OSError):
        _write_no_more()
    if isinstance(error, BrokenPipeError):
        return READER_GONE
    if isinstance(error, click.Abort):
        return INTERRUPTED
    shown = error if isinstance(error, click.ClickException) else click.ClickException(_words(error))
    if not isinstance(error, _HELP):
        text = wire.printable(shown.format_message())  # it may quote a file name or an argument
        shown.format_message = lambda: text  # type: ignore[method-assign]
    with contextlib.suppress(OSError):  # standard error may be full
        shown.show()
    return USAGE if isinstance(error, bounceclass.BrokenRules) else shown.exit_code


def _words(error: Exception) -> str:
    if isinstance(error, bounceclass.BrokenRules):
        return f"the rules are broken: {error}"
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    if error.filename is None and error.errno == errno.EBADF:
        return "standard input or output is closed"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _write_no_more() -> None:
    """Let go what is still in the buffer: at exit it would be waited for, or complained about."""
    with contextlib.suppress(OSError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


language = click.option(
    "--lang",
    type=click.Choice(advice.LANGUAGES),
    default=advice.LANGUAGES[0],
    show_default=True,
    help="Language of the suggestions.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bounceclass.__version__, prog_name="bounceclass")
def cli() -> None:
    """Reads bounce messages and says, for each recipient, what happened, whether it is permanent, and what to do."""


@cli.command(
    epilog="""\b
    Examples:
      bounceclass classify bounce.eml
      bounceclass classify --why ~/Maildir
      bounceclass classify --unmatched ~/Maildir
      bounceclass classify --format jsonl bounces.mbox > verdicts.jsonl
      bounceclass classify --format csv --output verdicts.csv inbox/ archive.mbox
      cat bounce.eml | bounceclass classify -
      zcat bounces.mbox.gz | bounceclass classify --jobs 4 --format jsonl -

    Exit code: 0 done, 1 some input could not be read, 2 usage or broken rules.
    """
)
@click.argument("paths", nargs=-1, metavar="[PATH|-]...")
@click.option("--format", "form", type=click.Choice(outputs.FORMATS), default="table", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE, once all is done.")
@click.option("--why", is_flag=True, help="Show in the table what each verdict rests on.")
@click.option(
    "--unmatched", is_flag=True, help="List only the diagnostics that no rule matched, by shape, most frequent first."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Judge in N processes. As many as there are processors, unless it is given; one for standard input, so that "
    "each verdict is written as soon as its message has come.",
)
@own_rules
@language
@click.pass_context
def classify(
    ctx: click.Context,
    paths: tuple[str, ...],
    form: str,
    output: str | None,
    why: bool,
    unmatched: bool,
    jobs: int | None,
    folders: tuple[Path, ...],
    lang: str,
) -> None:
    """Say what bounces mean, recipient by recipient.

    A PATH is a message, an mbox, a Maildir or a directory of them; - is standard input,
    which is also read where no PATH is given.

    csv has a row for each failure. Complaints, deliveries and all else that a message may be are in json and jsonl.
    """
    if not paths and sys.stdin.isatty():
        raise click.UsageError(
            "Nothing to read: name a file, a directory or an mbox, or send a message to standard input."
        )
    paths = paths or (sources.STDIN,)
    if why and form != "table":
        raise click.UsageError("--why belongs to the table. The evidence is always in json and jsonl.")
    if unmatched and (why or form != "table"):
        raise click.UsageError("--unmatched is a list of its own, without --why or --format.")
    known = bounceclass.load_rules(*folders)
    advice.phrasebook(lang)  # now, so that what is wrong with the installation is said once
    with outputs.opened(output) as out:
        terminal = output is None and sys.stdout.isatty()
        writer = outputs.writer(form, out, terminal=terminal, lang=lang, why=why, only_unmatched=unmatched)
        items = sources.read(paths, sys.stdin.buffer)
        if sys.stderr.isatty() and (unmatched or not terminal):
            items = outputs.with_progress(items, sources.size(paths))
        work = partial(_judge, form=form, classify=partial(bounceclass.classify, lang=lang, rules=known))
        jobs = jobs or (1 if sources.STDIN in paths else parallel.cores())
        failed = False
        with contextlib.closing(parallel.ordered(work, items, jobs=jobs, weigh=_weight, given_up=_given_up)) as judged:
            for name, piece, problem in judged:
                if problem:
                    failed = True
                    click.echo(wire.printable(f"{name}: {problem}"), err=True)
                else:
                    writer.add(name, piece)
        writer.close()
    ctx.exit(1 if failed else 0)


def _judge(item: sources.Item, *, form: str, classify: Callable[[bytes], Report]) -> tuple[str, bytes, str]:
    """Return the name of *item*, what there is to write of it, and what went wrong, or an empty string.

    Nothing a message says should come to that; a bug must not cost the messages after it.
    """
    name, content, _ = item
    if isinstance(content, OSError):
        return name, b"", content.strerror or str(content)
    try:
        return name, outputs.piece(form)(classify(content), name), ""
    except Exception as error:  # noqa: BLE001 - see above
        return name, b"", f"not judged, by {wire.bug(error)}"


def _weight(item: sources.Item) -> int:
    return 0 if isinstance(item.content, OSError) else len(item.content)


def _given_up(item: sources.Item) -> tuple[str, bytes, str]:
    return item.name, b"", "not judged, for two processes died of it; is there memory enough?"


@cli.command(
    epilog="""\b
    Examples:
      bounceclass explain 550
      bounceclass explain 5.7.26 --provider google
      bounceclass explain "550 5.4.1 Recipient address rejected: Access denied" --lang it
    """
)
@click.argument("query", nargs=-1, required=True, metavar="CODE-OR-TEXT...")
@click.option("--provider", metavar="NAME", help="Who gave the reply, as in google, microsoft, yahoo.")
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
@own_rules
@language
def explain(query: tuple[str, ...], provider: str | None, form: str, folders: tuple[Path, ...], lang: str) -> None:
    """Say what a code or a server's reply means.

    It may be a reply code, an enhanced status code or a whole reply. Several words are read as one reply.
    """
    known = bounceclass.load_rules(*folders) if folders else None
    try:
        found = bounceclass.explain(" ".join(query), provider=provider, lang=lang, rules=known)
    except bounceclass.BrokenRules:
        raise
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--provider") from None
    out = sys.stdout.buffer
    if form == "json":
        out.write(wire.as_json(found) + b"\n")
    else:
        show.explanation(found, lang, out, terminal=sys.stdout.isatty())


@cli.command()
def schema() -> None:
    """Print the JSON Schema of a verdict.

    It describes what `classify --format json` and `jsonl` say of a message; they put the
    name of its input before it, as "source".
    """
    click.echo(msgspec.json.format(msgspec.json.encode(wire.json_schema())))


for command in (process, pipe, suppress, policy, incidents, runs, config, anonymise, fixture, rules):
    cli.add_command(command)
