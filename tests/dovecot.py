"""A throw-away Dovecot on loopback ports: IMAP, IMAPS and POP3S, passwords and OAuth2, Maildirs under a temporary folder.

Its certificate is signed by a CA of its own.  Where Dovecot is not installed the tests
that need it are skipped, and say so.
"""

from __future__ import annotations

import getpass
import grp
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from imapclient import IMAPClient

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOST", "PASSWORD", "TOKEN", "Account", "Dovecot", "dovecot", "mail_server"]

PASSWORD = 'correct horse "battery" \\staple'
TOKEN = "ya29.A0AfH6SMB-token"
HOST = "127.0.0.1"
WAIT = 20.0
"""Seconds that the server may take to start."""

CONFIG = """
protocols = imap pop3
listen = {host}
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{root}/server.pem
ssl_key = <{root}/server.key
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:{root}/mail/%u
mail_max_userip_connections = 1000
mailbox_idle_check_interval = 1 secs
namespace inbox {{
  inbox = yes
  prefix = INBOX.
  separator = .
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/users
  mechanisms = plain login
}}
passdb {{
  driver = oauth2
  args = {root}/oauth2.conf
  mechanisms = xoauth2 oauthbearer
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  user = {auth}
}}
"""

WATCHED = """
"$@" &
read -r _
kill $!
wait $!
rm -rf "$0"
"""
"""Runs a server until standard input ends, as it does however the tests end, and takes its files away."""

OAUTH2 = """
introspection_mode = get
introspection_url = http://{host}:{port}/?token=
username_attribute = username
active_attribute = active
active_value = true
"""


class Ports(NamedTuple):
    imap: int
    imaps: int
    pop3: int
    pop3s: int


class Dovecot(NamedTuple):
    """A running server."""

    root: Path
    ports: Ports
    owner: tuple[int, int]
    numbers: Iterator[int]

    @property
    def ca_file(self) -> str:
        return str(self.root / "ca.pem")

    def account(self) -> Account:
        """Return a new, empty account."""
        return Account(self, f"user{next(self.numbers)}")


class Account:
    """An account of the server, as another mail program sees it."""

    def __init__(self, server: Dovecot, user: str) -> None:
        self.server = server
        self.user = user

    @contextmanager
    def client(self) -> Iterator[IMAPClient]:
        with IMAPClient(HOST, self.server.ports.imap, ssl=False) as client:
            client.plain_login(self.user, PASSWORD)
            yield client

    def deliver(self, *contents: bytes, folder: str = "INBOX") -> None:
        with self.client() as client:
            for content in contents:
                client.append(folder, content)

    def folders(self) -> dict[str, list[bytes]]:
        """Return the messages of each folder."""
        return {name: [content for content, _ in found] for name, found in self.snapshot().items()}

    def snapshot(self) -> dict[str, list[tuple[bytes, frozenset[bytes]]]]:
        """Return the messages of each folder, and their flags."""
        found = {}
        with self.client() as client:
            for _, _, name in client.list_folders():
                client.select_folder(name, readonly=True)
                answer = client.fetch(client.search(), ["BODY.PEEK[]", "FLAGS"])
                found[name] = [
                    (answer[uid][b"BODY[]"], frozenset(answer[uid][b"FLAGS"]) - {b"\\Recent"})
                    for uid in sorted(answer)
                    if answer[uid].get(b"BODY[]") is not None  # moved by somebody else since the search
                ]
        return found


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def make_certificates(root: Path) -> None:
    """Make a CA and a certificate that it signed for localhost and 127.0.0.1."""
    extensions = root / "extensions"
    extensions.write_text(
        "subjectAltName = DNS:localhost, IP:127.0.0.1\nauthorityKeyIdentifier = keyid\nsubjectKeyIdentifier = hash\n"
    )
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
    ca = ["-x509", "-days", "2", "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    ca += ["-keyout", "ca.key", "-out", "ca.pem"]
    for command in (
        [*new, *ca],
        [*new, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        ["openssl", "x509", "-req", "-in", "server.csr", *sign, "-out", "server.pem"],
    ):
        subprocess.run(command, cwd=root, check=True, capture_output=True)


class Introspection(BaseHTTPRequestHandler):
    """Says whose a token is (RFC 7662): TOKEN, a dash, the user."""

    def do_GET(self) -> None:
        (token,) = parse_qs(urlsplit(self.path).query).get("token", [""])
        known, _, user = token.rpartition("-")
        answer = json.dumps({"active": known == TOKEN, "username": user}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    """Run a server."""
    root = Path(tempfile.mkdtemp(prefix="dovecot."))
    introspection = ThreadingHTTPServer((HOST, 0), Introspection)
    threading.Thread(target=introspection.serve_forever, daemon=True).start()
    server = configure(root, introspection.server_port)
    command = ["sh", "-c", WATCHED, str(root), "/usr/sbin/dovecot", "-F", "-c", str(root / "dovecot.conf")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        await_ports(server)
        yield server
    introspection.shutdown()


def configure(root: Path, introspection: int) -> Dovecot:
    """Write everything that the server reads; it runs as whoever runs the tests, but gives root's mail to nobody."""
    root.chmod(0o755)
    (root / "mail").mkdir()
    is_root = os.geteuid() == 0
    owner = (65534, 65534) if is_root else (os.geteuid(), os.getegid())
    os.chown(root / "mail", *owner)
    make_certificates(root)
    ports = Ports(*free_ports(len(Ports._fields)))
    me = getpass.getuser()
    users = {
        "internal": "dovecot" if is_root else me,
        "internal_group": "dovecot" if is_root else grp.getgrgid(os.getegid()).gr_name,
        "login": "dovenull" if is_root else me,
        "auth": "root" if is_root else me,
    }
    (root / "users").write_text("".join(f"user{number}:{PASSWORD}\n" for number in range(1000)))
    (root / "oauth2.conf").write_text(OAUTH2.format(host=HOST, port=introspection))
    values = {**users, **ports._asdict(), "root": root, "host": HOST, "uid": owner[0], "gid": owner[1]}
    (root / "dovecot.conf").write_text(CONFIG.format(**values))
    return Dovecot(root, ports, owner, count())


def await_ports(server: Dovecot) -> None:
    until = time.monotonic() + WAIT
    for port in server.ports:
        while True:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until:
                    log = server.root / "log"
                    raise RuntimeError(f"dovecot did not start: {log.read_text() if log.exists() else ''}") from None
                time.sleep(0.05)


@pytest.fixture(scope="session", name="server")
def mail_server() -> Iterator[Dovecot]:
    """A server for all tests of the session."""
    missing = [name for name in ("/usr/sbin/dovecot", "/usr/lib/dovecot/pop3", "openssl") if not shutil.which(name)]
    if missing:
        reason = (
            f"NO TEST OF IMAP AND POP3: not installed: {', '.join(missing)} (apt install dovecot-imapd dovecot-pop3d)"
        )
        warnings.warn(reason, stacklevel=1)
        print(reason, file=sys.stderr)
        pytest.skip(reason)
    with dovecot() as running:
        yield running
