"""From events to states, inside one transaction of the ledger.

Only writers change anything here, one at a time; so what is derived never rests on half of
what another process wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from msgspec import json

from bounceclass.app import incidents
from bounceclass.app.incidents import ALWAYS, Incident, IncidentRules, Ruling, Verdict, hour_of
from bounceclass.app.ledger import schema
from bounceclass.app.ledger.database import chunks
from bounceclass.app.policy import Event, Policy, Standing, State, What, decide
from bounceclass.model import Confidence, Reason, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from bounceclass.app.ledger.database import Database

__all__ = ["Changes", "Derivation", "standing_of"]

PAGE = 1_000
"""Addresses whose events are held at once."""

_WHAT = {str(one): one for one in What}
_REASON = {str(one): one for one in Reason}
_SCOPE = {str(one): one for one in Scope}
_CONFIDENCE = {str(one): one for one in Confidence}
# What a state is derived from; a delay says nothing
_TELLING = sa.select(
    *(
        schema.events.c[name]
        for name in (
            "address",
            "key",
            "what",
            "happened_at",
            "reason",
            "scope",
            "suppress",
            "confidence",
            "provider",
            "source",
        )
    )
).where(schema.events.c.what != What.DELAY.value)


class Changes(NamedTuple):
    """Who moved where: addresses, or their keys where they are hashed."""

    suppressed: list[str]
    released: list[str]
    complaints: list[str]
    held: list[str]


class Derivation:
    """Derives states under *policy*: those that are told as of *now*, those that are kept for any moment."""

    def __init__(self, connection: Connection, database: Database, policy: Policy, now: datetime) -> None:
        self.connection = connection
        self.database = database
        self.policy = policy
        self.now = now
        self._incidents: list[Incident] | None = None
        self._others: dict[IncidentRules, dict[str, list[Incident]]] = {}

    # -- what comes in

    def add(self, events: list[dict[str, Any]], names: dict[str, str | None]) -> Changes:
        """Keep new *events* and derive what follows; *names* are the addresses to show for their keys."""
        changes = Changes([], [], [], [])
        if not events:
            return changes
        self.connection.execute(self.database.insert(schema.events).on_conflict_do_nothing(), events)
        new = {event["key"] for event in events}
        counted: dict[tuple[str, datetime], int] = {}
        history: dict[str, list[Event]] = {}
        for chunk in chunks(names, PAGE):
            history.update(self._events(chunk))
        for happened in history.values():
            for bucket in _new_refusals(happened, new):
                counted[bucket] = counted.get(bucket, 0) + 1
        also = self._watch(counted) - set(names)
        self._settle(history, names, changes)
        self._derive(also, changes)
        return changes

    def rule(self, ruling: Ruling) -> None:
        """Keep a person's word on an incident, and derive what follows."""
        row = {
            "provider": ruling.provider,
            "moment": ruling.moment,
            "verdict": ruling.verdict.value,
            "ruled_at": self.now,
        }
        self.connection.execute(self.database.upsert(schema.rulings), row)
        self._derive(self._find_again(ruling.provider, ruling.moment), Changes([], [], [], []))

    def everything(self) -> None:
        """Derive every incident and every state anew."""
        changes = Changes([], [], [], [])
        self.connection.execute(sa.delete(schema.incidents))
        self._write_incidents([one for found in self._all_found(self.policy.incident).values() for one in found])
        for keys in self._pages():
            self._derive(keys, changes)

    # -- what is asked

    @property
    def incidents(self) -> list[Incident]:
        """The incidents whose strikes do not count."""
        return [one for one in self.all_incidents() if not one.counts]

    def all_incidents(self) -> list[Incident]:
        """Return every incident, as it was found last."""
        if self._incidents is None:
            rows = self.connection.execute(sa.select(schema.incidents)).mappings()
            self._incidents = [Incident(**row) for row in rows]
        return self._incidents

    def standing(self, events: Sequence[Event]) -> Standing:
        """Return where the address that *events* happened to stands."""
        return self._decided(events, self.policy, _by_provider(self.incidents))

    def standings(self, keys: Collection[str]) -> dict[str, Standing]:
        """Return where the addresses of *keys* stand, a suppression that is over too; those that are not known are left out."""
        return {key: standing for key, (_, standing) in self._kept(keys).items()}

    def compared(self, policy: Policy, last: str, number: int) -> list[tuple[str, str | None, Standing, Standing]]:
        """Return the *number* addresses after *last*: key, address, and where they stand under either policy."""
        table = schema.addresses.c
        query = sa.select(table.key, table.address).where(table.key > last).order_by(table.key).limit(number)
        rows = self.connection.execute(query).all()
        events = self._events([row.key for row in rows])
        old = _by_provider(self.incidents)
        new = old if policy.incident == self.policy.incident else self._under(policy.incident)
        return [
            (
                row.key,
                row.address,
                self._decided(events.get(row.key, []), self.policy, old),
                self._decided(events.get(row.key, []), policy, new),
            )
            for row in rows
        ]

    def _under(self, rules: IncidentRules) -> dict[str, list[Incident]]:
        """Return the incidents of each provider whose strikes would not count under other *rules*."""
        if rules not in self._others:
            found = self._all_found(rules)
            self._others[rules] = {name: [one for one in some if not one.counts] for name, some in found.items()}
        return self._others[rules]

    # -- states

    def _derive(self, keys: Iterable[str], changes: Changes) -> None:
        """Derive the states of *keys* from all their events."""
        for chunk in chunks(sorted(keys), PAGE):
            self._settle(self._events(chunk), {}, changes)

    def _settle(self, history: dict[str, list[Event]], names: dict[str, str | None], changes: Changes) -> None:
        """Derive and keep the states that *history* leads to, and note the changes."""
        incidents = _by_provider(self.incidents)
        kept: dict[str, tuple[str | None, Standing]] = {}
        for chunk in chunks(history, PAGE):
            kept.update(self._kept(chunk))
        rows = []
        for key, events in history.items():
            name, old = kept.get(key, (names.get(key), Standing()))
            new = self._decided(events, self.policy, incidents, ended=True)
            _note(changes, name or key, old, new, self.now)
            if new != old or key not in kept:
                rows.append(_row(key, name, new))
        if rows:
            self.connection.execute(self.database.upsert(schema.addresses), rows)

    def _decided(
        self, events: Sequence[Event], policy: Policy, incidents: dict[str, list[Incident]], *, ended: bool = False
    ) -> Standing:
        relevant = [one for name in {event.provider for event in events} for one in incidents.get(name or "", ())]
        return decide(events, policy, self.now, relevant, ended=ended)

    def _kept(self, keys: Collection[str]) -> dict[str, tuple[str | None, Standing]]:
        table = schema.addresses
        rows = self.connection.execute(sa.select(table).where(table.c.key.in_(list(keys))))
        return {row.key: (row.address, standing_of(row)) for row in rows}

    def _events(self, keys: Collection[str]) -> dict[str, list[Event]]:
        """Return the telling events of each of *keys*; all have an entry."""
        found: dict[str, list[Event]] = {key: [] for key in keys}
        for row in self.connection.execute(_TELLING.where(schema.events.c.address.in_(list(keys)))):
            address, key, what, happened_at, reason, scope, suppress, confidence, provider, source = row
            event = Event(
                what=_WHAT[what],
                happened_at=happened_at,
                key=key,
                reason=_REASON.get(reason),
                scope=_SCOPE.get(scope),
                suppress=suppress,
                confidence=_CONFIDENCE.get(confidence),
                provider=provider,
                source=source,
            )
            found[address].append(event)
        return found

    def _pages(self) -> Iterator[list[str]]:
        """Yield the keys of all addresses, a page at a time."""
        table, last = schema.addresses.c, ""
        while keys := list(
            self.connection.scalars(sa.select(table.key).where(table.key > last).order_by(table.key).limit(PAGE))
        ):
            yield keys
            last = keys[-1]

    # -- incidents

    def _watch(self, counted: dict[tuple[str, datetime], int]) -> set[str]:
        """Add new refusals to the hours they fell in; return the addresses whose strikes that brings in or out."""
        if not counted:
            return set()
        table = schema.hours
        rows = [{"provider": one, "hour": hour, "addresses": number} for (one, hour), number in counted.items()]
        self.connection.execute(self.database.upsert(table, add=("addresses",)), rows)
        first: dict[str, datetime] = {}
        for provider, hour in counted:
            first[provider] = min(hour, first.get(provider, hour))
        affected: set[str] = set()
        for chunk in chunks(first, PAGE):
            busy = sa.select(table.c.provider).where(
                table.c.provider.in_(chunk), table.c.addresses >= self.policy.incident.addresses
            )
            for provider in set(self.connection.scalars(busy)):
                affected |= self._find_again(provider, first[provider])
        return affected

    def _find_again(self, provider: str, since: datetime) -> set[str]:
        """Find the incidents of *provider* from *since* on anew; return the addresses that they concern or did."""
        mine = [one for one in self.all_incidents() if one.provider == provider]
        while inside := [one.opened for one in mine if one.opened < since < one.ends]:
            since = min(inside)
        old = [one for one in mine if one.opened >= since]
        known = [one for one in mine if one.opened < since]
        hours = self._hours(provider, since - self.policy.incident.history)
        new = incidents.find(provider, hours, self.policy.incident, self._rulings(provider), known, since)
        if new == old:
            return set()
        table = schema.incidents
        self.connection.execute(sa.delete(table).where(table.c.provider == provider, table.c.opened >= since))
        self._write_incidents(new)
        affected: set[str] = set()
        for begins, ends in _otherwise(old, new):
            affected |= self._refused(provider, begins, ends)
        return affected

    def _all_found(self, rules: IncidentRules) -> dict[str, list[Incident]]:
        """Return the incidents of all providers under *rules*."""
        table = schema.hours.c
        busy = sa.select(table.provider).where(table.addresses >= rules.addresses).distinct()
        return {
            one: incidents.find(one, self._hours(one, ALWAYS), rules, self._rulings(one))
            for one in list(self.connection.scalars(busy))
        }

    def _hours(self, provider: str, since: datetime) -> dict[datetime, int]:
        table = schema.hours.c
        query = sa.select(table.hour, table.addresses).where(table.provider == provider)
        if since != ALWAYS:
            day = since.replace(hour=0, minute=0, second=0, microsecond=0)
            query = query.where(table.hour >= day)
        return {row.hour: row.addresses for row in self.connection.execute(query)}

    def _rulings(self, provider: str) -> list[Ruling]:
        table = schema.rulings.c
        query = sa.select(table.moment, table.verdict).where(table.provider == provider).order_by(table.ruled_at)
        rows = self.connection.execute(query)
        return [Ruling(provider=provider, moment=row.moment, verdict=Verdict(row.verdict)) for row in rows]

    def _write_incidents(self, found: list[Incident]) -> None:
        self._incidents = None
        if found:
            columns = [column.name for column in schema.incidents.c]
            rows = [{name: getattr(one, name) for name in columns} for one in found]
            self.connection.execute(sa.insert(schema.incidents), rows)

    def _refused(self, provider: str, begins: datetime, ends: datetime) -> set[str]:
        table = schema.events.c
        query = sa.select(table.address).where(
            table.provider == provider,
            table.what == What.FAILURE.value,
            table.happened_at >= begins,
            table.happened_at < ends,
        )
        return set(self.connection.scalars(query))


def _new_refusals(happened: list[Event], new: set[str]) -> set[tuple[str, datetime]]:
    """Return provider and hour of each refusal as dead that is the first in its hour, and among the *new* ones."""
    fresh: set[tuple[str, datetime]] = set()
    before: set[tuple[str, datetime]] = set()
    for event in happened:
        if event.what is What.FAILURE and event.suppress and event.provider:
            (fresh if event.key in new else before).add((event.provider, hour_of(event.happened_at)))
    return fresh - before


def _otherwise(old: list[Incident], new: list[Incident]) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times whose strikes are treated otherwise under *new* incidents than under *old* ones."""
    before = {one.opened: one for one in old}
    after = {one.opened: one for one in new}
    for opened in before.keys() | after.keys():
        one, other = before.get(opened), after.get(opened)
        if one and other and one.counts == other.counts and one.ruled == other.ruled:
            if one.ends != other.ends:
                yield min(one.ends, other.ends), max(one.ends, other.ends)
        else:
            some = [incident for incident in (one, other) if incident]
            yield some[0].begins, max(incident.ends for incident in some)


def _by_provider(found: Iterable[Incident]) -> dict[str, list[Incident]]:
    by_provider: dict[str, list[Incident]] = {}
    for one in found:
        by_provider.setdefault(one.provider, []).append(one)
    return by_provider


def _note(changes: Changes, name: str, old: Standing, new: Standing, now: datetime) -> None:
    was, is_now = (one.state is State.SUPPRESSED and (one.until is None or one.until > now) for one in (old, new))
    if is_now != was:
        (changes.released if was else changes.suppressed).append(name)
    if new.complained and not old.complained:
        changes.complaints.append(name)
    if new.held and not old.held:
        changes.held.append(name)


def _row(key: str, name: str | None, standing: Standing) -> dict[str, Any]:
    return {
        "key": key,
        "address": name,
        "state": standing.state.value,
        "since": standing.since,
        "until": standing.until,
        "reason": str(standing.reason) if standing.reason else None,
        "strikes": standing.strikes,
        "held": json.encode(standing.held).decode() if standing.held else "",
        "because": standing.because,
        "complained": standing.complained,
    }


_STATE = {str(one): one for one in State}


def standing_of(row: Any) -> Standing:
    """Return the standing that a row of ``addresses`` keeps."""
    return Standing(
        state=_STATE[row.state],
        since=row.since,
        until=row.until,
        reason=row.reason,
        strikes=row.strikes,
        held=tuple(json.decode(row.held)) if row.held else (),
        because=row.because,
        complained=row.complained,
    )
