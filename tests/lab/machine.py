"""A Debian machine that is thrown away: this very one, on a network of its own, where nothing that is written stays.

What conflicts with what is installed here, as mail servers do, is installed there by Debian's own means;
``bounceclass`` is the one under test, at /usr/bin/bounceclass as the documents have it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from lab import servers

__all__ = ["become", "fetch", "install", "set_clock", "shell"]

_FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1"
_PRESEED = "postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string example.org\n"
_APT = ("apt-get", "install", "-qqy", "--no-install-recommends", "--no-upgrade")


def fetch(packages: tuple[str, ...], folder: Path) -> None:
    """Fetch *packages* and what they need into *folder*; raises Unavailable."""
    (folder / "packages" / "partial").mkdir(parents=True)
    options = ["--download-only", "-o", f"Dir::Cache::archives={folder}/packages", "-o", "Debug::NoLocking=1"]
    done = subprocess.run([*_APT, *options, *packages], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise servers.Unavailable(done.stderr.strip())


def become() -> None:
    """Turn this process's namespaces into mail.example.org, where whatever is written is written to memory."""
    # Programs of root's are run here, and scripts of packages: what is not covered is out of their reach
    subprocess.run(["umount", "--recursive", "--lazy", "/sys/fs/cgroup"], check=False, stderr=subprocess.DEVNULL)
    servers.connect()
    layers = Path("/mnt")
    servers.empty(str(layers))
    for place in (Path("/etc"), Path("/usr"), Path("/var"), Path("/tmp"), *_closed()):
        _cover(place, layers)
    for kept in ("/run", "/dev/shm"):
        servers.empty(kept)
        Path(kept).chmod(0o1777)
    for rest in ("/", "/sys"):
        subprocess.run(["mount", "-o", "remount,bind,ro", rest], check=True)
    servers.identify()
    servers.etc("mailname", "example.org\n")
    _write(Path("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")  # no package starts anything by itself
    Path("/usr/bin/bounceclass").unlink(missing_ok=True)
    Path("/usr/bin/bounceclass").symlink_to(Path(sys.executable).parent / "bounceclass")


def _closed() -> list[Path]:
    """Return the folders that keep others than their owner from Python and from bounceclass."""
    paths = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).resolve())
    folders = {folder for path in paths for folder in (path, *path.parents) if folder.is_dir()}
    return sorted(folder for folder in folders if not folder.stat().st_mode & 0o001 and folder != Path("/tmp"))


def _cover(place: Path, layers: Path) -> None:
    """Put a layer over *place* that everyone may pass and that takes what is written."""
    mode = place.stat().st_mode
    upper, work = (layers / f"{kind}{str(place).replace('/', '-')}" for kind in ("upper", "work"))
    for path in (upper, work):
        path.mkdir()
    options = f"lowerdir={place},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)
    place.chmod(mode | 0o011)


def install(folder: Path, *packages: str) -> None:
    """Install what ``fetch`` brought to *folder*."""
    subprocess.run(["debconf-set-selections"], input=_PRESEED, text=True, check=True)
    Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
    options = ["--no-download", "-o", f"Dir::Cache::archives={folder}/packages"]
    options += ["-o", "Dpkg::Options::=--force-unsafe-io"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*_APT, *options, *packages], stdout=subprocess.DEVNULL, check=True, env=environment)


def set_clock(offset: str) -> None:
    """Let every process that begins from now on see a time so many seconds away (``-86400``), by Debian's libfaketime."""
    servers.etc("faketimerc", f"{offset}\n")
    servers.etc("ld.so.preload", _FAKETIME.format(platform.machine()) + "\n")


def shell(commands: str) -> str:
    """Run *commands* as root would in a terminal, and return what they print; a command that fails ends them."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["sh", "-e"], input=commands, env=environment, cwd=servers.ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def _write(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)
