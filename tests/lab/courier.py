"""Courier, as in Debian's courier-mta."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("courier-mta", "courier-base", "courier-authlib")
LIBRARIES = ("libcourier-unicode4", "libgamin0", "libgdbm6", "libidn12", "libltdl7", "libpcre3", "libstdc++6")

WITHOUT = {"alias-of-three": "it tells nobody of what failed behind an alias of several addresses"}
WARNS = True
# A peer that says nothing at all leaves it without words, beside 4.0.0 and then 5.0.0
_WORDLESS: dict[str, object] = {"severity": "hard", "reason": "undetermined"}
TOLD: Told = {
    "expanded": {"action": "relayed"},
    "": {"status": "5.0.0"},
    "late": {"status": "4.0.0"},
    "without-status": {"status": "5.0.0"},
    "no-smtputf8": {"reply_code": 553},
    "MX": {"reason": "domain_unknown"},
    "hangs-up-at-once": _WORDLESS,
    "silent": _WORDLESS,
}

_SETTINGS = {
    "me": servers.HOST,
    "defaultdomain": servers.HOST,
    "locals": servers.HOST,
    "warntime": "4",
    "queuetime": "16",
    "retryalpha": "2",
    "retrybeta": "100",
    "esmtpdelay": "0",
    "esmtptimeout": "3",
    "esmtptimeouthelo": "3",
    "esmtptimeoutdata": "3",
    "esmtptimeoutconnect": "3",
    "esmtptimeoutkeepalive": "0",
}
_LISTENER = """
ADDRESS=127.0.0.1
PORT=25
TARPIT=0
BOFHCHECKDNS=0
MAXPERC=40
MAXPERIP=40
RELAYCLIENT=
"""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    servers.user("courier", 647)
    for name, value in _SETTINGS.items():
        servers.etc(f"courier/{name}", f"{value}\n")
    servers.aliases("courier/aliases/system")
    listener = Path("/etc/courier/esmtpd")
    servers.etc("courier/esmtpd", listener.read_text() + _LISTENER)
    servers.etc("environment", "")
    for name in ("allfilters", "filters", "msgq", "msgs", "track", "tmp/broken"):
        (Path("/var/lib/courier") / name).mkdir(parents=True)
    servers.give(Path("/var/lib/courier"), "courier")
    Path("/run/courier").mkdir()
    servers.give(Path("/run/courier"), "courier")
    subprocess.run(["/usr/lib/courier/makealiases"], check=True)
    subprocess.run(["courier", "start"], check=True)
    subprocess.run(["/usr/lib/courier/esmtpd", "start"], check=True)
    servers.listening()
    servers.submit_all(messages)
    servers.until(_has_no_queue)
    world.settle(1)


def _has_no_queue() -> bool:
    return not any(path.is_file() for path in Path("/var/lib/courier/msgs").rglob("*"))
