"""flufl.bounce, Mailman's detectors, for what no other reader knows.

It finds addresses and nothing else, so all that is drawn from it is a guess.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from bounceclass import fields
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome
from bounceclass.reports import origin

if TYPE_CHECKING:
    from bounceclass.reports.page import Page

__all__ = ["read"]

MAX_TEXT = 64 * 1024
"""Characters of text that the detectors are given."""
MAX_LINE = 998
"""Characters of a line (RFC 5322 2.1.1): some detectors search each from every character on."""


def read(page: Page) -> Notice | None:
    """Return the addresses that flufl.bounce finds; see the contract in ``reports``."""
    mail = page.mail
    if not page.written_by_mailer or not origin.subject_tells(mail) or not page.words.strip():
        return None
    import email.message  # flufl.bounce costs 57 ms to import, and few messages come here

    from flufl.bounce import all_failures

    _silence()
    message = email.message.Message()
    message["from"] = mail.get("from") or "<>"  # without one the detector for Yale raises
    for name in ("subject", "x-mailer", "to"):
        if mail.get(name):
            message[name] = mail.get(name)
    message["content-type"] = "text/plain"
    message.set_payload("\n".join(line[:MAX_LINE] for line in page.words[:MAX_TEXT].split("\n")))
    try:
        temporary, permanent = all_failures(message)
    except Exception:  # noqa: BLE001 - it lets through whatever its detectors raise
        return None
    outcomes = [_outcome(one, Action.FAILED) for one in sorted(permanent)] + [
        _outcome(one, Action.DELAYED) for one in sorted(temporary)
    ]
    if not outcomes:
        return None
    return Notice(
        kind=Kind.BOUNCE if permanent else Kind.DELAY,
        outcomes=tuple(outcomes),
        confidence=Confidence.GUESS,
    )


@cache
def _silence() -> None:
    """Let what a detector raises be printed by nobody; handlers that a program has set up still get it."""
    import logging

    logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())


def _outcome(address: bytes, action: Action) -> Outcome:
    return Outcome(recipient=fields.clean(address.decode("utf-8", "replace")), action=action, guessed=True)
