"""How the ledger's tables came about, step by step; a ledger is brought up to date when it is opened.

A step goes under ``versions``, and its number to the end of ``schema.VERSIONS``.  There is no way
back: what a newer version wrote, an older one refuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from bounceclass.app.ledger import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Bring the tables that *connection* sees up to date, in the transaction that it is in."""
    scripts = ScriptDirectory(str(Path(__file__).parent))

    def steps(revision: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    context = MigrationContext.configure(connection, opts={"fn": steps, "version_table": schema.VERSION_TABLE})
    with Operations.context(context):
        context.run_migrations()
