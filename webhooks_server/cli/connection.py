"""The connection of a command to its server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from webhooks_server.cli.failures import CommandFailed, Misuse
from webhooks_server.domain.ids import TenantId, is_lower_id
from webhooks_server.settings import ClientSettings

if TYPE_CHECKING:
    from webhooks_server.rpc.client import ServerClient


@asynccontextmanager
async def open_client(settings: ClientSettings | None) -> AsyncIterator["ServerClient"]:
    """Open a connection to the server that the settings name."""
    from webhooks_server.ops import SystemClock
    from webhooks_server.rpc.client import connect

    async with connect((settings or ClientSettings()).server, SystemClock()) as client:
        yield client


def owner_of(data_dir: Path) -> ClientSettings | None:
    """Return how to reach the server that runs on a data directory; None where none does."""
    from webhooks_server.storage.sql import lock

    owner = lock.owner(data_dir)
    if owner is None:
        return None
    if not owner.address:
        raise CommandFailed(f"process {owner.pid} owns {data_dir} and does not serve (yet)")
    return ClientSettings(server=owner.address)


def check_one_place(data_dir: Path | None, settings: ClientSettings) -> None:
    """Raise Misuse where options name both a server and a data directory."""
    if data_dir is not None and settings.source("server") == "option":
        raise Misuse("--server and --data-dir may name two databases; give one of them")


def tenant_id(text: str) -> TenantId:
    """Return the tenant that --tenant names."""
    if not is_lower_id(text):
        raise Misuse(f"--tenant must be the id of a tenant, such as default; is {text!r}")
    return TenantId(text)
