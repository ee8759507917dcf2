"""The tables of the ledger, the same in SQLite and PostgreSQL.

``messages`` and ``events`` are what was seen and never change.  ``hours`` are counted from them as
they come in, whatever the policy.  ``addresses`` and ``incidents`` are derived from all that under a
policy, and anew when it changes.  Every name begins with ``bounceclass_``, so that the ledger can
share a database with others.

What is changed here needs a migration under ``migrations/versions``; a test holds the two together.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

__all__ = [
    "EARLIEST",
    "VERSIONS",
    "VERSION_TABLE",
    "Moment",
    "addresses",
    "events",
    "hours",
    "incidents",
    "messages",
    "metadata",
    "rulings",
    "runs",
    "settings",
]

VERSIONS = ("0001",)
"""The migrations that there are, the newest last: the versions of a ledger that can be read."""
VERSION_TABLE = "bounceclass_version"


EARLIEST = datetime(1996, 1, 1, tzinfo=UTC)
"""Before it there were no delivery reports (RFC 1894); a date as old is a forgery, or a clock's that was never set."""


class Moment(sa.TypeDecorator[datetime]):
    """A moment in UTC: ``timestamp with time zone`` in PostgreSQL, text that sorts in SQLite, aware here.

    One before EARLIEST, which older versions kept, is read as that: from year 1 no window reaches back.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value
        return max(EARLIEST, moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


metadata = sa.MetaData()

settings = sa.Table(
    "bounceclass_settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    comment="The policy that states were derived under; whether addresses are hashed",
)

runs = sa.Table(
    "bounceclass_runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("counts", sa.Text, nullable=False),
    comment="One row a run of process; a run without an end was interrupted",
)

messages = sa.Table(
    "bounceclass_messages",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("dialect", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("message_id", sa.Text),
    sa.Column("sender", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("rules_version", sa.Text),
    sa.Column("recorded_at", Moment, nullable=False),
    sa.Column("raw", sa.LargeBinary),
    comment="One row a message, however often it was seen",
)

events = sa.Table(
    "bounceclass_events",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("message", sa.Text, sa.ForeignKey(messages.c.key)),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("happened_at", Moment, nullable=False),
    sa.Column("recorded_at", Moment, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("severity", sa.Text),
    sa.Column("scope", sa.Text),
    sa.Column("suppress", sa.Boolean, nullable=False),
    sa.Column("confidence", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("reply_code", sa.Integer),
    sa.Column("rule", sa.Text),
    sa.Column("diagnostic", sa.Text),
    sa.Column("dialect", sa.Text),
    sa.Column("source", sa.Text),
    sa.Index("bounceclass_events_address", "address"),
    sa.Index("bounceclass_events_provider", "provider", "happened_at"),
    comment="One row a message and recipient, or an action by hand",
)

addresses = sa.Table(
    "bounceclass_addresses",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("address", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("since", Moment),
    sa.Column("until", Moment),
    sa.Column("reason", sa.Text),
    sa.Column("strikes", sa.Integer, nullable=False),
    sa.Column("held", sa.Text, nullable=False),
    sa.Column("because", sa.Text, nullable=False),
    sa.Column("complained", Moment),
    # what keeps an address from being mailed is all that is asked for often
    sa.Index(
        "bounceclass_addresses_unmailable",
        "key",
        "until",
        sqlite_where=sa.text("state = 'suppressed' OR complained IS NOT NULL"),
        postgresql_where=sa.text("state = 'suppressed' OR complained IS NOT NULL"),
    ),
    comment="Where every address stood after its last event",
)

hours = sa.Table(
    "bounceclass_hours",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("hour", Moment, primary_key=True),
    sa.Column("addresses", sa.Integer, nullable=False),
    comment="Distinct addresses that a provider refused as dead, by the clock hour",
)

incidents = sa.Table(
    "bounceclass_incidents",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("opened", Moment, primary_key=True),
    sa.Column("ends", Moment, nullable=False),
    sa.Column("baseline", sa.Integer, nullable=False),
    sa.Column("peak", sa.Integer, nullable=False),
    sa.Column("counts", sa.Boolean, nullable=False),
    sa.Column("ruled", sa.Boolean, nullable=False),
)

rulings = sa.Table(
    "bounceclass_rulings",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("moment", Moment, primary_key=True),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("ruled_at", Moment, nullable=False),
    comment="What a person said of an incident",
)
