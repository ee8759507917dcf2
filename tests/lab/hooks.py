"""``python -m lab.hooks FOLDER``: procmail and maildrop hand bounces over as docs/integrating.md says.

What became of it is printed as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from messages import bounce, message
from pages import ROOT, page_steps

from lab import machine

__all__ = ["PACKAGES"]

PACKAGES = ("procmail", "maildrop")
_NULL = b"Return-Path: <>\n"
MESSAGES = {
    "bounce": bounce("fred@example.com").replace(b"report; report-type", b"report;\n\treport-type"),
    "letter": b"Return-Path: <ann1@example.com>\n" + message(1, "Hello"),
    "list": b"Return-Path: <list-bounces@example.net>\n" + message(2, "News of a list", "Precedence: list"),
    "admin": b"Return-Path: <admin@example.com>\n"
    + message(3, "The minutes").replace(b"Ann <ann3@example.com>", b"Admin <admin@example.com>"),
    "auto-reply": _NULL + message(4, "Out of office", "Auto-Submitted: auto-replied"),
    "receipt": (ROOT / "fixtures" / "not-bounces" / "receipt-deleted.eml").read_bytes().partition(b"\nFrom: news@")[0],
    "old notice": _NULL + message(5, "failure notice", text="Hi. This is the qmail-send program at mail.example.net."),
}


def main(folder: Path) -> dict[str, dict[str, object]]:
    """Deliver each message by each program; return how it ended, what is in the mailbox and what in the ledger."""
    machine.become()
    machine.install(folder, *PACKAGES)
    files = {step.mark.rpartition("/")[2]: step.text for step in page_steps("docs/integrating.md") if "~/" in step.mark}
    return {name: _delivered(name, *files.popitem()) for name in ("maildrop", "procmail")}


def _delivered(program: str, file: str, text: str) -> dict[str, object]:
    user = f"{program}-user"
    home = Path("/var/lib") / user
    machine.shell(f"useradd --home-dir {home} --create-home {user}")
    (home / file).write_text(text)
    machine.shell(f"chown {user}: {home / file} && chmod 600 {home / file}")
    found: dict[str, object] = {"ended": [_run(program, user, content) for content in MESSAGES.values()]}
    found["mailbox"] = _subjects(user)
    found["ledger"] = machine.shell(f"runuser -u {user} -- bounceclass suppress why fred@example.com")
    (home / ".config" / "bounceclass").mkdir(parents=True)
    (home / ".config" / "bounceclass" / "config.toml").write_text("broken")
    found["broken"] = _run(program, user, MESSAGES["bounce"])
    found["mailbox after"] = _subjects(user)
    return found


def _subjects(user: str) -> list[str]:
    return re.findall("^Subject: (.*)$", Path(f"/var/mail/{user}").read_text(), re.MULTILINE)


def _run(program: str, user: str, content: bytes) -> int:
    command = ["runuser", "--login", user, "--shell", "/bin/sh", "--command", program]
    return subprocess.run(command, input=content, check=False).returncode


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
