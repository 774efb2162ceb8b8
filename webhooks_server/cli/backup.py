"""`webhooks-server backup`."""

import asyncio
from pathlib import Path

from webhooks_server.cli.connection import open_client
from webhooks_server.cli.failures import CommandFailed
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

    With --server (or WEBHOOKS_SERVER) that server copies its own. Otherwise the one that runs on
    the data directory does, and where none runs, this command.

        webhooks-server backup --data-dir /var/lib/webhooks
    """
    made = _make(data_directory(data_dir), settings or ClientSettings())
    print_result({"path": made.path, "size_bytes": made.size}, as_json=as_json)


def _make(data_dir: Path, settings: ClientSettings) -> Backup:
    from webhooks_server.storage.sql import backup_sqlite, lock

    if "server" in settings.model_fields_set:
        return asyncio.run(_have_made(settings))
    owner = lock.owner(data_dir)
    if owner is None:
        return backup_sqlite(data_dir)
    if not owner.address:
        raise CommandFailed(f"process {owner.pid} owns {data_dir} and does not serve (yet)")
    return asyncio.run(_have_made(ClientSettings(server=owner.address)))


async def _have_made(settings: ClientSettings) -> Backup:
    async with open_client(settings) as client:
        return await client.backup()
