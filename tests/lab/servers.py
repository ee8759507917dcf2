"""What the servers of the laboratory share: their packages, their namespaces, their messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lab.scenarios import Scenario

__all__ = ["Message", "enter", "etc", "give", "isolate", "message", "unpack", "user"]

ROOT = Path(__file__).parent.parent.parent


class Message(NamedTuple):
    sender: str
    recipients: list[str]
    content: bytes


def message(scenario: Scenario) -> Message:
    """Return the message whose recipients fare as *scenario* says; its bounces go to an address named for it."""
    recipients = [f"{local}@{scenario.domain}" for local in scenario.fates]
    content = (
        f"From: News <news@example.org>\nTo: {', '.join(recipients)}\nSubject: News of the week\n"
        f"Message-ID: <{scenario.name}@example.org>\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nNothing happened.\n"
    )
    return Message(f"{scenario.name}@example.org", recipients, content.encode())


def unpack(packages: tuple[str, ...], libraries: tuple[str, ...], folder: Path) -> Path:
    """Return where the contents of Debian's *packages* are: they conflict, so only *libraries* are installed."""
    install = ["apt-get", "install", "-qqy", "--no-install-recommends", *libraries]
    subprocess.run(
        install, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    )
    folder.mkdir(parents=True)
    shutil.chown(folder, "_apt")
    subprocess.run(["apt-get", "download", "-q", *packages], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root"


def enter(arguments: list[str]) -> None:
    """Run ``python -m lab.inside`` with *arguments* in namespaces of its own, which end with it."""
    python = [sys.executable, "-m", "lab.inside", *arguments]
    subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *python],
        check=True,
        cwd=ROOT / "tests",
    )


def isolate(folder: Path) -> None:
    """Bring loopback up, and put a copy over /etc that is thrown away."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("upper", "work"):
        (folder / name).mkdir()
    options = f"lowerdir=/etc,upperdir={folder}/upper,workdir={folder}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, "/etc"], check=True)


def etc(name: str, content: str) -> Path:
    """Write a file under /etc."""
    path = Path("/etc") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def user(name: str, number: int) -> None:
    """Add a user and a group to this /etc."""
    with Path("/etc/passwd").open("a") as users, Path("/etc/group").open("a") as groups:
        users.write(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
        groups.write(f"{name}:x:{number}:\n")


def give(folder: Path, user: str) -> None:
    """Let *user* write in *folder*."""
    shutil.chown(folder, user)
    for path in folder.rglob("*"):
        shutil.chown(path, user)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o111)
