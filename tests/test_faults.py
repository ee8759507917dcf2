"""``process`` when servers, databases and disks fail: nothing lost, one clear line, 75, and a second run completes it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from boxes import ImapBox, MaildirBox, MboxBox
from dovecot import HOST, Dovecot, mail_server  # noqa: F401 - a fixture
from messages import bounce, many
from proxy import proxy
from servers import Postgres, postgres_missing
from test_kills import configured, environment, expected, started  # noqa: F401 - a fixture

from bounceclass.app.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    if missing := postgres_missing():
        print(missing, file=sys.stderr)
        pytest.skip(missing)
    with Postgres() as running:
        yield running


def ended(running: subprocess.Popen[bytes]) -> tuple[int, str]:
    out, err = running.communicate(timeout=120)
    assert out == b""
    return running.returncode, err.decode()


def facts(place: str | Path) -> dict[str, Any]:
    """Return what is in a ledger: how many messages, the states, and the events of each address."""
    with Ledger.open(place) as book:
        addresses = {f"user{number}@example.com": len(book.why(f"user{number}@example.com").events) for number in range(300)}  # fmt: skip
        runs = sum(one.counts["messages"] for one in book.runs(100))
        return {"messages": runs, "states": book.states(), "events": addresses}


# --- a mail server ------------------------------------------------------------------


@pytest.mark.parametrize("command", [rb"FETCH", rb"UID MOVE"])
def test_an_imap_connection_that_is_lost(command: bytes, server: Dovecot, tmp_path: Path, environment: dict[str, str]) -> None:  # fmt: skip
    made = many(120, seed=3)
    box = ImapBox(tmp_path, server)
    box.put(*(one.content for one in made))
    with proxy((HOST, server.ports.imap)) as between:
        between.cut_command = command
        config = configured(box, tmp_path)
        text = config.read_text().replace(f"port = {server.ports.imaps}", f"port = {between.port}")
        config.write_text(text.replace("security = 'tls'", "security = 'none'"))
        code, err = ended(started(config, environment))
        lost = f"box: the connection to 127.0.0.1:{between.port} was lost: run again, nothing is lost with it\n"
        assert (code, err) == (75, lost)
        assert sum(map(len, box.folders().values())) == len(made)
        between.cut_command = None
        assert ended(started(config, environment)) == (0, "")
    assert box.folders() == expected(made)
    assert facts(tmp_path / "data" / "bounceclass" / "ledger.db")["messages"] == len(made)


def test_a_server_that_is_away(server: Dovecot, tmp_path: Path, environment: dict[str, str]) -> None:
    box = ImapBox(tmp_path, server)
    config = configured(box, tmp_path)
    config.write_text(config.read_text().replace(f"port = {server.ports.imaps}", "port = 1"))
    code, err = ended(started(config, environment))
    assert code == 75
    assert err == "box: no connection to 127.0.0.1:1: Connection refused: correct host and port, or try again later\n"


# --- a database -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_processes_on_one_ledger_come_to_the_totals_of_one(
    kind: str,
    tmp_path: Path,
    environment: dict[str, str],
    request: pytest.FixtureRequest,
) -> None:
    made = many(300, seed=5)
    places = {}
    for name, shares in (("one", [made]), ("two", [made[:200], made[100:]])):  # a third of them in both mailboxes
        place = str(tmp_path / f"{name}.db") if kind == "sqlite" else request.getfixturevalue("postgres").database()
        running = []
        for number, share in enumerate(shares):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            box = MaildirBox(folder, None)
            box.put(*(one.content for one in share))
            config = configured(box, folder)
            config.write_text(config.read_text().replace("batch = 50", "batch = 10") + f'[ledger]\nurl = "{place}"\n')
            config.chmod(0o600)
            running.append((box, share, started(config, environment)))
        for box, share, process in running:
            assert ended(process) == (0, "")
            assert box.folders() == expected(share)
        places[name] = facts(place)
    assert places["two"] == places["one"]
    assert places["one"]["messages"] == 300


def test_a_database_that_is_gone_for_a_while(postgres: Postgres, tmp_path: Path, environment: dict[str, str]) -> None:  # fmt: skip
    made = many(3000, seed=7)
    box = MaildirBox(tmp_path, None)
    box.put(*(one.content for one in made))
    place = postgres.database()
    config = configured(box, tmp_path)
    config.write_text(config.read_text() + f'[ledger]\nurl = "{place}"\nwait = 60\n')
    config.chmod(0o600)  # the password stands in the URL
    running = started(config, environment)
    moved = tmp_path / "mail" / ".Processed" / "cur"
    deadline = time.monotonic() + 60
    while not moved.is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    postgres.stop()
    threading.Timer(5, postgres.start).start()
    assert ended(running) == (0, "")
    assert box.folders() == expected(made)
    with Ledger.open(place) as book:
        assert sum(one.counts["messages"] for one in book.runs(100)) == len(made)


def confined(room: int, config: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start a run that may write no file of more than *room* bytes."""

    def no_more() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = [sys.executable, "-m", "bounceclass", "process", "--config", str(config), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=no_more)  # noqa: PLW1509  # fmt: skip


def test_a_full_disk(tmp_path: Path, environment: dict[str, str]) -> None:
    made = many(400, seed=9)
    box = MaildirBox(tmp_path, None)
    box.put(*(one.content for one in made))
    config = configured(box, tmp_path)
    code, err = ended(confined(300_000, config, environment, "-q"))
    assert (code, err.count("\n"), "run it again" in err) == (75, 1, True)
    folders = box.folders()
    assert sum(map(len, folders.values())) == len(made)
    assert Counter(one for contents in folders.values() for one in contents) == Counter(one.content for one in made)
    assert ended(started(config, environment)) == (0, "")
    assert box.folders() == expected(made)
    assert facts(tmp_path / "data" / "bounceclass" / "ledger.db")["messages"] == len(made)


def test_what_was_recorded_is_told_where_there_is_no_room_to_file_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    made = [bounce(f"user{number}@example.com", number=number) + b"x" * 200_000 + b"\n" for number in range(10)]
    box = MboxBox(tmp_path, None)
    box.put(*made)
    config = configured(box, tmp_path)
    metrics = tmp_path / "b.prom"
    config.write_text(config.read_text().replace("[run]\n", f"[run]\nmetrics = '{metrics}'\n"))
    out, err = confined(1_000_000, config, environment, "--log", "json").communicate(timeout=120)
    *log, said = err.decode().splitlines()
    assert said == "box: File too large"
    assert [json.loads(line)["message"] for line in log] == ["run started", "batch recorded", "source failed"]
    assert out.decode().split()[:5] == ["messages", "10", "10", "new", "bounce"]
    assert 'bounceclass_run_messages{kind="bounce"} 10.0' in metrics.read_text()
    assert box.folders() == {"": sorted(made)}
    out, err = confined(10_000_000, config, environment).communicate(timeout=120)
    assert (out.decode().split()[:4], err) == (["messages", "10", "0", "new"], b"")
    assert box.folders() == {"Processed": sorted(made)}


def test_what_was_recorded_is_in_the_metrics_where_watching_finds_no_room_to_file_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    box = MboxBox(tmp_path, None)
    box.put(bounce("joe@example.com") + b"x" * 1_500_000)
    config, metrics = configured(box, tmp_path), tmp_path / "b.prom"
    config.write_text(config.read_text().replace("[run]\n", f"[run]\nmetrics = '{metrics}'\n"))
    running = confined(1_000_000, config, environment, "--watch")
    try:
        deadline = time.monotonic() + 40
        while not (metrics.exists() and 'bounceclass_run_messages{kind="bounce"} 1.0' in metrics.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        running.terminate()
    assert ended(running) == (0, "box: File too large; trying again in 5 seconds\n")


def test_what_was_not_filed_is_in_no_folder_for_a_person(tmp_path: Path, environment: dict[str, str]) -> None:
    made = [bounce("joe@example.com", "550 5.0.0 Sorry") + b"x" * 1_500_000]
    box = MboxBox(tmp_path, None)
    box.put(*made)
    config = configured(box, tmp_path)
    assert ended(confined(1_000_000, config, environment, "-q")) == (1, "box: File too large\n")
    assert ended(started(config, environment)) == (0, "for a person to look at, in the folder Unsure: 1\n")
