"""The ledger on both databases: what it keeps, what follows, and what it does when things go wrong."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import idna
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from proxy import proxy
from servers import Postgres, postgres_missing

import bounceclass
from bounceclass.app import policyfile
from bounceclass.app.incidents import IncidentRules, Verdict, hour_of
from bounceclass.app.ledger import Adopted, Judged, Ledger, LedgerError, Misconfigured, NoLedger, Recorded, schema
from bounceclass.app.ledger.database import CONNECTIONS, Database, _prepare_sqlite
from bounceclass.app.ledger.records import Keys, message_key
from bounceclass.app.policy import State, What
from bounceclass.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bounceclass.app.policy import Standing

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CAUTIOUS, STRICT = policyfile.load("cautious"), policyfile.load("strict")
FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").rglob("*.eml"))
KEY = b"0123456789abcdef"
"""As short as a hash key may be."""
UNKNOWN = "550 5.1.1 user unknown"


# --- what the tests need -------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    if missing := postgres_missing():
        print(missing, file=sys.stderr)
        pytest.skip(missing)
    with Postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    server: Postgres = request.getfixturevalue("server")
    return server.database()


class Clock:
    """Tells the time that a test sets."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def wait(self, days: float) -> None:
        self.now += timedelta(days=days)


def mail(
    address: str, when: datetime, diagnostic: str = UNKNOWN, *, action: str = "failed", host: str = "mx.example.com"
) -> bytes:
    """Return a delivery status notification, unlike every other about another address or moment."""
    number = f"{address.encode().hex()}.{when.timestamp()}.{action}"
    return f"""Received: by mx.example.net; {format_datetime(when)}
From: MAILER-DAEMON@mail.example.net
Date: {format_datetime(when)}
Message-ID: <{number}@mail.example.net>
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

<{address}>: host {host} said: {diagnostic}
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.net

Final-Recipient: rfc822; {address}
Action: {action}
Status: {diagnostic.split()[1]}
Remote-MTA: dns; {host}
Diagnostic-Code: smtp; {diagnostic}

--b--
""".encode()


def complaint(address: str, kind: str = "abuse") -> bytes:
    return f"""From: feedback@example.net
Date: {format_datetime(NOW)}
Message-ID: <{kind}.{address}>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Rcpt-To: <{address}>

--b--
""".encode()


def vacation(address: str, when: datetime) -> bytes:
    return f"""From: Somebody <{address}>
Date: {format_datetime(when)}
Message-ID: <{when.timestamp()}@away.example>
Auto-Submitted: auto-replied
Subject: Away

I am away.
""".encode()


def judged(*messages: bytes) -> list[Judged]:
    return [Judged(report=bounceclass.classify(raw), raw=raw, source="INBOX") for raw in messages]


def record(ledger: Ledger, *messages: bytes) -> Recorded:
    return ledger.record_all(judged(*messages))


def content(place: str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row that must not depend on who wrote it when."""
    database = Database(place, 5)
    volatile = {"recorded_at", "source", "ruled_at"}
    with database.engine.connect() as connection:
        found = {
            table.name: sorted(
                connection.execute(sa.select(*(one for one in table.c if one.name not in volatile))).all(), key=repr
            )
            for table in schema.metadata.sorted_tables
            if table is not schema.runs
        }
    database.close()
    return {name: [tuple(row) for row in rows] for name, rows in found.items()}


# --- recording ----------------------------------------------------------------------


def test_a_message_counts_once_however_often_it_is_seen(place: str) -> None:
    raw = mail("Fred@Example.com", NOW)
    again = b"Delivered-To: other@example.org\r\nX-UID: 7\r\n" + raw.replace(b"\n", b"\r\n") + b"\r\n\r\n"
    with Ledger.open(place, clock=Clock()) as ledger:
        first = record(ledger, raw, raw)
        assert (first.messages, first.known, first.events) == (1, 1, 1)
        second = record(ledger, again)
        assert (second.messages, second.known, second.events) == (0, 1, 0)
        why = ledger.why("fred@EXAMPLE.COM")
        assert why.standing.state is State.SUSPECT
        (event,) = why.events
        assert (event.what, event.reason, event.rule) == (What.FAILURE, "user_unknown", "general.user-unknown")
        assert (event.happened_at, event.provider, event.source) == (NOW, "example.com", "INBOX")
        assert event.diagnostic == UNKNOWN


def test_a_report_without_its_message_counts_once_too(place: str) -> None:
    report = bounceclass.classify(mail("fred@example.com", NOW))
    with Ledger.open(place, clock=Clock()) as ledger:
        assert [ledger.record(report).messages, ledger.record(report).messages] == [1, 0]


def test_strikes_suppress_and_good_news_release(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, clock=clock) as ledger:
        assert record(ledger, mail("fred@example.com", clock())).suppressed == ()
        clock.wait(1)
        done = record(ledger, mail("fred@example.com", clock()), mail("mary@example.com", clock()))
        assert done.suppressed == ("fred@example.com",)
        assert done.reasons == {"user_unknown": 2}
        assert done.providers == {"example.com": 2}
        assert ledger.is_suppressed(" Fred@example.COM ")
        assert not ledger.is_suppressed("mary@example.com")
        assert not ledger.is_suppressed("nobody@example.com")
        assert [one.address for one in ledger.suppressed()] == ["fred@example.com"]
        assert ledger.states() == {
            State.HEALTHY: 0, State.RELEASED: 0, State.SUSPECT: 1, State.PROBATION: 0, State.SUPPRESSED: 1,
        }  # fmt: skip
        clock.wait(1)
        assert record(ledger, vacation("fred@example.com", clock())).released == ("fred@example.com",)
        assert not ledger.is_suppressed("fred@example.com")


def test_a_delivery_is_good_news(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, policy=STRICT, clock=clock) as ledger:
        record(ledger, mail("fred@example.com", clock()))
        clock.wait(1)
        done = record(ledger, mail("fred@example.com", clock(), "250 2.0.0 ok", action="delivered"))
        assert (done.kinds, done.released) == ({"success": 1}, ("fred@example.com",))


def test_suppression_ends_by_itself(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, clock=clock) as ledger:
        for _ in range(2):
            record(ledger, mail("fred@example.com", clock()))
            clock.wait(1)
        assert list(ledger.mailable(["fred@example.com"])) == []
        clock.wait(28.9)
        assert ledger.is_suppressed("fred@example.com")
        clock.wait(0.2)
        assert not ledger.is_suppressed("fred@example.com")
        assert list(ledger.mailable(["fred@example.com"])) == ["fred@example.com"]
        assert list(ledger.suppressed()) == []
        assert ledger.states()[State.PROBATION] == 1
        assert ledger.standing("fred@example.com").state is State.PROBATION
        assert record(ledger, mail("fred@example.com", clock())).suppressed == ("fred@example.com",)
        clock.wait(180 + 180 + 1)
        assert ledger.states()[State.HEALTHY] == 1


def undated(raw: bytes) -> bytes:
    return re.sub(rb"(?m)^(Date|Received): .*\n", b"", raw)


@pytest.mark.parametrize(
    "last",
    [
        mail("fred@example.com", NOW),
        undated(mail("fred@example.com", NOW)),
        undated(mail("fred@example.com", NOW, "452 4.2.2 mailbox full")),
        undated(complaint("fred@example.com")),
    ],
    ids=["dated", "undated", "another reason", "complaint"],
)
def test_a_clock_that_was_ahead_for_an_event_ends_no_suppression(last: bytes, place: str) -> None:
    clock = Clock()
    with Ledger.open(place, clock=clock) as ledger:
        record(ledger, *(mail("fred@example.com", NOW - timedelta(days=days)) for days in (2, 1)))
        record(ledger, mail("mary@example.com", NOW - timedelta(days=1)))
        clock.wait(60)
        done = record(ledger, last)
        assert (done.events, done.released) == (1, ())
        ledger.adopt(STRICT)
        ledger.adopt(CAUTIOUS)
        clock.wait(-60)
        assert ledger.is_suppressed("fred@example.com")
        assert [one.address for one in ledger.suppressed()] == ["fred@example.com"]
        assert list(ledger.mailable(["fred@example.com", "mary@example.com"])) == ["mary@example.com"]
        assert ledger.standing("fred@example.com").state is State.SUPPRESSED
        states = ledger.states()
        assert (states[State.SUPPRESSED], states[State.SUSPECT]) == (1, 1)


def test_what_is_over_when_it_comes_suppresses_nobody(place: str) -> None:
    """Old mail, from an archive."""
    with Ledger.open(place, clock=Clock()) as ledger:
        old = [mail("fred@example.com", NOW - timedelta(days=days)) for days in (102, 101)]
        assert record(ledger, *old).suppressed == ()
        assert not ledger.is_suppressed("fred@example.com")
        assert ledger.states()[State.PROBATION] == 1
        assert record(ledger, mail("fred@example.com", NOW)).suppressed == ("fred@example.com",)
        assert record(ledger, vacation("fred@example.com", NOW)).released == ("fred@example.com",)


def test_complaints_are_a_list_of_their_own(place: str) -> None:
    with Ledger.open(place, clock=Clock()) as ledger:
        done = record(ledger, complaint("ann@example.com"), complaint("bob@example.com", "auth-failure"))
        assert (done.complaints, done.suppressed) == (("ann@example.com",), ())
        assert ledger.complain("carl@example.com") == 1
        assert [one.address for one in ledger.complaints()] == ["ann@example.com", "carl@example.com"]
        assert list(ledger.suppressed()) == []
        people = ["ann@example.com", "bob@example.com", "carl@example.com"]
        assert list(ledger.mailable(people)) == ["bob@example.com"]
        assert ledger.is_suppressed("ann@example.com")
        assert ledger.release("ann@example.com") == 1
        assert list(ledger.mailable(people)) == ["ann@example.com", "bob@example.com"]


def test_whoever_asks_need_not_take_addresses_apart(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db") as ledger:
        ledger.add(["fred@example.com"])
        assert ledger.is_suppressed(" Fred Oduya <FRED@example.com>")
        assert ledger.is_suppressed("fred@example.com.")
        assert list(ledger.mailable("fred@example.com")) == []
        assert list(ledger.mailable("ann@example.com")) == ["ann@example.com"]
        people = [{"name": "Fred", "mail": "fred@example.com"}, {"name": "Ann", "mail": "Ann <ann@example.com>"}]
        assert list(ledger.mailable(people, address=lambda one: one["mail"])) == people[1:]


def test_a_complaint_releases_nobody(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, policy=STRICT, clock=clock) as ledger:
        ledger.add(["byhand@example.com", "other@example.com"])
        record(ledger, mail("dead@example.com", clock()))
        clock.wait(1)
        names = ["byhand@example.com", "dead@example.com", "living@example.com"]
        done = record(ledger, *(complaint(name) for name in names))
        assert (sorted(done.complaints), done.released) == (names, ())
        suppressed = {one.address: one.standing.reason for one in ledger.suppressed()}
        assert suppressed == {
            "byhand@example.com": "manual", "other@example.com": "manual", "dead@example.com": "user_unknown",
        }  # fmt: skip
        assert len(suppressed) == ledger.states()[State.SUPPRESSED]
        assert sorted(one.address or "" for one in ledger.complaints()) == names
        assert sorted(one.address or "" for one in ledger.unmailable()) == sorted([*names, "other@example.com"])
        clock.wait(400)  # what the policy suppressed ends, a complaint does not
        assert sorted(one.address or "" for one in ledger.suppressed()) == ["byhand@example.com", "other@example.com"]
        assert sorted(one.address or "" for one in ledger.unmailable()) == sorted([*names, "other@example.com"])
        assert ledger.release(names) == 3
        assert [one.address for one in ledger.unmailable()] == ["other@example.com"]


@pytest.mark.parametrize(("kind", "what"), [("fraud", "complaint"), ("never-heard-of", "complaint"), ("not-spam", "life"), ("virus", None)])  # fmt: skip
def test_what_a_feedback_report_says_of_the_address(kind: str, what: str | None, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        record(ledger, complaint("ann@example.com", kind))
        assert [str(event.what) for event in ledger.why("ann@example.com").events] == ([what] if what else [])


def test_nobody_knows_which_of_several_recipients_complained(tmp_path: Path) -> None:
    raw = complaint("ann@example.com").replace(
        b"\nOriginal-Rcpt-To:", b"\nOriginal-Rcpt-To: <bob@example.com>\nOriginal-Rcpt-To:"
    )
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        assert record(ledger, raw).events == 0


def test_by_hand(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, clock=clock) as ledger:
        assert ledger.add(["fred@example.com", "mary@example.com"], note="asked by phone") == 2
        assert ledger.add("FRED@example.com") == 0
        assert ledger.alive("mary@example.com") == 1
        assert ledger.is_suppressed("mary@example.com")
        clock.wait(1)
        assert ledger.release(["fred@example.com", "never.seen@example.com"]) == 1
        assert ledger.standing("fred@example.com").state is State.RELEASED
        assert [event.source for event in ledger.why("fred@example.com").events] == ["asked by phone", None]
        assert ledger.standing("mary@example.com").because == "suppressed by hand: asked by phone"
        for nobody in ("fred", "fred@", " @example.com"):
            with pytest.raises(ValueError, match=f"not an address: '{nobody}'"):
                ledger.add([nobody])


def test_what_is_done_by_hand_comes_after_all_that_is_known(place: str) -> None:
    """Though a clock was set back meanwhile, or another machine's is ahead."""
    clock = Clock()
    with Ledger.open(place, policy=STRICT, clock=clock) as ledger:
        ledger.add("fred@example.com")
        record(ledger, mail("mary@example.com", NOW))
        clock.wait(-1)
        assert ledger.release(["fred@example.com", "mary@example.com"]) == 2
        assert list(ledger.suppressed()) == []
        assert ledger.add("fred@example.com") == 1
        assert ledger.is_suppressed("fred@example.com")
        assert ledger.alive("fred@example.com") == 1
        assert ledger.release("fred@example.com") == 1
        assert not ledger.is_suppressed("fred@example.com")
        assert ledger.complain("fred@example.com") == 1
        assert [one.address for one in ledger.complaints()] == ["fred@example.com"]
        events = ledger.why("fred@example.com").events
        assert [event.what for event in events] == ["suppress", "release", "suppress", "life", "release", "complaint"]
        assert [(event.happened_at - NOW) / timedelta(microseconds=1) for event in events] == [0, 1, 2, 3, 4, 5]
        assert [event.recorded_at for event in events] == [NOW, *[clock()] * 5]


@pytest.mark.parametrize("nobody", ["|/usr/bin/procmail", "fred@", "@example.com", "@"])
def test_what_cannot_be_mailed_is_no_address(nobody: str, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        done = record(ledger, mail(nobody, NOW), b"From: friend@example.com\nSubject: Hello\n\nHow are you?\n")
        assert (done.messages, done.kinds["bounce"], done.events) == (2, 1, 0)


@pytest.mark.parametrize(
    ("date", "happened"),
    [
        ("Mon, 01 Jun 2026 10:00:00 +0200", NOW - timedelta(hours=4)),
        ("Mon, 01 Jun 2099 10:00:00 +0000", NOW),  # a forged date would count for ever
        ("Mon, 30 Feb 2026 10:00:00 +0000", NOW),
        ("never", NOW),
        # before there were delivery reports: a clock that stands at its beginning, or a forgery
        ("Mon, 01 Jan 0001 00:00:00 +0000", NOW),
        ("Mon, 01 Jan 0000 00:00:00 +0000", NOW),
        ("Thu, 01 Jan 1970 00:00:00 +0000", NOW),
        ("Tue, 02 Jan 1996 00:00:00 +0000", datetime(1996, 1, 2, tzinfo=UTC)),  # an archive
    ],
)
def test_when_it_happened(date: str, happened: datetime, tmp_path: Path) -> None:
    raw = re.sub(rb"(?m)^Date: .*$", b"Date: " + date.encode(), mail("fred@example.com", NOW))
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        record(ledger, raw)
        assert ledger.why("fred@example.com").events[0].happened_at == happened


def test_the_last_attempt_is_nearer_than_the_date(tmp_path: Path) -> None:
    raw = mail("fred@example.com", NOW).replace(
        b"\nAction:", b"\nLast-Attempt-Date: Sat, 30 May 2026 08:00:00 +0000\nAction:"
    )
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        record(ledger, raw)
        assert ledger.why("fred@example.com").events[0].happened_at == datetime(2026, 5, 30, 8, tzinfo=UTC)


def test_a_clock_that_stood_still_is_passed_over(tmp_path: Path) -> None:
    raw = mail("fred@example.com", NOW - timedelta(days=2)).replace(
        b"\nAction:", b"\nLast-Attempt-Date: Thu, 01 Jan 1970 00:02:00 +0000\nAction:"
    )
    with Ledger.open(tmp_path / "ledger.db", clock=Clock()) as ledger:
        record(ledger, raw)
        assert ledger.why("fred@example.com").events[0].happened_at == NOW - timedelta(days=2)


ANY_DATE = st.builds(
    "{} {} {:04} {:02}:{:02}:00 {}{:04}".format,
    st.integers(1, 31),
    st.sampled_from(["Jan", "Feb", "Jun", "Dec"]),
    st.integers(0, 9999) | st.sampled_from([0, 1, 1900, 1970, 2026, 9999]),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from("+-"),
    st.integers(0, 9999),
)


def test_any_date_can_be_recorded_twice(tmp_path: Path) -> None:
    """Also where every hour with a refusal is looked at for an incident."""
    watchful = msgspec.structs.replace(STRICT, incident=IncidentRules(addresses=1))
    numbers = itertools.count()
    with Ledger.open(tmp_path / "ledger.db", policy=watchful, clock=Clock()) as ledger:

        @settings(max_examples=60, deadline=None)
        @given(one=ANY_DATE, other=ANY_DATE)
        @example(one="1 Jan 0001 00:00:00 +0000", other="1 Jan 0001 00:00:00 +0000")
        @example(one="31 Dec 9999 23:59:00 -9959", other="1 Jan 0001 00:00:00 +2359")
        def holds(one: str, other: str) -> None:
            address = f"fred@d{next(numbers)}.example"
            for date in (one, other):
                raw = mail(address, NOW - timedelta(seconds=next(numbers)))
                raw = re.sub(rb"(?m)^Date: .*$", b"Date: " + date.encode(), raw)
                assert record(ledger, raw).events == 1
            happened = [event.happened_at for event in ledger.why(address).events]
            assert len(happened) == 2
            assert datetime(1996, 1, 1, tzinfo=UTC) <= min(happened) <= max(happened) <= NOW

        holds()
        ledger.adopt(CAUTIOUS)
        ledger.adopt(watchful)


def test_a_ledger_with_events_of_year_1(place: str) -> None:
    """Older versions recorded them; they stop neither another policy, nor what their provider refuses later."""
    watchful = msgspec.structs.replace(STRICT, incident=IncidentRules(addresses=1, days=1))
    first, name = datetime(1, 1, 1, tzinfo=UTC), "dead1-0@gmail.example"
    if "://" in place:  # west of Greenwich that is in the year before, which Python has not
        place += f"{'&' if '?' in place else '?'}options=-c%20timezone%3DAmerica/New_York"
    with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
        record(ledger, *usual(NOW))
        ledger.release(name)
        with ledger._database.engine.begin() as connection:
            query = sa.select(schema.events).where(schema.events.c.address == name, schema.events.c.reason.isnot(None))
            (row,) = connection.execute(query).mappings()
            for minute in range(2):  # the second looks back at the first
                event = {**row, "key": str(minute), "happened_at": first + timedelta(minutes=minute)}
                connection.execute(sa.insert(schema.events).values(event))
            connection.execute(sa.insert(schema.hours).values(provider="google", hour=first, addresses=1))
        for policy, moved in ((CAUTIOUS, 19), (watchful, 0), (STRICT, 0)):
            assert len(list(ledger.replay(policy))) == moved
            ledger.adopt(policy)
            ledger.adopt(STRICT)
        assert record(ledger, *outage(NOW - timedelta(minutes=30), 40)).held != ()
        assert [event.happened_at.year for event in ledger.why(name).events] == [1996, 1996, 2026, 2026]
        assert ledger.standing(name).state is State.RELEASED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"Message-ID: <1>\n\nbody", b"Received: x\nmessage-id:\t<1>\r\nStatus: RO\r\n\r\nbody\r\n", True),
        (b"Subject: a\n b\n\nbody", b"From x Mon Jan  1 00:00:00\nSubject: a b\n\nbody\n\n", True),
        (b"Message-ID: <1>\n\nbody", b"Message-ID: <2>\n\nbody", False),
        (b"Message-ID: <1>\n\nbody", b"Message-ID: <1>\n\nelse", False),
        (b"no header at all", b"no header at all, but other words", False),
        (b"Subject: a\n\n" + b"x" * 2**20 + b"1", b"Subject: a\n\n" + b"x" * 2**20 + b"2", True),
    ],
)
def test_message_keys(one: bytes, other: bytes, same: bool) -> None:
    report = bounceclass.classify(b"")
    assert (message_key(report, one) == message_key(report, other)) is same


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (" Fred@Example.COM ", "fred@example.com"),
        ("Bj\u00d6rn@example.com", "bj\u00f6rn@example.com"),
        ("bjo\u0308rn@example.com", "bj\u00f6rn@example.com"),  # not composed
        ("gro\u00df@example.com", "gro\u00df@example.com"),  # somebody else than gross@
        ("fred@B\u00dcCHER.example", "fred@xn--bcher-kva.example"),
        ("fred@bu\u0308cher.example", "fred@xn--bcher-kva.example"),
        ("Fred@XN--BCHER-KVA.example", "fred@xn--bcher-kva.example"),
        # IDNA 2008 keeps what IDNA 2003 made two letters, or another one, of (RFC 5894 7.2)
        ("a@stra\u00dfe.example", "a@xn--strae-oqa.example"),
        ("a@strasse.example", "a@strasse.example"),
        ("a@\u03b2\u03cc\u03bb\u03bf\u03c2.example", "a@xn--nxasmm1c.example"),
        ("a@x.\u0392\u038c\u039b\u039f\u03a3", "a@x.xn--nxasmq6b"),
        ("a@i\u2764.example", "a@xn--i-7iq.example"),  # registered, though IDNA 2008 has no symbols
        ("a@\uff45xample\u3002com", "a@example.com"),
        ("fred@\u00dc..example", "fred@xn--tda..example"),
        # no domain at all: small letters, and as it stands
        ("fred@\u00dc_B.example", "fred@\u00fc_b.example"),
        ("x@a\uff20b.example", "x@a\uff20b.example"),
        ("fred@" + "\u00dc" * 254, "fred@" + "\u00fc" * 254),
        ("\ud800\0\u00dc@\udfff.example", "\u00fc@ .example"),
    ],
)
def test_the_key_of_an_address(address: str, key: str) -> None:
    assert Keys(None).address(address) == key


@settings(max_examples=500)
@given(st.text(max_size=12), st.text(max_size=12), st.sampled_from([".example", ".\u03a3", ""]))
def test_a_key_is_its_own_key(local: str, domain: str, end: str) -> None:
    """So an address that is listed by its key is the same one."""
    keys = Keys(None)
    key = keys.address(f"{local}@{domain}{end}")
    assert keys.address(key) == key


LETTERS = [chr(code) for code in range(0x80, 0x110000) if chr(code).isalpha() and chr(code).islower()]


@settings(max_examples=500)
@given(st.text(st.sampled_from(LETTERS), min_size=1, max_size=9), st.text(st.sampled_from(LETTERS), min_size=1))
def test_a_domain_is_the_same_in_both_its_forms(local: str, domain: str) -> None:
    try:
        ascii_form = idna.encode(domain)
    except idna.IDNAError:
        reject()
    keys = Keys(None)
    assert keys.address(f"{local}@{domain}") == keys.address(f"{local}@{ascii_form.decode().upper()}")


def test_those_whose_names_are_spelt_alike_stand_apart(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.add(["gro\u00df@example.com", "a@stra\u00dfe.example"]) == 2
        people = ["GRO\u00df@example.com", "gross@example.com", "a@xn--strae-oqa.example", "a@strasse.example"]
        assert list(ledger.mailable(people)) == ["gross@example.com", "a@strasse.example"]
    raw = complaint("gro\u00df@example.com").replace(
        b"\nOriginal-Rcpt-To:", b"\nOriginal-Rcpt-To: <gross@example.com>\nOriginal-Rcpt-To:"
    )
    with Ledger.open(tmp_path / "other.db", clock=Clock()) as ledger:
        assert record(ledger, raw).complaints == ()  # two recipients, and nobody knows which complained


def test_hostile_text(place: str) -> None:
    """What neither database takes, and what is half a character."""
    with Ledger.open(place, clock=Clock()) as ledger:
        raw = mail("fred@example.com", NOW, "550 5.1.1 user\0unknown \x1b[31m").replace(
            b"Undelivered", b"=?utf-7?Q?+2AA-?= \0"
        )
        assert record(ledger, raw).events == 1
        assert not ledger.is_suppressed("\ud800\0@example.com")
        assert ledger.add("'); DROP TABLE bounceclass_events; --@example.com") == 1
        assert ledger.why("fred@example.com").standing.state is State.SUSPECT


def test_every_fixture(place: str) -> None:
    messages = judged(*(path.read_bytes() for path in FIXTURES))
    clock = Clock(datetime(2027, 1, 1, tzinfo=UTC))
    with Ledger.open(place, policy=STRICT, keep_raw=True, clock=clock) as ledger:
        done = ledger.record_all(messages)
        assert done.messages == len(FIXTURES)
        assert done.known == 0
        dead = {
            failure.recipient.casefold()
            for one in messages
            for failure in one.report.failures
            if failure.suppress and failure.recipient and failure.action == "failed"
        }
        assert {event.address for event in ledger.suppressed()} <= set(done.suppressed)
        known = {address for address in dead if ledger.why(address).events}
        assert known == {address for address in dead if "@" in address}
        assert ledger.record_all(messages).known == len(FIXTURES)


def test_raw_mail_is_kept_only_when_asked(place: str) -> None:
    raw = mail("fred@example.com", NOW)
    with Ledger.open(place, clock=Clock()) as ledger:
        record(ledger, raw)
    with Ledger.open(place, clock=Clock(), keep_raw=True) as ledger:
        record(ledger, mail("mary@example.com", NOW))
    kept = {bytes(row[-1]) for row in content(place)["bounceclass_messages"] if row[-1] is not None}  # type: ignore[call-overload]
    assert kept == {mail("mary@example.com", NOW)}


def test_runs(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, policy=STRICT, clock=clock) as ledger:
        run = ledger.begin_run("INBOX")
        ledger.record_all(judged(mail("fred@example.com", NOW)), run=run)
        ledger.record_all(judged(mail("fred@example.com", NOW), mail("mary@example.com", NOW)), run=run)
        interrupted = ledger.begin_run("INBOX")
        clock.wait(1)
        ledger.end_run(run)
        last, first = ledger.runs()
        assert (last.id, last.ended_at) == (interrupted, None)
        assert (first.source, first.started_at, first.ended_at) == ("INBOX", NOW, clock())
        assert first.counts["suppressed"] == first.counts["messages"] == 2
        assert first.counts["known"] == 1
        assert first.counts["reasons"] == {"user_unknown": 2}


def test_recorded_adds_up() -> None:
    one = Recorded(messages=1, suppressed=("a",), reasons=bounceclass.app.ledger.answers.Counter(a=1))  # type: ignore[attr-defined]
    assert (one + one).counts()["suppressed"] == 2
    assert (one + one).reasons == {"a": 2}


# --- hashed addresses ---------------------------------------------------------------


def test_no_address_stands_anywhere(place: str) -> None:
    clock = Clock()
    key = b"thirty-two bytes nobody can guess"
    odd = mail(
        "fred.smith@example.com", NOW - timedelta(days=1), "550 5.1.1 fred.smith is unknown; fred.smith=example.com"
    )
    with Ledger.open(place, hash_key=key, policy=STRICT, clock=clock) as ledger:
        source = "imap://bounces@example.org@host/INBOX"
        messages = [Judged(report=one.report, raw=one.raw, source=source) for one in judged(
            odd, mail("rosa@example.com", NOW, "550 5.1.1 <rosa@example.com>: unknown here"), complaint("ann@example.com"), vacation("tom@example.com", NOW)
        )]  # fmt: skip
        done = ledger.record_all(messages, run=ledger.begin_run(source))
        ledger.add("zoe@example.com", note="zoe@example.com asked")
        assert len(done.suppressed) == 2
        assert not any("@" in key for key in done.suppressed + done.complaints)
        assert ledger.is_suppressed("Fred.Smith@example.com")
        assert list(ledger.mailable(["tom@example.com", "rosa@example.com", "ann@example.com"])) == ["tom@example.com"]
        assert [one.address for one in ledger.suppressed()] == [None] * 3
        why = ledger.why("fred.smith@example.com")
        assert (why.standing.state, why.events[0].diagnostic) == (State.SUPPRESSED, "550 5.1.1 ~ is unknown; ~")
        assert len(list(ledger.replay(CAUTIOUS))) == 2
    everything = repr(content(place)) + repr(_column(place, "source"))
    assert "@" not in everything
    assert not re.search("fred|rosa|ann@|tom|zoe", everything)


def _column(place: str, name: str) -> list[object]:
    database = Database(place, 5)
    with database.engine.connect() as connection:
        found = [value for table in schema.metadata.sorted_tables if name in table.c for value in connection.scalars(sa.select(table.c[name]))]  # fmt: skip
    database.close()
    return found


@pytest.mark.parametrize(
    ("first", "then", "complaint"),
    [
        (KEY, None, "addresses in it are hashed; give its hash key"),
        (None, KEY, "addresses in it are not hashed; open it without a hash key, or begin another ledger"),
        (KEY, KEY[::-1], "its addresses were hashed with another key; give that one"),
    ],
)
def test_one_key_for_a_ledger(first: bytes | None, then: bytes | None, complaint: str, tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    Ledger.open(place, hash_key=first).close()
    Ledger.open(place, hash_key=first).close()
    with pytest.raises(Misconfigured) as caught:
        Ledger.open(place, hash_key=then)
    assert str(caught.value) == f"{place}: {complaint}"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"hash_key": b""}, "the hash key has 0 bytes; give at least 16 random ones"),
        ({"hash_key": KEY[:15]}, "the hash key has 15 bytes; give at least 16 random ones"),
        ({"hash_key": KEY, "keep_raw": True}, "a ledger with hashed addresses keeps no raw mail; leave one of the two off"),
    ],
)  # fmt: skip
def test_wrong_keys(wrong: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        Ledger.open(tmp_path / "ledger.db", **wrong)
    assert str(caught.value) == complaint
    assert not (tmp_path / "ledger.db").exists()


# --- incidents ----------------------------------------------------------------------

GOOGLE = "gmail-smtp-in.l.google.com"
REFUSED = "550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser x - gsmtp"


def refused(name: str, when: datetime) -> bytes:
    return mail(f"{name}@gmail.example", when, REFUSED, host=GOOGLE)


def usual(until: datetime, days: int = 10) -> list[bytes]:
    """What Google refuses on ordinary days: two addresses an hour."""
    return [
        refused(f"dead{day}-{n}", until - timedelta(days=day, minutes=n + 1))
        for day in range(1, days + 1)
        for n in range(2)
    ]


def outage(begin: datetime, number: int = 60) -> list[bytes]:
    return [refused(f"live{n}", begin + timedelta(seconds=n)) for n in range(number)]


def test_a_provider_in_trouble_suppresses_nobody(place: str) -> None:
    clock = Clock()
    with Ledger.open(place, policy=STRICT, clock=clock) as ledger:
        assert len(record(ledger, *usual(NOW)).suppressed) == 20
        assert ledger.incidents() == []
        messages = outage(NOW - timedelta(minutes=59))
        assert len(record(ledger, *messages[:15]).suppressed) == 15  # nothing strange yet
        done = record(ledger, *messages[15:])
        assert (done.suppressed, len(done.released), len(done.held)) == ((), 15, 60)
        (incident,) = ledger.incidents()
        assert (incident.name, incident.addresses, incident.baseline) == ("google/2026-06-01T11", 60, 2)
        assert incident.status(clock()) == "open"
        standing = ledger.standing("live3@gmail.example")
        assert (standing.state, standing.held) == (State.HEALTHY, ("google/2026-06-01T11",))
        assert ledger.is_suppressed("dead1-0@gmail.example")  # by earlier evidence
        clock.wait(1)
        assert [one.status(clock()) for one in ledger.incidents()] == ["over"]
        assert ledger.standing("live3@gmail.example").held == ()
        assert record(ledger, refused("live3", clock())).suppressed == ("live3@gmail.example",)


def test_a_person_may_decide_otherwise(place: str) -> None:
    with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
        record(ledger, *usual(NOW), *outage(NOW - timedelta(minutes=30)))
        assert not ledger.is_suppressed("live3@gmail.example")
        assert ledger.rule("google/2026-06-01T11", Verdict.COUNT).status(NOW) == "counted"
        assert ledger.is_suppressed("live3@gmail.example")
        assert ledger.rule("google/2026-06-01T11", Verdict.VOID).status(NOW) == "void"
        assert not ledger.is_suppressed("live3@gmail.example")
        with pytest.raises(LedgerError, match="google/1999: there is no such incident"):
            ledger.rule("google/1999", Verdict.VOID)


def test_which_incidents_are_open_is_asked_of_the_incidents_alone(tmp_path: Path) -> None:
    """It is asked in every run, and the events are many."""
    clock = Clock()
    with Ledger.open(tmp_path / "ledger.db", policy=STRICT, clock=clock) as ledger:
        record(ledger, *usual(NOW), *outage(NOW - timedelta(minutes=30)))
        asked: list[str] = []
        sa.event.listen(ledger._database.engine, "before_cursor_execute", lambda *about: asked.append(about[2]))
        assert ledger.open_incidents() == ["google/2026-06-01T11"]
        assert not any("bounceclass_events" in statement for statement in asked)
        clock.wait(1)
        assert ledger.open_incidents() == []


def test_a_word_on_an_incident_is_none_on_the_one_that_goes_before(tmp_path: Path) -> None:
    """The first was so long that it counts; the second opens in the calm after it."""
    small = IncidentRules(addresses=2, times=2, days=2, calm=timedelta(hours=4), limit=timedelta(hours=2))
    policy = msgspec.structs.replace(STRICT, incident=small)
    begin = hour_of(NOW) - timedelta(hours=8)
    messages = [refused(f"dead{day}", begin - timedelta(days=day)) for day in range(1, 4)]
    for hour, number in enumerate([3, 3, 3, 9]):
        messages += [refused(f"live{hour}-{n}", begin + timedelta(hours=hour, seconds=n)) for n in range(number)]
    with Ledger.open(tmp_path / "ledger.db", policy=policy, clock=Clock()) as ledger:
        record(ledger, *messages)
        later, first = ledger.incidents()
        assert (first.name, first.status(NOW), later.name, later.status(NOW)) == (
            "google/2026-06-01T04", "counted", "google/2026-06-01T07", "over",
        )  # fmt: skip
        assert ledger.rule(later.name, Verdict.VOID).status(NOW) == "void"
        assert [one.status(NOW) for one in ledger.incidents()] == ["void", "counted"]
        assert (ledger.is_suppressed("live0-0@gmail.example"), ledger.is_suppressed("live3-0@gmail.example")) == (True, False)  # fmt: skip
        # never normal, the first goes on until the end of what was the second
        assert ledger.rule(first.name, Verdict.VOID).ends == later.ends
        assert [(one.name, one.status(NOW)) for one in ledger.incidents()] == [(first.name, "void")]
        with pytest.raises(LedgerError, match=f"{later.name}: there is no such incident"):
            ledger.rule(later.name, Verdict.COUNT)


def refusals_by_the_hour(place: str) -> list[tuple[object, ...]]:
    """Return what ``hours`` must have, counted from the events."""
    table = schema.events.c
    database = Database(place, 5)
    with database.engine.connect() as connection:
        query = sa.select(table.provider, table.happened_at, table.address).where(
            table.what == "failure", table.suppress, table.provider.isnot(None)
        )
        refused = {(provider, hour_of(moment), address) for provider, moment, address in connection.execute(query)}
    database.close()
    hours = Counter((provider, hour) for provider, hour, _ in refused)
    return sorted(((*bucket, number) for bucket, number in hours.items()), key=repr)


def test_an_address_counts_once_an_hour_for_an_incident(place: str) -> None:
    begin = hour_of(NOW) - timedelta(hours=2)
    with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
        for minutes in (0, 1, 59, 60):
            record(ledger, refused("fred", begin + timedelta(minutes=minutes)))
        record(ledger, refused("fred", begin + timedelta(minutes=2)), refused("mary", begin))
    assert content(place)["bounceclass_hours"] == refusals_by_the_hour(place)
    assert [number for _, _, number in refusals_by_the_hour(place)] == [2, 1]


def test_an_incident_goes_on_when_more_of_it_comes(place: str) -> None:
    """It is found anew from its opening, and not from the hour of what came."""
    with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
        record(ledger, *usual(NOW), *outage(NOW - timedelta(hours=3), 30))
        assert [(one.name, one.peak) for one in ledger.incidents()] == [("google/2026-06-01T09", 30)]
        record(ledger, *outage(NOW - timedelta(hours=1), 40))
        (incident,) = ledger.incidents()
        assert (incident.name, incident.peak, incident.addresses) == ("google/2026-06-01T09", 40, 40)
        assert incident.ends == NOW + timedelta(hours=4)
        before = content(place)
        ledger.adopt(CAUTIOUS)
        ledger.adopt(STRICT)
    assert content(place) == before


def test_the_order_in_which_mail_comes_does_not_matter(tmp_path: Path) -> None:
    """Old mail that comes late is history too: what looked like an incident may be none."""
    messages = judged(*usual(NOW), *outage(NOW - timedelta(days=3), 8), *outage(NOW - timedelta(minutes=59)))
    kept = []
    for number, order in enumerate((messages, messages[::-1], messages[::2] + messages[1::2])):
        place = str(tmp_path / f"{number}.db")
        with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
            for begin in range(0, len(order), 7):
                ledger.record_all(order[begin : begin + 7])
            before = content(place)
            ledger.adopt(CAUTIOUS)
            ledger.adopt(STRICT)
        assert content(place) == before  # derived anew from the events, all is as it was
        kept.append(before)
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]["bounceclass_incidents"]) == 1
    assert kept[0]["bounceclass_hours"] == refusals_by_the_hour(place)


# --- policies -----------------------------------------------------------------------


def moves(replayed: Iterator[tuple[str, Standing, Standing]]) -> set[tuple[str, str, str]]:
    return {(address, old.state, new.state) for address, old, new in replayed}


def test_another_policy(place: str) -> None:
    with Ledger.open(place, clock=Clock()) as ledger:
        assert ledger.policy.name == "cautious"
        record(ledger, mail("fred@example.com", NOW), mail("mary@example.com", NOW, "452 4.2.2 mailbox full"))
        ledger.add("zoe@example.com")
        assert moves(ledger.replay(STRICT)) == {("fred@example.com", "suspect", "suppressed"), ("mary@example.com", "suspect", "suspect")}  # fmt: skip
        assert not ledger.is_suppressed("fred@example.com")  # nothing was changed
        assert moves(ledger.replay(CAUTIOUS)) == set()
        other = Ledger.open(place, policy=STRICT, clock=Clock())
        assert other.adopted == Adopted(before=CAUTIOUS, after=STRICT, suppressed=("fred@example.com",), released=())
        assert ledger.adopted is None
        assert ledger.is_suppressed("fred@example.com")
        assert other.adopt(CAUTIOUS).released == ("fred@example.com",)
        other.adopt(STRICT)
        other.close()
        record(ledger, mail("mark@example.com", NOW))  # whoever opened it before follows
        assert ledger.is_suppressed("mark@example.com")
        assert ledger.policy.name == "strict"
    with Ledger.open(place, clock=Clock()) as ledger:
        assert ledger.policy == STRICT
    with Ledger.open(place, policy=STRICT, clock=Clock()) as ledger:
        assert ledger.adopted is None


def test_a_ledger_that_is_not_to_be_made(place: str, tmp_path: Path) -> None:
    with pytest.raises(NoLedger) as caught:
        Ledger.open(place, create=False)
    assert one_line(caught).endswith(": there is no ledger yet; bounceclass process begins one")
    assert list(tmp_path.iterdir()) == []
    Ledger.open(place, policy=STRICT).close()
    with Ledger.open(place, create=False) as ledger:
        assert ledger.policy == STRICT


def test_replaying_finds_the_incidents_of_the_new_policy(tmp_path: Path) -> None:
    deaf = policyfile.parse(
        (Path(policyfile.__file__).parent.parent / "data" / "policies" / "strict.toml").read_bytes().replace(b"addresses = 20", b"addresses = 2000")
    )  # fmt: skip
    with Ledger.open(tmp_path / "ledger.db", policy=STRICT, clock=Clock()) as ledger:
        record(ledger, *usual(NOW), *outage(NOW - timedelta(minutes=30), 40))
        assert len(moves(ledger.replay(deaf))) == 40
        assert len(ledger.adopt(deaf).suppressed) == 40
        assert len(moves(ledger.replay(STRICT))) == 40


# --- the page -----------------------------------------------------------------------


def test_the_page_is_true(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    page = (root / "docs" / "ledger.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("bounces.db", str(tmp_path / "bounces.db"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.splitlines()[:2] == ["fred.oduya@example.com", "mary@example.com"], done.stderr
    (policy,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert policyfile.parse(policy.encode()).reasons == {Reason.USER_UNKNOWN: CAUTIOUS.reasons[Reason.USER_UNKNOWN]}
    for state in State:
        assert f"| `{state}` |" in page


# --- many at once -------------------------------------------------------------------

WORKER = """
import sys
from pathlib import Path
import bounceclass
from bounceclass.app.ledger import Judged, Ledger

place, step = sys.argv[1], int(sys.argv[2])
files = sorted(Path(sys.argv[3]).iterdir())
files = files[step::2] if len(sys.argv) > 4 else files[:: step or -1]
with Ledger.open(place) as ledger:
    for begin in range(0, len(files), 10):
        raws = [file.read_bytes() for file in files[begin : begin + 10]]
        ledger.record_all(Judged(report=bounceclass.classify(raw), raw=raw) for raw in raws)
"""


@pytest.mark.parametrize("halves", [True, False])
def test_two_processes_come_to_the_totals_of_one(place: str, halves: bool, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    box = tmp_path / "box"
    box.mkdir()
    messages = (
        usual(now)
        + outage(now - timedelta(hours=1))
        + [mail(f"a{n % 40}@example.com", now - timedelta(hours=n)) for n in range(120)]
    )
    for number, raw in enumerate(messages):
        (box / f"{number:04}.eml").write_bytes(raw)
    command = [sys.executable, "-c", WORKER]
    tail = [str(box), "halves"] if halves else [str(box)]
    env = {**os.environ, "PYTHONPATH": str(Path(bounceclass.__file__).parent.parent)}
    both = [subprocess.Popen([*command, place, step, *tail], env=env) for step in "01"]
    assert [process.wait(120) for process in both] == [0, 0]
    alone = str(tmp_path / "alone.db")
    with Ledger.open(alone) as ledger:
        ledger.record_all(judged(*messages))
    assert content(place) == content(alone)


def test_a_killed_run_can_be_run_again(place: str, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    box = tmp_path / "box"
    box.mkdir()
    messages = [mail(f"a{n % 50}@example.com", now - timedelta(hours=n)) for n in range(600)]
    for number, raw in enumerate(messages):
        (box / f"{number:04}.eml").write_bytes(raw)
    env = {**os.environ, "PYTHONPATH": str(Path(bounceclass.__file__).parent.parent)}
    command = [sys.executable, "-c", WORKER, place, "1", str(box)]
    with Ledger.open(place) as ledger:
        process = subprocess.Popen(command, env=env)
        while not sum(ledger.states().values()):
            time.sleep(0.001)
        process.kill()
        process.wait(60)
        done = ledger.record_all(judged(*messages))
        assert done.known > 0
        assert done.messages > 0
        assert done.messages + done.known == 600
    alone = str(tmp_path / "alone.db")
    with Ledger.open(alone) as ledger:
        ledger.record_all(judged(*messages))
    assert content(place) == content(alone)


def test_threads_share_a_ledger(place: str) -> None:
    with Ledger.open(place, clock=Clock()) as ledger, ThreadPoolExecutor(6) as pool:
        messages = [mail(f"a{n % 7}@example.com", NOW - timedelta(days=n)) for n in range(60)]
        done = list(pool.map(lambda raw: record(ledger, raw, messages[0]), messages))
        assert sum(one.messages for one in done) == 60
        assert list(pool.map(ledger.is_suppressed, [f"a{n}@example.com" for n in range(7)])) == [True] * 7


def test_a_server_whose_transactions_see_one_state_only(server: Postgres) -> None:
    """Whoever waited for another writer sees what that one wrote, whatever the server's default is."""
    place = f"{server.database()}?options=-c%20default_transaction_isolation%3Dserializable"
    with Ledger.open(place, clock=Clock()) as ledger, ThreadPoolExecutor(2) as pool:
        waiting, go_on = threading.Event(), threading.Event()

        def first(connection: sa.Connection) -> None:
            connection.execute(sa.insert(schema.settings).values(name="word", value="first"))
            waiting.set()
            go_on.wait(30)

        writing = pool.submit(ledger._database.write, first)
        waiting.wait(30)
        word = sa.update(schema.settings).where(schema.settings.c.name == "word").values(value="second")
        second = pool.submit(ledger._database.write, lambda connection: connection.execute(word).rowcount)
        query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'")  # fmt: skip
        while not ledger._database.read(lambda connection: connection.scalar(query)):
            time.sleep(0.01)
        go_on.set()
        assert (writing.result(), second.result()) == (None, 1)


def test_what_the_server_could_not_serialize_is_tried_again(server: Postgres) -> None:
    database = Database(server.database(), 5)
    tries: list[int] = []

    def work(connection: sa.Connection) -> str:
        tries.append(1)
        if len(tries) == 1:
            words = "could not serialize access due to concurrent update"
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE '{words}' USING ERRCODE = '40001'; END $$")
        return "done"

    assert database.write(work) == "done"
    assert len(tries) == 2
    database.close()


def test_more_threads_than_connections_wait_for_one_another(place: str) -> None:
    with Ledger.open(place, clock=Clock()) as ledger, ThreadPoolExecutor(40) as pool:
        begin = threading.Barrier(40)

        def add(number: int) -> int:
            begin.wait()
            return ledger.add(f"a{number}@example.com")

        assert list(pool.map(add, range(40))) == [1] * 40
        assert len(list(ledger.suppressed())) == 40


def test_threads_that_wait_too_long_for_a_connection(place: str) -> None:
    database = Database(place, 0.2)
    begun, go_on = threading.Barrier(CONNECTIONS + 1), threading.Event()

    def linger(_: object) -> bool:
        begun.wait()
        return go_on.wait(30)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        lingering = [pool.submit(database.read, linger) for _ in range(CONNECTIONS)]
        begun.wait()
        with pytest.raises(LedgerError) as caught:
            database.read(lambda _: None)
        go_on.set()
        assert [one.result() for one in lingering] == [True] * CONNECTIONS
    assert one_line(caught) == (
        f"{database.place}: {CONNECTIONS} threads were using it for 0.2 s; use fewer, or try again later"
    )
    assert database.read(lambda _: "there") == "there"
    database.close()


def test_a_fork_has_connections_of_its_own(place: str) -> None:
    """A temporary table is seen by the connection that made it only."""
    with Ledger.open(place, clock=Clock()) as ledger:
        make, ask = "CREATE TEMPORARY TABLE of_the_parent (x INT)", "SELECT count(*) FROM of_the_parent"
        ledger._database.write(lambda connection: connection.exec_driver_sql(make))

        def shares() -> bool:
            try:
                return ledger._database.read(lambda connection: connection.exec_driver_sql(ask).scalar()) == 0
            except LedgerError:
                return False

        child = os.fork()
        if not child:
            try:
                own = not shares() and ledger.add(f"child{n}@example.com" for n in range(50)) == 50
                os._exit(0 if own and all(ledger.add(f"her{n}@example.com") for n in range(50)) else 1)
            finally:
                os._exit(2)
        assert [ledger.add(f"parent{n}@example.com") for n in range(50)] == [1] * 50  # at the same time
        assert os.waitpid(child, 0)[1] == 0
        assert shares()  # the child took nothing away
        assert ledger.states()[State.SUPPRESSED] == 150


def test_a_million_addresses(tmp_path: Path) -> None:
    addresses = [f"User{n}@Example.com" for n in range(1_000_000)]
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.add(addresses[::10]) == 100_000
        left = list(ledger.mailable(addresses))
        assert left == [address for number, address in enumerate(addresses) if number % 10]


# --- what goes wrong ----------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[LedgerError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_tables_are_those_of_the_schema(place: str) -> None:
    Ledger.open(place).close()
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(place, 5)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.VERSIONS[-1]
    database.close()


def test_a_ledger_of_a_newer_version_is_refused(place: str) -> None:
    Ledger.open(place).close()
    database = Database(place, 5)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    database.close()
    before = content(place)
    with pytest.raises(Misconfigured) as caught:
        Ledger.open(place)
    assert one_line(caught).endswith(": was written by a newer version of bounceclass; upgrade bounceclass")
    assert content(place) == before


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("mysql://root:kept-secret@host/db", "mysql: no ledger there; use SQLite (a path) or postgresql://"),
        ("://kept-secret", "the ledger's URL cannot be read; write postgresql://user@host/database or a path"),
        ("sqlite://", "a ledger must be kept somewhere; name a file"),
        ("/dev/null/x/ledger.db", "/dev/null/x/ledger.db: cannot be created: Not a directory; name another place"),
    ],
)
def test_no_place_for_a_ledger(place: str, complaint: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(place, wait=0.2)
    assert one_line(caught) == complaint


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 400)
    with pytest.raises(LedgerError) as caught:
        Ledger.open(path)
    assert one_line(caught) == f"{path}: is not a ledger; name another file"


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "data" / "ledger.db"
    Ledger.open(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_somebody_else_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, wait=0.3, clock=Clock()) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError) as caught:
            record(ledger, mail("fred@example.com", NOW))
        assert one_line(caught) == f"{path}: was in use by another program for 0.3 s; try again later"
        assert not ledger.is_suppressed("fred@example.com")  # who only asks need not wait
        other.execute("ROLLBACK")
        assert record(ledger, mail("fred@example.com", NOW)).messages == 1
        other.close()


LIMITED = """
import resource, sys
from pathlib import Path
import bounceclass
from bounceclass.app.ledger import Judged, Ledger, LedgerError

ledger = Ledger.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
done = 0
try:
    for file in sorted(Path(sys.argv[2]).iterdir()):
        raw = file.read_bytes()
        ledger.record(bounceclass.classify(raw), raw=raw)
        done += 1
except LedgerError as error:
    print(done, error)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    now = datetime.now(UTC)
    for number in range(200):
        (box / f"{number:04}.eml").write_bytes(mail(f"a{number}@example.com", now))
    place = tmp_path / "ledger.db"
    env = {**os.environ, "PYTHONPATH": str(Path(bounceclass.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, place, box], env=env, capture_output=True, text=True, check=False
    )
    count, _, words = done.stdout.strip().partition(" ")
    assert 0 < int(count) < 200, done.stderr
    assert re.fullmatch(rf"{place}: (the disk is full; make room|cannot be written; look at the disk).*", words)
    with Ledger.open(place) as ledger:  # what was recorded is there, and the rest can be
        files = sorted(box.iterdir())
        again = record(ledger, *(file.read_bytes() for file in files))
        assert (again.known, again.messages) == (int(count), 200 - int(count))


def test_what_is_recorded_is_on_the_disk_however_sqlite_was_built(tmp_path: Path) -> None:
    """Mail is filed away once it is recorded, and some builds do less than they are asked for by default."""
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("PRAGMA synchronous = OFF")
    _prepare_sqlite(connection, None)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    connection.close()


def test_a_read_only_ledger_can_be_asked(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "ledger.db").add("fred@example.com")
    with Ledger.open(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true") as ledger:
        assert ledger.is_suppressed("fred@example.com")
        with pytest.raises(LedgerError) as caught:
            ledger.add("mary@example.com")
        assert (
            one_line(caught)
            == f"file:{tmp_path}/ledger.db: cannot be written; make the file and its directory writable"
        )


def test_a_server_that_is_away_for_a_while(server: Postgres) -> None:
    with Ledger.open(server.database(), wait=30, clock=Clock()) as ledger:
        record(ledger, mail("fred@example.com", NOW))
        server.stop()
        starter = threading.Timer(5, server.start)
        starter.start()
        try:
            begin = time.monotonic()
            assert record(ledger, mail("fred@example.com", NOW), mail("mary@example.com", NOW)).messages == 1
            assert time.monotonic() - begin > 4
            assert ledger.is_suppressed("fred@example.com") is False
        finally:
            starter.join()


def test_a_server_that_stays_away(server: Postgres) -> None:
    place = server.database()
    with Ledger.open(place, wait=0.5) as ledger:
        server.stop()
        try:
            with pytest.raises(LedgerError) as caught:
                ledger.add("fred@example.com")
        finally:
            server.start()
        assert one_line(caught).startswith(f"postgresql://bounce:***@127.0.0.1:{server.port}/ledger")
        assert "connection failed: " in one_line(caught)
        assert ledger.add("fred@example.com") == 1


@pytest.mark.parametrize("arrived", [True, False])
def test_whether_all_was_written_when_the_answer_is_lost_is_not_guessed(server: Postgres, arrived: bool) -> None:
    """Neither told as nothing new, nor counted twice in its run."""
    direct = server.database()
    with proxy(("127.0.0.1", server.port)) as between, Ledger.open(direct, clock=Clock()) as other:
        through = direct.replace(f":{server.port}/", f":{between.port}/")
        with Ledger.open(through, wait=5, clock=Clock()) as ledger:
            run = ledger.begin_run("INBOX")
            between.forward = arrived
            for tried in (
                lambda: ledger.record_all(judged(mail("fred@example.com", NOW)), run=run),
                lambda: ledger.add("mary@example.com"),
            ):
                assert len(ledger.runs()) == 1  # so there is a connection
                between.cut_command = rb"\bCOMMIT\b"
                with pytest.raises(LedgerError) as caught:
                    tried()
                between.cut_command = None
                assert one_line(caught) == (
                    f"{ledger.place}: the connection was lost before it was known whether all was written; "
                    "do it again, nothing counts twice"
                )
            assert other.is_suppressed("mary@example.com") is arrived
            assert (other.runs()[0].counts["messages"], other.runs()[0].counts["known"]) == (int(arrived), 0)
            done = ledger.record_all(judged(mail("fred@example.com", NOW)), run=run)
            assert (done.messages, done.known) == ((0, 1) if arrived else (1, 0))
            assert (ledger.runs()[0].counts["messages"], ledger.runs()[0].counts["known"]) == (1, int(arrived))
            assert ledger.add("mary@example.com") == (0 if arrived else 1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (Postgres.PASSWORD, "not-the-password", "refuses user or password; correct the URL"),
        ("/ledger", "/no_such_", 'does not exist'),
        ("ledger", "ledger?passwrod=hidden&x=", "invalid"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_told_at_once_and_without_the_password(
    server: Postgres, old: str, new: str, complaint: str
) -> None:
    begin = time.monotonic()
    with pytest.raises(LedgerError) as caught:
        Ledger.open(server.database().replace(old, new), wait=20)
    assert time.monotonic() - begin < 10
    assert complaint in one_line(caught)
    assert not re.search(f"{Postgres.PASSWORD}|not-the-password|hidden", one_line(caught))


def test_a_policy_by_its_name(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", policy="strict") as ledger:
        assert ledger.policy.name == "strict"
        assert list(ledger.replay("cautious")) == []
        with pytest.raises(policyfile.BrokenPolicy, match="there is no such policy"):
            list(ledger.replay("stritc"))


@pytest.mark.parametrize("place", ["letter.txt", "."])
def test_what_no_other_try_can_help_is_a_mistake(place: str, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam, " * 400)
    with pytest.raises(Misconfigured):
        Ledger.open(tmp_path / place)
