"""`webhooks-server migrate`."""

import asyncio

from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import (
    DatabaseUrlOption,
    DataDirOption,
    data_directory,
    database,
)


def migrate(*, data_dir: DataDirOption = None, database_url: DatabaseUrlOption = None) -> None:
    """Bring a database to this version's schema, and make it where there is none.

    `serve` does so by itself unless --no-migrate says otherwise. Refused while a server runs on the
    data directory: stop it first. On PostgreSQL one command at a time does it, and the others wait.

        webhooks-server migrate --data-dir /var/lib/webhooks
    """
    if data_dir is not None and database_url is not None:
        raise Misuse("--data-dir or --database-url, not both")
    config = database(database_url) if data_dir is None else None
    if config is not None:
        from webhooks_server.storage.postgres import migrate_postgres

        asyncio.run(migrate_postgres(config))
        print("the PostgreSQL database has this version's schema")
        return
    from webhooks_server.storage.sql import migrate_sqlite

    directory = data_directory(data_dir)
    migrate_sqlite(directory)
    print(f"the database in {directory} has this version's schema")
