"""Sendmail 8, as in Debian's sendmail-bin."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab import servers

if TYPE_CHECKING:
    from lab.expected import Told
    from lab.world import World

__all__ = ["LIBRARIES", "PACKAGES", "TOLD", "WARNS", "WITHOUT", "send"]

PACKAGES = ("sendmail-bin", "sendmail-base", "sendmail-cf")
LIBRARIES = (
    "m4",
    "libdb5.3",
    "libldap-2.5-0",
    "liblockfile1",
    "libnsl2",
    "libsasl2-2",
    "libssl3",
    "libwrap0",
    "libsigsegv2",
)

_NO_SMTPUTF8 = "Debian's knows no SMTPUTF8"
WITHOUT = {
    "no-smtputf8": _NO_SMTPUTF8,
    "smtputf8": _NO_SMTPUTF8,
    "success-of-alias": "it tells nobody that it expanded an alias",
}
WARNS = True
# Where there was no reply, it makes one
_READ_ERROR: dict[str, object] = {"reply_code": 451, "status": "4.4.1"}
_RESET: dict[str, object] = {"reply_code": 421, "status": "4.4.1"}
_NONE: dict[str, object] = {"reply_code": None, "status": "4.4.2"}
TOLD: Told = {
    "NAME": {"reply_code": 550, "status": "5.1.2"},
    "MX": {"reply_code": 556, "status": "5.1.10"},
    "nobody-listens": {"status": "4.4.7"},
    "nobody-listens-delay": {"status": "4.4.1"},
    "hangs-up-at-once": _READ_ERROR,
    "hangs-up-at-once-delay": _NONE,
    "hangs-up": _RESET,
    "hangs-up-at-the-end": _READ_ERROR,
    "silent": _READ_ERROR,
    "silent-delay": _NONE,
    "silent-at-the-end": _READ_ERROR,
    "without-status": {"status": "5.1.1"},
    "alias": {"final_recipient": "team@mail.example.org"},
    "alias-of-three": {"final_recipient": "all@mail.example.org"},
}

_CONFIGURATION = """\
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mail.example.org')dnl
define(`ALIAS_FILE', `/etc/aliases')dnl
define(`confTO_INITIAL', `3s')dnl
define(`confTO_DATAFINAL', `3s')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`confHOST_STATUS_DIRECTORY', `')dnl
define(`confPRIVACY_FLAGS', `')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Addr=127.0.0.1')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
_SENDMAIL = "/usr/libexec/sendmail/sendmail"


def send(folder: Path, world: World, messages: list[servers.Message]) -> None:
    """Send *messages* until each is delivered or has failed."""
    made = subprocess.run(["m4"], input=_CONFIGURATION.encode(), check=True, stdout=subprocess.PIPE)
    servers.etc("mail/sendmail.cf", made.stdout.decode())
    servers.etc("mail/local-host-names", f"{servers.HOST}\n")
    servers.aliases()
    for name, number in (("smmta", 645), ("smmsp", 646)):
        servers.user(name, number)
    Path("/var/spool/mqueue").mkdir(mode=0o700)
    subprocess.run([_SENDMAIL, "-bi"], check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([_SENDMAIL, "-bD"])
    servers.listening()
    servers.submit_all(messages)
    world.settle()
    subprocess.run([_SENDMAIL, "-q", "-O", "Timeout.queuewarn=1s"], check=True)
    world.settle()
    subprocess.run([_SENDMAIL, "-q", "-O", "Timeout.queuereturn=1s"], check=True)
    servers.until(_has_no_queue)
    world.settle(1)
    server.terminate()


def _has_no_queue() -> bool:
    return not any(Path("/var/spool/mqueue").iterdir())
