"""``process --watch`` on a real IMAP server: woken by new mail, and back after the connection was lost."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from boxes import ImapBox
from dovecot import HOST, Dovecot, mail_server  # noqa: F401 - a fixture
from messages import bounce
from proxy import proxy
from test_kills import configured, environment  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path


def until_filed(box: ImapBox, number: int) -> float:
    """Wait until *number* messages are filed and none is left; return the seconds that took."""
    began = time.monotonic()
    while {name: len(contents) for name, contents in box.folders().items()} != {"Processed": number}:
        assert time.monotonic() - began < 40, box.folders()
        time.sleep(0.1)
    return time.monotonic() - began


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
        config.write_text(
            text.replace("security = 'tls'", "security = 'none'").replace("batch = 50", "batch = 50\npoll = 2")
        )
        command = [sys.executable, "-m", "bounceclass", "process", "--watch", "--config", str(config)]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            until_filed(box, 1)
            box.put(bounce("two@example.com", number=2))
            until_filed(box, 2)
            assert any(b"IDLE" in one for one in between.commands) is idle
            between.cut_command = rb"."  # at whatever it says next
            time.sleep(4)
            between.cut_command = None
            box.put(bounce("three@example.com", number=3))
            until_filed(box, 3)
        finally:
            running.terminate()
            out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (0, b"")
    lost = f"box: the connection to 127.0.0.1:{between.port} was lost: run again, nothing is lost with it; trying again in "
    assert {line[: len(lost)] for line in err.decode().splitlines()} == {lost}
