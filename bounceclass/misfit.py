"""What to say of data that is not what it should be: where it stands, and the nearest that may stand there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import msgspec

__all__ = ["misfit", "nearest", "unknown_key"]

ALIKE = 0.5
"""How alike two words must be, from 0 to 1, for one to be taken for the other mistyped."""
FEW = 5
"""Words that are all told where another stands."""

# "Invalid enum value 'x' - at `$.reasons[...].confidence`"
_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`", re.S)
_WORD = re.compile(r"Invalid enum value '(.*)'", re.S)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[[^\]]*\]")


def nearest(word: object, known: Collection[str]) -> str:
    """Return what to put behind a complaint about *word*: ``; did you mean 'url'?``, or else all that are *known*."""
    import difflib  # only what is wrong needs it

    near = difflib.get_close_matches(str(word), known, n=1, cutoff=ALIKE)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def unknown_key(table: Iterable[str], known: Collection[str]) -> str:
    """Return the complaint about the first key of *table* that is not *known*, or an empty string."""
    return next((f"there is no key {key!r}{nearest(key, known)}" for key in table if key not in known), "")


def misfit(error: msgspec.ValidationError, kind: Any) -> str:
    """Return what *error* says of data that should be *kind*, the place first: ``wait: Expected `float`, got `str```."""
    found = _PLACE.fullmatch(str(error))
    if not found:
        return str(error)
    said, place = found.groups()
    if (word := _WORD.fullmatch(said)) and (words := _choices(kind, place)):
        said += nearest(word[1], words) if len(words) > FEW else f"; there are {', '.join(words)}"
    return f"{place}: {said}" if place else said


def _choices(kind: Any, place: str) -> list[str]:
    """Return the words that may stand at *place* of *kind*."""
    from msgspec import inspect

    at: Any = inspect.type_info(kind)
    for step in _STEP.finditer(place):
        inner = at.types if isinstance(at, inspect.UnionType) else (at,)
        at = next(filter(None, (_below(one, step[1]) for one in inner)), None)
    inner = at.types if isinstance(at, inspect.UnionType) else (at,)
    words: list[str] = []
    for one in inner:
        if isinstance(one, inspect.EnumType):
            words += map(str, one.cls)
        elif isinstance(one, inspect.LiteralType):
            words += map(str, one.values)
    return words


def _below(at: Any, name: str | None) -> Any:
    """Return the type of the field *name* of a struct, or where that is None of what a dict or a list has in it."""
    if name is None:
        return getattr(at, "value_type", None) or getattr(at, "item_type", None)
    return next((field.type for field in getattr(at, "fields", ()) if field.encode_name == name), None)
