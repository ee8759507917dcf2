"""nullmailer, as in Debian's nullmailer: it hands all mail to one relay, and that is the world's server here."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("nullmailer",)
LIBRARIES = ("libgnutls30",)

_RELAY = "it looks up nothing but its relay"
_NO_ALIASES = "it knows no aliases"
WITHOUT = servers.WITHOUT_PARAMETERS | {
    "no-such-domain": _RELAY,
    "null-mx": _RELAY,
    "alias": _NO_ALIASES,
    "alias-of-three": _NO_ALIASES,
    "no-smtputf8": "it knows no SMTPUTF8",
    "smtputf8": "it knows no SMTPUTF8",
}
WARNS = True  # and then gives up without another word
# It never names the command.  What it got no reply to is a permanent failure, and has no words but "Connect failed".
_NOT_NAMED: dict[str, object] = {"command": None}
_GIVES_UP: dict[str, object] = {"passes": False}
_NO_REPLY = ("nobody-listens", "hangs-up-at-once", "hangs-up", "hangs-up-at-the-end", "silent", "silent-at-the-end")
TOLD: Told = (
    dict.fromkeys(("CONN", "EHLO", "MAIL", "RCPT", "DATA", "END"), _NOT_NAMED)
    | dict.fromkeys(_NO_REPLY, _GIVES_UP)
    | {
        "": {"severity": "hard", "reason": "undetermined", "status": "5.0.0"},
        "without-status": {"status": "5.0.0"},
        "TCP": {"severity": "soft", "reason": "network_error"},
        "several": {"suppress": False, "confidence": "guess"},
    }
)

_SPOOL = Path("/var/spool/nullmailer")


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    servers.etc("nullmailer/pausetime", "0\n")  # one run, and no more
    servers.etc("nullmailer/sendtimeout", "3\n")
    for name in ("queue", "tmp", "failed"):
        (_SPOOL / name).mkdir(parents=True)
    os.mkfifo(_SPOOL / "trigger")
    servers.give(_SPOOL, "mail")
    waiting: dict[str, Path] = {}
    for message in messages:
        command = ["/usr/sbin/sendmail", "-f", message.sender, *message.recipients]
        subprocess.run(command, input=message.content, check=True)
        name = message.sender.partition("@")[0]
        _run(world.addresses[name], life=3600)
        if not any((_SPOOL / "failed").iterdir()):  # it may pass
            for path in (_SPOOL / "queue").iterdir():
                waiting[name] = Path(shutil.move(path, folder))
        _send_home()
    time.sleep(2)
    for name, path in waiting.items():
        shutil.move(path, _SPOOL / "queue")
        _run(world.addresses[name], life=1)
        _send_home()


def _send_home() -> None:
    """Send what was written about the message."""
    _run(servers.HOME, life=3600)
    for failed in (_SPOOL / "failed").iterdir():
        failed.unlink()


def _run(relay: str, *, life: int) -> None:
    servers.etc("nullmailer/queuelifetime", f"{life}\n")
    servers.etc("nullmailer/remotes", f"{relay} smtp\n")
    subprocess.run(["nullmailer-send"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
