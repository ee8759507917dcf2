"""The commands that take bounces in: ``process`` from mailboxes, ``pipe`` from a mail server."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import bounceclass
from bounceclass import mime
from bounceclass.app import options
from bounceclass.app.options import configured, exit_code, ledger_of, plainly, settings
from bounceclass.app.sources import CHUNK
from bounceclass.wire import bug, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType
    from typing import IO

    from bounceclass.app.config import Config
    from bounceclass.app.ledger import Judged, Ledger, Recorded
    from bounceclass.app.mailboxes import Mailbox, Settings
    from bounceclass.app.process import Tally
    from bounceclass.app.publish import ExportError
    from bounceclass.model import Report

__all__ = ["Job", "Outcome", "pipe", "process", "report"]


@click.command(
    epilog="""\b
    Examples:
      bounceclass process --dry-run ~/Maildir/.Bounces
      bounceclass process ~/Maildir/.Bounces
      bounceclass process --config /etc/bounceclass/config.toml -q
      bounceclass process --watch

    Exit code: 0 done, 1 some messages or sources could not be read, or an export not be written,
    2 usage or configuration, 75 to be tried again: another run is at work, a server or the database does not answer,
    or it was told to stop before its end.
    """
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@settings
@click.option("--source", "wanted", multiple=True, metavar="NAME", help="Only this source of the configuration.")
@click.option(
    "--after",
    type=click.Choice(("move", "leave", "delete")),
    help="What becomes of the messages of PATHs. What is no bounce, or unsure, is never deleted but left.",
)
@click.option("--dry-run", is_flag=True, help="Judge and count, and change nothing anywhere.")
@click.option("--watch", "watching", is_flag=True, help="Go on, and wait for new mail.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something needs a person, for cron.")
@click.option("--log", "log", type=click.Choice(("json",)), help="Write what happens to standard error as it does.")
@click.pass_context
def process(
    ctx: click.Context,
    paths: tuple[str, ...],
    path: Path | None,
    wanted: tuple[str, ...],
    after: str | None,
    dry_run: bool,
    watching: bool,
    quiet: bool,
    log: str | None,
) -> None:
    """Work through bounce mailboxes into the ledger.

    Every message is judged and its verdict recorded, and only then is it moved to the folder
    Processed, Complaints, Not-a-bounce or Unsure. The sources are those of the configuration;
    with a PATH, that Maildir, mbox or directory of messages.

    The configured policy becomes the ledger's; how many addresses that suppresses and
    releases is said on standard error, once.
    """
    from bounceclass.app import summary, watch

    if after and not paths:
        raise click.UsageError("--after belongs to PATHs; a source of the configuration has its own.")
    if wanted and paths:
        raise click.UsageError("--source chooses among those of the configuration; it does not go with PATHs.")
    if watching and dry_run:
        raise click.UsageError("--watch and --dry-run do not go together.")
    with plainly():
        config = configured(path)
        job = Job(config, _sources(config, paths, wanted, after), dry_run=dry_run, told=summary.logger(log))
        with job.opened() as ledger:
            if watching and ledger:
                watch.keep(job, ledger)
                return
            outcome = job.run(ledger)
    report(outcome, quiet=quiet, dry_run=dry_run)
    ctx.exit(outcome.code)


def _sources(config: Config, paths: tuple[str, ...], wanted: tuple[str, ...], after: str | None) -> dict[str, Settings]:
    """Return the sources to work through by their names; raises click's errors."""
    if paths:
        return {name: _of_path(Path(name), after or "move") for name in paths}
    for name in wanted:
        if name not in config.source:
            known = ", ".join(config.source) or "none"
            raise click.BadParameter(
                f"the configuration has no source {name!r}; there are: {known}", param_hint="--source"
            )
    sources = {name: config.source[name] for name in wanted or config.source}
    if not sources:
        raise click.UsageError("Nothing to work through: name a PATH, or add a [source.<name>] to the configuration.")
    return sources


def _of_path(path: Path, after: str) -> Settings:
    """Return the settings of what *path* looks like."""
    from bounceclass.app import mailboxes

    if not path.exists():
        raise click.UsageError(f"{path}: No such file or directory")
    if path.suffix.lower() == ".eml":
        raise click.UsageError(
            f"{path} is one message: give it to bounceclass pipe, or name the directory that it is in."
        )
    kind = "mbox"
    if path.is_dir():
        kind = "maildir" if all((path / part).is_dir() for part in ("cur", "new")) else "directory"
    return mailboxes.settings({"type": kind, "path": str(path), "after": after})


# --- a run --------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What all sources came to."""

    tally: Tally
    failures: dict[str, Exception]
    """Sources that could not be worked through, and why."""
    problems: list[ExportError]
    """What could not be written for others to read."""
    incidents: list[str]
    """Incidents that hold suppressions now."""
    code: int
    stopped: bool = False
    """Told to stop before all was worked through."""


class Stop:
    """Ends a run after the batch at hand on SIGTERM, SIGHUP and Ctrl-C; the second time at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def __call__(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked, at most *seconds*; return whether that happened."""
        return self._asked.wait(seconds)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed signals meanwhile; for the main thread."""
        heeded = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            heeded.append(signal.SIGHUP)
        before = {one: signal.signal(one, self._ask) for one in heeded}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


class Job:
    """The sources to work through, and how."""

    def __init__(
        self,
        config: Config,
        sources: dict[str, Settings],
        *,
        dry_run: bool,
        told: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.config = config
        self.sources = sources
        self.dry_run = dry_run
        self.told = told
        self.stop = Stop()
        self.judge: Callable[[bytes], Report] = partial(
            bounceclass.classify, lang=config.lang, rules=bounceclass.load_rules(*config.rules)
        )

    @contextmanager
    def opened(self) -> Iterator[Ledger | None]:
        """Open the ledger; None in a dry run."""
        if self.dry_run:
            yield None
            return
        from bounceclass.app import publish

        with closing(ledger_of(self.config, self.told)) as ledger:
            publish.check(self.config, ledger)
            yield ledger

    def run(self, ledger: Ledger | None) -> Outcome:
        """Work through every source; one that fails does not keep the others from it. Raises LedgerError."""
        from bounceclass.app.ledger import LedgerError
        from bounceclass.app.mailboxes import MailboxError
        from bounceclass.app.process import Tally

        started = time.time()
        tally, failures, code = Tally(), dict[str, Exception](), 0
        with self.stop.heeded():
            for name, source in self.sources.items():
                try:
                    self.work(name, source, ledger, tally)
                except LedgerError:
                    raise
                except Exception as error:  # noqa: BLE001 - a bug must not cost the sources after it
                    known = isinstance(error, options.failures())
                    problem = error if known else MailboxError(bug(error))
                    failures[name] = problem
                    code = max(code, exit_code(problem))
                    self.told("source failed", {"source": name, "problem": str(problem)})
                if self.stop():
                    break
        incidents, problems = self.tell(ledger, tally, started, failures) if ledger else ([], [])
        for problem in problems:
            self.told("not written", {"problem": str(problem)})
        code = max(code, *map(exit_code, problems), 1 if tally.unread else 0, os.EX_TEMPFAIL if self.stop() else 0)
        return Outcome(tally, failures, problems, incidents, code, stopped=self.stop())

    def tell(
        self, ledger: Ledger, tally: Tally, started: float, failed: Iterable[str]
    ) -> tuple[list[str], list[ExportError]]:
        """Bring exports and metrics up to date after a run, of which the sources *failed*.

        Return the incidents that hold suppressions now, and what could not be written. Raises LedgerError.
        """
        from bounceclass.app import publish, summary

        problems: list[ExportError] = []
        for name, changed in publish.update(self.config, ledger, problems.append):
            if changed:
                self.told("export written", {"export": name})
        if self.config.run.metrics:
            path = Path(self.config.run.metrics)
            try:
                summary.write_metrics(path, tally, ledger, started=started, failed=failed)
            except publish.ExportError as error:
                problems.append(error)
        return ledger.open_incidents(), problems

    def work(self, name: str, source: Settings, ledger: Ledger | None, tally: Tally) -> None:
        """Work through one source and add what that comes to to *tally*, where it fails too.

        Raises MailboxError, ConfigError, LedgerError and Busy.
        """
        from bounceclass.app import mailboxes
        from bounceclass.app.process import Tally, locked

        alone = nullcontext() if self.dry_run else locked(source, self.config.lock_folder)
        mine = Tally()
        try:
            with alone, mailboxes.open(source, dry_run=self.dry_run) as mailbox:
                self.told("run started", {"source": name})
                self.through(name, mailbox, ledger, mine)
                self.ended(name, mine)
        finally:
            tally.merge(mine)

    def through(self, name: str, mailbox: Mailbox, ledger: Ledger | None, tally: Tally) -> None:
        """Work through the messages of an open mailbox, a run of the ledger where it has any, as ``work`` does.

        Raises MailboxError and LedgerError.
        """
        from bounceclass.app.process import work

        run: int | None = None

        def record(judged: list[Judged]) -> Recorded:
            nonlocal run
            assert ledger
            if run is None:
                run = ledger.begin_run(name)
            return ledger.record_all(judged, run=run)

        work(
            mailbox,
            self.judge,
            record if ledger else None,
            tally,
            source=name,
            moves=self.sources[name].after == "move",
            batch=self.config.run.batch,
            stopped=self.stop,
            told=self.told,
        )
        if ledger and run is not None:
            ledger.end_run(run)

    def ended(self, name: str, tally: Tally) -> None:
        """Tell what the source *name* came to."""
        self.told("run ended", {"source": name, "messages": tally.messages, **tally.recorded.counts()})


def report(outcome: Outcome, *, quiet: bool, dry_run: bool) -> None:
    """Say what a run came to: problems on standard error, the table on standard output."""
    from bounceclass.app import summary
    from bounceclass.app.process import Busy

    for name, problem in outcome.failures.items():
        if not (quiet and isinstance(problem, Busy)):  # the other run says what needs a person
            click.echo(printable(f"{name}: {problem}"), err=True)
    for unwritten in outcome.problems:
        click.echo(printable(str(unwritten)), err=True)
    for one in outcome.tally.unread[: summary.MAX_NAMED]:
        click.echo(printable(f"{one.name}: {one.problem}"), err=True)
    if more := outcome.tally.unread[summary.MAX_NAMED :]:
        click.echo(f"... and {len(more)} more that could not be read", err=True)
    for name in outcome.incidents:
        click.echo(printable(f"{name}: refuses far more addresses than it used to; suppressions are held"), err=True)
    if outcome.stopped and not quiet:
        click.echo("stopped: what it had not come to is left for the next run", err=True)
    if not quiet:
        summary.table(outcome.tally, sys.stdout.buffer, terminal=sys.stdout.isatty(), dry_run=dry_run)
    elif unsure := outcome.tally.folders["Unsure"]:
        click.echo(f"for a person to look at, in the folder Unsure: {unsure}", err=True)


# --- one message --------------------------------------------------------------------


@click.command(
    epilog="""\b
    Example:
      bounceclass pipe --config /etc/bounceclass/config.toml < bounce.eml

    The server runs it as the user whom the ledger belongs to, so not from an alias, which is
    run as nobody: docs/postfix.md, docs/exim.md.

    Exit code: 0 the message is in the ledger, 75 anything else: the mail server keeps it and tries again.
    """
)
@settings
def pipe(path: Path | None) -> None:
    """Take one message from a mail server.

    It is read from standard input, judged and recorded. Nothing is printed, whatever it is;
    only once, when the configured policy has become the ledger's, whom that concerns.
    """
    from bounceclass.app import publish

    with plainly():
        config = configured(path)
        raw = _one_message(sys.stdin.buffer)
        report = bounceclass.classify(raw, lang=config.lang, rules=bounceclass.load_rules(*config.rules))
        with closing(ledger_of(config)) as ledger:
            publish.check(config, ledger)
            ledger.record(report, raw=raw, source="pipe")


def _one_message(file: IO[bytes]) -> bytes:
    """Return what is read of a message, and read the rest of it: its writer must not be cut off."""
    raw = file.read(mime.MAX_BYTES + 1)
    while file.read(CHUNK):
        pass
    return raw
