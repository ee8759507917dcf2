"""What follows from all that happened to one address: events and a policy in, a standing out.

Pure: nothing here reads a file, a clock or a database, so that any process, and any replay,
comes to the same standing.  ``policyfile`` reads policies, ``ledger`` keeps events.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from bounceclass.app.incidents import IncidentRules
from bounceclass.model import Confidence, Reason, Scope, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bounceclass.app.incidents import Incident

__all__ = ["MANUAL", "Event", "Policy", "Row", "Standing", "State", "What", "became", "decide", "is_strike"]

MANUAL = "manual"
"""The reason of a suppression by hand."""


class What(StrEnum):
    """What happened to an address."""

    FAILURE = "failure"
    """A delivery failed for good."""
    DELAY = "delay"
    """Not delivered yet; says nothing of the address."""
    DELIVERY = "delivery"
    """Delivered, relayed or expanded (RFC 3464 2.3.3): positive evidence."""
    LIFE = "life"
    """Mail came from the address: positive evidence."""
    COMPLAINT = "complaint"
    SUPPRESS = "suppress"
    """Suppressed by hand, until released by hand."""
    RELEASE = "release"
    """Released by hand."""


class State(StrEnum):
    """Where an address stands, the worst last."""

    HEALTHY = "healthy"
    RELEASED = "released"
    """Released by hand; nothing held against it has happened since."""
    SUSPECT = "suspect"
    """Strikes, but too few."""
    PROBATION = "probation"
    """Mailed again after a suppression; the next strike suppresses it at once, and for longer."""
    SUPPRESSED = "suppressed"


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened to one address."""

    what: What
    happened_at: datetime
    """In UTC."""
    key: str = ""
    """What makes it one event, however often it is seen."""
    reason: Reason | None = None
    severity: Severity | None = None
    scope: Scope | None = None
    suppress: bool = False
    confidence: Confidence | None = None
    provider: str | None = None
    """Who refused: a provider of the rules, else the address's domain."""
    status: str | None = None
    reply_code: int | None = None
    rule: str | None = None
    """The rule that the verdict rests on most."""
    diagnostic: str | None = None
    dialect: str | None = None
    source: str | None = None
    """Where the message was found, or the note given by hand."""
    message: str | None = None
    """The key of the message that told of it; None by hand."""
    recorded_at: datetime | None = None


class Row(Struct, frozen=True, kw_only=True):
    """When a reason suppresses an address, and for how long."""

    strikes: int
    days: int
    """Distinct days (UTC) that the strikes must fall on."""
    window: timedelta
    """Strikes older than this no longer count."""
    ttl: tuple[timedelta | None, ...]
    """How long the first suppression lasts, the second, ...; the last for all that follow; None is for ever."""
    confidence: Confidence
    """The least confidence of a verdict that counts."""
    dead_only: bool = False
    """Only failures with ``suppress`` count: the reason can mean that the address is dead."""


class Policy(Struct, frozen=True, kw_only=True):
    """What to do about addresses; docs/ledger.md has the file that it is read from."""

    name: str
    summary: str = ""
    probation: timedelta
    """How long after a suppression the next strike suppresses at once."""
    resets: tuple[What, ...]
    """The positive evidence after which nothing earlier counts."""
    incident: IncidentRules = field(default_factory=IncidentRules)
    reasons: dict[Reason, Row]
    """Reasons without a row never suppress."""


class Standing(Struct, frozen=True, kw_only=True):
    """Where an address stands at one moment."""

    state: State = State.HEALTHY
    since: datetime | None = None
    until: datetime | None = None
    """When the state ends by time alone; None is never."""
    reason: str | None = None
    """The reason of the state, or ``manual``."""
    strikes: int = 0
    """Strikes that led to the state."""
    held: tuple[str, ...] = ()
    """The open incidents that strikes are held for."""
    because: str = ""
    """The state in a sentence."""
    complained: datetime | None = None
    """When its owner last complained; a list of its own, whatever the state."""

    @property
    def mailable(self) -> bool:
        """Whether mail may be sent: neither suppressed nor a complainer."""
        return self.state is not State.SUPPRESSED and self.complained is None


def became(old: Standing, new: Standing) -> State | None:
    """Return SUPPRESSED for an address that may be mailed no longer, RELEASED for one that may again, else None."""
    if old.mailable == new.mailable:
        return None
    return State.RELEASED if new.mailable else State.SUPPRESSED


_CONFIDENCE = {Confidence.GUESS: 0, Confidence.PROBABLE: 1, Confidence.CERTAIN: 2}
_WORSE = {state: rank for rank, state in enumerate(State)}
# Of what happened at the same moment the good counts last
_ORDER = {
    What.DELAY: 0,
    What.FAILURE: 0,
    What.COMPLAINT: 1,
    What.SUPPRESS: 2,
    What.LIFE: 3,
    What.DELIVERY: 3,
    What.RELEASE: 4,
}
_NOT_THE_ADDRESS = (Scope.SENDER, Scope.MESSAGE)


def is_strike(event: Event, policy: Policy) -> bool:
    """Tell whether *event* counts against its address, incidents apart."""
    row = policy.reasons.get(event.reason) if event.reason else None
    return (
        row is not None
        and event.what is What.FAILURE
        and event.scope not in _NOT_THE_ADDRESS
        and _CONFIDENCE[event.confidence or Confidence.GUESS] >= _CONFIDENCE[row.confidence]
        and (event.suppress or not row.dead_only)
    )


def decide(
    events: Iterable[Event],
    policy: Policy,
    now: datetime,
    incidents: Sequence[Incident] = (),
    *,
    ended: bool = False,
) -> Standing:
    """Return where the address that *events* happened to stands at *now*, in whatever order they come.

    Strikes inside one of *incidents* that does not count are passed over.  With *ended* a suppression that
    is over by *now* is returned too, with the ``until`` that it had: who keeps that can tell at any moment
    whether the address is suppressed, whatever the clock said when it was kept.
    """
    ordered = sorted(events, key=lambda event: (event.happened_at, _ORDER[event.what], event.key))
    tracks: dict[Reason, _Track] = {}
    held: set[str] = set()
    by_hand = released = complained = None
    for event in ordered:
        if event.what is What.RELEASE:
            tracks.clear()
            held.clear()
            by_hand, complained, released = None, None, event.happened_at
        elif event.what is What.SUPPRESS:
            by_hand = by_hand or event
        elif event.what is What.COMPLAINT:
            complained = event.happened_at
        elif event.what in policy.resets:
            tracks.clear()
            held.clear()
            released = None
        elif event.reason and is_strike(event, policy):
            incident = next((one for one in incidents if one.covers(event.provider, event.happened_at)), None)
            if incident is None:
                track = tracks.get(event.reason) or tracks.setdefault(event.reason, _Track(event.reason, policy))
                track.strike(event.happened_at)
            elif incident.status(now) == "open":
                held.add(incident.name)
    moment = ordered[0].happened_at if ended and ordered else now  # when none is over yet
    standing = _by_hand(by_hand) if by_hand else _worst(tracks, moment, released)
    if held or complained:
        names = tuple(sorted(held))
        because = standing.because or (f"strikes are held: {', '.join(names)}" if names else "")
        standing = replace(standing, held=names, because=because, complained=complained)
    return standing


def _by_hand(event: Event) -> Standing:
    note = f": {event.source}" if event.source else ""
    return Standing(state=State.SUPPRESSED, since=event.happened_at, reason=MANUAL, because=f"suppressed by hand{note}")


def _worst(tracks: dict[Reason, _Track], now: datetime, released: datetime | None) -> Standing:
    """Return the worst standing that a reason leads to; of equals the one that lasts longest."""
    worst = None
    for track in tracks.values():
        standing = track.standing(now)
        if worst is None or _rank(standing) > _rank(worst):
            worst = standing
    if worst is not None and worst.state is not State.HEALTHY:
        return worst
    if released:
        return Standing(state=State.RELEASED, since=released, because="released by hand")
    return Standing()


def _rank(standing: Standing) -> tuple[int, bool, float, str]:
    until = standing.until
    return (
        _WORSE[standing.state],
        until is None,
        until.timestamp() if until else 0.0,
        standing.reason or "",
    )


class _Track:
    """What one reason comes to, strike by strike, since the last positive evidence."""

    def __init__(self, reason: Reason, policy: Policy) -> None:
        self.reason = reason
        self.row = policy.reasons[reason]
        self.probation = policy.probation
        self.recent: list[datetime] = []
        self.led: list[datetime] = []
        """The strikes that led to the last suppression."""
        self.times = 0
        """How often it was suppressed, one suppression after the other."""
        self.until: datetime | None = None

    def strike(self, at: datetime) -> None:
        """Count a strike no earlier than those before it."""
        on_probation = False
        if self.times:
            if self.until is None or at < self.until:
                return  # it is suppressed already; late answers to older mail neither prolong nor escalate that
            on_probation = at < self.until + self.probation
            if not on_probation:
                self.times = 0
        self.recent = [*self._in_window(at), at]
        enough = len(self.recent) >= self.row.strikes and len({one.date() for one in self.recent}) >= self.row.days
        if enough or on_probation:
            ttl = self.row.ttl[min(self.times, len(self.row.ttl) - 1)]
            self.until = None if ttl is None else at + ttl
            self.times += 1
            self.led, self.recent = self.recent, []

    def _in_window(self, at: datetime) -> list[datetime]:
        return [one for one in self.recent if one > at - self.row.window]

    def standing(self, now: datetime) -> Standing:
        """Return what the strikes so far mean at *now*."""
        if self.times:
            if self.until is None or now < self.until:
                return self._standing(State.SUPPRESSED, self.led, self.led[-1], self.until)
            if now < self.until + self.probation:
                return self._standing(State.PROBATION, self.led, self.until, self.until + self.probation)
        elif recent := self._in_window(now):
            return self._standing(State.SUSPECT, recent, recent[0], recent[-1] + self.row.window)
        return Standing()

    def _standing(self, state: State, strikes: list[datetime], since: datetime, until: datetime | None) -> Standing:
        count = f"{len(strikes)} strike{'s' * (len(strikes) != 1)}"
        first, last = strikes[0].date(), strikes[-1].date()
        days = f"on {first}" if first == last else f"from {first} to {last}"
        because = f"{self.reason}: {count} {days}"
        if self.times > 1:
            because += f", suppressed {self.times} times"
        return Standing(
            state=state, since=since, until=until, reason=self.reason, strikes=len(strikes), because=because
        )
