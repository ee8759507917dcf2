"""What the rows of ``data/`` are, and how a file of them is read.

docs/rules.md, docs/dialects.md and docs/reasons.md say what each means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import tomli  # compiled; a third of tomllib's time
from msgspec import Struct

from bounceclass.misfit import misfit
from bounceclass.model import Reason, Scope, Severity, SuggestedAction

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = [
    "Advice",
    "BrokenRules",
    "GeneralFile",
    "Provider",
    "ProviderFile",
    "ReasonRow",
    "ReplyFile",
    "ReplyRow",
    "Row",
    "Rule",
    "StatusFile",
    "StatusRow",
    "built_in",
    "parse_table",
]


def built_in() -> Traversable:
    """Return where the data that comes with the package is."""
    from importlib import resources  # 8 ms, and only what reads data needs it

    return resources.files("bounceclass") / "data"


class BrokenRules(ValueError):
    """A rule file cannot be read, or a row of it makes no sense."""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every row of the rule data has in common: nothing it does not know is accepted."""


class Advice(Row, frozen=True, kw_only=True):
    """What a provider says to do about a refusal."""

    en: str
    it: str
    url: str | None = None


class Rule(Row, frozen=True, kw_only=True):
    """Words, and what they mean; see docs/rules.md."""

    id: str
    reason: Reason
    source: str
    examples: tuple[str, ...]
    counter_examples: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    reply: tuple[int, ...] = ()
    command: tuple[str, ...] = ()
    dialect: tuple[str, ...] = ()
    pattern: str | None = None
    generic: bool = False
    scope: Scope | None = None
    advice: Advice | None = None


class Provider(Row, frozen=True, kw_only=True):
    """Who refused, and how it is recognised."""

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


class ProviderFile(Row, frozen=True, kw_only=True):
    provider: Provider | None = None
    """None in a folder of one's own, where a file adds rules to the provider that it is named for."""
    rule: tuple[Rule, ...] = ()


class GeneralFile(Row, frozen=True, kw_only=True):
    rule: tuple[Rule, ...] = ()


class ReasonRow(Row, frozen=True, kw_only=True):
    """What follows from a reason, and the words of other tools for it."""

    scope: Scope
    suppress: bool
    action: SuggestedAction
    no_code: Severity
    who: str
    always: Severity | None = None
    sisimai: str
    kumomta: str
    powermta: str
    sparkpost: tuple[int, ...]
    ses: str
    postmark: str
    anymail: str


class StatusRow(Row, frozen=True, kw_only=True):
    """An enhanced status code (RFC 3463, RFC 5248)."""

    code: str
    kind: str
    meaning: dict[str, str]
    source: str
    reason: Reason | None = None
    generic: bool = False
    registered: bool = True
    range: tuple[int, int] | None = None
    """First and last detail of a family of unregistered codes; an exact row wins."""


class ReplyRow(Row, frozen=True, kw_only=True):
    """A reply code (RFC 5321 4.2)."""

    code: str
    kind: str
    meaning: dict[str, str]
    action: dict[str, str]
    source: str
    vendor: dict[str, str] = {}
    reason: Reason | None = None
    generic: bool = False
    status: str | None = None


class StatusFile(Row, frozen=True, kw_only=True):
    status: tuple[StatusRow, ...]


class ReplyFile(Row, frozen=True, kw_only=True):
    reply: tuple[ReplyRow, ...]


def parse_table(data: bytes, kind: Any, name: str) -> Any:
    """Return *data* as *kind*; raises BrokenRules naming the file."""
    try:
        return msgspec.convert(tomli.loads(data.decode()), kind)
    except msgspec.ValidationError as error:
        raise BrokenRules(f"{name}: {misfit(error, kind)}") from None
    except UnicodeDecodeError:
        raise BrokenRules(f"{name}: is not written in UTF-8") from None
    except ValueError as error:
        raise BrokenRules(f"{name}: {error}") from None
