"""Exim 4, as in Debian's exim4-daemon-light."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("exim4-daemon-light",)
LIBRARIES = ("libidn12", "libgnutls-dane0", "libnsl2", "libpcre2-8-0", "libunbound8", "libevent-2.1-7")

WITHOUT = {"no-smtputf8": "it is sent all the same"}
WARNS = True
# Whatever it finds nowhere to send is an "Unrouteable address", a domain that does not exist too.
# Of what failed without a reply it says only that the time is over, and before that nothing
TOLD: Told = {
    "delivered": {"action": "delivered"},
    "expanded": {"action": "delivered"},
    "": {"reason": "expired", "status": "5.0.0"},
    "late": {"reason": "undetermined", "status": "4.0.0"},
    "without-status": {"status": "5.0.0"},
    "NAME": {"reason": "user_unknown"},
    "MX": {"reason": "domain_no_mail"},
    "alias": {"final_recipient": "team@mail.example.org"},
    "alias-of-three": {"final_recipient": "all@mail.example.org"},
}

_CONFIGURATION = """\
primary_hostname = mail.example.org
qualify_domain = example.org
never_users =
host_lookup =
local_interfaces = 127.0.0.1
hosts_treat_as_local =
keep_environment =
add_environment =
disable_ipv6 = true
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
tls_advertise_hosts =
acl_smtp_rcpt = accept
delay_warning = 1s:1d
begin routers
aliases:
  driver = redirect
  domains = mail.example.org
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
world:
  driver = dnslookup
  transport = world
begin transports
world:
  driver = smtp
  hosts_try_dane =
  dnssec_request_domains =
  command_timeout = 3s
  final_timeout = 3s
begin retry
"""


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    servers.etc("exim4/exim4.conf", _CONFIGURATION + "* * F,1h,1s\n")
    servers.aliases()
    servers.user("Debian-exim", 640)
    for place in ("/run/exim4", "/var/log/exim4", "/var/spool/exim4"):
        Path(place).mkdir()
        servers.give(Path(place), "Debian-exim")
    server = subprocess.Popen(["exim4", "-bdf"])
    servers.listening()
    servers.submit_all(messages)
    world.settle()
    subprocess.run(["exim4", "-qff"], check=True)
    servers.etc("exim4/exim4.conf", _CONFIGURATION + "* * F,1s,1s\n")
    subprocess.run(["exim4", "-qff"], check=True)
    world.settle(1)
    server.terminate()
