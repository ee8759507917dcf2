"""``python -m lab.cron FOLDER``: Debian's cron runs docs/cron.md, and mails only what needs a person.

What became of it is printed as JSON.
"""

from __future__ import annotations

import json
import mailbox
import shutil
import sys
import time
from pathlib import Path

from messages import bounce
from pages import Step, page_steps, sections

from lab import machine, servers

__all__ = ["PACKAGES"]

PACKAGES = ("cron", "postfix", "libfaketime", "procps")
EVERY = 600
"""Seconds between two runs of the page's line."""
_SPARE = 30
"""Seconds that cron may take to begin, on a slow machine."""

_MAILDIR = Path("/var/lib/bounceclass/Maildir")
_MAIL = Path("/var/mail/root")
# It names nobody, so whom it is about can only be guessed
_UNCLEAR = bounce("ann@example.com", number=3).replace(b"Final-Recipient: rfc822; ann@example.com\n", b"")


def main(folder: Path) -> dict[str, object]:
    """Let cron work through a mailbox twice, and return what became of it."""
    machine.become()
    machine.install(folder, *PACKAGES)
    machine.shell("postconf -e inet_protocols=ipv4 && postfix start")
    machine.shell(sections("docs/postfix.md")["Set up"])
    machine.shell(sections("docs/cron.md")["cron"])
    found: dict[str, object] = {}
    _arrive(bounce("fred@example.com", number=1), _UNCLEAR)
    _next_run()
    servers.until(_MAIL.exists, what="what needs a person is mailed")
    _arrive(bounce("joan@example.com", number=2))
    _next_run()
    found["mail"] = [(message["To"], message["Subject"], message.get_payload()) for message in mailbox.mbox(_MAIL)]
    found["folders"] = {path.parent.name: len(list(path.iterdir())) for path in _MAILDIR.glob(".*/cur")}
    found["lines"] = {line: machine.shell(_as_cron(line)) for line in _lines()}
    found["units"] = _verified()
    return found


def _arrive(*messages: bytes) -> None:
    for number, message in enumerate(messages):
        path = _MAILDIR / "new" / f"{time.time_ns()}.{number}.mail.example.org"
        path.write_bytes(message)
    machine.shell(f"chown -R bounceclass: {_MAILDIR}")


def _next_run() -> None:
    """Start cron a moment before its next run is due, and stop it when that has ended."""
    machine.set_clock(f"{EVERY - _SPARE - time.time() % EVERY:+.0f}")
    machine.shell("service cron start")
    servers.until(lambda: not any((_MAILDIR / "new").iterdir()), _SPARE + 60, "cron works through the mailbox")
    servers.until(lambda: not machine.shell("pgrep -u bounceclass || true"), what="the run ends")
    servers.until(lambda: "queue is empty" in machine.shell("mailq"), what="cron's mail arrives")
    machine.shell("kill $(cat /run/crond.pid) && rm /run/crond.pid")


def _lines() -> list[str]:
    """Return the commands of the page's table, what is commented out included."""
    (table,) = (step.text for step in page_steps("docs/cron.md") if "cron.d" in step.mark)
    return [line.split("bounceclass  ", 1)[1] for line in table.splitlines() if "*/10" in line]


def _as_cron(line: str) -> str:
    return f"runuser -u bounceclass -- env -i HOME=/var/lib/bounceclass PATH=/usr/bin:/bin /bin/sh -c '{line}' 2>&1"


def _verified() -> str | None:
    """Return what systemd has to say of the page's units, nothing if they are sound; None where there is no systemd."""
    units: list[Step] = [step for step in page_steps("docs/cron.md") if "/systemd/" in step.mark]
    for unit in units:
        machine.shell(unit.commands)
    if shutil.which("systemd-analyze") is None:
        return None
    names = " ".join(unit.mark.rpartition(" ")[2] for unit in units)
    return machine.shell(f"SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no {names} 2>&1")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
