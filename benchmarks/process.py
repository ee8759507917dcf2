"""What recording costs.

Classifies a Maildir of messages made of ``fixtures/``, then works through the same Maildir
with ``process`` into a new SQLite ledger, in one process; then asks ``mailable`` for a
million addresses, a tenth of them suppressed.
"""

from __future__ import annotations

import re
import tempfile
import time
from functools import partial
from pathlib import Path

import bounceclass
from bounceclass.app import mailboxes
from bounceclass.app.ledger import Ledger
from bounceclass.app.process import Tally, work

FIXTURES = Path(__file__).parent.parent / "fixtures"
MESSAGES = 20_000
ADDRESSES, SUPPRESSED = 1_000_000, 100_000


def fill(maildir: Path, count: int) -> None:
    """Write *count* messages that the ledger takes for different ones."""
    for part in ("cur", "new", "tmp"):
        (maildir / part).mkdir(parents=True)
    contents = [path.read_bytes() for path in sorted(FIXTURES.rglob("*.eml"))]
    for number in range(count):
        content = contents[number % len(contents)]
        marked = re.sub(rb"(?im)^(message-id:[ \t]*<?)", rb"\g<1>%d." % number, content, count=1)
        if marked == content:
            marked = b"Message-ID: <%d@example.net>\n" % number + content
        (maildir / "new" / f"{number:06}").write_bytes(marked)


def classify_all(maildir: Path) -> float:
    start = time.perf_counter()
    for path in sorted((maildir / "new").iterdir()):
        bounceclass.classify(path.read_bytes())
    return time.perf_counter() - start


def process_all(maildir: Path, ledger: Ledger) -> float:
    start = time.perf_counter()
    with mailboxes.open(mailboxes.Maildir(path=str(maildir))) as mailbox:
        tally = Tally()
        work(mailbox, bounceclass.classify, partial(ledger.record_all, run=ledger.begin_run("benchmark")), tally)
    assert tally.messages == tally.recorded.messages
    return time.perf_counter() - start


def main(count: int = MESSAGES) -> None:
    """Print what it costs to record *count* messages, and to ask for a million addresses."""
    bounceclass.load_rules()
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db") as ledger:
        maildir = Path(folder) / "Maildir"
        fill(maildir, count)
        classify_all(maildir)  # the files are in memory from now on
        alone, whole = classify_all(maildir), process_all(maildir, ledger)
        print(f"classify  {alone / count * 1e6:7.0f} us a message")
        print(f"process   {whole / count * 1e6:7.0f} us a message, {whole / alone:.2f} times as long")

        ledger.add(f"user{number}@example.com" for number in range(0, ADDRESSES, ADDRESSES // SUPPRESSED))
        start = time.perf_counter()
        left = sum(1 for _ in ledger.mailable(f"user{number}@example.com" for number in range(ADDRESSES)))
        assert left == ADDRESSES - SUPPRESSED
        print(
            f"mailable  {time.perf_counter() - start:7.2f} s for {ADDRESSES} addresses, {SUPPRESSED} of them suppressed"
        )
