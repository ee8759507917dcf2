"""The remote world: an SMTP server (RFC 5321) for each scenario, which answers as its script says."""

from __future__ import annotations

import socketserver
import threading
from contextlib import suppress
from email.utils import parseaddr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.scenarios import Scenario

__all__ = ["World"]

SILENCE = 60
"""Seconds that a client may say nothing."""


class World:
    """Serves every scenario on an address of its own, and keeps what comes back."""

    def __init__(self, scenarios: tuple[Scenario, ...], port: int = 25) -> None:
        self.addresses = {one.domain: f"127.0.1.{number}" for number, one in enumerate(scenarios, 1)}
        """Where the mail for a domain goes."""
        self._servers = [_Server((self.addresses[one.domain], port), one) for one in scenarios]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], scenario: Scenario) -> None:
        super().__init__(address, _Session)
        self.scenario = scenario


class _Session(socketserver.StreamRequestHandler):
    timeout = SILENCE
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the client may hang up
            self._talk()

    def _talk(self) -> None:
        if not self._say(self._scripted("CONN") or "220 mx.example.com ESMTP"):
            return
        while line := self.rfile.readline(4096).decode("utf-8", "replace").strip():
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb in ("EHLO", "HELO"):
                self._say(
                    self._scripted("EHLO")
                    or "250-mx.example.com\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250 SIZE 10000000"
                )
            elif verb == "MAIL":
                self._say(self._scripted("MAIL") or "250 2.1.0 Sender ok")
            elif verb == "RCPT":
                address = parseaddr(rest.partition(":")[2].split(" ")[0])[1]
                fate = self.server.scenario.fates.get(address.partition("@")[0].lower())
                self._say(fate.reply if fate and fate.at == "RCPT" else "250 2.1.5 Recipient ok")
            elif verb == "DATA":
                if self._say(self._scripted("DATA") or "354 End data with <CR><LF>.<CR><LF>"):
                    while self.rfile.readline(65536) not in (b".\r\n", b""):
                        pass
                    self._say(self._scripted("END") or "250 2.0.0 Accepted")
            elif verb == "QUIT":
                self._say("221 2.0.0 Bye")
                return
            elif verb in ("RSET", "NOOP"):
                self._say("250 2.0.0 Ok")
            else:
                self._say("502 5.5.2 Command not recognized")

    def _scripted(self, at: str) -> str | None:
        """Return the answer to a command that is one for all recipients."""
        return next((fate.reply for fate in self.server.scenario.fates.values() if fate and fate.at == at), None)

    def _say(self, reply: str) -> bool:
        """Send *reply*; tell whether the session may go on to what the command asks for."""
        self.wfile.write("".join(f"{line}\r\n" for line in reply.split("\n")).encode())
        return reply[0] in "23"
