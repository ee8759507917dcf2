"""What a run came to, for a person, for cron, for a log and for Prometheus."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from bounceclass.app import show
from bounceclass.app.mailboxes import Kind as Folder
from bounceclass.app.process import silence
from bounceclass.app.publish import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import IO

    from bounceclass.app.ledger import Ledger
    from bounceclass.app.process import Tally

__all__ = ["MAX_NAMED", "logger", "table", "write_metrics"]

MAX_NAMED = 10
"""Messages that could not be read that are named one by one."""
MOST = 8
"""Reasons and providers that have a line of their own."""

_KINDS = {"feedback": "complaint", "none": "none of these", "auto_reply": "automatic reply"}


def table(tally: Tally, out: IO[bytes], *, terminal: bool, dry_run: bool) -> None:
    """Write what *tally* came to as a short table."""
    rows = [("messages", str(tally.messages), "" if dry_run else f"{tally.recorded.messages} new")]
    rows += [(f"  {_KINDS.get(name, name)}", str(count), "") for name, count in tally.kinds.most_common()]
    for title, counts in (("reasons", tally.reasons), ("providers", tally.providers)):
        if counts:
            rows.append((title, str(counts.total()), ""))
            rows += [(f"  {name}", str(count), "") for name, count in counts.most_common(MOST)]
            if rest := counts.total() - sum(count for _, count in counts.most_common(MOST)):
                rows.append(("  others", str(rest), ""))
    if tally.folders:
        rows.append(("to be filed" if dry_run else "filed", str(tally.folders.total()), ""))
        notes = {str(Folder.UNSURE): "for a person to look at"}
        rows += [(f"  {name}", str(count), notes.get(name, "")) for name, count in tally.folders.most_common()]
    if tally.unread:
        rows.append(("not read", str(len(tally.unread)), "left where they are"))
    if not dry_run:
        recorded = tally.recorded
        rows.append(("newly suppressed", str(len(recorded.suppressed)), ""))
        if recorded.released:
            rows.append(("released", str(len(recorded.released)), ""))
        if recorded.complaints:
            rows.append(("complaints", str(len(recorded.complaints)), ""))
        if recorded.held:
            rows.append(("held", str(len(recorded.held)), "by an incident; see bounceclass incidents"))
    show.table(("", "", ""), rows, out, terminal=terminal)


# --- logs ---------------------------------------------------------------------------


def logger(form: str | None) -> Callable[[str, dict[str, Any]], None]:
    """Return what is told of events: it writes lines of JSON to standard error, or nothing where *form* is None."""
    if form is None:
        return silence
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler()
    formatter = JsonFormatter("%(levelname)s %(message)s", timestamp=True, rename_fields={"levelname": "level"})
    handler.setFormatter(formatter)
    log = logging.getLogger("bounceclass")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    return lambda event, about: log.info({"message": event, **about})  # as one dict: no key of it is the record's own


# --- Prometheus ---------------------------------------------------------------------


def write_metrics(path: Path, tally: Tally, ledger: Ledger, *, started: float, failed: Iterable[str]) -> None:
    """Write a textfile for node_exporter's collector, whole or not at all; no label of it holds an address.

    *started* is the Unix time at which the run began, *failed* the names of the sources that could not be worked
    through.  Raises ExportError and LedgerError.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, about: str, values: dict[str, float], label: str = "") -> None:
        metric = Gauge(f"bounceclass_{name}", about, [label] if label else [], registry=registry)
        for value, number in values.items():
            (metric.labels(value) if label else metric).set(number)

    gauge("run_messages", "Messages of the last run, by kind", dict(tally.kinds), "kind")
    gauge("run_failures", "Failures of the last run, by reason", dict(tally.reasons), "reason")
    gauge("run_refusals", "Failures of the last run, by provider", _known(tally), "provider")
    gauge("run_unread_messages", "Messages of the last run that could not be read", {"": len(tally.unread)})
    gauge("run_newly_suppressed", "Addresses that the last run suppressed", {"": len(tally.recorded.suppressed)})
    gauge(
        "run_held",
        "Addresses of the last run that an incident keeps from being suppressed",
        {"": len(tally.recorded.held)},
    )
    gauge("run_failed_sources", "Sources that the last run could not work through", {"": len(list(failed))})
    gauge("run_timestamp_seconds", "When the last run ended", {"": time.time()})
    gauge("run_duration_seconds", "How long the last run took", {"": time.time() - started})
    gauge("addresses", "Addresses in the ledger, by state", {k: float(v) for k, v in ledger.states().items()}, "state")
    gauge("complainers", "Addresses whose owner complained", {"": sum(1 for _ in ledger.complaints())})
    gauge("open_incidents", "Incidents that hold suppressions now", {"": len(ledger.open_incidents())})
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise ExportError(f"[run]: metrics: cannot write {path}: {error.strerror}") from None


def _known(tally: Tally) -> dict[str, float]:
    return {name: float(count) for name, count in tally.providers.items()}
