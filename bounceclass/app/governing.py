"""The commands about what the ledger goes by: ``policy``, ``incidents`` and ``runs``."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from bounceclass.app import show
from bounceclass.app.options import configured, ledger_as_it_is, plainly, settings
from bounceclass.wire import printable

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from bounceclass.app.policy import Policy, Standing

__all__ = ["incidents", "policy", "runs"]


# --- policy -------------------------------------------------------------------------


@click.group()
def policy() -> None:
    """See what suppresses an address, and try out another policy."""


@policy.command(
    "show",
    epilog="""\b
    Examples:
      bounceclass policy show
      bounceclass policy show strict
    """,
)
@click.argument("name", required=False, metavar="[NAME|FILE]")
@settings
def show_(path: Path | None, name: str | None) -> None:
    """Show a policy: the configured one, one that comes with bounceclass (cautious, standard, strict) or a file."""
    from bounceclass.app.policyfile import load

    with plainly():
        found = load(name or configured(path).policy)
    show.lines([f"{found.name}: {found.summary}", ""], sys.stdout.buffer)
    header = ("reason", "strikes", "on days", "within", "suppressed for", "confidence")
    show.table(header, _rows(found), sys.stdout.buffer, terminal=sys.stdout.isatty())


def _span(time: timedelta) -> str:
    hours = int(time.total_seconds()) // 3600
    return f"{hours} hours" if hours % 24 else f"{hours // 24} days"


def _rows(found: Policy) -> list[tuple[str, ...]]:
    return [
        (
            str(reason),
            str(row.strikes),
            str(row.days),
            _span(row.window),
            ", then ".join("for ever" if ttl is None else _span(ttl) for ttl in row.ttl),
            str(row.confidence),
        )
        for reason, row in found.reasons.items()
    ]


@policy.command(
    epilog="""\b
    Examples:
      bounceclass policy diff
      bounceclass policy diff strict
      bounceclass policy diff my-policy.toml
    """
)
@click.argument("name", required=False, metavar="[NAME|FILE]")
@settings
def diff(path: Path | None, name: str | None) -> None:
    """Say whom another policy than the ledger's would suppress and release, by all that the ledger has.

    Without a name that is the configured policy, as the next run of process will make it the
    ledger's. Nothing is changed.
    """
    from bounceclass.app.policy import State, became
    from bounceclass.app.policyfile import load

    changed: dict[State | None, list[tuple[str, Standing]]] = {State.SUPPRESSED: [], State.RELEASED: [], None: []}
    with plainly():
        config = configured(path)
        other = load(name or config.policy)
        with closing(ledger_as_it_is(config)) as ledger:
            for address, old, new in ledger.replay(other):
                changed[became(old, new)].append((address, old if new.mailable else new))
    out = sys.stdout.buffer
    for state in (State.SUPPRESSED, State.RELEASED):
        lines = (f"  {address}  {_because(one)}" for address, one in changed[state])
        show.lines([f"{len(changed[state])} would be {state}", *lines], out)


def _because(standing: Standing) -> str:
    return standing.because or str(standing.state)


# --- incidents ----------------------------------------------------------------------


@click.group(
    invoke_without_command=True,
    epilog="""\b
    Examples:
      bounceclass incidents
      bounceclass incidents void google/2020-12-14T21
      bounceclass incidents count yahoo/2026-02-03T08
    """,
)
@settings
@click.pass_context
def incidents(ctx: click.Context, path: Path | None) -> None:
    """List the times when a provider refused far more addresses than it used to.

    Their refusals suppress nobody while it lasts, nor afterwards if it passes; you may
    decide otherwise.
    """
    ctx.obj = path
    if ctx.invoked_subcommand is not None:
        return
    header = ("incident", "status", "addresses", "worst hour", "usual peak", "ends")
    with plainly(), closing(ledger_as_it_is(configured(path))) as ledger:
        now = ledger.now()
        rows = [
            (
                one.name,
                one.status(now),
                str(one.addresses),
                str(one.peak),
                str(one.baseline),
                f"{one.ends:%Y-%m-%d %H:%M}",
            )
            for one in ledger.incidents()
        ]
    if rows:
        show.table(header, rows, sys.stdout.buffer, terminal=sys.stdout.isatty())


@incidents.command()
@click.argument("name")
@click.pass_obj
def void(path: Path | None, name: str) -> None:
    """The provider was at fault: its refusals of that time never count."""
    _rule(path, name, "void")


@incidents.command()
@click.argument("name")
@click.pass_obj
def count(path: Path | None, name: str) -> None:
    """The refusals were true: they count like all others."""
    _rule(path, name, "count")


def _rule(path: Path | None, name: str, verdict: str) -> None:
    from bounceclass.app.incidents import Verdict

    with plainly(), closing(ledger_as_it_is(configured(path))) as ledger:
        if name not in [one.name for one in ledger.incidents()]:
            raise click.BadParameter(
                f"there is no incident {name!r}; bounceclass incidents lists them", param_hint="NAME"
            )
        incident = ledger.rule(name, Verdict(verdict))
        click.echo(printable(f"{incident.name}: {incident.status(ledger.now())}"))


# --- runs ---------------------------------------------------------------------------


@click.command()
@settings
@click.option("--last", "limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")
def runs(path: Path | None, limit: int) -> None:
    """List the last runs of process that found messages, the latest first.

    One without an end goes on or was interrupted.
    """
    header = ("run", "source", "began", "ended", "messages", "new", "suppressed")
    with plainly(), closing(ledger_as_it_is(configured(path))) as ledger:
        rows = [
            (
                str(one.id),
                one.source,
                f"{one.started_at:%Y-%m-%d %H:%M:%S}",
                f"{one.ended_at:%Y-%m-%d %H:%M:%S}" if one.ended_at else "-",
                str(one.counts["messages"] + one.counts["known"]),
                str(one.counts["messages"]),
                str(one.counts["suppressed"]),
            )
            for one in ledger.runs(limit)
        ]
    if rows:
        show.table(header, rows, sys.stdout.buffer, terminal=sys.stdout.isatty())
