"""Whose address a failure is about: the one that was mailed, not where it ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bounceclass.model import Outcome

__all__ = ["is_address", "is_plain_address", "mailed"]

# What stands around an address in a field
_DELIMITERS = re.compile(r"[\s<>,;:()\"]+")


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
    plain = name.isprintable() and " " not in name and not any(mark in domain for mark in '<>(),;"')
    return plain and is_address(name)


def mailed(outcome: Outcome, returned: dict[str, list[str]]) -> str | None:
    """Return the address that was mailed, as far as the notice tells; never merely one that it mentions.

    In this order: Original-Recipient; the address that the failing one was expanded or
    generated from, if the returned message (its fields, names in lower case) was
    addressed to it; Final-Recipient; the address that a free-form notice names.
    """
    if outcome.original_recipient:
        return outcome.original_recipient
    source = outcome.generated_from
    named = outcome.final_recipient or outcome.recipient
    if source and (named is None or _is_local_delivery(named) or _addressed_to(source, returned)):
        return source
    return named


def _is_local_delivery(name: str) -> bool:
    """Tell whether Exim names a file or a pipe in the place of an address."""
    return name.startswith(("|", "/")) or "@" not in name


def _addressed_to(address: str, returned: dict[str, list[str]]) -> bool:
    """Tell whether the returned message was sent to *address*."""
    wanted = address.lower()

    def named(value: str) -> bool:
        return wanted in _DELIMITERS.split(value.lower())

    fields = ("to", "cc", "bcc", "delivered-to", "x-original-to", "envelope-to", "resent-to")
    if any(named(value) for name in fields for value in returned.get(name, ())):
        return True
    # "for" is a clause of a trace field (RFC 5321 4.4)
    return any(named(value.lower().partition(" for ")[2]) for value in returned.get("received", ()))
