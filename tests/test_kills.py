"""``process`` killed at random moments, and run again: every message once in the ledger, and where it belongs.

KILLS says how often it is killed in all (200 with ``tox -e kills``, a tenth of that otherwise).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from boxes import BOXES, Box, lf
from dovecot import PASSWORD, Dovecot, mail_server  # noqa: F401 - a fixture
from messages import Made, many

from bounceclass.app.mailboxes import Secret

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("KILLS", "20"))
KINDS = ("maildir", "mbox", "imap")
MESSAGES = 2000 if KILLS >= 200 else 400
BATCH = 50
STARTED = 0.25
"""Seconds that the interpreter takes to start, at least: nothing happens before."""
SEED = int(os.environ.get("KILLS_SEED", "20260105"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    state = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("DATA", "STATE", "CONFIG")}
    return {**os.environ, **state}


def configured(box: Box, tmp_path: Path) -> Path:
    """Write a configuration whose one source is *box*; return its path."""
    table = msgspec.structs.asdict(box.settings())
    lines = [f'type = "{box.settings().__struct_config__.tag}"']
    for name, value in table.items():
        if isinstance(value, Secret):
            held = tmp_path / "secret"
            held.touch(0o600)
            held.write_text(PASSWORD)
            lines.append(f"password_file = '{held}'")
        elif isinstance(value, str) and value:
            lines.append(f"{name} = '{value}'")
        elif isinstance(value, (int, float)) and name != "max_bytes":
            lines.append(f"{name} = {value}")
    path = tmp_path / "config.toml"
    path.write_text(f"[run]\nbatch = {BATCH}\n[source.box]\n" + "\n".join(lines) + "\n")
    return path


def started(config: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bounceclass", "process", "-q", "--config", str(config)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def expected(made: list[Made]) -> dict[str, list[bytes]]:
    """Return what must be in each folder in the end, as the one who made the messages knows."""
    folders: dict[str, list[bytes]] = {}
    for one in made:
        folders.setdefault(one.folder, []).append(lf(one.content))
    return {name: sorted(contents) for name, contents in folders.items()}


def verify(box: Box, made: list[Made], ledger: Path) -> None:
    """Assert that every message is once in the ledger and once in its folder, whole, and nowhere else."""
    found, wanted = box.folders(), expected(made)
    assert {name: len(contents) for name, contents in found.items()} == {
        name: len(contents) for name, contents in wanted.items()
    }
    assert found == wanted
    with closing(sqlite3.connect(ledger)) as database:
        (messages,) = database.execute("SELECT count(*) FROM bounceclass_messages").fetchone()
        failures = Counter(row[0] for row in database.execute("SELECT address FROM bounceclass_events WHERE what = 'failure'"))  # fmt: skip
    assert messages == len(made)
    assert failures == Counter(one.failed for one in made if one.failed)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_counts_twice(
    kind: str, tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    server: Dovecot | None = request.getfixturevalue("server") if kind == "imap" else None
    chance = random.Random(f"{SEED} {kind}")
    kills = KILLS // len(KINDS) + (KINDS.index(kind) < KILLS % len(KINDS))
    moments: list[float] = []
    life, whole = 0, 0.0  # seconds that a run takes; the first is not killed, and tells
    print(f"seed {SEED}, {kills} kills of {kind}")  # shown where it fails
    while len(moments) < kills:
        life += 1
        folder = tmp_path / str(life)
        folder.mkdir()
        environment["XDG_DATA_HOME"] = str(folder / "data")
        made = many(MESSAGES, seed=chance.randrange(1_000_000))
        box = BOXES[kind](folder, server)
        box.put(*(one.content for one in made))
        config = configured(box, folder)
        while whole and len(moments) < kills:
            moment = chance.uniform(STARTED, whole)
            running = started(config, environment)
            try:
                running.wait(moment)
                break  # it came to its end first
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                running.communicate()
                moments.append(moment)
        began = time.monotonic()
        running = started(config, environment)
        out, err = running.communicate(timeout=300)
        whole = whole or time.monotonic() - began
        print(f"life {life}: killed after {[round(one, 3) for one in moments]} s")
        assert (running.returncode, out, err) == (0, b"", b"")
        verify(box, made, folder / "data" / "bounceclass" / "ledger.db")
