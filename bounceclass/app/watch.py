"""``process --watch``: each source in a thread of its own, woken by new mail where its server can tell of it.

One more thread brings exports and metrics up to date for all of them: when there is news of
a source, and every now and then, for suppressions end by time.  Whatever fails in a thread
is told and tried again.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import click

from bounceclass.app import mailboxes, run
from bounceclass.app.options import failures
from bounceclass.app.process import Tally, locked
from bounceclass.app.publish import ExportError
from bounceclass.wire import bug, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bounceclass.app.ledger import Ledger
    from bounceclass.app.mailboxes import Mailbox, Settings

__all__ = ["keep"]

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before what failed is tried again; doubled each time."""
REFRESH = 600.0
"""Seconds between two looks at exports and metrics while there is no news."""
GRACE = 60.0
"""Seconds that what is at hand may take to end when the run is told to stop."""


def keep(job: run.Job, ledger: Ledger) -> None:
    """Work through the sources of *job* until it is told to stop.

    A batch at hand is brought to its end then, its mailbox left in order, and what is new
    exported; raises ExportError and LedgerError where that fails.
    """
    news = threading.Event()
    sources = [_Source(job, name, settings, ledger, news) for name, settings in job.sources.items()]
    exports = _Exports(job, ledger, sources, news)
    with job.stop.heeded():
        for worker in (*sources, exports):
            worker.start()
        job.stop.wait()
        for source in sources:
            source.busy.acquire(timeout=GRACE)
        if not exports.busy.acquire(timeout=GRACE):
            raise ExportError(f"the exports were still being written {GRACE:g} seconds after the end")
        if news.is_set():
            exports.tell()


class _Worker(threading.Thread):
    """Does one thing again and again, after a pause where it failed.

    A daemon: its waiting does not keep the program from ending, its lock ``busy`` does.
    """

    event = ""
    """What the log calls a failure."""

    def __init__(self, job: run.Job, name: str, ledger: Ledger, news: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.job = job
        self.ledger = ledger
        self.news = news
        self.busy = threading.Lock()

    def work(self) -> None:
        """Do it once, and wait until it is to be done again."""
        raise NotImplementedError

    def failed(self, problem: str, pause: float) -> None:
        """Tell why it is to be done again after *pause* seconds."""
        self.job.told(self.event, {"source": self.name, "problem": problem})
        click.echo(printable(f"{self.name}: {problem}; trying again in {pause:g} seconds"), err=True)

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.job.stop():
            try:
                self.work()
                pause = FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - a bug must not end the thread, and nobody be told
                known = isinstance(error, failures())
                with suppress(OSError):  # nobody is there to be told
                    self.failed(str(error) if known else bug(error), pause)
                self.job.stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


class _Source(_Worker):
    """Works through one source.  There is news when it found something, begins to fail or fails no more."""

    event = "source failed"

    def __init__(self, job: run.Job, name: str, source: Settings, ledger: Ledger, news: threading.Event) -> None:
        super().__init__(job, name, ledger, news)
        self.source = source
        self.tally = Tally()
        """Of the last time that something was found, or recorded before it failed."""
        self.fails = False

    def work(self) -> None:
        """Work through the source, and go on for as long as it can tell of new mail."""
        with locked(self.source, self.job.config.lock_folder), ExitStack() as left:
            mailbox = mailboxes.open(self.source)
            mailbox.__enter__()  # nobody who wants it to stop waits for a server that does not answer
            left.enter_context(self.busy)
            left.push(mailbox)
            self._through(mailbox)
            wait = getattr(mailbox, "wait", None)
            while wait is not None and not self.job.stop():
                with self._idle():
                    found = wait(self.job.config.run.poll)
                if found:
                    self._through(mailbox)
        self.job.stop.wait(self.job.config.run.poll)

    @contextmanager
    def _idle(self) -> Iterator[None]:
        self.busy.release()
        try:
            yield
        finally:
            self.busy.acquire()

    def _through(self, mailbox: Mailbox) -> None:
        tally = Tally()
        try:
            self.job.through(self.name, mailbox, self.ledger, tally)
        except Exception:
            if tally.recorded.messages:
                self.tally = tally
                self.news.set()
            raise
        if tally.messages or tally.unread != self.tally.unread:
            self.tally = tally
            self.news.set()
            self.job.ended(self.name, tally)
            run.report(run.Outcome(tally, {}, [], [], 0), quiet=True, dry_run=False)
        self._settle(fails=False)

    def failed(self, problem: str, pause: float) -> None:
        self._settle(fails=True)
        super().failed(problem, pause)

    def _settle(self, *, fails: bool) -> None:
        if fails != self.fails:
            self.fails = fails
            self.news.set()


class _Exports(_Worker):
    """Brings exports and metrics up to date, for all sources at once: no two threads write them."""

    event = "exports failed"

    def __init__(self, job: run.Job, ledger: Ledger, sources: list[_Source], news: threading.Event) -> None:
        super().__init__(job, "exports and metrics", ledger, news)
        self.sources = sources
        self.started = time.time()
        self.incidents: list[str] = []

    def work(self) -> None:
        with self.busy:
            self.tell()
        self.news.wait(REFRESH)

    def tell(self) -> None:
        """Bring everything up to date, and say which incidents hold suppressions since.

        Raises ExportError and LedgerError; it is to be done again then.
        """
        self.news.clear()
        try:
            self._tell()
        except Exception:
            self.news.set()
            raise

    def _tell(self) -> None:
        tally = Tally()
        for source in self.sources:
            tally.merge(source.tally)
        failed = [source.name for source in self.sources if source.fails]
        incidents, problems = self.job.tell(self.ledger, tally, self.started, failed)
        fresh = [name for name in incidents if name not in self.incidents]
        self.incidents = incidents
        run.report(run.Outcome(Tally(), {}, [], fresh, 0), quiet=True, dry_run=False)
        if problems:
            raise ExportError("; ".join(map(str, problems)))
