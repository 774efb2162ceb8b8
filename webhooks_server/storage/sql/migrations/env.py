"""Alembic runs this with the connection that migrating.py gives it."""

from alembic import context

from webhooks_server.storage.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll DDL back as well as anything else, so a crash leaves the old schema whole.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
