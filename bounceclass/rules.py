"""Everything that verdicts rest on: the rules, and the dialects that notices are written in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bounceclass import rulebook
from bounceclass.reports import dialects
from bounceclass.rows import BrokenRules

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from bounceclass.reports.dialects import Dialects
    from bounceclass.rulebook import Rulebook

__all__ = ["Rules", "load_rules"]


class Rules(NamedTuple):
    """What ``classify`` and ``explain`` go by."""

    book: Rulebook
    dialects: Dialects
    folders: tuple[Path, ...] = ()
    """The user's own, as they were given to ``load_rules``."""

    def __reduce__(self) -> tuple[Callable[..., Rules], tuple[Path, ...]]:
        """Another process reads the folders itself."""
        return load_rules, self.folders


def load_rules(*folders: str | os.PathLike[str]) -> Rules:
    """Return the built-in rules and those of *folders*, which are read once per process.

    A folder is laid out like ``bounceclass/data``: any of ``general.toml``, ``providers/``
    and ``dialects/``; docs/rules.md says what stands in them.

    Raises BrokenRules, naming the file and what is wrong with it.
    """
    return _load(tuple(Path(folder).resolve() for folder in folders) if folders else ())


@cache
def _load(folders: tuple[Path, ...]) -> Rules:
    for folder in folders:
        if not any((folder / name).exists() for name in ("general.toml", "providers", "dialects")):
            raise BrokenRules(f"{folder}: holds none of general.toml, providers/ and dialects/")
    return Rules(rulebook.load(*folders), dialects.load(*folders), folders)
