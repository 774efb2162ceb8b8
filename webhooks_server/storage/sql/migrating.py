"""Running migrations. Alembic is imported only here, and only when there is one to run."""

from pathlib import Path

from sqlalchemy import Connection

from webhooks_server.domain.times import Instant


def upgrade(connection: Connection, now: Instant) -> None:
    """Bring a database to the newest schema, in one transaction."""
    # 20 MiB that a process without a migration to run does not spend.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes |= {"connection": connection, "now": now}
    with connection.begin():
        command.upgrade(config, "head")
