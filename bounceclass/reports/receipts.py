"""Receipts: message disposition notifications (RFC 8098)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bounceclass import fields
from bounceclass.mime import RECEIPT_PARTS
from bounceclass.model import Action, Confidence, Kind, Notice, Outcome

if TYPE_CHECKING:
    from bounceclass.reports.page import Page

__all__ = ["read"]

# disposition (RFC 8098 3.2.6) of a message that was refused, and of no one that a person saw
_REFUSED = re.compile(r"automatic-action\s{0,9}/[^;]{0,40};\s{0,9}(?:deleted|denied|failed)")
# Dovecot: "Your message to <a@b> was automatically rejected:"
_REJECTED = re.compile(r"was automatically rejected:?", re.I)


def read(page: Page) -> Notice | None:
    """Return the receipt in *mail*; see the contract in ``reports``.

    A receipt is no bounce, with one exception.  QUIRK: Dovecot's LDA and Sieve
    "reject" (RFC 5429 2.1) refuse a message, also for a full mailbox, in the form of one.
    """
    mail = page.mail
    part = next((text for kind, text in mail.machine if kind in RECEIPT_PARTS), None)
    if part is None and mail.report_type != "disposition-notification":
        return None
    message, groups = fields.groups(part or page.words)
    found = {name: value for group in (message, *groups) for name, value in group.items()}
    disposition = found.get("disposition", "").lower()
    rejected = _REJECTED.search(page.words)
    says_so = rejected or "(rejected)" in mail.get("auto-submitted").lower()
    if not says_so or not (_REFUSED.match(disposition) or not disposition):
        return Notice(kind=Kind.RECEIPT)
    words = page.words[rejected.end() if rejected else 0 :].strip()
    outcome = Outcome(
        original_recipient=fields.address(found.get("original-recipient", "")),
        final_recipient=fields.address(found.get("final-recipient", "")),
        action=Action.FAILED,
        diagnostic=words,
        source="text",
    )
    dialect = "dovecot" if "dovecot" in found.get("reporting-ua", "").lower() else None
    return Notice(kind=Kind.BOUNCE, dialect=dialect, outcomes=(outcome,), confidence=Confidence.PROBABLE)
