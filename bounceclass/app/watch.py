"""``process --watch``: each source in a thread of its own, woken by new mail where its server can tell of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import click

from bounceclass.app import mailboxes, run
from bounceclass.app.options import failures
from bounceclass.app.process import locked
from bounceclass.wire import printable

if TYPE_CHECKING:
    from bounceclass.app.ledger import Ledger
    from bounceclass.app.mailboxes import Mailbox, Settings

__all__ = ["keep"]

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before a source that failed is tried again; doubled each time."""
GRACE = 60.0
"""Seconds that a batch at hand may take to end when the run is told to stop."""


def keep(job: run.Job, ledger: Ledger | None) -> None:
    """Work through the sources of *job* until it is told to stop; a batch at hand is brought to its end."""
    watchers = [_Watcher(job, name, source, ledger) for name, source in job.sources.items()]
    with job.stop.heeded():
        for watcher in watchers:
            watcher.start()
        job.stop.wait()
        for watcher in watchers:
            watcher.busy.acquire(timeout=GRACE)


class _Watcher(threading.Thread):
    """One source.  A daemon: waiting for mail does not keep the program from ending, its lock ``busy`` does."""

    def __init__(self, job: run.Job, name: str, source: Settings, ledger: Ledger | None) -> None:
        super().__init__(name=name, daemon=True)
        self.job = job
        self.source = source
        self.ledger = ledger
        self.busy = threading.Lock()

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.job.stop():
            try:
                self._connected()
                pause = FIRST_PAUSE
                self.job.stop.wait(self.job.config.run.poll)
            except failures() as error:
                self.job.told("source failed", {"source": self.name, "problem": str(error)})
                click.echo(printable(f"{self.name}: {error}; trying again in {pause:g} seconds"), err=True)
                self.job.stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _connected(self) -> None:
        """Work through the source, and go on for as long as it can tell of new mail."""
        with (
            locked(self.source, self.job.config.lock_folder),
            mailboxes.open(self.source, dry_run=False) as mailbox,
        ):
            self._through(mailbox)
            wait = getattr(mailbox, "wait", None)
            while wait is not None and not self.job.stop():
                if wait(self.job.config.run.poll):
                    self._through(mailbox)

    def _through(self, mailbox: Mailbox) -> None:
        with self.busy:
            if self.job.stop():
                return
            started = time.time()
            tally = self.job.through(self.name, mailbox, self.ledger)
            told = self.job.tell(self.ledger, tally, started, {}) if self.ledger and tally.messages else ([], [])
        incidents, problems = told
        run.report(run.Outcome(tally, {}, problems, incidents, 0), quiet=True, dry_run=False)
