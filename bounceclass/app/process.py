"""Work through a mailbox: fetch, judge, record and commit, and only then file.

Whatever happens in between, a message is either still where it was or safely in the
ledger; one that was recorded but not filed is seen again by the next run, counts once and
is filed then.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, field

from bounceclass.app.ledger import Judged, Recorded
from bounceclass.app.mailboxes import Kind as Folder
from bounceclass.app.mailboxes import MailboxError, lock_name, mark
from bounceclass.model import Confidence, Kind
from bounceclass.recipients import is_address
from bounceclass.wire import bug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from bounceclass.app.mailboxes import Fetched, Mailbox, Settings
    from bounceclass.model import Report

__all__ = ["Busy", "Tally", "folder_of", "locked", "silence", "work"]

MAX_BATCH = 32 * 1024 * 1024
"""Bytes of messages that are held before their verdicts are committed."""


class Busy(Exception):
    """Another run works on the same mailbox."""


class Unread(NamedTuple):
    """A message that could not be read or judged, and why; it stays where it is."""

    name: str
    problem: str


class Tally(Struct, kw_only=True):
    """What a run came to: what is recorded, or in a dry run judged, whatever failed after that."""

    messages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    """Of the messages that were moved, or in a dry run would be."""
    unread: list[Unread] = field(default_factory=list)
    recorded: Recorded = field(default_factory=Recorded)

    def add(self, report: Report) -> None:
        """Count one report."""
        self.messages += 1
        self.kinds[report.kind] += 1
        self.reasons.update(failure.reason for failure in report.failures)
        self.providers.update(failure.provider for failure in report.failures if failure.provider)

    def merge(self, other: Tally) -> None:
        """Add what another run came to."""
        self.messages += other.messages
        for name in ("kinds", "reasons", "providers", "folders"):
            getattr(self, name).update(getattr(other, name))
        self.unread += other.unread
        self.recorded += other.recorded


_FOLDERS = {
    Kind.BOUNCE: Folder.PROCESSED,
    Kind.DELAY: Folder.PROCESSED,
    Kind.SUCCESS: Folder.PROCESSED,
    Kind.FEEDBACK: Folder.COMPLAINTS,
}


def folder_of(report: Report) -> Folder:
    """Return where a message belongs; one that names nobody, or of which only a guess was made, is for a person."""
    if report.kind in (Kind.BOUNCE, Kind.DELAY) and (
        not report.failures
        or any(one.confidence is Confidence.GUESS or not is_address(one.recipient) for one in report.failures)
    ):
        return Folder.UNSURE
    return _FOLDERS.get(report.kind, Folder.NOT_A_BOUNCE)


@contextmanager
def locked(source: Settings, folder: Path) -> Iterator[None]:
    """Keep every other run off *source*; raises Busy where one is at work, MailboxError where no lock can be made."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{mark(source)}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise Busy(f"another run is at work on {lock_name(source)}") from None
    except OSError as error:
        raise MailboxError(f"no lock can be made in {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def work(
    mailbox: Mailbox,
    judge: Callable[[bytes], Report],
    record: Callable[[list[Judged]], Recorded] | None,
    tally: Tally,
    *,
    source: str = "",
    moves: bool = True,
    batch: int = 500,
    stopped: Callable[[], bool] = lambda: False,
    told: Callable[[str, dict[str, Any]], None] | None = None,
) -> None:
    """Work through an open *mailbox* and add what it comes to to *tally*.

    *record* makes the verdicts of a batch safe before its messages are filed; it is never
    given none.  None, in a dry run, and nothing is recorded or filed.  *moves* says that filing
    puts messages into folders.  *stopped* is asked after each batch.  *told* hears of what
    happens as it does.  Raises ``MailboxError`` and what *record* raises: what was not committed
    then is still in the mailbox, and *tally* has what was.
    """
    tell = told or silence
    for fetched in _batches(mailbox.messages(), batch):
        judged: list[Judged] = []
        filed: list[tuple[Any, Folder]] = []
        for one in fetched:
            report, problem = _judged(one, judge)
            if report is None:
                tally.unread.append(Unread(one.name, problem))
                tell("message not read", {"unread": one.name, "problem": problem})
                continue
            judged.append(Judged(report=report, raw=_raw(one), source=f"{source}:{one.name}" if source else one.name))
            filed.append((one.handle, folder_of(report)))
        if record is not None and judged:
            recorded = record(judged)
            tally.recorded += recorded
            tell("batch recorded", {"messages": len(judged), "new": recorded.messages})
        for known in judged:
            tally.add(known.report)
        if record is not None and judged:
            mailbox.file(filed)
        if moves:
            tally.folders.update(kind for _, kind in filed)
        if stopped():
            break


def silence(event: str, about: dict[str, Any]) -> None:
    """Tell nobody."""


def _raw(one: Fetched) -> bytes | None:
    return one.content if isinstance(one.content, bytes) else None


def _judged(one: Fetched, judge: Callable[[bytes], Report]) -> tuple[Report | None, str]:
    """Return the report on a message, or what keeps it from being judged; a bug must not cost the messages after it."""
    if isinstance(one.content, Exception):
        return None, getattr(one.content, "strerror", None) or str(one.content)
    try:
        return judge(one.content), ""
    except Exception as error:  # noqa: BLE001 - see above
        return None, f"not judged, by {bug(error)}"


def _batches(messages: Iterable[Fetched], count: int) -> Iterator[list[Fetched]]:
    """Yield *messages* in lists of at most *count*, and of about MAX_BATCH bytes."""
    some: list[Fetched] = []
    size = 0
    for one in messages:
        some.append(one)
        size += len(one.content) if isinstance(one.content, bytes) else 0
        if len(some) >= count or size >= MAX_BATCH:
            yield some
            some, size = [], 0
    if some:
        yield some
