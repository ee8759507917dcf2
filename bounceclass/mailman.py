"""For GNU Mailman 3: ``all_failures`` in the place of flufl.bounce's, and the plugin that puts it there.

Mailman scores every address that flufl.bounce calls a permanent failure, and takes members
off their list when the score is full.  Here only those are permanent that ``Failure.suppress``
says are dead; a block, a full mailbox or a refused sender is temporary, and Mailman ignores it.
docs/mailman.md has the configuration.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bounceclass.classify import classify
from bounceclass.wire import printable

if TYPE_CHECKING:
    from email.message import Message

    from bounceclass.model import Report

__all__ = ["Plugin", "all_failures"]

log = logging.getLogger("mailman.bounce")


def all_failures(msg: Message) -> tuple[set[bytes], set[bytes]]:
    """Return the addresses in *msg* that failed for now and those that are dead, as flufl.bounce's function does.

    An address is the one that was mailed, in UTF-8.  Both sets are empty where *msg* is no
    report of a failure, or names nobody.  No address is in both.
    """
    return _failures(classify(msg))


def _failures(report: Report) -> tuple[set[bytes], set[bytes]]:
    dead = {_octets(one.recipient) for one in report.failures if one.recipient and one.suppress}
    named = {_octets(one.recipient) for one in report.failures if one.recipient}
    return named - dead, dead


def _octets(address: str) -> bytes:
    return address.encode("utf-8", "replace")


def _logged_failures(msg: Message) -> tuple[set[bytes], set[bytes]]:
    """Return ``all_failures``, and log for each address why."""
    report = classify(msg)
    for failure in report.failures:
        verdict = "dead" if failure.suppress else "not scored"
        said = f"{failure.recipient} {verdict}: {failure.reason} ({failure.confidence}): {failure.diagnostic or '-'}"
        log.info("bounceclass: %s", printable(said[:500]))
    return _failures(report)


class Plugin:
    """A Mailman plugin (``mailman.interfaces.plugin.IPlugin``) that gives the bounce runner ``all_failures``."""

    resource = None
    """No REST resource."""

    def __init__(self) -> None:
        from mailman.interfaces.plugin import IPlugin
        from zope.interface import alsoProvides

        self.name = ""
        alsoProvides(self, IPlugin)

    def pre_hook(self) -> None:
        """Do nothing before the database is there."""

    def post_hook(self) -> None:
        """Put ``all_failures`` in the place of flufl.bounce's in the bounce runner."""
        from mailman.runners import bounce

        bounce.all_failures = _logged_failures
