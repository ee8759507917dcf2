"""When refusals are the provider's fault, told by its history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bounceclass.app.incidents import HOUR, Incident, IncidentRules, Ruling, Verdict, find, hour_of

RULES = IncidentRules()
START = datetime(2020, 11, 1, tzinfo=UTC)
Hours = dict[datetime, int]


def at(day: int, hour: int = 10) -> datetime:
    return START + timedelta(days=day, hours=hour)


def history(days: int, busiest: int = 4) -> Hours:
    """Refusals at ten and eleven o'clock of each of *days*."""
    return {at(day, hour): busiest - (hour - 10) for day in range(days) for hour in (10, 11)}


def spans(found: list[Incident]) -> list[tuple[datetime, datetime]]:
    return [(one.opened, one.ends) for one in found]


def test_an_outage_of_two_and_a_half_hours() -> None:
    hours = history(40) | {at(43, 21): 120, at(43, 22): 900, at(43, 23): 400, at(44, 1): 3, at(44, 10): 4}
    (incident,) = find("google", hours, RULES)
    assert incident == Incident(provider="google", opened=at(43, 21), ends=at(44, 4), baseline=4, peak=900)
    assert incident.name == "google/2020-12-14T21"
    assert incident.begins == at(43, 20)
    assert [incident.covers("google", moment) for moment in (at(43, 19), at(43, 20), at(44, 3), at(44, 4))] == [
        False,
        True,
        True,
        False,
    ]
    assert not incident.covers("yahoo", at(43, 21))
    assert [incident.status(moment) for moment in (at(43, 22), at(44, 3), at(44, 4))] == ["open", "open", "over"]


@pytest.mark.parametrize(
    ("hours", "opened"),
    [
        (history(5) | {at(5): 20}, [at(5)]),
        (history(5) | {at(5): 19}, []),  # too few addresses
        (history(4) | {at(4): 500}, []),  # too little history
        (history(5, busiest=10) | {at(5): 49}, []),
        (history(5, busiest=10) | {at(5): 50}, [at(5)]),
        (history(5) | {at(60): 500}, []),  # the history is too old
        (history(5) | {at(4, 20): 500}, []),  # the day itself is no history
        # a weekly mailing has one busy hour a week, and that is its normal
        (history(28, 1) | {at(7 * week): 300 for week in range(4)} | {at(28): 330}, []),
        (history(28, 1) | {at(7 * week): 300 for week in range(4)} | {at(28): 1500}, [at(28)]),
        # two waves less than the calm apart are one incident, else two
        (history(9) | {at(9, 1): 99, at(9, 5): 99}, [at(9, 1)]),
        (history(9) | {at(9, 1): 99, at(9, 6): 99}, [at(9, 1), at(9, 6)]),
        # an incident is no history: the next one is told by the same measure
        (history(9) | {at(9): 500, at(11): 20}, [at(9), at(11)]),
    ],
)
def test_what_opens_an_incident(hours: Hours, opened: list[datetime]) -> None:
    assert [one.opened for one in find("google", hours, RULES)] == opened


def test_what_lasts_too_long_is_no_incident_and_becomes_normal() -> None:
    days = history(9) | {at(9) + HOUR * hour: 100 for hour in range(24 * 6)}
    found = find("google", days, RULES)
    assert [(one.opened, one.counts) for one in found] == [(at(9), True)]
    assert found[0].ends - RULES.calm - found[0].opened == RULES.limit + HOUR
    assert not found[0].covers("google", at(9))
    assert found[0].status(at(9)) == "counted"


@pytest.mark.parametrize(
    ("verdict", "counts", "status"), [(Verdict.COUNT, True, "counted"), (Verdict.VOID, False, "void")]
)
def test_a_person_decides(verdict: Verdict, counts: bool, status: str) -> None:
    hours = history(9) | {at(9) + HOUR * hour: 100 for hour in range(24 * 5)}
    (found,) = find("google", hours, RULES, [Ruling(provider="google", moment=at(9), verdict=verdict)])
    assert (found.counts, found.ruled, found.status(at(9))) == (counts, True, status)
    assert found.ends == at(14) + RULES.calm  # the whole of it
    assert found.covers("google", at(12)) is not counts


def test_the_last_word_of_several_holds_and_others_providers_are_none_of_its() -> None:
    hours = history(9) | {at(9): 100, at(9, 11): 100}
    words = [
        Ruling(provider="google", moment=at(9), verdict=Verdict.COUNT),
        Ruling(provider="google", moment=at(9, 11), verdict=Verdict.VOID),
        Ruling(provider="yahoo", moment=at(9), verdict=Verdict.COUNT),
        Ruling(provider="google", moment=at(20), verdict=Verdict.COUNT),
    ]
    (found,) = find("google", hours, RULES, words)
    assert (found.counts, found.ruled) == (False, True)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_word_on_an_incident_is_none_on_the_one_that_goes_before(verdict: Verdict) -> None:
    """The first has become normal, and in the calm after it there is far more than that."""
    hours = history(9) | {at(9) + HOUR * hour: 20 for hour in range(74)} | {at(9) + HOUR * 74: 150}
    opened, ends = at(9) + HOUR * 74, at(9) + HOUR * 79
    first, second = find("google", hours, RULES)
    assert spans([first, second]) == [(at(9), opened), (opened, ends)]
    assert (first.status(opened), second.status(opened)) == ("counted", "open")
    ruled = find("google", hours, RULES, [Ruling(provider="google", moment=opened, verdict=verdict)])
    assert ruled == [first, replace(second, counts=verdict is Verdict.COUNT, ruled=True)]
    # where the first never becomes normal, the second is a part of it
    word = Ruling(provider="google", moment=at(9), verdict=verdict)
    assert spans(find("google", hours, RULES, [word])) == [(at(9), ends)]


def test_a_word_holds_though_late_mail_moves_the_opening() -> None:
    word = Ruling(provider="google", moment=at(9), verdict=Verdict.COUNT)
    hours = history(9) | {at(9): 100}
    assert [(one.opened, one.counts) for one in find("google", hours, RULES, [word])] == [(at(9), True)]
    hours[at(9, 9)] = 30
    assert [(one.opened, one.counts) for one in find("google", hours, RULES, [word])] == [(at(9, 9), True)]


def test_hours() -> None:
    assert hour_of(datetime(2026, 1, 1, 23, 59, 59, 999, tzinfo=UTC)) == datetime(2026, 1, 1, 23, tzinfo=UTC)


COUNTS = st.dictionaries(
    st.integers(0, 24 * 30).map(lambda hour: START + HOUR * hour), st.sampled_from([1, 3, 30, 200]), max_size=60
)


@given(COUNTS, st.integers(0, 24 * 30), st.lists(st.integers(0, 24 * 30), max_size=2))
def test_a_later_part_gives_the_same(hours: Hours, later: int, ruled: list[int]) -> None:
    """Incidents are found anew from a moment on, and not from the beginning each time."""
    rules = IncidentRules(days=2, history=timedelta(days=5), limit=timedelta(hours=8))
    words = [
        Ruling(provider="google", moment=START + HOUR * hour, verdict=verdict)
        for hour, verdict in zip(ruled, (Verdict.COUNT, Verdict.VOID), strict=False)
    ]
    whole = find("google", hours, rules, words)
    since = START + HOUR * later
    while inside := [one.opened for one in whole if one.opened < since < one.ends]:
        since = min(inside)
    recent = {hour: count for hour, count in hours.items() if hour.date() >= (since - rules.history).date()}
    known = [one for one in whole if one.opened < since]
    assert find("google", recent, rules, words, known, since) == [one for one in whole if one.opened >= since]
