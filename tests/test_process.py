"""``process`` as cron and a person meet it: Maildirs, mboxes and directories worked through into a ledger."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from messages import bounce, many, message

import bounceclass
from bounceclass.app.cli import cli
from bounceclass.app.ledger import Ledger
from bounceclass.app.mailboxes.maildir import MaildirMailbox
from bounceclass.app.process import locked
from bounceclass.app.run import Stop

pytestmark = pytest.mark.usefixtures("home")

DEAD = bounce("fred@example.com", number=1)
FULL = bounce("Ann@example.com", "452 4.2.2 Mailbox full", number=2)
LETTER = message(3, "Thank you")
VAGUE = bounce("joe@example.com", "550 5.0.0 Sorry", number=4)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    box = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    for number, content in enumerate((DEAD, FULL, LETTER, VAGUE)):
        (box / "new" / f"{number}.x").write_bytes(content)
    return box


@pytest.fixture
def config(tmp_path: Path, maildir: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[source.list]\ntype = "maildir"\npath = "{maildir}"\n')
    return path


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, args)), prog_name="bounceclass")


def ledger(home: Path) -> Ledger:
    return Ledger.open(home / "data" / "bounceclass" / "ledger.db")


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return everything in *folder*: content and time of change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files} | {
        str(path): (b"", 0) for path in folder.rglob("*") if path.is_dir()
    }


def filed(maildir: Path) -> dict[str, int]:
    """Return how many messages each folder of a Maildir has."""
    boxes = [maildir, *maildir.glob(".[A-Z]*")]
    count = {box.name: sum(1 for part in ("new", "cur") for _ in (box / part).iterdir()) for box in boxes}
    return {name: number for name, number in count.items() if number}


def rows(result: Result) -> dict[str, list[str]]:
    """Return the lines of the table, by their first cells."""
    lines = [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines() if line.strip()]
    return {cells[0]: cells[1:] for cells in lines}


def test_a_run(home: Path, maildir: Path) -> None:
    result = run("process", maildir)
    assert (result.exit_code, result.stderr) == (0, "")
    shown = rows(result)
    assert shown["messages"] == ["4", "4 new"]
    assert (shown["bounce"], shown["none of these"], shown["user_unknown"], shown["newly suppressed"]) == (
        ["3"],
        ["1"],
        ["1"],
        ["0"],
    )
    assert filed(maildir) == {".Processed": 2, ".Not-a-bounce": 1, ".Unsure": 1}
    assert (shown["filed"], shown["Processed"], shown["Unsure"]) == (["4"], ["2"], ["1", "for a person to look at"])
    with ledger(home) as book:
        assert book.standing("fred@example.com").state == "suspect"
        assert [event.reason for event in book.why("ann@example.com").events] == ["mailbox_full"]
        assert [(one.source, one.ended_at is not None) for one in book.runs()] == [(str(maildir), True)]


def test_seen_twice_counts_once(home: Path, maildir: Path) -> None:
    run("process", maildir)
    (maildir / "new" / "again").write_bytes(b"Received: by elsewhere\r\n" + DEAD.replace(b"\n", b"\r\n"))
    assert rows(run("process", maildir))["messages"] == ["1", "0 new"]
    with ledger(home) as book:
        assert len(book.why("fred@example.com").events) == 1


def test_a_run_that_finds_nothing_is_none(home: Path, maildir: Path) -> None:
    run("process", maildir)
    (maildir / "new" / "broken").symlink_to("broken")
    assert run("process", maildir).exit_code == 1
    with ledger(home) as book:
        assert [one.counts["messages"] for one in book.runs()] == [4]


def test_a_dry_run_changes_nothing_anywhere(home: Path, config: Path) -> None:
    before = snapshot(home)
    result = run("process", "--config", config, "--dry-run")
    assert result.exit_code == 0
    assert (rows(result)["messages"], rows(result)["to be filed"]) == (["4"], ["4"])
    assert (rows(result)["Processed"], rows(result)["Unsure"]) == (["2"], ["1", "for a person to look at"])
    assert snapshot(home) == before


def test_leave_and_delete(home: Path, maildir: Path) -> None:
    before = snapshot(maildir)
    assert run("process", "-q", "--after", "leave", maildir).output == ""
    assert snapshot(maildir) == before
    assert rows(run("process", "--after", "delete", maildir))["messages"] == ["4", "0 new"]
    assert sorted(path.read_bytes() for path in (maildir / "new").iterdir()) == sorted([LETTER, VAGUE])
    assert rows(run("process", "--after", "delete", maildir))["messages"] == ["2", "0 new"]
    assert filed(maildir) == {"Maildir": 2}


def test_an_mbox_and_a_directory(home: Path, tmp_path: Path) -> None:
    mbox = tmp_path / "bounces"
    mbox.write_bytes(b"".join(b"From x Mon Jan  5 10:00:00 2026\n" + one + b"\n" for one in (DEAD, LETTER)))
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a.eml").write_bytes(FULL)
    assert rows(run("process", mbox, folder))["messages"] == ["3", "3 new"]
    assert mbox.read_bytes() == b""
    assert DEAD in (tmp_path / "bounces.Processed").read_bytes()
    assert (folder / "Processed" / "a.eml").read_bytes() == FULL


def test_two_bounces_on_two_days_suppress_and_are_exported(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(config.read_text() + f'[export.list]\nformat = "list"\npath = "{home / "list.txt"}"\n')
    (maildir / "new" / "later").write_bytes(bounce("fred@example.com", number=9, days_ago=1))
    result = run("process", "--config", config)
    assert rows(result)["newly suppressed"] == ["1"]
    assert (home / "list.txt").read_text() == "fred@example.com\n"
    changed = (home / "list.txt").stat().st_mtime_ns
    run("process", "--config", config)
    assert (home / "list.txt").stat().st_mtime_ns == changed


def test_one_bad_message_stops_nothing(home: Path, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bounceclass.classify

    def classify(raw: bytes, **keys: Any) -> bounceclass.Report:
        if raw == FULL:
            raise RuntimeError("a bug\x1b[2J")
        return whole(raw, **keys)

    monkeypatch.setattr(bounceclass, "classify", classify)
    (maildir / "cur" / "empty:2,S").write_bytes(b"")
    (maildir / "cur" / "huge:2,S").write_bytes(DEAD.replace(b"could not", b"could not " * 400_000))
    result = run("process", "-q", maildir)
    assert result.exit_code == 1
    assert (
        "new/1.x: not judged, by a bug of bounceclass that is worth a report: RuntimeError: a bug\\x1b[2J"
        in result.stderr
    )
    assert filed(maildir) == {"Maildir": 1, ".Processed": 1, ".Not-a-bounce": 2, ".Unsure": 2}


def test_quiet_says_what_needs_a_person(home: Path, maildir: Path) -> None:
    (maildir / "new" / "3.x").unlink()
    assert run("process", "-q", maildir).output == ""
    (maildir / "new" / "3.x").write_bytes(VAGUE)
    assert run("process", "-q", maildir).output == "for a person to look at, in the folder Unsure: 1\n"


@pytest.mark.parametrize(("field", "named"), [(b"", None), (b"Final-Recipient: rfc822; fred@\n", "fred@")])
def test_what_names_nobody_needs_a_person(field: bytes, named: str | None, home: Path, maildir: Path) -> None:
    nobody = DEAD.replace(b"Final-Recipient: rfc822; fred@example.com\n", field).replace(b"To: fred@example.com\n", b"")
    assert [one.recipient for one in bounceclass.classify(nobody).failures] == [named]
    (maildir / "new" / "3.x").write_bytes(nobody)
    assert run("process", "-q", maildir).output == "for a person to look at, in the folder Unsure: 1\n"


def test_a_log_and_metrics(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(config.read_text() + f'[run]\nmetrics = "{home / "b.prom"}"\n')
    result = run("process", "--config", config, "-q", "--log", "json")
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert [event["message"] for event in events] == ["run started", "batch recorded", "run ended"]
    assert (events[2]["source"], events[2]["messages"], events[2]["level"]) == ("list", 4, "INFO")
    metrics = (home / "b.prom").read_text()
    assert 'bounceclass_run_messages{kind="bounce"} 3.0' in metrics
    assert 'bounceclass_addresses{state="suspect"} 2.0' in metrics
    assert "@" not in metrics


def test_a_log_names_what_could_not_be_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "1.eml").write_bytes(DEAD)
    (tmp_path / "inbox" / "2.eml").symlink_to("nowhere")
    result = run("process", "--log", "json", tmp_path / "inbox")
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert [event["message"] for event in events] == ["run started", "message not read", "batch recorded", "run ended"]
    assert (events[1]["unread"], events[1]["problem"]) == (f"{tmp_path}/inbox/2.eml", "No such file or directory")
    assert result.exit_code == 1


def test_a_bug_in_a_source_costs_no_other(
    home: Path, maildir: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(
        config.read_text().replace("[source.list]", f'[source.a]\ntype = "maildir"\npath = "{home}"\n[source.list]')
    )

    entered = MaildirMailbox.__enter__

    def enter(box: MaildirMailbox) -> MaildirMailbox:
        if box._root == home:
            raise ZeroDivisionError("of the test")
        return entered(box)

    monkeypatch.setattr(MaildirMailbox, "__enter__", enter)
    result = run("process", "--config", config)
    assert result.stderr == "a: a bug of bounceclass that is worth a report: ZeroDivisionError: of the test\n"
    assert (result.exit_code, filed(maildir)) == (1, {".Processed": 2, ".Not-a-bounce": 1, ".Unsure": 1})


# --- what keeps a run from its work -------------------------------------------------


def test_two_runs_at_once(home: Path, maildir: Path) -> None:
    from bounceclass.app import mailboxes

    with locked(mailboxes.Maildir(path=str(maildir)), home / "state" / "bounceclass"):
        result = run("process", maildir)
        quiet = run("process", "-q", maildir)
    assert (result.exit_code, len(result.stderr.splitlines())) == (75, 1)
    assert "another run is at work on file:" in result.stderr
    assert (quiet.exit_code, quiet.output) == (75, "")
    assert filed(maildir) == {"Maildir": 4}


@pytest.mark.parametrize(
    ("args", "code", "problem"),
    [
        (["process"], 2, "Nothing to work through: name a PATH"),
        (["process", "/nowhere/at-all"], 2, "/nowhere/at-all: No such file or directory"),
        (["process", "--config", "/nowhere/c.toml"], 2, "Error: /nowhere/c.toml: No such file or directory"),
        (["process", "--after", "leave"], 2, "--after belongs to PATHs"),
        (["process", "--source", "list", "/"], 2, "it does not go with PATHs"),
        (["process", "--watch", "--dry-run", "/"], 2, "do not go together"),
        (["process", "--config", "{config}", "--source", "lits"], 2, "no source 'lits'; there are: list"),
    ],
)
def test_usage(config: Path, args: list[str], code: int, problem: str) -> None:
    result = run(*(arg.replace("{config}", str(config)) for arg in args))
    assert result.exit_code == code
    assert problem in result.stderr


def test_a_source_that_fails_does_not_stop_the_others(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(f'[source.gone]\ntype = "maildir"\npath = "{home}/gone"\n' + config.read_text())
    result = run("process", "--config", config, "-q")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith("gone: ")
    assert "Maildir" not in filed(maildir)


def test_a_lock_that_cannot_be_made_is_a_failure_of_that_source(home: Path, maildir: Path, config: Path) -> None:
    (home / "state").touch()
    config.write_text(f'[source.gone]\ntype = "maildir"\npath = "{home}/gone"\n' + config.read_text())
    result = run("process", "--config", config, "-q")
    problem = f"no lock can be made in {home}/state/bounceclass: Not a directory"
    assert (result.exit_code, result.stderr) == (1, f"gone: {problem}\nlist: {problem}\n")
    assert filed(maildir) == {"Maildir": 4}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('[run]\nmetrics = "{home}/gone/b.prom"', "[run]: metrics: cannot write {home}/gone/b.prom: No such file or directory"),
        ('[export.a]\nformat = "list"\npath = "{home}/gone/a"', "[export.a]: cannot write {home}/gone/a: No such file or directory"),
        ('[export.a]\nformat = "list"\npath = "{home}/a"\nthen = "false"', "[export.a]: then: ended with 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_after_a_run_hides_nothing_of_it(
    home: Path, maildir: Path, config: Path, table: str, problem: str
) -> None:
    (maildir / "new" / "broken").symlink_to("broken")
    config.write_text(config.read_text() + table.format(home=home) + "\n")
    result = run("process", "--config", config)
    assert (result.exit_code, rows(result)["messages"]) == (1, ["4", "4 new"])
    assert result.stderr.splitlines()[0] == problem.format(home=home)
    assert result.stderr.splitlines()[1].endswith("new/broken: Too many levels of symbolic links")


def test_a_ledger_that_cannot_be_written(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(config.read_text() + '[ledger]\nurl = "/proc/ledger.db"\n')
    result = run("process", "--config", config)
    assert (result.exit_code, len(result.stderr.splitlines())) == (75, 1)
    assert filed(maildir) == {"Maildir": 4}


# --- as a process of its own --------------------------------------------------------


def started(*args: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bounceclass", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(bounceclass.__file__).parent.parent)  # fmt: skip


def until(what: Any) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_told_to_stop_it_ends_after_its_batch(home: Path, maildir: Path, config: Path) -> None:
    for number, one in enumerate(many(3000, seed=1)):
        (maildir / "new" / f"m{number}").write_bytes(one.content)
    config.write_text(config.read_text() + "[run]\nbatch = 50\n")
    running = started("process", "--config", config)
    until((maildir / ".Processed" / "cur").is_dir)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (75, b"stopped: what it had not come to is left for the next run\n")
    left = filed(maildir)
    assert 0 < left["Maildir"] < 3004
    with ledger(home) as book:
        (last,) = book.runs()
        assert last.counts["messages"] == 3004 - left["Maildir"]


def test_watching_a_maildir(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(config.read_text() + "[run]\npoll = 1\n")
    running = started("process", "--config", config, "--watch")
    try:
        until(lambda: "Maildir" not in filed(maildir))
        (maildir / "tmp" / "new").write_bytes(bounce("zoe@example.com", number=77))
        (maildir / "tmp" / "new").rename(maildir / "new" / "77")
        until(lambda: "Maildir" not in filed(maildir))
    finally:
        running.terminate()
        _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, b"for a person to look at, in the folder Unsure: 1\n")
    assert filed(maildir) == {".Processed": 3, ".Not-a-bounce": 1, ".Unsure": 1}


def test_watching_ends_with_1_where_an_export_is_not_up_to_date(home: Path, maildir: Path, config: Path) -> None:
    config.write_text(config.read_text() + f'[export.a]\nformat = "list"\npath = "{home}/a"\nthen = "false"\n')
    running = started("process", "--config", config, "--watch")
    try:
        until(lambda: "Maildir" not in filed(maildir) and (home / ".a.then").exists())
    finally:
        running.terminate()
        _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert err.decode().splitlines()[-1] == "Error: [export.a]: then: ended with 1"


def test_what_nohup_ignores_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().heeded():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
