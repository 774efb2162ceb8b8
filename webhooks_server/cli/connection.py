"""The connection of a command to its server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from webhooks_server.cli.failures import Misuse
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


def tenant_id(text: str) -> TenantId:
    """Return the tenant that --tenant names."""
    if not is_lower_id(text):
        raise Misuse(f"--tenant must be the id of a tenant, such as default; is {text!r}")
    return TenantId(text)
