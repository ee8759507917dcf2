"""``python -m lab.loop SERVER FOLDER``: a list mail goes out, bounces come back, and the next goes to the living.

The commands are those of docs/postfix.md and docs/exim.md.  What became of it is printed as JSON.
"""

from __future__ import annotations

import json
import re
import smtplib
import sys
import threading
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from messages import bounce
from pages import sections

from lab import machine, servers
from lab.scenarios import Fate, Scenario

if TYPE_CHECKING:
    from lab.servers import Message

__all__ = ["BLOCKED", "DEAD", "EVERYBODY", "FOR_NOW", "FULL", "HOLIDAY", "LATE", "PACKAGES"]

PACKAGES = {"postfix": ("postfix", "libfaketime"), "exim": ("exim4-daemon-light", "libfaketime")}

_UNKNOWN = Fate("RCPT", "550 5.1.1 User unknown", "user_unknown", "hard", suppress=True)
_BLOCKED = Fate(
    "RCPT",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using dnsbl.example.net",
    "blocked_reputation",
    "hard",
)
_FULL = Fate("RCPT", "552 5.2.2 Mailbox full", "mailbox_full", "soft")
_GREYLISTED = Fate("RCPT", "450 4.2.0 Greylisted, please try again later", "greylisted", "soft")
_SHOP = Scenario(
    "shop",
    {
        "fred": _UNKNOWN,
        "george": Fate("RCPT", "550 5.1.1 No such user here", "user_unknown", "hard", suppress=True),
        "ida": Fate("RCPT", "551 5.1.6 User has moved", "address_moved", "hard", suppress=True),
        "walter": _FULL,
        "vera": _GREYLISTED,
        "will": _GREYLISTED,
    }
    | {f"reader{number}": None for number in range(14)},
)
_OFFICE = Scenario(
    "office",
    {
        "dora": _UNKNOWN,
        "ben": _BLOCKED,
        "bill": _BLOCKED,
        "bob": _BLOCKED,
        "dan": Fate("RCPT", "550 5.2.1 Mailbox disabled", "mailbox_disabled", "hard"),
        "holly": None,
    }
    | {f"clerk{number}": None for number in range(20)},
)
_GONE = Scenario("gone", dict.fromkeys(("paul", "pia"), Fate("NAME", "", "domain_unknown", "hard", suppress=True)))
_NO_MAIL = Scenario("no-mail", dict.fromkeys(("nora", "nick"), Fate("MX", "", "domain_no_mail", "hard", suppress=True)))
_WORLD = (_SHOP, _OFFICE, _GONE, _NO_MAIL)
_FATES = {f"{local}@{scenario.domain}": fate for scenario in _WORLD for local, fate in scenario.fates.items()}

EVERYBODY = sorted(_FATES, key=lambda address: address[::-1])  # the dead stand among the living
DEAD = {address for address, fate in _FATES.items() if fate and fate.suppress}
FOR_NOW = {address for address, fate in _FATES.items() if fate is _GREYLISTED}
BLOCKED = {address for address, fate in _FATES.items() if fate is _BLOCKED}
FULL = "walter@shop.example.com"
HOLIDAY = "holly@office.example.com"
LATE = "late@shop.example.com"

_EXPORT = Path("/var/lib/bounceclass/suppressed")
_MAILDIR = Path("/var/lib/bounceclass/Maildir")


class Server(Protocol):
    """What the loop asks of a mail server."""

    name: str
    log: Path

    def prepare(self) -> None:
        """Make of what Debian has installed a server for example.org that gives up after twelve hours."""

    def start(self) -> None: ...
    def stop(self) -> None: ...

    def flush(self) -> None:
        """Let everything in the queue be tried now."""

    def waiting(self) -> set[str]:
        """Return who has not got his mail yet; somebody, where that is being found out."""

    def put_off(self, address: str) -> bool:
        """Tell whether mail to *address* is to be tried again."""


class Postfix:
    name = "postfix"
    log = Path("/var/log/postfix.log")

    def prepare(self) -> None:
        machine.shell(
            f"postconf -e 'inet_interfaces = 127.0.0.1, {servers.OUTSIDE}' inet_protocols=ipv4 "
            f"maximal_queue_lifetime=12h bounce_queue_lifetime=12h maillog_file={self.log}"
        )

    def start(self) -> None:
        machine.shell("postfix start")

    def stop(self) -> None:
        machine.shell("postfix stop")

    def flush(self) -> None:
        machine.shell("postqueue -f")

    def waiting(self) -> set[str]:
        messages = [json.loads(line) for line in machine.shell("postqueue -j").splitlines()]
        at_work = {"somebody" for message in messages if message["queue_name"] != "deferred"}
        return at_work | {recipient["address"] for message in messages for recipient in message["recipients"]}

    def put_off(self, address: str) -> bool:
        return re.search(rf"to=<{address}>.*status=deferred", self.log.read_text()) is not None


class Exim:
    name = "exim"
    log = Path("/var/log/exim4/mainlog")

    def prepare(self) -> None:
        settings = {
            "eximconfig_configtype": "internet",
            "other_hostnames": "example.org",
            "local_interfaces": f"127.0.0.1 ; {servers.OUTSIDE}",
            "use_split_config": "true",
        }
        file = "/etc/exim4/update-exim4.conf.conf"
        for key, value in settings.items():
            machine.shell(f"sed -i \"s/^dc_{key}=.*/dc_{key}='{value}'/\" {file}")
        Path("/etc/exim4/conf.d/retry/30_exim4-config").write_text("* * F,12h,15m\n")

    def start(self) -> None:
        machine.shell("service exim4 start")

    def stop(self) -> None:
        machine.shell("service exim4 stop")

    def flush(self) -> None:
        machine.shell("exim4 -qff")

    def waiting(self) -> set[str]:
        lines = machine.shell("exim4 -bpru").splitlines()
        return {line.strip() for line in lines if line.startswith("   ") and "@" in line}

    def put_off(self, address: str) -> bool:
        return f" == {address} " in self.log.read_text()


class _Loop:
    def __init__(self, server: Server) -> None:
        from lab.world import World  # it takes dnspython, and lab.packages runs before that is installed

        self.server = server
        self.page = sections(f"docs/{server.name}.md")
        self.delivered: dict[str, set[str]] = {}
        """Who got his mail, by what it was sent as."""
        self.clock = 0
        """Seconds from the true time to that of the loop."""
        self.replies = 0
        World(_WORLD, self.taken)

    def taken(self, message: Message) -> None:
        """Hear what the world has accepted; one of its people is on holiday, and says so (RFC 3834)."""
        name = message.content.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()
        self.delivered.setdefault(name, set()).update(message.recipients)
        if HOLIDAY in message.recipients:
            threading.Thread(target=self.reply, args=(message.sender,)).start()

    def reply(self, to: str) -> None:
        note = EmailMessage()
        note["From"], note["To"], note["Subject"] = HOLIDAY, to, "Auto: News of the week"
        note["Auto-Submitted"] = "auto-replied"
        note["Date"], note["Message-ID"] = formatdate(time.time() + self.clock), make_msgid(domain="office.example.com")
        note.set_content("I am on holiday until Monday and read your message then.\n")
        with smtplib.SMTP(servers.OUTSIDE, 25, "mx.office.example.com", source_address=("192.0.2.2", 0)) as server:
            server.send_message(note, from_addr="<>", to_addrs=to)
        self.replies += 1

    def start(self, days: int) -> None:
        """Start the server so many *days* from now, where its clock and everybody's are concerned."""
        self.clock = days * 86400
        machine.set_clock(f"{self.clock:+}")
        self.server.start()

    def mail(self, name: str, sender: str, recipients: list[str], at_once: int = 1000) -> dict[str, str]:
        """Submit a message, *at_once* recipients at a time; return who was refused, and what the server said."""
        refused: dict[str, str] = {}
        content = (
            f"From: News <news@example.org>\nTo: readers:;\nSubject: News\nMessage-ID: <{name}@example.org>\n\nHi.\n"
        )
        servers.listening()
        with smtplib.SMTP("127.0.0.1", 25, "localhost") as server:
            for begin in range(0, len(recipients), at_once):
                said = server.sendmail(sender, recipients[begin : begin + at_once], content)
                refused |= {address: f"{code} {text.decode()}" for address, (code, text) in said.items()}
        return refused

    def settled(self, waiting: set[str], replies: int) -> None:
        """Wait until everything has gone its way but the mail to those who are *waiting*; for nobody's all is tried."""
        servers.until(lambda: self.replies == replies, what="the replies from holiday")
        seen: list[set[str]] = []

        def settled() -> bool:
            if not waiting:
                self.server.flush()
            seen.append(self.server.waiting())
            return seen[-3:] == [waiting] * 3  # a bounce may be about to be made

        servers.until(settled, what=f"the queue has {waiting}")

    def broken(self) -> str:
        """Let a bounce come while bounceclass cannot run; return what is known of its address once it can."""
        program = Path("/usr/bin/bounceclass")
        ours = program.readlink()
        program.unlink()
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        with smtplib.SMTP(servers.OUTSIDE, 25, "mx.shop.example.com", source_address=("192.0.2.1", 0)) as world:
            world.sendmail("", ["bounces@example.org"], bounce(LATE))
        servers.until(lambda: self.server.put_off("bounces@example.org"), what="the bounce is put off")
        program.unlink()
        program.symlink_to(ours)
        self.settled(set(), replies=self.replies)
        return machine.shell(f"runuser -u bounceclass -- bounceclass suppress why {LATE}")

    def suppressed(self) -> list[str]:
        """Return who stands on the list, as the export and as the command line have it."""
        exported = [line.split()[0].rstrip(":") for line in _EXPORT.read_text().splitlines()]
        listed = machine.shell("runuser -u bounceclass -- bounceclass suppress list").splitlines()
        assert sorted(exported) == sorted(line.split()[0] for line in listed if "@" in line)
        return sorted(exported)


def main(server: Server, folder: Path) -> dict[str, object]:
    """Go round the loop, and return what became of it."""
    machine.become()
    machine.install(folder, *PACKAGES[server.name])
    server.prepare()
    loop, found = _Loop(server), dict[str, object]()

    loop.start(-1)
    for heading in ("Set up", "Bounces as they come", "Bounces in a mailbox", "Refuse who is suppressed"):
        machine.shell(loop.page[heading])
    found["refused yesterday"] = loop.mail("first", "bounces@example.org", EVERYBODY, at_once=10)
    loop.settled(FOR_NOW, replies=1)
    machine.shell(loop.page["Every ten minutes"])
    found["suppressed yesterday"] = loop.suppressed()

    server.stop()
    loop.start(0)
    loop.settled(set(), replies=1)
    found["refused today"] = loop.mail("second", "returned@example.org", EVERYBODY)
    loop.settled(FOR_NOW, replies=2)
    found["processed"] = machine.shell(loop.page["Every ten minutes"])
    found["folders"] = {path.parent.name: len(list(path.iterdir())) for path in _MAILDIR.glob(".*/cur")}
    found["suppressed"] = loop.suppressed()
    found["why"] = machine.shell(loop.page["Who is suppressed, and why"])
    found["holiday"] = machine.shell(f"runuser -u bounceclass -- bounceclass suppress why {HOLIDAY}")
    found["for now"] = machine.shell(f"runuser -u bounceclass -- bounceclass suppress why {min(FOR_NOW)}")

    for scenario in (_SHOP, _OFFICE):  # they have made room, and think better of us
        scenario.fates.update({local: None for local, fate in scenario.fates.items() if fate and not fate.suppress})
    found["refused"] = loop.mail("third", "bounces+third@example.org", EVERYBODY)
    loop.settled(FOR_NOW, replies=3)
    loop.settled(set(), replies=3)

    machine.shell(loop.page["Bring an address back"])
    _SHOP.fates["fred"] = None
    found["refused after the release"] = loop.mail("fourth", "bounces@example.org", sorted(DEAD))
    loop.settled(set(), replies=3)
    found["while it was broken"] = loop.broken()

    server.stop()
    loop.start(31)
    machine.shell(loop.page["Every ten minutes"])
    found["suppressed after a month"] = loop.suppressed()
    found["refused after a month"] = loop.mail("fifth", "bounces@example.org", EVERYBODY)
    loop.settled(set(), replies=4)
    machine.shell(loop.page["Every ten minutes"])
    found["suppressed again"] = loop.suppressed()
    server.stop()
    return found | {"delivered": {name: sorted(who) for name, who in loop.delivered.items()}}


def _print(server: Server, folder: Path) -> None:
    """Print what became of it, or what the server has to say of what went wrong."""
    try:
        print(json.dumps(main(server, folder)))
    except BaseException:
        if server.log.exists():
            print("\n".join(server.log.read_text().splitlines()[-100:]), file=sys.stderr)
        raise


if __name__ == "__main__":
    _print(Postfix() if sys.argv[1] == "postfix" else Exim(), Path(sys.argv[2]))
