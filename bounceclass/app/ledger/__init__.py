"""The ledger: what happened to each address, where it stands for that, and why.

Events are kept, states are derived from them under the ledger's policy whenever an event comes
in, a provider has an incident, or the policy changes.  A ``Ledger`` can be shared by threads, and
one database by processes.  Whatever ails the database comes as a ``LedgerError``;
one that is the caller's mistake is ``Misconfigured``.

``records`` makes rows of reports, ``derive`` states of rows, ``database`` transactions of both;
``schema`` and ``migrations`` are the tables.
"""

from bounceclass.app.ledger.answers import Adopted, Listed, Recorded, Run, Why
from bounceclass.app.ledger.book import Ledger
from bounceclass.app.ledger.database import LedgerError, Misconfigured, NoLedger
from bounceclass.app.ledger.records import Judged

__all__ = [
    "Adopted",
    "Judged",
    "Ledger",
    "LedgerError",
    "Listed",
    "Misconfigured",
    "NoLedger",
    "Recorded",
    "Run",
    "Why",
]
