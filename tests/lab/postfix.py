"""Postfix, as in Debian's postfix."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from pathlib import Path

    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "send"]

PACKAGES = ("postfix",)
LIBRARIES = ("libidn12", "libicu72", "libdb5.3", "libsasl2-2", "libssl3", "libnsl2")

# It goes on to the next exchanger after a 5yz greeting, and then reports it as 4yz; of a 5yz to EHLO it says
# what it says of a greeting
TOLD = {"CONN": {"severity": "soft"}, "EHLO": {"command": "CONN"}}

_MAIN = """\
compatibility_level = 3.6
myhostname = mail.example.org
mydestination =
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {unpacked}/usr/sbin
daemon_directory = {unpacked}/usr/lib/postfix/sbin
shlib_directory = {unpacked}/usr/lib/postfix
meta_directory = /etc/postfix
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_protocols = ipv4
inet_interfaces = 127.0.0.1
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/home
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:641
virtual_gid_maps = static:641
transport_maps = texthash:/etc/postfix/transport
default_destination_concurrency_limit = 20
# what fails for now fails for good at once
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
smtp_tls_security_level = none
"""
_MASTER = """\
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def send(unpacked: Path, folder: Path, world: World, messages: list[servers.Message]) -> list[bytes]:
    """Return the bounces of *messages*, which Postfix sends out of *folder*."""
    # Postfix's programs keep nothing of the environment, so LD_LIBRARY_PATH would not reach its daemons
    servers.etc("ld.so.conf.d/postfix.conf", f"{unpacked}/usr/lib/postfix\n")
    subprocess.run(["ldconfig"], check=True)
    servers.user("postfix", 641)
    servers.user("postdrop", 642)
    servers.etc("postfix/main.cf", _MAIN.format(folder=folder, unpacked=unpacked))
    servers.etc("postfix/master.cf", _MASTER)
    servers.etc("postfix/dynamicmaps.cf", "")
    servers.etc(
        "postfix/transport", "".join(f"{domain} smtp:[{address}]\n" for domain, address in world.addresses.items())
    )
    for name in ("spool", "data", "home/box"):
        (folder / name).mkdir(parents=True)
    servers.give(folder / "data", "postfix")
    servers.give(folder / "home", "postfix")
    for name in (
        "active",
        "bounce",
        "corrupt",
        "defer",
        "deferred",
        "flush",
        "hold",
        "incoming",
        "private",
        "saved",
        "trace",
    ):
        (folder / "spool" / name).mkdir(mode=0o700)
        servers.give(folder / "spool" / name, "postfix")
    (folder / "spool" / "pid").mkdir()
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        (folder / "spool" / name).mkdir()
        subprocess.run(["chown", "postfix:postdrop", folder / "spool" / name], check=True)
        (folder / "spool" / name).chmod(mode)
    master = subprocess.Popen([unpacked / "usr/lib/postfix/sbin/master", "-d"])
    for message in messages:
        command = [str(unpacked / "usr/sbin/sendmail"), "-f", message.sender, *message.recipients]
        subprocess.run(command, input=message.content, check=True)
    home = folder / "home" / "box" / "new"
    known, quiet = -1, 0
    while quiet < 20:
        time.sleep(0.2)
        number = len(list(home.iterdir())) if home.is_dir() else 0
        quiet = quiet + 1 if number == known else 0
        known = number
    master.terminate()
    return [path.read_bytes() for path in sorted(home.iterdir())] if known else []
