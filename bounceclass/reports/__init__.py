"""Mail to notice: what a report says, before anyone asks what it means.

The contract of a reader
------------------------
A reader is a function ``(page: Page) -> Notice | None``; the page is a message, and the
layouts that it may be in.

- It returns None when the message is no report of its kind; the next reader is asked.
- A report whose reader found no recipient has empty ``outcomes``.
- It never raises on what a message says, never opens a file and keeps no state.
- It says where things stand on the page.  What the words mean is ``classify``'s.

READERS, at the end of this module, says who is asked when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from bounceclass.model import Kind, Notice
from bounceclass.reports import automatic, dsn, feedback, freeform, last_resort, layouts, receipts, ses_json
from bounceclass.reports.page import Page

if TYPE_CHECKING:
    from bounceclass.model import Mail
    from bounceclass.reports.dialects import Dialects

__all__ = ["MAX_RECIPIENTS", "READERS", "Reader", "read"]

MAX_RECIPIENTS = 10_000
"""Recipients of one report that are read."""


class Reader(Protocol):
    """See the contract above."""

    def __call__(self, page: Page, /) -> Notice | None: ...


def read(mail: Mail, dialects: Dialects, *, max_recipients: int = MAX_RECIPIENTS) -> Notice:
    """Return what the first reader to recognise *mail* makes of it; *dialects* are those that it may be written in.

    ``kind`` is ``none`` where no reader does.
    """
    page = Page(mail, dialects)
    for reader in READERS:
        notice = reader(page)
        if notice is not None:
            if len(notice.outcomes) > max_recipients:
                note = f"recipients: only the first {max_recipients} of {len(notice.outcomes)} were read"
                notice = msgspec.structs.replace(
                    notice, outcomes=notice.outcomes[:max_recipients], defects=(*notice.defects, note)
                )
            return notice
    return Notice(kind=Kind.NONE)


READERS: tuple[Reader, ...] = (
    feedback.read,  # RFC 5965 and the complaints before it
    dsn.read,  # RFC 3464, 6522, 6533
    receipts.read,  # RFC 8098
    ses_json.read,  # Amazon SES through SNS: JSON and no report
    layouts.read,  # the rows of data/dialects
    automatic.read_challenge,
    automatic.read,  # RFC 3834, after the layouts: many true bounces say Auto-Submitted
    freeform.read,  # notices of mailers that nobody described
    last_resort.read,  # flufl.bounce
)
