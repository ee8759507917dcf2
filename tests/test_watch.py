"""``process --watch``: woken by new mail, back after whatever failed, and brought to an end."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boxes import Box, ImapBox, MaildirBox, MboxBox
from dovecot import HOST, Dovecot, mail_server  # noqa: F401 - a fixture
from messages import bounce, many
from proxy import proxy
from test_kills import configured, environment  # noqa: F401 - a fixture

from bounceclass.app import config as configuration
from bounceclass.app import watch
from bounceclass.app.ledger import Ledger
from bounceclass.app.run import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 40.0
"""Seconds after which something should have happened."""


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until_filed(box: Box, number: int) -> None:
    """Wait until *number* messages are filed and none is left."""
    until(lambda: {name: len(contents) for name, contents in box.folders().items()} == {"Processed": number})


@contextmanager
def watching(config: Path, environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let it watch meanwhile; its standard error has no buffer on this side, so it can be read line by line."""
    command = [sys.executable, "-m", "bounceclass", "process", "--watch", "--config", str(config), *options]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def ended(running: subprocess.Popen[bytes]) -> tuple[int, bytes, list[str]]:
    """Tell it to stop; return its exit code, what it wrote, and the lines of standard error that were not read."""
    running.terminate()
    out, err = running.communicate(timeout=PATIENCE)
    return running.returncode, out, err.decode().splitlines()


def line(running: subprocess.Popen[bytes]) -> str:
    """Return the next line of its standard error, once there is one."""
    assert running.stderr
    assert select.select([running.stderr], [], [], PATIENCE)[0], "nothing was said"
    return running.stderr.readline().decode().rstrip("\n")


def added(config: Path, *tables: str, **run: object) -> None:
    """Add tables, and keys of [run], to a configuration."""
    keys = "".join(f"{name} = {value!r}\n" for name, value in run.items())
    config.write_text(config.read_text().replace("[run]\n", "[run]\n" + keys) + "".join(tables))


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "poll"])
def test_new_mail_is_worked_through_as_it_comes(
    idle: bool, server: Dovecot, tmp_path: Path, environment: dict[str, str]
) -> None:
    box = ImapBox(tmp_path, server)
    box.put(bounce("one@example.com", number=1))
    with proxy((HOST, server.ports.imap)) as between:
        if not idle:
            between.replaced = {b" IDLE": b""}
        config = configured(box, tmp_path)
        text = config.read_text().replace(f"port = {server.ports.imaps}", f"port = {between.port}")
        config.write_text(text.replace("security = 'tls'", "security = 'none'"))
        added(config, poll=2)
        lost = f"box: the connection to 127.0.0.1:{between.port} was lost: run again, nothing is lost with it; trying again in "
        with watching(config, environment) as running:
            until_filed(box, 1)
            box.put(bounce("two@example.com", number=2))
            until_filed(box, 2)
            assert any(b"IDLE" in one for one in between.commands) is idle
            between.cut_command = rb"."  # at whatever it says next
            assert line(running) == f"{lost}5 seconds"
            between.cut_command = None
            box.put(bounce("three@example.com", number=3))
            until_filed(box, 3)
            code, out, err = ended(running)
    assert (code, out) == (0, b"")
    assert {one[: len(lost)] for one in err} <= {lost}


# --- what fails ---------------------------------------------------------------------


def test_what_cannot_be_exported_is_told_and_tried_again(tmp_path: Path, environment: dict[str, str]) -> None:
    box = MaildirBox(tmp_path, None)
    box.put(bounce("one@example.com", number=1))
    config = configured(box, tmp_path)
    fixed, done = tmp_path / "fixed", tmp_path / "done"
    script = tmp_path / "script"
    script.write_text(f"test -e {fixed} && touch {done}\n")
    added(config, f"[export.a]\nformat = 'list'\npath = '{tmp_path}/a'\nthen = 'sh {script}'\n", poll=1)
    with watching(config, environment) as running:
        problem = "exports and metrics: [export.a]: then: ended with 1; trying again in "
        assert line(running) == f"{problem}5 seconds"
        until_filed(box, 1)
        box.put(bounce("two@example.com", number=2))
        until_filed(box, 2)
        fixed.touch()
        until(done.exists)
        code, out, err = ended(running)
    assert (code, out) == (0, b"")
    assert {one[: len(problem)] for one in err} <= {problem}
    assert (tmp_path / "a").read_text() == ""


def in_process(tmp_path: Path, box: Box, told: Callable[[str, dict[str, Any]], None], *tables: str) -> Job:
    config = configured(box, tmp_path)
    added(config, *tables, poll=1, locks=str(tmp_path))
    settings = configuration.load(config)
    return Job(settings, settings.source, dry_run=False, told=told)


def kept(job: Job, ledger: Ledger, meanwhile: Callable[[], None]) -> None:
    """Let *job* watch until *meanwhile* is done."""
    problems: list[BaseException] = []

    def work() -> None:
        try:
            meanwhile()
        except BaseException as error:  # noqa: BLE001 - for the test to raise
            problems.append(error)
        os.kill(os.getpid(), signal.SIGTERM)

    beside = threading.Thread(target=work)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # should it end by itself
    try:
        beside.start()
        watch.keep(job, ledger)
    finally:
        beside.join()
        signal.signal(signal.SIGTERM, before)
    if problems:
        raise problems[0]


def test_a_bug_ends_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.5)
    box = MaildirBox(tmp_path, None)
    box.put(bounce("one@example.com", number=1))
    first = itertools.count()

    def told(event: str, about: dict[str, Any]) -> None:
        if event == "batch recorded" and next(first) == 0:
            raise KeyError(about["messages"])

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        job = in_process(tmp_path, box, told)

        def meanwhile() -> None:
            until_filed(box, 1)
            box.put(bounce("two@example.com", number=2))
            until_filed(box, 2)

        kept(job, ledger, meanwhile)
    assert capsys.readouterr().err == (
        "box: a bug of bounceclass that is worth a report: KeyError: 1; trying again in 0.5 seconds\n"
    )


# --- exports and metrics ------------------------------------------------------------


def test_the_metrics_are_of_all_sources(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "other").mkdir()
    box, other = MaildirBox(tmp_path, None), MaildirBox(tmp_path / "other", None)
    box.put(bounce("one@example.com", number=1), bounce("two@example.com", number=2))
    other.put(bounce("three@example.com", number=3))
    config, metrics = configured(box, tmp_path), tmp_path / "b.prom"
    tables = [
        f"[source.other]\ntype = 'maildir'\npath = '{other.root}'\n",
        f"[source.gone]\ntype = 'maildir'\npath = '{tmp_path}/gone'\n",
    ]
    added(config, *tables, poll=1, metrics=str(metrics))

    def figures() -> dict[str, float]:
        lines = re.findall(r"^bounceclass_run_(\S+) (\S+)$", metrics.read_text(), re.M) if metrics.exists() else []
        return {name: float(value) for name, value in lines}

    def shown(**expected: float) -> bool:
        found = figures()
        return all(found.get(name) == value for name, value in expected.items())

    with watching(config, environment) as running:
        until(lambda: shown(**{'messages{kind="bounce"}': 3, "failed_sources": 1, "unread_messages": 0}))
        (box.root / "new" / "broken").symlink_to("broken")
        until(lambda: shown(failed_sources=1, unread_messages=1))
        for part in ("new", "cur", "tmp"):
            (tmp_path / "gone" / part).mkdir(parents=True)
        (box.root / "new" / "broken").unlink()
        until(lambda: shown(failed_sources=0, unread_messages=0))
        assert ended(running)[:2] == (0, b"")
    with Ledger.open(tmp_path / "data" / "bounceclass" / "ledger.db") as ledger:
        runs = sorted((one.source, one.counts["messages"], one.ended_at is not None) for one in ledger.runs())
    assert runs == [("box", 2, True), ("other", 1, True)]


def test_a_suppression_that_ends_by_time_leaves_the_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "REFRESH", 0.5)
    box, export, now = MaildirBox(tmp_path, None), tmp_path / "a", [datetime.now(UTC)]
    with Ledger.open(tmp_path / "ledger.db", clock=lambda: now[0]) as ledger:
        job = in_process(tmp_path, box, lambda *_: None, f"[export.a]\nformat = 'list'\npath = '{export}'\n")
        box.put(*(bounce("fred@example.com", number=number, days_ago=number) for number in (1, 2, 3)))

        def meanwhile() -> None:
            until(lambda: export.exists() and export.read_text() == "fred@example.com\n")
            now[0] += timedelta(days=400)
            until(lambda: export.read_text() == "")

        kept(job, ledger, meanwhile)


# --- told to stop -------------------------------------------------------------------


def test_told_to_stop_it_leaves_the_mailbox_in_order(tmp_path: Path, environment: dict[str, str]) -> None:
    box = MboxBox(tmp_path, None)
    made = many(3000, seed=3)
    box.put(*(one.content for one in made))
    config = configured(box, tmp_path)
    config.write_text(config.read_text().replace("timeout = 5.0", "timeout = 60.0"))
    with watching(config, environment, "--log", "json") as running, box.path.open("r+b") as file:
        while json.loads(line(running))["message"] != "batch recorded":
            pass
        fcntl.lockf(file, fcntl.LOCK_EX)  # a delivery that takes its time
        running.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(3)
        fcntl.lockf(file, fcntl.LOCK_UN)
        running.communicate(timeout=PATIENCE)
        assert running.returncode == 0
    counts = {name: len(contents) for name, contents in box.folders().items()}
    filed = sum(counts.values()) - counts[""]
    assert (filed % 50, filed > 0, counts[""]) == (0, True, len(made) - filed)
