"""The first tables of the ledger.

They are written out, and not taken from ``schema``: this is how they were then.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_UNMAILABLE = sa.text("state = 'suppressed' OR complained IS NOT NULL")


def upgrade() -> None:
    """Create them."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "bounceclass_settings",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        comment="The policy that states were derived under; whether addresses are hashed",
    )
    op.create_table(
        "bounceclass_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("counts", sa.Text, nullable=False),
        comment="One row a run of process; a run without an end was interrupted",
    )
    op.create_table(
        "bounceclass_messages",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("dialect", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("message_id", sa.Text),
        sa.Column("sender", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("rules_version", sa.Text),
        sa.Column("recorded_at", moment, nullable=False),
        sa.Column("raw", sa.LargeBinary),
        comment="One row a message, however often it was seen",
    )
    op.create_table(
        "bounceclass_events",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("message", sa.Text, sa.ForeignKey("bounceclass_messages.key")),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("happened_at", moment, nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
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
        comment="One row a message and recipient, or an action by hand",
    )
    op.create_index("bounceclass_events_address", "bounceclass_events", ["address"])
    op.create_index("bounceclass_events_provider", "bounceclass_events", ["provider", "happened_at"])
    op.create_table(
        "bounceclass_addresses",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("address", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("since", moment),
        sa.Column("until", moment),
        sa.Column("reason", sa.Text),
        sa.Column("strikes", sa.Integer, nullable=False),
        sa.Column("held", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("complained", moment),
        comment="Where every address stood after its last event",
    )
    op.create_index(
        "bounceclass_addresses_unmailable",
        "bounceclass_addresses",
        ["key", "until"],
        sqlite_where=_UNMAILABLE,
        postgresql_where=_UNMAILABLE,
    )
    op.create_table(
        "bounceclass_hours",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("hour", moment, primary_key=True),
        sa.Column("addresses", sa.Integer, nullable=False),
        comment="Distinct addresses that a provider refused as dead, by the clock hour",
    )
    op.create_table(
        "bounceclass_incidents",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("opened", moment, primary_key=True),
        sa.Column("ends", moment, nullable=False),
        sa.Column("baseline", sa.Integer, nullable=False),
        sa.Column("peak", sa.Integer, nullable=False),
        sa.Column("counts", sa.Boolean, nullable=False),
        sa.Column("ruled", sa.Boolean, nullable=False),
    )
    op.create_table(
        "bounceclass_rulings",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("moment", moment, primary_key=True),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("ruled_at", moment, nullable=False),
        comment="What a person said of an incident",
    )
