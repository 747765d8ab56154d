"""Run by Alembic: in the transaction that `database.prepare` has begun, on its connection."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
