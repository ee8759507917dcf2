"""What the servers of the laboratory share: their packages, their namespaces, their messages."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.scenarios import Scenario

__all__ = [
    "ALIASES",
    "HOME",
    "HOST",
    "OUTSIDE",
    "ROOT",
    "WITHOUT_PARAMETERS",
    "Message",
    "Unavailable",
    "aliases",
    "check",
    "connect",
    "empty",
    "enter",
    "etc",
    "give",
    "identify",
    "isolate",
    "listening",
    "message",
    "submit",
    "submit_all",
    "unpack",
    "until",
    "user",
]

ROOT = Path(__file__).parent.parent.parent
HOST = "mail.example.org"
"""Every server's name."""
HOME = "192.0.2.250"
"""Where the mail of example.org goes."""
OUTSIDE = "198.51.100.1"
"""Its address, to the world (RFC 5737)."""
ALIASES = {one.alias.partition("@")[0]: list(one.recipients) for one in SCENARIOS if one.alias}
"""By the local part there, whom mail goes to."""
WITHOUT_PARAMETERS = {one.name: "it takes no parameters of RFC 3461" for one in SCENARIOS if one.rcpt}
"""The scenarios that such a server cannot have, and why."""

PATIENCE = 240
"""Seconds that a server has for all of its notices."""
_NAMESPACES = ("--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


class Message(NamedTuple):
    """A message with its envelope (RFC 5321), and the parameters of its commands (RFC 3461)."""

    sender: str
    recipients: list[str]
    content: bytes
    mail: tuple[str, ...] = ()
    rcpt: tuple[str, ...] = ()
    login: tuple[str, str] | None = None
    """User and password, where a server wants that of who submits (RFC 6409)."""


def message(scenario: Scenario) -> Message:
    """Return the message whose recipients fare as *scenario* says; its bounces go to an address named for it."""
    recipients = scenario.addressed
    content = (
        f"From: News <news@example.org>\nTo: {', '.join(recipients)}\nSubject: News of the week\n"
        f"Message-ID: <{scenario.name}@example.org>\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n{scenario.content}"
    )
    return Message(f"{scenario.name}@example.org", recipients, content.encode(), scenario.mail, scenario.rcpt)


class Unavailable(Exception):
    """A package cannot be fetched, or this machine cannot hold a laboratory."""


def check() -> None:
    """Raise Unavailable where there can be no laboratory."""
    if sys.platform != "linux":
        raise Unavailable("namespaces are Linux's")
    if os.geteuid() != 0:
        raise Unavailable("only root may make namespaces and mounts")
    for program in ("apt-get", "dpkg", "ip", "ldconfig", "mount", "setpriv", "unshare"):
        if not shutil.which(program):
            raise Unavailable(f"there is no {program}")
    done = subprocess.run(["unshare", *_NAMESPACES, "true"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(done.stderr.strip())


def unpack(packages: tuple[str, ...], libraries: tuple[str, ...], folder: Path) -> Path:
    """Return where the contents of Debian's *packages* and *libraries* are; none is installed, since they conflict."""
    root = folder / "root"
    (root / "usr").mkdir(parents=True)
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir()
        (root / name).symlink_to(f"usr/{name}")
    download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *packages, *libraries]
    done = subprocess.run(download, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(done.stderr.strip())
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    return root


def enter(arguments: list[str], inside: str = "lab.inside") -> str:
    """Run ``python -m`` *inside* with *arguments* in namespaces of its own, which end with it and with this process.

    Return what it prints.
    """
    command = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        *_NAMESPACES,
        sys.executable,
        "-m",
        inside,
        *arguments,
    ]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT / "tests",
        env=os.environ | {"TZ": "UTC", "LC_ALL": "C"},
        timeout=PATIENCE,
        capture_output=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[-1]}: {(done.stdout + done.stderr).decode(errors='replace')[-5000:]}")
    return done.stdout.decode()


def isolate(root: Path, folder: Path) -> None:
    """Make this machine the server's: its name, its network, and what was unpacked in *root* in its place.

    The world's addresses (RFC 5737) are here and no others; what is written to the system is thrown away.
    """
    connect()
    layers = folder / "layers"
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", layers], check=True)
    for name in ("etc", "usr"):
        (root / name).mkdir(exist_ok=True)
        for layer in ("upper", "work"):
            (layers / name / layer).mkdir(parents=True)
        options = f"lowerdir={root / name}:/{name},upperdir={layers / name / 'upper'},workdir={layers / name / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"/{name}"], check=True)
    for place in ("/var/lib", "/var/log", "/var/mail", "/var/spool", "/run"):
        empty(place)
    identify()
    etc("mailname", f"{HOST}\n")
    subprocess.run(["ldconfig"], check=True)


def connect() -> None:
    """Bring this machine's network up."""
    # Some resolvers look up no address where loopback is all there is
    for command in (
        "link set lo up",
        "route add local 192.0.2.0/24 dev lo",
        "link add outside type bridge",
        f"addr add {OUTSIDE}/24 dev outside",
        "link set outside up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def identify() -> None:
    """Give this machine its name, and the world's name server."""
    socket.sethostname(HOST)
    etc("resolv.conf", "nameserver 127.0.0.1\n")
    etc("hosts", f"127.0.0.1 localhost\n{OUTSIDE} {HOST} mail\n")


def etc(name: str, content: str) -> Path:
    """Write a file under /etc."""
    path = Path("/etc") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(content)
    return path


def user(name: str, number: int) -> None:
    """Add a user and a group to this /etc."""
    with Path("/etc/passwd").open("a") as users, Path("/etc/group").open("a") as groups:
        users.write(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
        groups.write(f"{name}:x:{number}:\n")


def give(folder: Path, user: str) -> None:
    """Let *user* write in *folder*."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)


def empty(path: str) -> None:
    """Put an empty folder over *path*."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path], check=True)


def listening(seconds: float = 20) -> None:
    """Wait until a server listens on 127.0.0.1."""
    until(_listens, seconds)


def _listens() -> bool:
    try:
        socket.create_connection(("127.0.0.1", 25), 1).close()
    except OSError:
        return False
    return True


def until(done: Callable[[], bool], seconds: float = 60, what: str = "") -> None:
    """Wait until *done*, and raise TimeoutError with *what* it is where that takes too long."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.2)


def submit(message: Message) -> None:
    """Hand *message* to the server that listens on 127.0.0.1; it refuses what takes an extension that it has not."""
    port = 587 if message.login else 25
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=20) as server:
        server.ehlo()
        if message.login:
            server.starttls(context=ssl._create_unverified_context())
            server.login(*message.login)
        if "SMTPUTF8" in message.mail:
            server.command_encoding = "utf-8"
        replies = [server.mail(message.sender, message.mail)]
        for address in message.recipients:
            xtext = address.replace("+", "+2B").replace("=", "+3D")  # RFC 3461 section 4
            replies.append(server.rcpt(address, [option.format(xtext) for option in message.rcpt]))
        replies.append(server.data(message.content.replace(b"\n", b"\r\n")))
        refused = [reply for reply in replies if reply[0] >= 400]
        if refused:
            raise smtplib.SMTPResponseException(*refused[0])


def submit_all(messages: list[Message]) -> None:
    """Hand *messages* to the server that listens on 127.0.0.1, several at a time."""
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(submit, messages):
            pass


def aliases(file: str = "aliases") -> None:
    """Write the scenarios' aliases under /etc, as most servers have them."""
    etc(file, "".join(f"{name}: {', '.join(to)}\n" for name, to in ALIASES.items()))
