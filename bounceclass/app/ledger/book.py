"""``Ledger``: everything that can be asked of, and told to, the book that is kept of addresses."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import sqlalchemy as sa

from bounceclass.app import policyfile
from bounceclass.app.incidents import Incident, Ruling, Verdict
from bounceclass.app.ledger import records, schema
from bounceclass.app.ledger.answers import Adopted, Listed, Recorded, Run, Why
from bounceclass.app.ledger.database import Database, LedgerError, Misconfigured, NoLedger, chunks
from bounceclass.app.ledger.derive import Derivation, standing_of
from bounceclass.app.ledger.records import Judged
from bounceclass.app.policy import MANUAL, Event, Policy, Standing, State, What, became
from bounceclass.model import Confidence, Reason, Scope, Severity
from bounceclass.recipients import is_address

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from sqlalchemy import Connection

    from bounceclass.app.ledger.derive import Changes
    from bounceclass.model import Report

__all__ = ["MIN_KEY", "Ledger", "check_keys"]

Person = TypeVar("Person")

WAIT = 30.0
"""Seconds that a database may be away or busy before that is an error."""
FEW = 2_000
"""Addresses that are looked up one by one; for more the whole list of the suppressed is read."""
MIN_KEY = 16
"""Bytes of a hash key: whoever can guess it can try out addresses."""
PAGE = 2_000
"""Rows that are read at once."""
INSTANT = timedelta(microseconds=1)
"""As finely as databases tell moments apart."""


def _now() -> datetime:
    return datetime.now(UTC)


def check_keys(hash_key: bytes | None, *, keep_raw: bool) -> None:
    """Raise Misconfigured where no ledger can be opened so."""
    if hash_key is not None and len(hash_key) < MIN_KEY:
        raise Misconfigured(f"the hash key has {len(hash_key)} bytes; give at least {MIN_KEY} random ones")
    if hash_key is not None and keep_raw:
        raise Misconfigured("a ledger with hashed addresses keeps no raw mail; leave one of the two off")


def _loaded(policy: Policy | str | os.PathLike[str]) -> Policy:
    """Return *policy*, or the one of that name or path; raises BrokenPolicy."""
    return policy if isinstance(policy, Policy) else policyfile.load(policy)


class Ledger:
    """What is known of addresses, in SQLite or PostgreSQL.  ``Ledger.open`` makes one."""

    def __init__(
        self, database: Database, keys: records.Keys, policy: Policy, *, keep_raw: bool, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._keys = keys
        self._policy = policy
        self._keep_raw = keep_raw
        self._clock = clock
        self.adopted: Adopted | None = None
        """What it came to that the ledger was opened with another policy than it had."""

    @classmethod
    def open(
        cls,
        place: str | os.PathLike[str],
        *,
        policy: Policy | str | os.PathLike[str] | None = None,
        create: bool = True,
        hash_key: bytes | None = None,
        keep_raw: bool = False,
        wait: float = WAIT,
        clock: Callable[[], datetime] = _now,
    ) -> Ledger:
        """Return the ledger at *place*, made or brought up to date where that is needed.

        *place* is the path of an SQLite file or a URL, ``postgresql://user@host/database``.
        The ledger remembers its policy: None leaves it as it is (``cautious`` at first), another
        one, by its name or path too, derives every state anew, and ``adopted`` says what that came to.
        With *hash_key*, at least 16 random bytes, no address is kept, only keyed hashes; a ledger begun
        with one opens with that one only.  *keep_raw* keeps whole messages.
        *wait* is how many seconds the database may be away or busy; *clock* tells the time in UTC.

        Raises BrokenPolicy and LedgerError: Misconfigured for what can never be, the wrong key too.  Without
        *create* no ledger is made, and where there is none, that is NoLedger.
        """
        check_keys(hash_key, keep_raw=keep_raw)
        wanted = None if policy is None else _loaded(policy)
        database = Database(place, wait, create=create)
        try:
            database.prepare()
            keys = records.Keys(hash_key)
            ledger = cls(database, keys, policyfile.load(), keep_raw=keep_raw, clock=clock)
            ledger._settle(wanted, create=create)
        except BaseException:
            database.close()
            raise
        return ledger

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    @property
    def policy(self) -> Policy:
        """The policy that states are derived under."""
        return self._policy

    @property
    def hashed(self) -> bool:
        """Whether addresses are kept as keyed hashes only."""
        return self._keys.hashed

    @property
    def place(self) -> str:
        """Where the ledger is kept, for people: without a password."""
        return self._database.place

    def now(self) -> datetime:
        """Return the time as the ledger has it, in UTC."""
        return self._clock()

    # -- recording

    def record(self, report: Report, *, raw: bytes | None = None, source: str = "") -> Recorded:
        """Record one report; see ``record_all``.

        *raw* is the message it was read from.  Without it the report's own fields tell one
        message from another, so give it always or never.
        """
        return self.record_all([Judged(report=report, raw=raw, source=source)])

    def record_all(self, judged: Iterable[Judged], *, run: int | None = None) -> Recorded:
        """Record reports in one transaction and return what that came to.

        A message that is known already changes nothing.  Once this returns everything is
        safe; when it raises nothing was recorded, unless it says that this is not known, and
        it can be done again.  The counts are added to those of *run*.
        """
        now = self._clock()
        entries: dict[str, records.Entry] = {}
        seen = 0
        for one in judged:
            entry = records.entry(one, self._keys, now, keep_raw=self._keep_raw)
            entries.setdefault(entry.message["key"], entry)
            seen += 1

        def work(connection: Connection) -> Recorded:
            recorded = self._record(connection, entries, seen, now)
            if run is not None:
                _add_to_run(connection, run, recorded)
            return recorded

        return self._database.write(work)

    def _record(self, connection: Connection, entries: dict[str, records.Entry], seen: int, now: datetime) -> Recorded:
        known = _known(connection, list(entries))
        fresh = [entry for key, entry in entries.items() if key not in known]
        if not fresh:
            return Recorded(known=seen)
        events = [event for entry in fresh for event in entry.events]
        names = {key: name for entry in fresh for key, name in entry.names.items()}
        connection.execute(
            self._database.insert(schema.messages).on_conflict_do_nothing(), [entry.message for entry in fresh]
        )
        failures = [event for event in events if event["what"] == What.FAILURE]
        changes = self._derivation(connection, now).add(events, names)
        return Recorded(
            messages=len(fresh),
            known=seen - len(fresh),
            events=len(events),
            kinds=Counter(entry.message["kind"] for entry in fresh),
            reasons=Counter(event["reason"] for event in failures),
            providers=Counter(event["provider"] for event in failures if event["provider"]),
            **_moved(changes),
        )

    def add(self, addresses: str | Iterable[str], *, note: str = "") -> int:
        """Suppress *addresses* by hand, until they are released by hand; return how many were not yet."""
        return self._by_hand(What.SUPPRESS, addresses, note)

    def release(self, addresses: str | Iterable[str], *, note: str = "") -> int:
        """Release *addresses*, complainers too: nothing earlier counts any more.  Return how many were known."""
        return self._by_hand(What.RELEASE, addresses, note)

    def complain(self, addresses: str | Iterable[str], *, note: str = "") -> int:
        """Put *addresses* on the list of complainers by hand; return how many were not on it."""
        return self._by_hand(What.COMPLAINT, addresses, note)

    def alive(self, addresses: str | Iterable[str], *, note: str = "") -> int:
        """Record that *addresses* live: mail came from them, somebody logged in.  Return how many were known."""
        return self._by_hand(What.LIFE, addresses, note)

    def _by_hand(self, what: What, addresses: str | Iterable[str], note: str) -> int:
        now = self._clock()
        listed = [addresses] if isinstance(addresses, str) else list(addresses)
        for address in listed:
            if what is not What.RELEASE and not is_address(address):  # one that stands there already can be taken off
                raise ValueError(f"not an address: {address!r}")
        named = {self._keys.address(address): address for address in listed}

        def work(connection: Connection) -> int:
            derivation = self._derivation(connection, now)
            done = 0
            for keys in chunks(named, PAGE):
                before = derivation.standings(keys)
                changed = [key for key in keys if _would_change(what, before.get(key))]
                latest = _last_moments(connection, changed)
                events = []
                for key in changed:
                    # what is done now comes after all that is known, though a clock was set back or another's is ahead
                    when = max(now, latest[key] + INSTANT) if key in latest else now
                    events.append(records.by_hand(what, named[key], self._keys, when, now, note))
                derivation.add(events, {key: self._keys.shown(named[key]) for key in changed})
                done += len(changed)
            return done

        return self._database.write(work)

    # -- asking

    def is_empty(self) -> bool:
        """Tell whether nothing was ever recorded."""
        query = sa.select(sa.or_(sa.exists().select_from(schema.messages), sa.exists().select_from(schema.addresses)))
        return not self._database.read(lambda connection: connection.scalar(query))

    def is_suppressed(self, address: str) -> bool:
        """Tell whether *address* must not be mailed: it is suppressed, or its owner complained."""
        return bool(self._unmailable([self._keys.address(address)]))

    def mailable(self, people: Iterable[Person], *, address: Callable[[Person], str] = str) -> Iterator[Person]:
        """Yield those of *people* that may be mailed, in their order: addresses, or what *address* finds one in.

        All are judged by the state of the ledger when the first is asked for.  A single address may be given as it is.
        """
        left = iter(cast("Iterable[Person]", [people]) if isinstance(people, str) else people)
        first = list(itertools.islice(left, FEW))
        key = self._keys.address
        more = len(first) == FEW
        out = self._unmailable(None if more else [key(address(one)) for one in first])
        for one in itertools.chain(first, left):
            if key(address(one)) not in out:
                yield one

    def _unmailable(self, keys: list[str] | None) -> set[str]:
        """Return which of *keys*, None for all, must not be mailed now."""
        table = schema.addresses.c
        query = sa.select(table.key).where(_is_unmailable(self._clock()))
        if keys is not None:
            query = query.where(table.key.in_(keys))
        return self._database.read(lambda connection: set(connection.scalars(query)))

    def standing(self, address: str) -> Standing:
        """Return where *address* stands now."""
        return self.why(address).standing

    def why(self, address: str) -> Why:
        """Return where *address* stands now, with every event and its rule; what is not known is healthy."""
        key = self._keys.address(address)
        table = schema.events.c
        query = sa.select(schema.events).where(table.address == key).order_by(table.happened_at, table.key)

        def work(connection: Connection) -> Why:
            events = tuple(_event(row) for row in connection.execute(query).mappings())
            standing = self._derivation(connection, self._clock()).standing(events)
            return Why(address=address, standing=standing, events=events)

        return self._database.read(work)

    def suppressed(self) -> Iterator[Listed]:
        """Yield every suppressed address, in the order of their keys, whether or not its owner complained too."""
        return self._listed(_is_suppressed(self._clock()))

    def complaints(self) -> Iterator[Listed]:
        """Yield every address whose owner complained, in the order of their keys."""
        return self._listed(schema.addresses.c.complained.isnot(None))

    def unmailable(self) -> Iterator[Listed]:
        """Yield every address that must not be mailed, for either cause, in the order of their keys."""
        return self._listed(_is_unmailable(self._clock()))

    def _listed(self, which: sa.ColumnElement[bool]) -> Iterator[Listed]:
        table = schema.addresses
        last = ""
        while True:
            query = sa.select(table).where(which, table.c.key > last).order_by(table.c.key).limit(PAGE)
            rows = self._database.read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]
            for row in rows:
                yield Listed(key=row.key, address=row.address, standing=standing_of(row))
            if len(rows) < PAGE:
                return
            last = rows[-1].key

    def states(self) -> dict[State, int]:
        """Return how many addresses are in each state now."""
        table, now = schema.addresses.c, self._clock()
        ended = table.until.isnot(None) & (table.until <= now)
        lapsed = ended & (table.until <= now - self._policy.probation)
        query = sa.select(table.state, ended, lapsed, sa.func.count()).group_by(table.state, ended, lapsed)
        states = dict.fromkeys(State, 0)
        for state, is_ended, is_lapsed, number in self._database.read(
            lambda connection: connection.execute(query).all()
        ):
            after = State.PROBATION if state == State.SUPPRESSED and not is_lapsed else State.HEALTHY
            states[after if is_ended else State(state)] += number
        return states

    # -- incidents

    def incidents(self) -> list[Incident]:
        """Return every incident with the number of addresses in it, the latest first."""
        table = schema.events.c

        def work(connection: Connection) -> list[Incident]:
            found = []
            for incident in self._derivation(connection, self._clock()).all_incidents():
                query = sa.select(sa.func.count(sa.distinct(table.address))).where(
                    table.provider == incident.provider,
                    table.suppress,
                    table.happened_at >= incident.begins,
                    table.happened_at < incident.ends,
                )
                found.append(msgspec.structs.replace(incident, addresses=connection.scalar(query)))
            return _latest_first(found)

        return self._database.read(work)

    def open_incidents(self) -> list[str]:
        """Return the names of the incidents that hold suppressions now."""
        now = self._clock()
        found = self._database.read(lambda connection: self._derivation(connection, now).all_incidents())
        return [incident.name for incident in _latest_first(found) if incident.status(now) == "open"]

    def rule(self, name: str, verdict: Verdict) -> Incident:
        """Decide about the incident called *name*: its strikes count, or never do.  Return it as it is then.

        Raises LedgerError where there is none of that name.
        """
        now = self._clock()

        def work(connection: Connection) -> Incident:
            derivation = self._derivation(connection, now)
            incident = _named(name, derivation)
            derivation.rule(Ruling(provider=incident.provider, moment=incident.opened, verdict=verdict))
            return _named(name, derivation)

        return self._database.write(work)

    # -- policies

    def adopt(self, policy: Policy) -> Adopted:
        """Make *policy* the ledger's and derive every state anew; return whom that suppressed and released."""
        now = self._clock()

        def work(connection: Connection) -> Adopted:
            derivation = self._derivation(connection, now)
            changed: dict[State | None, list[str]] = {State.SUPPRESSED: [], State.RELEASED: [], None: []}
            last = ""
            while page := derivation.compared(policy, last, PAGE):
                for key, name, old, new in page:
                    changed[became(old, new)].append(name or key)
                last = page[-1][0]
            _set(connection, self._database, "policy", _written(policy))
            Derivation(connection, self._database, policy, now).everything()
            return Adopted(
                before=derivation.policy,
                after=policy,
                suppressed=tuple(changed[State.SUPPRESSED]),
                released=tuple(changed[State.RELEASED]),
            )

        adopted = self._database.write(work)
        self._policy = policy
        return adopted

    def replay(self, policy: Policy | str | os.PathLike[str]) -> Iterator[tuple[str, Standing, Standing]]:
        """Yield each address (its key where it is hashed) that *policy* would treat otherwise, with both standings.

        Nothing is changed.  Raises BrokenPolicy and LedgerError.
        """
        wanted = _loaded(policy)
        now = self._clock()
        last = ""
        while True:
            page = self._database.read(
                lambda connection, last=last: self._derivation(connection, now).compared(  # type: ignore[misc]
                    wanted, last, PAGE
                )
            )
            for key, name, old, new in page:
                if (old.state, old.until) != (new.state, new.until):
                    yield name or key, old, new
            if len(page) < PAGE:
                return
            last = page[-1][0]

    # -- runs

    def begin_run(self, source: str) -> int:
        """Note that a run begins; return its number for ``record_all`` and ``end_run``."""
        counts = msgspec.json.encode(Recorded().counts()).decode()
        row = {"source": self._keys.without(source) or "", "started_at": self._clock(), "counts": counts}
        query = sa.insert(schema.runs).values(**row).returning(schema.runs.c.id)
        run: int = self._database.write(lambda connection: connection.execute(query).scalar_one())
        return run

    def end_run(self, run: int) -> None:
        """Note that *run* came to its end."""
        query = sa.update(schema.runs).where(schema.runs.c.id == run).values(ended_at=self._clock())
        self._database.write(lambda connection: connection.execute(query))

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the last runs, the latest first."""
        query = sa.select(schema.runs).order_by(schema.runs.c.id.desc()).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [
            Run(
                id=row.id,
                source=row.source,
                started_at=row.started_at,
                ended_at=row.ended_at,
                counts=_counts(row.counts),
            )
            for row in rows
        ]

    # -- how it was begun

    def _derivation(self, connection: Connection, now: datetime) -> Derivation:
        """Return what derives states in this transaction, under the policy that the ledger has by now."""
        written = connection.scalar(sa.select(schema.settings.c.value).where(schema.settings.c.name == "policy"))
        if written and written != _written(self._policy):
            self._policy = msgspec.json.decode(written, type=Policy)
        return Derivation(connection, self._database, self._policy, now)

    def _settle(self, policy: Policy | None, *, create: bool) -> None:
        """Compare the ledger's settings with what was asked for, and adopt *policy*."""
        found = self._database.read(_settings)
        if "keys" not in found:
            if not create:
                raise NoLedger(self.place)
            found = self._database.write(lambda connection: self._begin(connection, policy or self._policy))
        if found["keys"] != self._keys.fingerprint:
            raise Misconfigured(f"{self.place}: {_wrong_key(found['keys'], self._keys)}")
        if policy is not None and found["policy"] != _written(policy):
            adopted = self.adopt(policy)
            self.adopted = adopted if adopted.before != policy else None  # somebody else was first
        else:
            self._policy = msgspec.json.decode(found["policy"], type=Policy)

    def _begin(self, connection: Connection, policy: Policy) -> dict[str, str]:
        found = _settings(connection)
        if "keys" in found:
            return found  # somebody else was first
        _set(connection, self._database, "keys", self._keys.fingerprint)
        _set(connection, self._database, "policy", _written(policy))
        return _settings(connection)


# --- rows ---------------------------------------------------------------------------


def _moved(changes: Changes) -> dict[str, Any]:
    return {name: tuple(value) for name, value in changes._asdict().items()}


def _is_suppressed(now: datetime) -> sa.ColumnElement[bool]:
    table = schema.addresses.c
    return (table.state == sa.literal_column("'suppressed'")) & (table.until.is_(None) | (table.until > now))


def _is_unmailable(now: datetime) -> sa.ColumnElement[bool]:
    # the first condition is the index's own
    table = schema.addresses.c
    held_back = sa.text("(state = 'suppressed' OR complained IS NOT NULL)")
    return sa.and_(held_back, table.complained.isnot(None) | _is_suppressed(now))


def _would_change(what: What, standing: Standing | None) -> bool:
    """Tell whether doing *what* by hand says anything new of an address that stands at *standing*, None for unknown."""
    if what is What.SUPPRESS:
        return standing is None or standing.reason != MANUAL
    if what is What.COMPLAINT:
        return standing is None or standing.complained is None
    return standing is not None


def _latest_first(found: list[Incident]) -> list[Incident]:
    return sorted(found, key=lambda one: (one.opened, one.provider), reverse=True)


def _named(name: str, derivation: Derivation) -> Incident:
    incident = next((one for one in derivation.all_incidents() if one.name == name), None)
    if incident is None:
        raise LedgerError(f"{name}: there is no such incident; look them up with incidents")
    return incident


def _event(row: Any) -> Event:
    names = {
        "what": What,
        "reason": Reason,
        "severity": Severity,
        "scope": Scope,
        "confidence": Confidence,
    }
    values = {name: value for name, value in row.items() if name != "address"}
    for name, kind in names.items():
        values[name] = kind(values[name]) if values[name] is not None else None
    return Event(**values)


def _known(connection: Connection, keys: list[str]) -> set[str]:
    table = schema.messages.c
    found: set[str] = set()
    for chunk in chunks(keys, PAGE):
        found.update(connection.scalars(sa.select(table.key).where(table.key.in_(chunk))))
    return found


def _last_moments(connection: Connection, keys: list[str]) -> dict[str, datetime]:
    """Return when the last that is known of each of *keys* happened; those of whom nothing is are left out."""
    table = schema.events.c
    query = sa.select(table.address, sa.func.max(table.happened_at).label("last"))
    rows = connection.execute(query.where(table.address.in_(keys)).group_by(table.address))
    return {row.address: row.last for row in rows}


def _settings(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(sa.select(schema.settings))}


def _set(connection: Connection, database: Database, name: str, value: str) -> None:
    connection.execute(database.upsert(schema.settings), {"name": name, "value": value})


def _written(policy: Policy) -> str:
    return msgspec.json.encode(policy).decode()


def _wrong_key(found: str, keys: records.Keys) -> str:
    if not keys.hashed:
        return "addresses in it are hashed; give its hash key"
    if found == "plain":
        return "addresses in it are not hashed; open it without a hash key, or begin another ledger"
    return "its addresses were hashed with another key; give that one"


def _counts(text: str) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(text)
    return plain


def _add_to_run(connection: Connection, run: int, recorded: Recorded) -> None:
    table = schema.runs
    before = _counts(connection.execute(sa.select(table.c.counts).where(table.c.id == run)).scalar_one())
    for name, value in recorded.counts().items():
        if isinstance(value, Counter):
            before[name] = Counter(before[name]) + value
        else:
            before[name] += value
    connection.execute(sa.update(table).where(table.c.id == run).values(counts=msgspec.json.encode(before).decode()))
