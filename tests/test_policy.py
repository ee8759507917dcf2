"""What events come to under a policy, and which policies are refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounceclass.app import policyfile
from bounceclass.app.incidents import Incident
from bounceclass.app.policy import Event, Policy, Standing, State, What, decide
from bounceclass.app.policyfile import BrokenPolicy
from bounceclass.model import Confidence, Reason, Scope

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
CAUTIOUS, STANDARD, STRICT = (policyfile.load(name) for name in policyfile.SHIPPED)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def unknown(when: float, **about: Any) -> Event:
    values: dict[str, Any] = {
        "what": What.FAILURE,
        "happened_at": day(when),
        "reason": Reason.USER_UNKNOWN,
        "scope": Scope.ADDRESS,
        "suppress": True,
        "confidence": Confidence.CERTAIN,
        "provider": "google",
    }
    return Event(**{**values, **about})


def full(when: float) -> Event:
    return unknown(when, reason=Reason.MAILBOX_FULL, suppress=False)


def event(what: What, when: float) -> Event:
    return Event(what=what, happened_at=day(when))


DELIVERY, LIFE, COMPLAINT, SUPPRESS, RELEASE = (
    What.DELIVERY,
    What.LIFE,
    What.COMPLAINT,
    What.SUPPRESS,
    What.RELEASE,
)

# --- standings ----------------------------------------------------------------------

CASES: list[tuple[str, Policy, list[Event], float, State, float | None]] = [
    # policy, events, the day asked for, the state, the day it ends by itself
    ("nothing", CAUTIOUS, [], 0, State.HEALTHY, None),
    ("one strike", CAUTIOUS, [unknown(0)], 1, State.SUSPECT, 120),
    ("one strike out of its window", CAUTIOUS, [unknown(0)], 120, State.HEALTHY, None),
    ("two strikes on one day", CAUTIOUS, [unknown(0), unknown(0.2)], 1, State.SUSPECT, 120.2),
    ("two on two days", CAUTIOUS, [unknown(0), unknown(1)], 1, State.SUPPRESSED, 31),
    ("two on two days, too far apart", CAUTIOUS, [unknown(0), unknown(120)], 121, State.SUSPECT, 240),
    ("tried again after a month", CAUTIOUS, [unknown(0), unknown(1)], 31, State.PROBATION, 211),
    ("healthy after probation", CAUTIOUS, [unknown(0), unknown(1)], 211, State.HEALTHY, None),
    ("the next strike at once, for longer", CAUTIOUS, [unknown(0), unknown(1), unknown(40)], 41, State.SUPPRESSED, 220),
    ("then for good", CAUTIOUS, [unknown(0), unknown(1), unknown(40), unknown(221)], 999, State.SUPPRESSED, None),
    ("late answers do not prolong", CAUTIOUS, [unknown(0), unknown(1), unknown(2)], 3, State.SUPPRESSED, 31),
    ("after probation all begins anew", CAUTIOUS, [unknown(0), unknown(1), unknown(212)], 213, State.SUSPECT, 332),
    ("a delivery resets", CAUTIOUS, [unknown(0), event(DELIVERY, 0.5), unknown(1)], 1, State.SUSPECT, 121),
    ("mail from it resets", CAUTIOUS, [unknown(0), unknown(1), event(LIFE, 2)], 3, State.HEALTHY, None),
    ("good news of the same moment count last", CAUTIOUS, [event(LIFE, 1), unknown(1)], 2, State.HEALTHY, None),
    ("a delay is no strike", STRICT, [unknown(0, what=What.DELAY)], 1, State.HEALTHY, None),
    ("a guess is no strike", STRICT, [unknown(0, confidence=Confidence.GUESS)], 1, State.HEALTHY, None),
    ("a soft user unknown is no strike", STRICT, [unknown(0, suppress=False)], 1, State.HEALTHY, None),
    ("a block is no strike", STRICT, [unknown(0, reason=Reason.BLOCKED_REPUTATION)], 1, State.HEALTHY, None),
    ("nor what is about the sender", STRICT, [unknown(0, scope=Scope.SENDER)], 1, State.HEALTHY, None),
    ("strict: one strike", STRICT, [unknown(0)], 1, State.SUPPRESSED, 365),
    ("standard: one strike, two weeks", STANDARD, [unknown(0)], 1, State.SUPPRESSED, 14),
    ("standard: the next for longer", STANDARD, [unknown(0), unknown(20)], 21, State.SUPPRESSED, 200),
    ("full four times", CAUTIOUS, [full(n) for n in range(4)], 4, State.SUSPECT, 93),
    ("full five times", CAUTIOUS, [full(n) for n in range(5)], 5, State.SUPPRESSED, 18),
    ("reasons count apart", CAUTIOUS, [unknown(0), full(1)], 1, State.SUSPECT, 120),
    ("the provider's own list", CAUTIOUS, [unknown(0, reason=Reason.SUPPRESSED)], 1, State.SUPPRESSED, 30),
    ("by hand", CAUTIOUS, [event(SUPPRESS, 0)], 9999, State.SUPPRESSED, None),
    ("by hand, whatever comes from it", CAUTIOUS, [event(SUPPRESS, 0), event(LIFE, 1)], 2, State.SUPPRESSED, None),
    ("released", CAUTIOUS, [unknown(0), unknown(1), event(RELEASE, 2)], 3, State.RELEASED, None),
    ("released from the hand", CAUTIOUS, [event(SUPPRESS, 0), event(RELEASE, 2)], 3, State.RELEASED, None),
    ("released, then one strike", CAUTIOUS, [unknown(0), unknown(1), event(RELEASE, 2), unknown(3)], 3, State.SUSPECT, 123),
    ("released, then delivered", CAUTIOUS, [event(RELEASE, 2), event(DELIVERY, 3)], 3, State.HEALTHY, None),
    ("a complaint is no strike", CAUTIOUS, [event(COMPLAINT, 0)], 1, State.HEALTHY, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "events", "now", "state", "until"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_standing(policy: Policy, events: list[Event], now: float, state: State, until: float | None) -> None:
    standing = decide(events, policy, day(now))
    assert (standing.state, standing.until) == (state, None if until is None else day(until))


def test_a_standing_says_why() -> None:
    standing = decide([unknown(0), unknown(3)], CAUTIOUS, day(4))
    assert standing == Standing(
        state=State.SUPPRESSED,
        since=day(3),
        until=day(33),
        reason="user_unknown",
        strikes=2,
        because="user_unknown: 2 strikes from 2026-01-01 to 2026-01-04",
    )
    again = decide([unknown(0), unknown(3), unknown(40)], CAUTIOUS, day(41))
    assert again.because == "user_unknown: 1 strike on 2026-02-10, suppressed 2 times"
    assert decide([Event(what=SUPPRESS, happened_at=START, source="asked by phone")], CAUTIOUS, START) == Standing(
        state=State.SUPPRESSED, since=START, reason="manual", because="suppressed by hand: asked by phone"
    )


@pytest.mark.parametrize(
    ("events", "complained"),
    [
        ([event(COMPLAINT, 0)], 0),
        ([event(COMPLAINT, 0), event(COMPLAINT, 5)], 5),
        ([event(COMPLAINT, 0), event(LIFE, 1), event(DELIVERY, 2)], 0),
        ([event(COMPLAINT, 0), event(RELEASE, 1)], None),
        ([event(RELEASE, 0), event(COMPLAINT, 1)], 1),
    ],
)
def test_a_complaint_stays_until_it_is_released_by_hand(events: list[Event], complained: float | None) -> None:
    standing = decide(events, CAUTIOUS, day(9))
    assert standing.complained == (None if complained is None else day(complained))
    assert standing.mailable is (complained is None)


def incident(**about: Any) -> Incident:
    values = {"provider": "google", "opened": day(0), "ends": day(0.3), "baseline": 2, "peak": 90}
    return Incident(**{**values, **about})


@pytest.mark.parametrize(
    ("known", "now", "state", "held"),
    [
        (incident(), 0.2, State.HEALTHY, ("google/2026-01-01T12",)),
        (incident(), 0.3, State.HEALTHY, ()),  # over: the strike is void
        (incident(counts=True), 0.2, State.SUPPRESSED, ()),
        (incident(ruled=True), 0.2, State.HEALTHY, ()),
        (incident(provider="yahoo"), 0.2, State.SUPPRESSED, ()),
        (incident(opened=day(0.05)), 0.2, State.SUPPRESSED, ()),
        (incident(opened=day(0.04)), 0.2, State.HEALTHY, ("google/2026-01-01T12",)),  # the hour before is held too
    ],
)
def test_strikes_in_an_incident(known: Incident, now: float, state: State, held: tuple[str, ...]) -> None:
    standing = decide([unknown(0)], STRICT, day(now), [known])
    assert (standing.state, standing.held) == (state, held)


def test_strikes_outside_an_incident_count() -> None:
    assert (
        decide([unknown(0), unknown(5)], STRICT, day(6), [incident()]).because == "user_unknown: 1 strike on 2026-01-06"
    )


TELLING = st.builds(
    unknown,
    st.integers(0, 400),
    key=st.text("abc", max_size=3),
    what=st.sampled_from(What),
    reason=st.sampled_from([Reason.USER_UNKNOWN, Reason.MAILBOX_FULL, Reason.EXPIRED, Reason.SPAM_CONTENT]),
    confidence=st.sampled_from(Confidence),
)


@given(st.lists(TELLING, max_size=12), st.sampled_from([CAUTIOUS, STANDARD, STRICT]), st.randoms())
def test_order_and_repetition_of_reports_do_not_matter(events: list[Event], policy: Policy, random: Any) -> None:
    unique = list({(one.happened_at, one.what, one.key, one.reason): one for one in events}.values())
    shuffled = random.sample(unique, len(unique))
    assert decide(shuffled, policy, day(401)) == decide(
        sorted(unique, key=lambda one: one.happened_at), policy, day(401)
    )


@given(st.lists(TELLING, max_size=12), st.sampled_from([CAUTIOUS, STANDARD, STRICT]))
def test_whoever_is_suppressed_had_a_strike_since_the_last_good_news(events: list[Event], policy: Policy) -> None:
    standing = decide(events, policy, day(401))
    if standing.state is State.SUPPRESSED and standing.reason != "manual":
        good = max((one.happened_at for one in events if one.what in (DELIVERY, LIFE, RELEASE)), default=day(-1))
        strikes = [one for one in events if one.happened_at > good and one.reason == standing.reason]
        assert len({one.happened_at.date() for one in strikes}) >= policy.reasons[Reason(str(standing.reason))].days


@given(
    st.lists(TELLING, max_size=12),
    st.sampled_from([CAUTIOUS, STANDARD, STRICT]),
    st.lists(st.integers(0, 999), min_size=2, max_size=2),
)
def test_what_is_kept_of_a_suppression_tells_at_any_moment(
    events: list[Event], policy: Policy, moments: list[int]
) -> None:
    """Whatever the clock said when it was kept."""
    kept, asked = (day(one) for one in moments)
    standing = decide(events, policy, kept, ended=True)
    suppressed = standing.state is State.SUPPRESSED and (standing.until is None or asked < standing.until)
    assert suppressed is (decide(events, policy, asked).state is State.SUPPRESSED)


# --- files --------------------------------------------------------------------------

WHOLE = """
name = "mine"
probation = "10d"
[reasons.user_unknown]
strikes = 3
days = 2
window = "6w"
ttl = ["12h", "forever"]
"""


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE)
    policy = policyfile.load(path)
    row = policy.reasons[Reason.USER_UNKNOWN]
    assert (row.strikes, row.days, row.window) == (3, 2, timedelta(weeks=6))
    assert (row.ttl, row.confidence, row.dead_only) == ((timedelta(hours=12), None), Confidence.PROBABLE, True)
    assert policy.incident == CAUTIOUS.incident
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("user_unknown", "user_unkown", "reasons: there is no key 'user_unkown'; did you mean 'user_unknown'?"),
        ("probation", "probaton", "there is no key 'probaton'; did you mean 'probation'?"),
        ("strikes = 3", "strike = 3", "reasons.user_unknown: there is no key 'strike'; did you mean 'strikes'?"),
        ("[reasons", "[incident]\ncalmm='1h'\n[reasons", "incident: there is no key 'calmm'; did you mean 'calm'?"),
        ("user_unknown", "spam_content", "reasons.spam_content: is about the message and says nothing of the address; remove the row"),
        ("user_unknown", "greylisted", "reasons.greylisted: is about the sender and says nothing of the address; remove the row"),
        ("days = 2", "days = 4", "reasons.user_unknown: 3 strikes cannot fall on 4 days"),
        ("6w", "12h", "reasons.user_unknown: 2 days do not fit in a window of 12h"),
        ("6w", "6 weeks", "reasons.user_unknown: window: '6 weeks' is no time; write it like '12h', '30d' or '6w'"),
        ("6w", "0d", "reasons.user_unknown: window: '0d' is no time; write it like '12h', '30d' or '6w'"),
        ('["12h", "forever"]', "[]", "reasons.user_unknown: ttl: needs at least one time, such as '30d' or 'forever'"),
        ('["12h", "forever"]', '["forever", "1d"]', "reasons.user_unknown: ttl: nothing comes after 'forever'"),
        ("strikes = 3", "strikes = 3\nconfidence = 'sure'", "reasons.user_unknown: confidence: Invalid enum value 'sure'; there are certain, probable, guess"),
        ("strikes = 3", "strikes = 0", "reasons.user_unknown: strikes: must be at least 1"),
        ('"mine"', '""', "name: must not be empty"),
        ('"10d"', '"10d"\nresets = ["complaint"]', "resets: 'complaint' is no positive evidence; that are delivery and life"),
        ('"10d"', "10", "probation: Expected `str`, got `int`"),
        ("[reasons.user_unknown]", "reasons = 3", "reasons: Expected `object`, got `int`"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(old: str, new: str, complaint: str) -> None:
    text = WHOLE.replace(old, new)
    if old == "[reasons.user_unknown]":
        text = text.partition("strikes")[0]
    with pytest.raises(BrokenPolicy) as caught:
        policyfile.parse(text.encode(), "mine.toml")
    assert str(caught.value) == f"mine.toml: {complaint}"


@pytest.mark.parametrize("content", [b"", b"\xff", b"name", b"name = 'x'", b"[" * 5000])
def test_no_policy_at_all(content: bytes) -> None:
    with pytest.raises(BrokenPolicy) as caught:
        policyfile.parse(content, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("strickt", "strickt: there is no such policy; did you mean 'strict'?"),
        ("/nowhere/x.toml", "/nowhere/x.toml: No such file or directory"),
    ],
)
def test_a_policy_that_is_not_there(name: str, complaint: str) -> None:
    with pytest.raises(BrokenPolicy) as caught:
        policyfile.load(name)
    assert str(caught.value) == complaint


def test_shipped_policies_grow_stricter() -> None:
    assert policyfile.load() is CAUTIOUS
    for careful, strict in itertools.pairwise((CAUTIOUS, STANDARD, STRICT)):
        assert careful.reasons.keys() == strict.reasons.keys()
        for reason, row in careful.reasons.items():
            assert (row.strikes, row.days) >= (strict.reasons[reason].strikes, strict.reasons[reason].days), reason


def test_only_strict_believes_one_bounce_for_more_than_two_weeks() -> None:
    """But for the provider's own list, and the notice that names the new address."""
    long = {
        policy.name: {
            reason for reason, row in policy.reasons.items() if row.strikes == 1 and row.ttl[0] != timedelta(days=14)
        }
        for policy in (CAUTIOUS, STANDARD)
    }
    assert long == {
        "cautious": {Reason.SUPPRESSED},
        "standard": {Reason.SUPPRESSED, Reason.ADDRESS_MOVED, Reason.DOMAIN_NO_MAIL},
    }


@pytest.mark.parametrize(
    ("events", "state"),
    [
        # as many days as it takes, but too few strikes
        ([unknown(0), unknown(1)], State.SUSPECT),
        ([unknown(0), unknown(1), unknown(1.1)], State.SUPPRESSED),
        # where nothing is said of it, both kinds of good news reset
        ([unknown(0), unknown(1), event(DELIVERY, 1.05), unknown(1.1)], State.SUSPECT),
        ([unknown(0), unknown(1), event(LIFE, 1.05), unknown(1.1)], State.SUSPECT),
        # what a rule says is about the message or the sender
        ([unknown(0), unknown(1), unknown(1.1, scope=Scope.MESSAGE)], State.SUSPECT),
        ([unknown(0), unknown(1), unknown(1.1, scope=Scope.SENDER)], State.SUSPECT),
    ],
)
def test_standings_under_a_policy_of_ones_own(events: list[Event], state: State) -> None:
    policy = policyfile.parse(WHOLE.encode(), "mine.toml")
    assert decide(events, policy, day(1.2)).state is state


@pytest.mark.parametrize(
    ("least", "counts"),
    [
        ("certain", [Confidence.CERTAIN]),
        ("probable", [Confidence.PROBABLE, Confidence.CERTAIN]),
        ("guess", list(Confidence)),
    ],
)
def test_verdicts_that_are_less_certain_than_a_policy_asks_for_count_for_nothing(
    least: str, counts: list[Confidence]
) -> None:
    policy = policyfile.parse(f"{WHOLE}confidence = '{least}'\n".encode(), "mine.toml")
    standings = {one: decide([unknown(0, confidence=one)], policy, day(1)).state for one in Confidence}
    assert [one for one, state in standings.items() if state is State.SUSPECT] == sorted(
        counts, key=list(Confidence).index
    )


def test_a_strike_at_the_moment_a_suppression_ends_is_on_probation() -> None:
    standing = decide([unknown(0), unknown(1), unknown(31)], CAUTIOUS, day(32))
    assert (standing.state, standing.until) == (State.SUPPRESSED, day(211))
