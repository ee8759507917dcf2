"""The DragonFly Mail Agent, as in Debian's dma."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("dma",)
LIBRARIES = ("libssl3",)

_WAITS = "it waits five minutes, and no setting makes that less"
WITHOUT = servers.WITHOUT_PARAMETERS | {
    "hangs-up-at-once": _WAITS,
    "hangs-up": _WAITS,
    "hangs-up-at-the-end": _WAITS,
    "silent": _WAITS,
    "silent-at-the-end": _WAITS,
    "no-smtputf8": "it knows no extensions",
    "smtputf8": "it knows no extensions",
}
WARNS = False
# At the end it says only how long it has tried; of a refusal of EHLO, that it knows no reason
TOLD: Told = {
    "": {"severity": "soft", "reason": "expired", "suppress": False},
    "NAME": {"severity": "hard", "reason": "domain_unknown", "suppress": True},
    "EHLO": {"severity": "soft", "reason": "undetermined"},
}

_SPOOL = Path("/var/spool/dma")
_LIFE = 6 * 24 * 3600
"""Seconds after which it has given a message up."""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    servers.aliases()
    _SPOOL.mkdir()
    _SPOOL.chmod(0o2770)
    servers.give(_SPOOL, "mail")
    running = []
    for message in messages:
        command = ["dma", "-D", "-f", message.sender, *message.recipients]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert process.stdin
        with process.stdin as stdin:
            stdin.write(message.content)
        running.append(process)
    world.settle()
    for process in running:  # those that have failed for now sleep, and so do their children
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    servers.until(_gives_up)
    world.settle()


def _gives_up() -> bool:
    """Let it try what is left as if its time were over; tell whether nothing is left."""
    left = list(_SPOOL.glob("Q*"))
    old = time.time() - _LIFE
    for path in left:
        os.utime(path, (old, old))
    if left:
        subprocess.run(["dma", "-D", "-q"], check=True)
    return not left
