"""Real servers for the tests, thrown away afterwards."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

__all__ = ["Postgres", "postgres_missing"]

SYSTEM_USERS = ("postgres", "nobody")


def _binaries() -> Path | None:
    """Return the folder with the newest PostgreSQL server, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def postgres_missing() -> str:
    """Return why there can be no PostgreSQL here, or an empty string."""
    if _binaries() is None:
        return "no PostgreSQL server is installed (initdb): what needs one is NOT tested"
    if os.getuid() == 0 and (shutil.which("runuser") is None or _user() is None):
        return "PostgreSQL does not run as root, and there is nobody else here: what needs it is NOT tested"
    return ""


def _user() -> str | None:
    """Return whom PostgreSQL runs as where this is root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in SYSTEM_USERS if name in names), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Postgres:
    """A PostgreSQL server of one's own on a loopback port; a context manager."""

    PASSWORD = "kept-secret"

    def __init__(self) -> None:
        self._bin = _binaries() or Path()
        self._user = _user() if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="bounceclass-postgres-"))
        self._made = 0
        self.port = _free_port()

    def __enter__(self) -> Postgres:
        password = self._folder / "password"
        password.write_text(self.PASSWORD)
        if self._user:
            for path in (self._folder, password):
                shutil.chown(path, self._user)
        who = ["--username=bounce", "--auth=scram-sha-256", f"--pwfile={password}"]
        self._run("initdb", "--no-sync", "--encoding=UTF8", "--locale=C", *who)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-w", "-s", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop the server, whatever its clients are doing."""
        self._run("pg_ctl", "-w", "-s", "-m", "immediate", "stop", check=False)

    def database(self) -> str:
        """Return the URL of a new empty database."""
        import psycopg

        self._made += 1
        name = f"ledger{self._made}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://bounce:{self.PASSWORD}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self._bin / program), "-D", str(self._folder / "data"), *arguments]
        if self._user and self._user != getpass.getuser():
            command = ["runuser", "-u", self._user, "--", *command]
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, cwd="/", timeout=60)
