"""A loopback TCP proxy before a real server that loses connections at a chosen moment and hides capabilities."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Proxy", "proxy"]


class Proxy:
    """Set what it does before the next connection is made."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.hidden: tuple[bytes, ...] = ()
        """Capabilities that the client is not told of."""
        self.replaced: dict[bytes, bytes] = {}
        """What stands for what in the server's answers."""
        self.cut_command: bytes | None = None
        """A regex; the connection is lost when a command matches."""
        self.forward = False
        """Whether that command still reaches the server, which then answers nobody."""
        self.cut_after: int | None = None
        """Bytes from the server after which the connection is lost."""
        self.silent = False
        """Whether nothing is answered from the chosen moment on, rather than the connection lost."""
        self.commands: list[bytes] = []
        """What clients sent."""

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(self._target)
                done = threading.Event()
                for pump in (self._commands, self._answers):
                    threading.Thread(target=pump, args=(client, upstream, done), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _commands(self, client: socket.socket, upstream: socket.socket, done: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.commands.append(data)
                if self.cut_command and re.search(self.cut_command, data):
                    done.set()
                    if self.forward:
                        upstream.sendall(data)
                        upstream.settimeout(2)
                        upstream.recv(65536)  # so it is done
                    break
                upstream.sendall(data)
        if not self.silent:
            _close(client, upstream)

    def _answers(self, client: socket.socket, upstream: socket.socket, done: threading.Event) -> None:
        total = 0
        with suppress(OSError):
            while not done.is_set() and (data := upstream.recv(65536)):
                if done.is_set():
                    return
                for name in self.hidden:
                    data = re.sub(rb" %s\b(?==?)" % re.escape(name), b"", data)
                for old, new in self.replaced.items():
                    data = data.replace(old, new)
                if self.cut_after is not None and total + len(data) > self.cut_after:
                    client.sendall(data[: max(self.cut_after - total, 0)])
                    break
                total += len(data)
                client.sendall(data)
        if not done.is_set():
            _close(client, upstream)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def proxy(target: tuple[str, int]) -> Iterator[Proxy]:
    running = Proxy(target)
    threading.Thread(target=running.serve, daemon=True).start()
    try:
        yield running
    finally:
        running.close()
