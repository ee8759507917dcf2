"""What the ledger answers with."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from bounceclass.app.policy import Event, Policy, Standing

__all__ = ["Adopted", "Listed", "Recorded", "Run", "Why"]


class Recorded(Struct, frozen=True, kw_only=True):
    """What recording came to; two add up."""

    messages: int = 0
    """Messages not seen before."""
    known: int = 0
    """Messages that the ledger had already."""
    events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """New messages by kind."""
    reasons: Counter[str] = field(default_factory=Counter)
    """New failures by reason."""
    providers: Counter[str] = field(default_factory=Counter)
    """New failures by who refused."""
    suppressed: tuple[str, ...] = ()
    """Addresses that became suppressed: as reported, or their keys where they are hashed."""
    released: tuple[str, ...] = ()
    """Addresses that are suppressed no longer."""
    complaints: tuple[str, ...] = ()
    """Addresses whose owners complained."""
    held: tuple[str, ...] = ()
    """Addresses that have strikes held for an incident, and had none before."""

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def counts(self) -> dict[str, Any]:
        """Return the numbers alone: of addresses, how many."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: len(value) if isinstance(value, tuple) else value for name, value in plain.items()}


class Adopted(Struct, frozen=True, kw_only=True):
    """What it came to that the ledger goes by another policy; as text, a line for people."""

    before: Policy
    after: Policy
    suppressed: tuple[str, ...]
    """Addresses that may be mailed no longer, or their keys where they are hashed."""
    released: tuple[str, ...]
    """Addresses that may be mailed again."""

    def __str__(self) -> str:
        other = "another " if self.before.name == self.after.name else ""
        number = len(self.suppressed)
        return (
            f"the ledger goes by the policy {self.after.name} now, no longer by {other}{self.before.name}: "
            f"{number} address{'es' * (number != 1)} suppressed by that, {len(self.released)} released"
        )

    def counts(self) -> dict[str, Any]:
        """Return the names of the policies and the numbers alone."""
        numbers = {"suppressed": len(self.suppressed), "released": len(self.released)}
        return {"before": self.before.name, "after": self.after.name, **numbers}


class Listed(Struct, frozen=True, kw_only=True):
    """An address on the list of the suppressed or of the complainers."""

    key: str
    address: str | None
    """None where addresses are hashed."""
    standing: Standing


class Why(Struct, frozen=True, kw_only=True):
    """Where an address stands, and everything that happened to it, the oldest first."""

    address: str
    standing: Standing
    events: tuple[Event, ...]


class Run(Struct, frozen=True, kw_only=True):
    """A run of ``process``; without an end it goes on or was interrupted."""

    id: int
    source: str
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, Any]
    """As ``Recorded.counts()`` has them."""
