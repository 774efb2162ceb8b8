"""`webhooks-server backup`."""

import asyncio
from pathlib import Path

from webhooks_server.cli.connection import check_one_place, open_client, owner_of
from webhooks_server.cli.options import ClientOptions, DataDirOption, JsonOption, data_directory
from webhooks_server.cli.output import print_result
from webhooks_server.domain.audit import Backup
from webhooks_server.settings import ClientSettings


def backup(
    *,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
    settings: ClientOptions = None,
) -> None:
    """Copy a database into backups/ of its data directory, whether a server runs on it or not.

    With --server (or WEBHOOKS_SERVER, unless --data-dir is given) that server copies its own.
    Otherwise the one that runs on the data directory does, and where none runs, this command.

        webhooks-server backup --data-dir /var/lib/webhooks
    """
    made = _make(data_dir, settings or ClientSettings())
    print_result({"path": made.path, "size_bytes": made.size}, as_json=as_json)


def _make(data_dir: Path | None, settings: ClientSettings) -> Backup:
    from webhooks_server.storage.sql import backup_sqlite

    check_one_place(data_dir, settings)
    if data_dir is None and settings.source("server") != "default":
        return asyncio.run(_have_made(settings))
    directory = data_directory(data_dir)
    owner = owner_of(directory)
    return backup_sqlite(directory) if owner is None else asyncio.run(_have_made(owner))


async def _have_made(settings: ClientSettings) -> Backup:
    async with open_client(settings) as client:
        return await client.backup()
