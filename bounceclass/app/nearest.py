"""What to say of a word that is not known: the nearest that is, or else all that are."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["nearest", "unknown_key"]

ALIKE = 0.5
"""How alike two words must be, from 0 to 1, for one to be taken for the other mistyped."""


def nearest(word: object, known: Collection[str]) -> str:
    """Return what to put behind a complaint about *word*: ``; did you mean 'url'?``."""
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=ALIKE)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def unknown_key(table: Iterable[str], known: Collection[str]) -> str:
    """Return the complaint about the first key of *table* that is not *known*, or an empty string."""
    return next((f"there is no key {key!r}{nearest(key, known)}" for key in table if key not in known), "")
