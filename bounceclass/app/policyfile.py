"""Policies as people write them: TOML, checked key by key.

The three that come with bounceclass stand in ``data/policies``; each is also an example of
the format.  Whatever is not known is refused, with the nearest that is.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import tomli
from msgspec import Struct

from bounceclass import rows
from bounceclass.app.incidents import IncidentRules
from bounceclass.app.policy import Policy, Row, What
from bounceclass.misfit import misfit, nearest, unknown_key
from bounceclass.model import Confidence, Reason, Scope

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

__all__ = ["DEFAULT", "FOREVER", "SHIPPED", "BrokenPolicy", "load", "parse"]

T = TypeVar("T")

DEFAULT = "cautious"
SHIPPED = ("cautious", "standard", "strict")
"""The policies that come with bounceclass, the most careful first."""
FOREVER = "forever"
"""The time to live that never ends."""

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_RESETS = (What.DELIVERY, What.LIFE)


class BrokenPolicy(ValueError):
    """A policy cannot be read, or a row of it makes no sense."""


class _Row(Struct, frozen=True, kw_only=True):
    """A [reasons.*] table."""

    strikes: int
    days: int = 1
    window: str
    ttl: tuple[str, ...]
    confidence: Confidence = Confidence.PROBABLE


class _Incident(Struct, frozen=True, kw_only=True):
    """The [incident] table."""

    addresses: int = 20
    times: int = 5
    history: str = "45d"
    days: int = 5
    calm: str = "4h"
    limit: str = "3d"


class _File(Struct, frozen=True, kw_only=True):
    """The whole file."""

    name: str
    summary: str = ""
    probation: str
    resets: tuple[What, ...] = _RESETS
    incident: _Incident = _Incident()
    reasons: dict[Reason, _Row]


def load(source: str | os.PathLike[str] = DEFAULT) -> Policy:
    """Return the policy *source*: the name of a shipped one, or the path of a TOML file.

    Raises BrokenPolicy, naming the file and what is wrong with it.
    """
    if isinstance(source, str) and source in SHIPPED:
        return _shipped(source)
    path = Path(source)
    if path.suffix != ".toml" and not path.exists():
        raise BrokenPolicy(f"{path}: there is no such policy{nearest(path.name, SHIPPED)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenPolicy(f"{path}: {error.strerror or error}") from None
    return parse(content, str(path))


@cache
def _shipped(name: str) -> Policy:
    return parse((rows.built_in() / "policies" / f"{name}.toml").read_bytes(), f"{name}.toml")


def parse(content: bytes, name: str = "policy") -> Policy:
    """Return the policy that the TOML *content* describes; *name* stands in front of complaints."""
    try:
        table = tomli.loads(content.decode())
        _check(table, _File.__struct_fields__, "")
        _check(table.get("incident"), _Incident.__struct_fields__, "incident: ")
        for reason, row in _check(table.get("reasons"), [str(reason) for reason in Reason], "reasons: ").items():
            _check(row, _Row.__struct_fields__, f"reasons.{reason}: ")
            _fit(row, _Row, f"reasons.{reason}: ")
        return _policy(_fit(table, _File, ""))
    except BrokenPolicy as error:
        raise BrokenPolicy(f"{name}: {error}") from None
    except UnicodeDecodeError:
        raise BrokenPolicy(f"{name}: is not written in UTF-8") from None
    except ValueError as error:
        raise BrokenPolicy(f"{name}: {' '.join(str(error).split())}") from None


# --- what may stand there ---------------------------------------------------------


def _check(table: Any, known: Collection[str], where: str) -> dict[str, Any]:
    """Return *table*, or nothing where it is none, which is refused when it is converted."""
    if not isinstance(table, dict):
        return {}
    if complaint := unknown_key(table, known):
        raise BrokenPolicy(f"{where}{complaint}")
    return table


def _fit(table: Any, kind: type[T], where: str) -> T:
    """Return *table* as *kind*."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise BrokenPolicy(f"{where}{misfit(error, kind)}") from None


# --- what it comes to -------------------------------------------------------------


def _policy(file: _File) -> Policy:
    if not file.name.strip():
        raise BrokenPolicy("name: must not be empty")
    if wrong := [what for what in file.resets if what not in _RESETS]:
        raise BrokenPolicy(f"resets: {str(wrong[0])!r} is no positive evidence; that are delivery and life")
    incident = file.incident
    for key in ("addresses", "times", "days"):
        _at_least_one(getattr(incident, key), f"incident: {key}")
    return Policy(
        name=file.name,
        summary=file.summary,
        probation=_span(file.probation, "probation"),
        resets=file.resets,
        incident=IncidentRules(
            addresses=incident.addresses,
            times=incident.times,
            history=_span(incident.history, "incident: history"),
            days=incident.days,
            calm=_span(incident.calm, "incident: calm"),
            limit=_span(incident.limit, "incident: limit"),
        ),
        reasons={reason: _row(reason, row) for reason, row in file.reasons.items()},
    )


def _row(reason: Reason, row: _Row) -> Row:
    where = f"reasons.{reason}"
    about = _about()[reason]
    if about.scope in (Scope.SENDER, Scope.MESSAGE):
        raise BrokenPolicy(f"{where}: is about the {about.scope} and says nothing of the address; remove the row")
    _at_least_one(row.strikes, f"{where}: strikes")
    _at_least_one(row.days, f"{where}: days")
    window = _span(row.window, f"{where}: window")
    if row.days > row.strikes:
        raise BrokenPolicy(f"{where}: {row.strikes} strikes cannot fall on {row.days} days")
    if window < timedelta(days=row.days - 1):
        raise BrokenPolicy(f"{where}: {row.days} days do not fit in a window of {row.window}")
    if not row.ttl:
        raise BrokenPolicy(f"{where}: ttl: needs at least one time, such as '30d' or 'forever'")
    if FOREVER in row.ttl[:-1]:
        raise BrokenPolicy(f"{where}: ttl: nothing comes after 'forever'")
    ttl = tuple(None if one == FOREVER else _span(one, f"{where}: ttl") for one in row.ttl)
    return Row(
        strikes=row.strikes,
        days=row.days,
        window=window,
        ttl=ttl,
        confidence=row.confidence,
        dead_only=about.suppress,
    )


def _at_least_one(number: int, where: str) -> None:
    if number < 1:
        raise BrokenPolicy(f"{where}: must be at least 1")


def _span(text: str, where: str) -> timedelta:
    """Return how long ``12h``, ``30d`` or ``6w`` is."""
    found = _SPAN.fullmatch(text)
    if not found or not int(found[1]):
        raise BrokenPolicy(f"{where}: {text!r} is no time; write it like '12h', '30d' or '6w'")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@cache
def _about() -> dict[Reason, rows.ReasonRow]:
    """Return what follows from each reason; the other rule data is not needed here."""
    data = (rows.built_in() / "reasons.toml").read_bytes()
    about: dict[Reason, rows.ReasonRow] = rows.parse_table(data, dict[Reason, rows.ReasonRow], "reasons")
    return about
