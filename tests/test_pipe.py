"""``pipe`` as a mail server runs it: 0 and silence, or 75, and nothing else whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from messages import bounce, message

import bounceclass
from bounceclass.app.ledger import Ledger

ROOT = Path(bounceclass.__file__).parent.parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


def pipe(environment: dict[str, str], content: bytes, *args: str) -> tuple[int, bytes, str]:
    command = [sys.executable, "-m", "bounceclass", "pipe", *args]
    done = subprocess.run(command, input=content, env=environment, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (bounce("fred@example.com"), "bounce"),
        (message(1, "Hello"), "none"),
        (b"", "none"),
        (bounce("fred@example.com") + b"x" * 20_000_000, "bounce"),
        (b"\xff\x00" * 1000, "none"),
    ],
    ids=["bounce", "letter", "nothing", "20 MB", "noise"],
)
def test_what_was_stored_ends_with_0(environment: dict[str, str], tmp_path: Path, content: bytes, kind: str) -> None:
    assert pipe(environment, content) == (0, b"", "")
    with Ledger.open(tmp_path / "data" / "bounceclass" / "ledger.db") as book:
        states = {state: number for state, number in book.states().items() if number}
    assert states == ({"suspect": 1} if kind == "bounce" else {})


def test_the_same_twice_is_stored_once(environment: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        assert pipe(environment, bounce("fred@example.com")) == (0, b"", "")
    with Ledger.open(tmp_path / "data" / "bounceclass" / "ledger.db") as book:
        assert len(book.why("fred@example.com").events) == 1


@pytest.mark.parametrize(
    ("args", "config", "problem"),
    [
        (["--bogus"], None, "No such option"),
        (["--bogus", "-h"], None, "No such option"),
        (["too", "many"], None, "unexpected extra argument"),
        (["--config", "/nowhere/c.toml"], None, "/nowhere/c.toml: No such file or directory"),
        ([], "polcy = 'strict'", "there is no key 'polcy'; did you mean 'policy'?"),
        ([], "policy = 'strickt'", "there is no such policy"),
        ([], "rules = ['/nowhere']", "the rules are broken"),
        ([], "[ledger]\nurl = '/proc/nowhere/ledger.db'", "cannot be created"),
        ([], "[ledger]\nurl = 'mysql://x/y'", "no ledger there"),
    ],
)
def test_anything_else_ends_with_75(
    environment: dict[str, str], tmp_path: Path, args: list[str], config: str | None, problem: str
) -> None:
    if config is not None:
        (tmp_path / "config" / "bounceclass").mkdir(parents=True)
        (tmp_path / "config" / "bounceclass" / "config.toml").write_text(config)
    code, out, err = pipe(environment, bounce("fred@example.com"), *args)
    assert (code, out) == (75, b"")
    assert problem in err


def test_a_broken_installation(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise ImportError('half an upgrade')")
    environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    assert pipe(environment, bounce("fred@example.com")) == (75, b"", "Error: ImportError: half an upgrade\n")


def test_a_signal(environment: dict[str, str]) -> None:
    running = subprocess.Popen([sys.executable, "-m", "bounceclass", "pipe"], stdin=subprocess.PIPE, env=environment)
    time.sleep(1)  # it waits for the message
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 75


def test_help_is_no_failure(environment: dict[str, str]) -> None:
    code, out, _ = pipe(environment, b"", "--help")
    assert (code, b"from a mail server" in out) == (0, True)
