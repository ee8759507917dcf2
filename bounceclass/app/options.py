"""What the commands that use a configuration share: the option, and errors that end in one line."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bounceclass.wire import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bounceclass.app.config import Config
    from bounceclass.app.ledger import Ledger
    from bounceclass.app.policy import Policy

__all__ = ["configured", "exit_code", "failures", "ledger_as_it_is", "ledger_of", "plainly", "settings"]

settings = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The configuration, instead of the user's (~/.config/bounceclass/config.toml) or /etc/bounceclass/config.toml.",
)


def configured(path: Path | None) -> Config:
    """Return the configuration of *path*, or of where one is looked for; raises ConfigError."""
    from bounceclass.app import config

    return config.load(path or config.find())


def ledger_of(config: Config, told: Callable[[str, dict[str, Any]], None] | None = None) -> Ledger:
    """Open the ledger that *config* names, or begin it, and make the policy of *config* the ledger's.

    Only for what records verdicts: another policy suppresses and releases people, which is said
    on standard error, and to *told*.  Raises ConfigError, BrokenPolicy and LedgerError.
    """
    from bounceclass.app.policyfile import load

    ledger = _opened(config, policy=load(config.policy))
    if adopted := ledger.adopted:
        if told:
            told("policy adopted", adopted.counts())
        click.echo(printable(str(adopted)), err=True)
    return ledger


def ledger_as_it_is(config: Config, *, create: bool = False) -> Ledger:
    """Open the ledger that *config* names under the policy that it has; raises ConfigError, LedgerError and NoLedger."""
    return _opened(config, create=create)


def _opened(config: Config, *, policy: Policy | None = None, create: bool = True) -> Ledger:
    from bounceclass.app.config import ledger_secrets
    from bounceclass.app.ledger import Ledger

    url, hash_key = ledger_secrets(config)
    table = config.ledger
    return Ledger.open(url, policy=policy, create=create, hash_key=hash_key, keep_raw=table.keep_raw, wait=table.wait)


def failures() -> tuple[type[Exception], ...]:
    """Return what of the outside world may fail and is told in one line."""
    from bounceclass.app.config import ConfigError
    from bounceclass.app.ledger import LedgerError
    from bounceclass.app.mailboxes import MailboxError
    from bounceclass.app.policyfile import BrokenPolicy
    from bounceclass.app.process import Busy
    from bounceclass.app.publish import ExportError

    return ConfigError, BrokenPolicy, LedgerError, MailboxError, Busy, ExportError


def exit_code(error: Exception) -> int:
    """Return 75 for one of ``failures`` that may go better next time, 2 for the configuration, 1 for the rest."""
    if isinstance(error, ValueError):
        return 2  # ConfigError, BrokenPolicy and the ledger's Misconfigured
    return os.EX_TEMPFAIL if getattr(error, "temporary", True) else 1


class _Ended(click.ClickException):
    def __init__(self, error: Exception) -> None:
        super().__init__(printable(str(error)))
        self.exit_code = exit_code(error)  # type: ignore[misc]  # a constant of the class, says click


@contextmanager
def plainly() -> Iterator[None]:
    """End the command with one line and its ``exit_code``, whatever of the outside world fails."""
    try:
        yield
    except failures() as error:
        raise _Ended(error) from None
