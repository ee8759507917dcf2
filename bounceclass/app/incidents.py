"""When a provider, and not its users, is the reason for refusals.

Now and then a provider refuses live addresses as unknown (Gmail on 14 December 2020, for two
and a half hours).  What gives it away is its own history: far more addresses refused in an
hour than in the busiest hour of the weeks before.  Pure: counts in, incidents out.

The baseline is the *busiest* hour and no average: whoever mails once a week has one hour a week
with refusals of real dead addresses, and that hour is normal.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ALWAYS", "HOUR", "Incident", "IncidentRules", "Ruling", "Verdict", "find", "hour_of"]

HOUR = timedelta(hours=1)
ALWAYS = datetime.min.replace(tzinfo=UTC)


class IncidentRules(Struct, frozen=True, kw_only=True):
    """The [incident] table of a policy."""

    addresses: int = 20
    """Fewer distinct addresses refused in an hour are never an incident."""
    times: int = 5
    """How many times the busiest hour of its history a provider's hour must have."""
    history: timedelta = timedelta(days=45)
    """How far back the history goes: more than a month, or a monthly mailing would look like an incident."""
    days: int = 5
    """Days with refusals that the history must have; with fewer no incident can be told."""
    calm: timedelta = timedelta(hours=4)
    """How long refusals must be back to normal for the incident to be over."""
    limit: timedelta = timedelta(days=3)
    """What lasts longer is no incident: the addresses are gone, and the strikes count."""


class Verdict(StrEnum):
    """What a person says of an incident."""

    COUNT = "count"
    """The refusals were true: the strikes count."""
    VOID = "void"
    """The provider was at fault: the strikes never count, however long it lasts."""


class Ruling(Struct, frozen=True, kw_only=True):
    """A person's word on the incident that opened at a moment, or has it inside by now: late mail moves openings."""

    provider: str
    moment: datetime
    verdict: Verdict


class Incident(Struct, frozen=True, kw_only=True):
    """A time in which a provider refused far more addresses than it used to."""

    provider: str
    opened: datetime
    """The first hour that was too much."""
    ends: datetime
    """The moment from which refusals count again, or the next incident's opening."""
    baseline: int
    """Addresses refused in the busiest hour of the history."""
    peak: int
    """Addresses refused in the worst hour."""
    counts: bool = False
    """The strikes count after all: it lasted too long, or a person said so."""
    ruled: bool = False
    """A person decided."""
    addresses: int = 0
    """Distinct addresses refused meanwhile, where somebody counted them."""

    @property
    def begins(self) -> datetime:
        """The moment from which strikes are held: an hour earlier, as clock hours cut the beginning off."""
        return self.opened - HOUR

    @property
    def name(self) -> str:
        """Provider and first hour, as in ``google/2020-12-14T21``."""
        return f"{self.provider}/{self.opened:%Y-%m-%dT%H}"

    def covers(self, provider: str | None, moment: datetime) -> bool:
        """Tell whether a strike by *provider* at *moment* is held or void."""
        return not self.counts and provider == self.provider and self.begins <= moment < self.ends

    def status(self, now: datetime) -> str:
        """Return ``open``, ``over`` (its strikes stay void), or after a word or by its length ``counted`` or ``void``."""
        if self.counts:
            return "counted"
        if self.ruled:
            return "void"
        return "open" if now < self.ends else "over"


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the clock hour of *moment*."""
    return moment.replace(minute=0, second=0, microsecond=0)


def find(
    provider: str,
    hours: Mapping[datetime, int],
    rules: IncidentRules,
    rulings: Sequence[Ruling] = (),
    known: Sequence[Incident] = (),
    since: datetime = ALWAYS,
) -> list[Incident]:
    """Return the incidents of *provider* that opened at *since* or later, in order of time.

    *hours* gives for each clock hour (UTC) how many distinct addresses *provider* refused
    as dead in it.  The same hours, rules and rulings give the same incidents, and so does a
    later part of them: *known* are then the incidents before, of which none lasts until *since*,
    and *hours* go as far back as the history.
    """
    watch = _Watch(provider, rules, rulings)
    before = [one for one in known if one.opened < since and not one.counts]
    for hour, count in sorted(hours.items()):
        if hour >= since:
            watch.sees(hour, count)
        elif not any(one.opened <= hour < one.ends for one in before):
            watch.learns(hour, count)
    return watch.found


class _Watch:
    """Goes through the hours of one provider, once."""

    def __init__(self, provider: str, rules: IncidentRules, rulings: Sequence[Ruling]) -> None:
        self.provider = provider
        self.rules = rules
        self.rulings = [ruling for ruling in rulings if ruling.provider == provider]
        self.busiest: dict[date, int] = {}
        """Of each day the most addresses in an hour, incidents left out."""
        self.found: list[Incident] = []
        self.inside: list[tuple[datetime, int]] = []
        """The hours since the last incident opened."""
        self._baseline: tuple[date, int | None] | None = None

    def sees(self, hour: datetime, count: int) -> None:
        """Judge *hour*; hours come in order."""
        last = self.found[-1] if self.found else None
        if last and self.inside and hour < last.ends:
            self._goes_on(last, hour, count)
            return
        if last and last.counts:
            self._learn_from_it()
        self.inside = []
        baseline = self._baseline_before(hour.date())
        if baseline is not None and count >= self._too_much(baseline):
            self._opens(hour, count, baseline)
        else:
            self.learns(hour, count)

    def learns(self, hour: datetime, count: int) -> None:
        """Take *hour* for a normal one."""
        day = hour.date()
        self.busiest[day] = max(count, self.busiest.get(day, 0))

    def _too_much(self, baseline: int) -> int:
        return max(self.rules.addresses, self.rules.times * baseline)

    def _opens(self, hour: datetime, count: int, baseline: int) -> None:
        ends = hour + HOUR + self.rules.calm
        incident = Incident(provider=self.provider, opened=hour, ends=ends, baseline=baseline, peak=count)
        if self.found and self.found[-1].ends > hour:  # it counts, or this hour were one of its own
            self.found[-1] = replace(self.found[-1], ends=hour)
        self.inside = [(hour, count)]
        self.found.append(self._judged(incident))

    def _goes_on(self, incident: Incident, hour: datetime, count: int) -> None:
        self.inside.append((hour, count))
        if count >= self._too_much(incident.baseline):
            ends = hour + HOUR + self.rules.calm
            self.found[-1] = self._judged(replace(incident, ends=ends, peak=max(count, incident.peak)))
            if self.found[-1].counts and not self.found[-1].ruled:  # it has become the normal rate
                self._learn_from_it()

    def _judged(self, incident: Incident) -> Incident:
        """Return *incident* with what a person said of it, or else its length."""
        last = incident.ends - self.rules.calm  # of its hours; in the calm another may open
        word = [one.verdict for one in self.rulings if incident.opened <= one.moment < last][-1:]
        counts = word == [Verdict.COUNT] if word else last - incident.opened > self.rules.limit
        return replace(incident, counts=counts, ruled=bool(word))

    def _learn_from_it(self) -> None:
        for hour, count in self.inside:
            self.learns(hour, count)
        self.inside = []
        self._baseline = None

    def _baseline_before(self, day: date) -> int | None:
        """Return the busiest hour of the history before *day*, or None where there is too little of it."""
        if self._baseline is None or self._baseline[0] != day:
            first = day - self.rules.history
            self.busiest = {one: count for one, count in self.busiest.items() if first <= one}
            days = [count for one, count in self.busiest.items() if one < day]
            self._baseline = (day, max(days) if len(days) >= self.rules.days else None)
        return self._baseline[1]
