"""What the number of rules costs.

Judges every refusal of ``fixtures/`` with every other rule, with all of them and with
twice as many, in turns, so that a busy machine slows all alike; then loads the rules
from TOML and from forms that a cache could keep.  Times are medians.
"""

from __future__ import annotations

import pickle
import re
import statistics
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import msgspec

from bounceclass import judge, mime, reports, rulebook
from bounceclass.model import Action, Notice, Outcome, Reason
from bounceclass.recipients import Traffic
from bounceclass.reports import dialects
from bounceclass.rows import Provider, ReasonRow, ReplyRow, Rule, StatusRow
from bounceclass.rulebook import OwnedRule, Rulebook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"
ROUNDS = 41
"""Turns that each of the things compared has."""


class Refusal(NamedTuple):
    outcome: Outcome
    notice: Notice
    traffic: Traffic


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What a Rulebook is made of, as a cache would keep it."""

    reasons: dict[Reason, ReasonRow]
    statuses: dict[str, StatusRow]
    replies: dict[str, ReplyRow]
    providers: dict[str, Provider]
    rules: list[OwnedRule]
    version: str

    def indexed(self) -> Rulebook:
        return Rulebook(**{name: getattr(self, name) for name in self.__struct_fields__})


def rows_of(book: Rulebook) -> Rows:
    """Return the rows that *book* was made of."""
    return Rows(
        reasons=book.reasons,
        statuses=book.statuses,
        replies=book.replies,
        providers=book.providers,
        rules=[OwnedRule(book.owner[rule.id], rule) for rule in book.rules],
        version=book.version,
    )


def refusals() -> list[Refusal]:
    """Return every failed or delayed recipient of the fixtures."""
    found = []
    for path in sorted(FIXTURES.rglob("*.eml")):
        mail = mime.parse(path.read_bytes())
        notice = reports.read(mail, dialects.load())
        for outcome in notice.outcomes:
            if outcome.action in (Action.FAILED, Action.DELAYED):
                found.append(Refusal(outcome, notice, Traffic(mail, mail.returned or {})))
    return found


def timed(work: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each of *work*, done in turns; the first turn does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


def again(rule: Rule) -> Rule:
    """Return *rule* under another id, with phrases that nobody writes."""
    return msgspec.structs.replace(rule, id=f"{rule.id}-again", phrases=tuple(f"{one} zzz" for one in rule.phrases))


def judging(rows: Rows) -> None:
    """Print what judging costs with half of the rules, with all, and with as many again that nothing matches."""
    given = refusals()
    more = [OwnedRule(one.provider, again(one.rule)) for one in rows.rules if one.rule.phrases]
    sizes = {"half": rows.rules[::2], "all": rows.rules, "twice": rows.rules + more}
    books = {name: msgspec.structs.replace(rows, rules=rules).indexed() for name, rules in sizes.items()}

    def judged(book: Rulebook) -> Callable[[], object]:
        return lambda: [judge.judge(*refusal, book) for refusal in given]

    taken = timed({name: judged(book) for name, book in books.items()})
    print(f"judging {len(given)} refusals, each:")
    for name, book in books.items():
        phrases = sum(len(rule.phrases) for rule in book.rules)
        ratio = taken[name] / taken["half"]
        each = taken[name] / len(given) * 1e6
        print(f"  {name:8} {each:6.1f} us  ratio {ratio:.2f}  {len(book.rules)} rules, {phrases} phrases")


def loading(rows: Rows) -> None:
    """Print what loading costs from each form, the index included."""
    packed = msgspec.msgpack.encode(rows)
    pickled = pickle.dumps(rows)

    def with_tomllib() -> Rulebook:
        with mock.patch.object(rows, "tomli", tomllib):
            return rulebook.load.__wrapped__()

    def cold(load: Callable[[], Rulebook]) -> Callable[[], object]:
        def loaded() -> object:
            re.purge()  # a process begins without compiled patterns
            return load()

        return loaded

    taken = timed(
        {
            "tomli": cold(rulebook.load.__wrapped__),
            "tomllib": cold(with_tomllib),
            "msgpack": cold(lambda: msgspec.msgpack.decode(packed, type=Rows).indexed()),
            "pickle": cold(lambda: pickle.loads(pickled).indexed()),
            "index": cold(rows.indexed),
        }
    )
    print("loading, the index included:")
    for name, seconds in taken.items():
        print(f"  {name:8} {seconds * 1e3:6.1f} ms")
    print(f"a cache would save {(taken['tomli'] - min(taken['msgpack'], taken['pickle'])) * 1e3:.1f} ms a process")


def main() -> None:
    """Print what judging and loading cost."""
    start = time.perf_counter()
    rows = rows_of(rulebook.load())
    print(f"first load of this process: {(time.perf_counter() - start) * 1e3:.1f} ms")
    judging(rows)
    loading(rows)
