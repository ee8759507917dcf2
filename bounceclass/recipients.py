"""Whose address a failure is about: the one that was mailed, not where it ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bounceclass import fields
from bounceclass.model import Mail
from bounceclass.once import once

if TYPE_CHECKING:
    from bounceclass.model import Outcome

__all__ = ["Traffic", "bare", "is_address", "is_plain_address", "mailed"]

MAX_VALUES = 100
"""Fields of one name in which a recipient is looked for."""
_ADDRESSED = ("to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to", "resent-to")

# What stands around an address in a field
_DELIMITERS = re.compile(r"[\s<>,;:()\"]+")
# name-addr (RFC 5322 3.4), with what people write in a display name without quoting it
_NAME_ADDR = re.compile(r'(?:"(?:[^"\\]|\\.)*"\s*|[^<>,;"]*)<([^<>]*)>')


def is_address(name: str | None) -> bool:
    """Tell whether *name* has a local part and a domain.

    One without the other is nobody's address, and in a table of a mail server it is everybody's: ``fred@`` is
    Postfix's key for that local part at any domain (access(5)).
    """
    local, _, domain = (name or "").strip().rpartition("@")
    return bool(local and domain)


def is_plain_address(name: str) -> bool:
    """Tell whether *name* is an address and nothing beside it: no white space, no bracket, no other cell of a table.

    What would not be seen it has none of either.
    """
    domain = name.rpartition("@")[2]
    beside = any(mark in name for mark in " <>") or any(mark in domain for mark in '(),;"')
    several = name.count("@") > 1 and not name.startswith('"')
    plain = name.isprintable() and not beside and not several
    return plain and is_address(name)


def bare(name: str) -> str:
    """Return *name* without white space around it, and of a name-addr (RFC 5322 3.4) only the address."""
    name = name.strip()
    if name[-1:] == ">" and (found := _NAME_ADDR.fullmatch(name)):
        return found[1].strip()
    return name


class Traffic:
    """Whom the returned message was sent to, and by whom, as far as its fields and the notice's tell.

    Worked out when the first outcome needs it, once for all of them.
    """

    def __init__(self, notice: Mail, returned: dict[str, list[str]]) -> None:
        self._notice = notice
        self._returned = returned

    @once
    def addressed(self) -> frozenset[str]:
        """The words in lower case that stand in the fields of its recipients, addresses among them."""
        values = [value for name in _ADDRESSED for value in self._returned.get(name, ())[:MAX_VALUES]]
        # "for" is a clause of a trace field (RFC 5321 4.4)
        values += [value.lower().partition(" for ")[2] for value in self._returned.get("received", ())[:MAX_VALUES]]
        return frozenset(word for value in values for word in _DELIMITERS.split(value.lower()))

    @once
    def senders(self) -> tuple[str, ...]:
        """The addresses in lower case that sent it; the notice itself goes to the envelope's (RFC 5321 4.5.5)."""
        returned = Mail(headers=self._returned)
        values = (self._notice.get("to"), returned.get("return-path"), returned.get("from"))
        return tuple(address.lower() for address in map(fields.clean, values) if address)


def mailed(outcome: Outcome, traffic: Traffic) -> str | None:
    """Return the address that was mailed, as far as the notice tells; never merely one that it mentions.

    In this order: Original-Recipient; the address that the failing one was expanded or
    generated from, if the returned message was addressed to it; Final-Recipient; the
    address that a free-form notice names.
    """
    if outcome.original_recipient:
        return outcome.original_recipient
    source = outcome.generated_from
    named = outcome.final_recipient or outcome.recipient
    if source and (named is None or _is_local_delivery(named) or source.lower() in traffic.addressed):
        return source
    return named


def _is_local_delivery(name: str) -> bool:
    """Tell whether Exim names a file or a pipe in the place of an address."""
    return name.startswith(("|", "/")) or "@" not in name
