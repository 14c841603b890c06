"""What Alembic runs: migrations on the connection, and in the transaction, that it is handed."""

from __future__ import annotations

from alembic import context

from roundsman.store.schema import VERSION_TABLE
from roundsman.store.tables import LEDGER

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=LEDGER,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
