"""``bounceclass config``: what the configuration would do, and whether it can."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from bounceclass.app import show
from bounceclass.app.options import configured, ledger_as_it_is, plainly, settings
from bounceclass.wire import printable

if TYPE_CHECKING:
    from pathlib import Path

    from bounceclass.app.config import Config

__all__ = ["config"]


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command(
    epilog="""\b
    Examples:
      bounceclass config check
      bounceclass config check --connect --config /etc/bounceclass/config.toml

    Exit code: 0 it is sound, 1 a source cannot be reached, 2 the configuration is wrong, 75 try again.
    """
)
@settings
@click.option("--connect", is_flag=True, help="Log in to every source and open the ledger, if there is one.")
@click.pass_context
def check(ctx: click.Context, path: Path | None, connect: bool) -> None:
    """Say what the configuration would do. Nothing is changed."""
    from bounceclass.app import config as configs

    with plainly():
        found = configured(path)
        where = path or configs.find() or "none; these are the defaults"
        show.lines([f"configuration  {where}", *_described(found)], sys.stdout.buffer)
        code = _connected(found) if connect else 0
    ctx.exit(code)


def _described(found: Config) -> list[str]:
    import bounceclass
    from bounceclass.app.config import ConfigError, server_url
    from bounceclass.app.ledger import Misconfigured
    from bounceclass.app.ledger.book import MIN_KEY, check_keys
    from bounceclass.app.ledger.database import shown
    from bounceclass.app.mailboxes import lock_name
    from bounceclass.app.policyfile import load

    bounceclass.load_rules(*found.rules)
    policy = load(found.policy)
    try:
        ledger = shown(found.ledger_url)
    except Misconfigured as error:
        raise ConfigError(f"[ledger]: url: {error}") from None
    if found.ledger.password:
        server_url(found)
    if key := found.privacy.hash_key:
        given = bytes(MIN_KEY) if key.given is None else key.given.encode("utf-8", "surrogateescape")
        try:
            check_keys(given, keep_raw=found.ledger.keep_raw)
        except Misconfigured as error:
            raise ConfigError(f"[privacy]: hash_key: {error}") from None
    lines = [f"ledger         {ledger}{', addresses as keyed hashes' if key else ''}"]
    lines.append(f"policy         {policy.name}: {policy.summary}")
    lines += [f"rules          {folder}" for folder in found.rules]
    fates = {"move": "move to a folder by kind", "leave": "leave", "delete": "delete bounces and complaints"}
    for name, source in found.source.items():
        lines.append(f"source         {name}: {lock_name(source)}, then {fates[source.after]}")
    for name, export in found.export.items():
        lines.append(f"export         {name}: {export.list} as {export.format} to {export.path}")
    if found.run.metrics:
        lines.append(f"metrics        {found.run.metrics}")
    return lines


def _connected(found: Config) -> int:
    """Log in to every source and open the ledger, if there is one; return the exit code."""
    from bounceclass.app import mailboxes
    from bounceclass.app.ledger import NoLedger
    from bounceclass.app.policyfile import load

    code = 0
    for name, source in found.source.items():
        try:
            with mailboxes.open(source, dry_run=True):
                click.echo(f"{name}: reached")
        except mailboxes.MailboxError as error:
            click.echo(printable(f"{name}: {error}"), err=True)
            code = 1
    try:
        with closing(ledger_as_it_is(found)) as ledger:
            click.echo(printable(f"{ledger.place}: reached"))
            other, wanted = ledger.policy, load(found.policy)
    except NoLedger as none:
        click.echo(str(none))
        return code
    if other != wanted:
        differs = f"goes by another policy, {other.name}, until process or pipe adopts {wanted.name}"
        click.echo(printable(f"the ledger {differs}; see bounceclass policy diff"))
    return code
