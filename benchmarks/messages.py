"""What a message costs, beside other ways to read it: each reads all the messages, in turns.

The figure of a method is the mean over the messages of the median over the rounds; its
ratio is to ``email.message_from_bytes`` in the same run.
"""

from __future__ import annotations

import email
import gc
import logging
import statistics
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fast_mail_parser
import mailparser
from flufl.bounce import all_failures

import bounceclass
from benchmarks.table import show
from bounceclass import judge, mime, reports
from bounceclass.app import sources
from bounceclass.model import Kind
from bounceclass.recipients import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FIXTURES", "KINDS", "METHODS", "compare", "figures", "print_figures"]

FIXTURES = Path(__file__).parent.parent / "fixtures"
KINDS = ("all", "DSN", "free-form", "not a bounce")
BASE = "email.message_from_bytes"


def _tree(raw: bytes) -> None:
    """fast-mail-parser's tree, every header and body of it read."""
    waiting = [fast_mail_parser.parse_email_tree(raw, mode="lazy")]
    while waiting:
        node = waiting.pop()
        _ = node.headers, node.content
        waiting += node.children


def _mail_parser(raw: bytes) -> None:
    _ = mailparser.parse_from_bytes(raw).body


def _flufl(raw: bytes) -> None:
    all_failures(email.message_from_bytes(raw))


METHODS: dict[str, Callable[[bytes], object]] = {
    BASE: email.message_from_bytes,
    "fast-mail-parser, all read": _tree,
    "classify": bounceclass.classify,
    "classify and to_json": lambda raw: bounceclass.classify(raw).to_json(),
    "flufl.bounce, parse included": _flufl,
    "mail-parser": _mail_parser,
}


def figures(
    folder: Path, rounds: int, methods: Mapping[str, Callable[[bytes], object]] | None = None
) -> dict[str, Any]:
    """Return what the methods cost on the messages of *folder*, in microseconds and ratios, and the slowest 1%."""
    methods = methods or METHODS
    items = [item for item in sources.read([str(folder)]) if isinstance(item.content, bytes)]
    names = [item.name.removeprefix(str(folder)).lstrip("/") for item in items]
    contents = [item.content for item in items if isinstance(item.content, bytes)]
    kinds = [_kind(content) for content in contents]
    failed: dict[str, int] = defaultdict(int)
    times: dict[str, list[list[float]]] = {name: [[] for _ in contents] for name in methods}
    logging.disable()  # mail-parser and flufl.bounce log what they do not understand
    for turn in range(rounds):
        for name, method in methods.items():
            gc.collect()  # what one method leaves behind, no other sweeps up
            for index, content in enumerate(contents):
                start = time.perf_counter()
                try:
                    method(content)
                except Exception:  # noqa: BLE001 - the others raise on some mail; that is counted
                    failed[name] += not turn
                times[name][index].append(time.perf_counter() - start)
    logging.disable(logging.NOTSET)
    medians = {name: [statistics.median(one) * 1e6 for one in times[name]] for name in methods}
    return {
        "messages": {kind: _number(kinds, kind) for kind in KINDS},
        "rounds": rounds,
        "methods": {name: _costs(medians[name], medians[BASE], kinds) for name in methods},
        "raised": {name: failed[name] for name in methods if failed[name]},
        "slowest": _slowest(names, contents, kinds, medians),
    }


def _kind(raw: bytes) -> str:
    if bounceclass.classify(raw).kind not in (Kind.BOUNCE, Kind.DELAY, Kind.SUCCESS):
        return "not a bounce"
    return "DSN" if any(kind in mime.STATUS_PARTS for kind, _ in mime.parse(raw).machine) else "free-form"


def _number(kinds: Sequence[str], kind: str) -> int:
    return len(kinds) if kind == "all" else kinds.count(kind)


def _costs(own: Sequence[float], base: Sequence[float], kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    costs = {}
    for wanted in KINDS:
        chosen = [index for index, kind in enumerate(kinds) if wanted in ("all", kind)]
        if chosen:
            mean = statistics.fmean(own[index] for index in chosen)
            ratio = mean / statistics.fmean(base[index] for index in chosen)
            costs[wanted] = {"us": round(mean, 1), "ratio": round(ratio, 3)}
    return costs


def _slowest(
    names: Sequence[str], contents: Sequence[bytes], kinds: Sequence[str], medians: dict[str, list[float]]
) -> list[dict[str, Any]]:
    """Return the slowest 1% of messages for ``classify``, and where their time went."""
    own = medians["classify"]
    order = sorted(range(len(own)), key=lambda index: own[index], reverse=True)
    return [
        {
            "name": names[index],
            "kind": kinds[index],
            "bytes": len(contents[index]),
            "us": round(own[index], 1),
            "ratio": round(own[index] / medians[BASE][index], 3),
            **_stages(contents[index]),
            "defects": list(bounceclass.classify(contents[index]).defects),
        }
        for index in order[: max(1, len(order) // 100)]
    ]


def _stages(raw: bytes) -> dict[str, float]:
    """Return the microseconds of each stage: taking apart, reading, judging."""
    book, dialects, _ = bounceclass.load_rules()
    mail = mime.parse(raw)
    notice = reports.read(mail, dialects)
    judged = [one for one in notice.outcomes if one.action in ("failed", "delayed")]
    stages: dict[str, Callable[[], object]] = {
        "parse": partial(mime.parse, raw),
        "read": partial(reports.read, mail, dialects),
        "judge": lambda: [judge.judge(one, notice, Traffic(mail, mail.returned or {}), book) for one in judged],
    }
    return {name: round(_median(stage) * 1e6, 1) for name, stage in stages.items()}


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(9):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def print_figures(found: dict[str, Any]) -> None:
    """Print what ``figures`` returned."""
    numbers = found["messages"]
    header = ("microseconds, and ratio to " + BASE, *(f"{kind} ({numbers[kind]})" for kind in KINDS))
    rows = [
        (name, *(f"{one['us']:.0f}  {one['ratio']:.2f}" if (one := costs.get(kind)) else "-" for kind in KINDS))
        for name, costs in found["methods"].items()
    ]
    show(f"A message: mean over messages of the median of {found['rounds']} rounds", header, rows)
    if found["raised"]:
        print("\nRaised on messages: " + ", ".join(f"{name} {number}" for name, number in found["raised"].items()))
    slow = [
        (
            one["name"],
            one["kind"],
            f"{one['bytes'] / 1000:.0f}",
            f"{one['us']:.0f}",
            f"{one['ratio']:.2f}",
            *(f"{one[stage]:.0f}" for stage in ("parse", "read", "judge")),
        )
        for one in found["slowest"]
    ]
    mean = statistics.fmean(one["us"] for one in found["slowest"])
    show(
        f"The slowest 1% for classify: {mean:.0f} us on average",
        ("name", "kind", "KB", "us", "ratio", "parse", "read", "judge"),
        slow,
    )


def compare(old: dict[str, Any], new: dict[str, Any]) -> float:
    """Print how the ratios of two runs differ; return by how many per cent that of classify over all has grown."""
    rows = []
    for name, costs in new["methods"].items():
        for kind, cost in costs.items():
            before = old["methods"].get(name, {}).get(kind)
            if before:
                change = (cost["ratio"] / before["ratio"] - 1) * 100
                rows.append((f"{name}, {kind}", before["ratio"], cost["ratio"], f"{change:+.1f}%"))
    show("Ratios, then and now", ("", "then", "now", "change"), rows)
    then, now = (float(run["methods"]["classify"]["all"]["ratio"]) for run in (old, new))
    return (now / then - 1) * 100
