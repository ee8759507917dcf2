"""Runs that are killed at random moments, and run again: every message once in the ledger, and in its one folder."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from boxes import BOXES, Box, ImapBox, letter, lf
from dovecot import HOST, mail_server  # noqa: F401 - the fixture
from proxy import proxy

from bounceclass.app.mailboxes import Kind

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = 60
KILLS = 8
FORK = multiprocessing.get_context("fork")


def kind_of(content: bytes) -> Kind:
    return list(Kind)[hashlib.sha256(content).digest()[0] % len(Kind)]


def process(box: Box, ledger: Path, settings: dict[str, object]) -> None:
    """Fetch, record, commit and file, in batches of five."""
    with sqlite3.connect(ledger) as database, box.open(**settings) as opened:  # type: ignore[arg-type]
        batch: list[tuple[object, Kind]] = []
        for one in opened.messages():
            assert isinstance(one.content, bytes)
            content = lf(one.content)
            database.execute("insert or ignore into ledger values (?)", [content])
            batch.append((one.handle, kind_of(content)))
            if len(batch) == 5:
                database.commit()
                opened.file(batch)
                batch = []
        database.commit()
        opened.file(batch)


def killed(box: Box, ledger: Path, settings: dict[str, object], after: float) -> bool:
    """Run in a process that is killed after these seconds; return whether it was still running."""
    child = FORK.Process(target=process, args=(box, ledger, settings))
    child.start()
    child.join(after)
    if child.pid and child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


@pytest.mark.parametrize("name", [*BOXES, "imap without MOVE"])
def test_killed_and_run_again(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server = request.getfixturevalue("server") if name.startswith(("imap", "pop3")) else None
    box = BOXES.get(name, ImapBox)(tmp_path, server)
    contents = [letter(number, b"x" * 4000 + b"\n") for number in range(1000, 1000 + MESSAGES)]
    box.put(*contents)
    ledger = tmp_path / "ledger"
    with sqlite3.connect(ledger) as database:
        database.execute("create table ledger (content blob primary key)")
    settings: dict[str, object] = {}
    if name == "imap without MOVE":
        between = request.getfixturevalue("without_move")
        settings = {"security": "none", "port": between}
    chance = random.Random(name)
    started = time.monotonic()
    # from a moment before the first message is filed to one after the last, however fast the machine
    moments = [0.004 * 2**number * chance.uniform(0.7, 1.4) for number in range(KILLS)]
    tried = sum(killed(box, ledger, settings, moment) for moment in moments)
    while server and killed(box, ledger, settings, 30):  # the server still holds a lock of who is gone
        assert time.monotonic() - started < 60
    if not server:
        process(box, ledger, settings)
    assert tried >= 1
    with sqlite3.connect(ledger) as database:
        assert sorted(content for (content,) in database.execute("select content from ledger")) == contents
    expected: dict[str, list[bytes]] = {}
    for content in contents:
        expected.setdefault(kind_of(content), []).append(content)
    assert box.folders() == expected


@pytest.fixture
def without_move(request: pytest.FixtureRequest) -> object:
    """The port of a proxy that hides MOVE."""
    server = request.getfixturevalue("server")
    running = proxy((HOST, server.ports.imap))
    between = running.__enter__()
    between.hidden = (b"MOVE",)
    request.addfinalizer(lambda: running.__exit__(None, None, None))
    return between.port
