"""OpenSMTPD, as in Debian's opensmtpd."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("opensmtpd",)
LIBRARIES = ("libevent-2.1-7", "libdb5.3", "libssl3")

_NO_SMTPUTF8 = "it knows no SMTPUTF8"
WITHOUT = {
    "no-smtputf8": _NO_SMTPUTF8,
    "smtputf8": _NO_SMTPUTF8,
    "silent": "it waits five minutes, and no setting makes that less",
    "silent-at-the-end": "it waits five minutes, and no setting makes that less",
}
WARNS = True
# It never names the command.  It takes a refusal of the connection or of EHLO and a null MX for what may pass; of what
# may, it says at the end only that the envelope has expired, and calls that a delay once more (Action, Subject, text).
_NOT_NAMED: dict[str, object] = {"command": None}
TOLD: Told = dict.fromkeys(("MAIL", "RCPT", "DATA", "END"), _NOT_NAMED) | {
    "": {"action": "delayed", "severity": "soft", "reason": "expired", "suppress": False, "status": "4.4.7"},
    "late": {"reason": "network_error", "status": "4.0.0"},
    "without-status": {"status": "5.0.0"},
    "CONN": {"passes": True},
    "EHLO": {"passes": True},
    "NAME": {"action": "failed", "severity": "hard", "reason": "domain_unknown", "suppress": True, "status": "5.0.0"},
    "MX": {"passes": True},
    "null-mx-delay": {"reason": "domain_no_mail"},
    "no-delay": {"warned": True},
    "size-offered": {"action": "failed", "severity": "hard", "reason": "message_too_large", "status": "5.0.0"},
}

_CONFIGURATION = """\
queue ttl 8s
bounce warn-interval 1s
table aliases file:/etc/aliases
listen on socket
listen on 127.0.0.1
action "local" expand-only alias <aliases>
action "world" relay
match from any for domain "mail.example.org" action "local"
match from any for any action "world"
"""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    configuration = servers.etc("smtpd.conf", _CONFIGURATION)
    servers.aliases()
    servers.user("opensmtpd", 643)
    servers.user("opensmtpq", 644)
    for place in ("/var/lib/opensmtpd/empty", "/var/spool/smtpd", "/run/opensmtpd"):
        Path(place).mkdir(parents=True, mode=0o711)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["smtpd", "-d", "-f", configuration], stderr=log)
    servers.listening()
    servers.submit_all(messages)
    world.settle(12)
    server.terminate()
