"""Mail to notice: what a report says, before anyone asks what it means.

The contract of a reader
------------------------
A reader is a function ``(mail: Mail) -> Notice | None``.

- It returns None when *mail* is no report of its kind; the next reader is asked.
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

if TYPE_CHECKING:
    from bounceclass.model import Mail

__all__ = ["MAX_RECIPIENTS", "READERS", "Reader", "read"]

MAX_RECIPIENTS = 10_000
"""Recipients of one report that are read."""


class Reader(Protocol):
    """See the contract above."""

    def __call__(self, mail: Mail, /) -> Notice | None: ...


def read(mail: Mail, *, max_recipients: int = MAX_RECIPIENTS) -> Notice:
    """Return what the first reader to recognise *mail* makes of it.

    ``kind`` is ``none`` where no reader does.
    """
    for reader in READERS:
        notice = reader(mail)
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
