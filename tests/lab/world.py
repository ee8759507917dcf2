"""The remote world: an SMTP server (RFC 5321) for each scenario, which answers as its script says."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import suppress
from email.utils import parseaddr
from typing import TYPE_CHECKING

from lab import names
from lab.scenarios import SILENCE, Scenario
from lab.servers import HOME, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["World"]

PATIENCE = 60
"""Seconds that a client may say nothing, and that it is kept waiting where it gets no answer."""


class World:
    """Serves every scenario at an address of its own, and keeps what comes back."""

    def __init__(self, scenarios: Iterable[Scenario], taken: Callable[[Message], None] = lambda _: None) -> None:
        """*taken* hears of every message that a scenario's server has accepted, and for whom."""
        self.received: list[bytes] = []
        """Every message to the domain that we send from, with its Return-Path (RFC 5321 section 4.4)."""
        self.addresses: dict[str, str] = {}
        """Of the scenarios' servers."""
        self._servers = [_Server(HOME, Scenario("home", {}, offers=("8BITMIME", "SMTPUTF8")), self.received)]
        records = names.exchanger("example.org", HOME)
        for number, scenario in enumerate(scenarios, 100):  # as long as each other, for lines are folded by length
            self.addresses[scenario.name] = address = f"192.0.2.{number}"
            if scenario.fate("MX"):
                records[scenario.domain, "MX"] = "0 ."
            elif not scenario.fate("NAME"):
                records |= names.exchanger(scenario.domain, address)
            if not scenario.fate("TCP"):
                self._servers.append(_Server(address, scenario, [], taken))
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        names.serve(records)

    def settle(self, seconds: float = 8) -> None:
        """Wait until nothing has come back for so long."""
        known, since = -1, time.monotonic()
        while time.monotonic() < since + seconds:
            if len(self.received) != known:
                known, since = len(self.received), time.monotonic()
            time.sleep(0.1)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def __init__(
        self,
        address: str,
        scenario: Scenario,
        received: list[bytes],
        taken: Callable[[Message], None] = lambda _: None,
    ) -> None:
        super().__init__((address, 25), _Session)
        self.scenario = scenario
        self.received = received
        self.taken = taken


class _Session(socketserver.StreamRequestHandler):
    timeout = PATIENCE
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # the client may hang up
            self._talk()

    def _talk(self) -> None:
        going = self._answer("CONN", "220 mx.example.com ESMTP")
        sender, recipients = "", list[str]()
        while going and (line := self.rfile.readline(4096).decode("utf-8", "replace").strip()):
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    self._answer("EHLO", _several(250, ("mx.example.com", *self.server.scenario.offers)))
                case "MAIL":
                    sender, recipients = _path(rest), []
                    self._answer("MAIL", "250 2.1.0 Sender ok")
                case "RCPT":
                    fate = self.server.scenario.fates.get(_path(rest).partition("@")[0].lower())
                    if self._say(fate.reply if fate and fate.at == "RCPT" else "250 2.1.5 Recipient ok"):
                        recipients.append(_path(rest))
                case "DATA":
                    if self._answer("DATA", "354 End data with <CR><LF>.<CR><LF>"):
                        content = b"".join(iter(self._data, b""))
                        self.server.received.append(f"Return-Path: <{sender}>\n".encode() + content)
                        if self._answer("END", "250 2.0.0 Accepted"):
                            self.server.taken(Message(sender, recipients, content))
                case "RSET" | "NOOP":
                    self._say("250 2.0.0 Ok")
                case "QUIT":
                    going = False
                    self._say("221 2.0.0 Bye")
                case _:
                    self._say("502 5.5.2 Command not recognized")

    def _data(self) -> bytes:
        """Return the next line of a message, or nothing at its end (RFC 5321 section 4.5.2)."""
        line = self.rfile.readline(65536)
        return b"" if line == b".\r\n" else line.removeprefix(b".").replace(b"\r\n", b"\n")

    def _answer(self, at: str, otherwise: str) -> bool:
        """Answer as scripted for *at*; tell whether the client may do what it asked for."""
        fate = self.server.scenario.fate(at)
        return self._say(fate.reply if fate else otherwise)

    def _say(self, reply: str) -> bool:
        if reply == SILENCE:
            self.rfile.read()
        if reply in ("", SILENCE):
            raise ConnectionAbortedError
        self.wfile.write("".join(f"{line}\r\n" for line in reply.split("\n")).encode())
        return reply[0] in "23"


def _several(code: int, lines: tuple[str, ...]) -> str:
    """Return a reply of several lines (RFC 5321 section 4.2.1)."""
    return "\n".join(f"{code}{' ' if line is lines[-1] else '-'}{line}" for line in lines)


def _path(argument: str) -> str:
    """Return the address in ``FROM:<address> PARAMETERS`` (RFC 5321 section 4.1.2)."""
    return parseaddr(argument.partition(":")[2].split(" ")[0])[1]
