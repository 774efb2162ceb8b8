"""`webhooks-server migrate`."""

from webhooks_server.cli.options import DataDirOption, data_directory


def migrate(*, data_dir: DataDirOption = None) -> None:
    """Bring a database to this version's schema, and make it where there is none.

    `serve` does so by itself unless --no-migrate says otherwise. Refused while a server runs on the
    data directory: stop it first.

        webhooks-server migrate --data-dir /var/lib/webhooks
    """
    from webhooks_server.storage.sql import migrate_sqlite

    directory = data_directory(data_dir)
    migrate_sqlite(directory)
    print(f"the database in {directory} has this version's schema")
