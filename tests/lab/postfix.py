"""Postfix, as in Debian's postfix."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("postfix",)
LIBRARIES = ("libidn12", "libicu72", "libdb5.3", "libsasl2-2", "libssl3", "libnsl2")

WITHOUT: dict[str, str] = {}
WARNS = True
# It goes on to the next exchanger after a 5yz greeting, and then reports it as 4yz; of a 5yz to EHLO it says
# what it says of a greeting
TOLD: Told = {
    "": {"status": "4.4.2"},
    "late": {"status": "4.4.2"},
    "NAME": {"status": "5.4.4"},
    "MX": {"status": "5.1.0"},
    "TCP": {"status": "4.4.1"},
    "CONN": {"severity": "soft", "passes": True},
    "EHLO": {"command": "CONN"},
    "without-status": {"status": "5.0.0"},
    "size-offered": {"status": "5.3.4"},
    "no-smtputf8": {"status": "5.6.7"},
}

_MAIN = """\
compatibility_level = 3.6
myhostname = mail.example.org
mydestination = mail.example.org
maillog_file = /var/log/mail.log
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
alias_maps = texthash:/etc/postfix/aliases
default_destination_concurrency_limit = 20
delay_warning_time = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
maximal_queue_lifetime = {lifetime}
bounce_queue_lifetime = 1h
smtp_tls_security_level = none
smtp_helo_timeout = 3s
smtp_data_done_timeout = 3s
smtp_skip_5xx_greeting = yes
"""
_MASTER = """\
smtp inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    servers.etc("ld.so.conf.d/postfix.conf", "/usr/lib/postfix\n")
    subprocess.run(["ldconfig"], check=True)
    servers.user("postfix", 641)
    servers.user("postdrop", 642)
    servers.etc("postfix/main.cf", _MAIN.format(lifetime="1h"))
    servers.etc("postfix/master.cf", _MASTER)
    servers.etc("postfix/dynamicmaps.cf", "")
    servers.etc("postfix/aliases", "".join(f"{name} {', '.join(to)}\n" for name, to in servers.ALIASES.items()))
    for place in ("/var/spool/postfix", "/var/lib/postfix"):
        Path(place).mkdir()
    servers.give(Path("/var/lib/postfix"), "postfix")
    subprocess.run(["postfix", "start"], check=True)
    servers.submit_all(messages)
    world.settle()
    subprocess.run(["postfix", "stop"], check=True)
    servers.etc("postfix/main.cf", _MAIN.format(lifetime="0"))
    subprocess.run(["postfix", "start"], check=True)
    servers.until(_has_no_queue)
    subprocess.run(["postfix", "stop"], check=True)


def _has_no_queue() -> bool:
    subprocess.run(["postqueue", "-f"], check=True)
    queue = subprocess.run(["postqueue", "-p"], check=True, stdout=subprocess.PIPE)
    return b"queue is empty" in queue.stdout
