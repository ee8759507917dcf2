"""Verdict to suggestion: what to do, in a sentence, in the language asked for."""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from bounceclass.model import Reason
from bounceclass.rows import Advice, built_in, parse_table

__all__ = ["LANGUAGES", "Phrasebook", "phrasebook", "suggest"]

LANGUAGES = ("en", "it")
"""The languages that suggestions come in, the default first."""


class ReasonText(Struct, frozen=True, forbid_unknown_fields=True):
    """What a reason means and what to do about it."""

    meaning: str
    suggestion: str


class Phrasebook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words of one language, as ``data/advice.<language>.toml`` has them."""

    language: str
    reason: dict[Reason, ReasonText]
    action: dict[str, str]
    severity: dict[str, str]
    scope: dict[str, str]
    confidence: dict[str, str]
    who: dict[str, str]
    kind: dict[str, str]
    command: dict[str, str]
    reply_class: dict[str, str]
    code_kind: dict[str, str]
    label: dict[str, str]


@cache
def phrasebook(language: str) -> Phrasebook:
    """Return the words of *language*; raises ValueError for one that there is none for."""
    if language not in LANGUAGES:
        raise ValueError(f"no suggestions in {language!r}; there are {', '.join(LANGUAGES)}")
    name = f"advice.{language}.toml"
    data = (built_in() / name).read_bytes()
    book: Phrasebook = parse_table(data, Phrasebook, name)
    return book


def suggest(reason: Reason, advice: Advice | None, language: str) -> str:
    """Return what to do, the provider's own advice before the reason's."""
    if advice is None:
        return phrasebook(language).reason[reason].suggestion
    words = advice.it if language == "it" else advice.en
    return f"{words} {advice.url}" if advice.url and advice.url not in words else words
