"""chasquid, as in Debian's chasquid."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("chasquid",)
LIBRARIES: tuple[str, ...] = ()

_WAITS = "it waits ten minutes, and no setting makes that less"
WITHOUT = servers.WITHOUT_PARAMETERS | {
    "silent": _WAITS,
    "silent-at-the-end": _WAITS,
    "no-smtputf8": "it is sent all the same",
}
WARNS = False
# It sends MAIL and RCPT at once.  What fails before them may pass, to it, and a domain that does not exist as well
_ONE_OF_TWO: dict[str, object] = {"command": None}
TOLD: Told = {
    "": {"status": "4.0.0"},
    "without-status": {"status": "5.0.0"},
    "hangs-up-at-once": {"command": "CONN"},
    "CONN": {"severity": "soft"},
    "EHLO": {"severity": "soft"},
    "MAIL": _ONE_OF_TWO,
    "RCPT": _ONE_OF_TWO,
    "NAME": {"severity": "soft", "suppress": False},
    "MX": {"severity": "soft", "reason": "domain_unknown", "suppress": False},
}

_CONFIGURATION = """\
hostname: "mail.example.org"
smtp_address: "127.0.0.1:25"
submission_address: "127.0.0.1:587"
mail_log_path: "<stderr>"
"""
_QUEUE = Path("/var/lib/chasquid/queue")
_LIFE = 24 * 3600
"""Seconds after which it has given a message up."""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    login = f"news@{servers.HOST}", secrets.token_hex()
    servers.etc("chasquid/chasquid.conf", _CONFIGURATION)
    servers.aliases(f"chasquid/domains/{servers.HOST}/aliases")
    certificate = servers.etc(f"chasquid/certs/{servers.HOST}/fullchain.pem", "")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={servers.HOST}"]
    files = ["-keyout", str(certificate.with_name("privkey.pem")), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, stderr=subprocess.DEVNULL)
    _QUEUE.mkdir(parents=True)
    subprocess.run(["chasquid-util", "user-add", login[0], f"--password={login[1]}"], check=True)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["chasquid"], stderr=log)
        servers.listening()
        servers.submit_all([message._replace(login=login) for message in messages])
        world.settle()
        server.terminate()
        server.wait()
        for path in _QUEUE.iterdir():
            path.write_text(
                re.sub(r"(created_at_ts:\s*\{\s*seconds:\s*)\d+", rf"\g<1>{time.time() - _LIFE:.0f}", path.read_text())
            )
        server = subprocess.Popen(["chasquid"], stderr=log)
        servers.until(lambda: not any(_QUEUE.iterdir()))
        world.settle(1)
        server.terminate()
