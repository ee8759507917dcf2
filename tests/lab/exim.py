"""Exim 4, as in Debian's exim4-daemon-light."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from pathlib import Path

    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "send"]

PACKAGES = ("exim4-daemon-light",)
LIBRARIES = ("libidn12", "libgnutls-dane0", "libnsl2")

TOLD: dict[str, dict[str, str]] = {}

_CONFIGURATION = """\
exim_path = {binary}
primary_hostname = mail.example.org
qualify_domain = example.org
spool_directory = {folder}/spool
log_file_path = {folder}/log-%s
never_users =
host_lookup =
local_interfaces = 127.0.0.1
keep_environment =
add_environment =
disable_ipv6 = true
begin routers
home:
  driver = accept
  domains = example.org
  transport = home
world:
  driver = manualroute
  route_data = ${{lookup{{$domain}}lsearch{{{folder}/routes}}}}
  transport = remote
  self = send
begin transports
home:
  driver = appendfile
  directory = {folder}/home
  maildir_format
  user = Debian-exim
  create_directory
remote:
  driver = smtp
  hosts_try_dane =
  dnssec_request_domains =
begin retry
* * F,1s,1s
"""


def send(unpacked: Path, folder: Path, world: World, messages: list[servers.Message]) -> list[bytes]:
    """Return the bounces of *messages*, which Exim sends out of *folder*."""
    binary = unpacked / "usr" / "sbin" / "exim4"
    (folder / "routes").write_text("".join(f"{domain}: {address}\n" for domain, address in world.addresses.items()))
    configuration = servers.etc("exim4/exim4.conf", _CONFIGURATION.format(folder=folder, binary=binary))
    assert configuration.exists()
    servers.user("Debian-exim", 640)
    servers.give(folder, "Debian-exim")
    for message in messages:
        subprocess.run(
            [binary, "-oMr", "esmtp", "-odi", "-f", message.sender, *message.recipients],
            input=message.content,
            check=True,
        )
    time.sleep(3)  # longer than anything is tried
    subprocess.run([binary, "-qff"], check=True)
    subprocess.run([binary, "-qff"], check=True)
    return [path.read_bytes() for path in sorted((folder / "home" / "new").iterdir())]
