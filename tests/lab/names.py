"""The world's name server (RFC 1035), with what it is told and nothing else."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Records", "exchanger", "serve"]

Records = dict[tuple[str, str], str]
"""The data of a name and a type."""


def exchanger(domain: str, address: str) -> Records:
    """Return the records of a domain whose mail *address* takes (RFC 5321 section 5)."""
    return {(domain, "MX"): f"10 mx.{domain}.", (f"mx.{domain}", "A"): address}


def serve(records: Mapping[tuple[str, str], str], address: str = "127.0.0.1") -> None:
    """Answer with *records*, for as long as this process lives."""
    server = _Server((address, 53), records)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Server(socketserver.ThreadingUDPServer):
    def __init__(self, address: tuple[str, int], records: Mapping[tuple[str, str], str]) -> None:
        super().__init__(address, _Question)
        self.records = records


class _Question(socketserver.DatagramRequestHandler):
    server: _Server

    def handle(self) -> None:
        query = dns.message.from_wire(self.rfile.read())
        answer = dns.message.make_response(query, recursion_available=True)
        answer.flags |= dns.flags.AA
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        if data := self.server.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, data))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self.server.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.wfile.write(answer.to_wire())
