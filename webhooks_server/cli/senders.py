"""The two ways in which `publish --file` sends its lines: batches, or one stream."""

from typing import Protocol

from webhooks_server.cli.batches import Ledger, publish_batch
from webhooks_server.cli.event_lines import EventLine
from webhooks_server.domain.errors import InvalidArgument, WebhooksError
from webhooks_server.domain.ids import TenantId
from webhooks_server.rpc.client import Published, ServerClient

PATIENCE = 30.0
"""Seconds that a server may be away, to be restarted perhaps, once it has taken something."""


class Sender(Protocol):
    """Publishes lines and writes down what became of each."""

    async def send(self, lines: list[EventLine]) -> None:
        """Publish what fits one batch.

        Raises what is no fault of a line; then those that are left may have been stored or not.
        """
        ...


class BatchSender:
    """Sends each time one BatchPublish, and more where lines are refused."""

    def __init__(self, client: ServerClient, tenant: TenantId, ledger: Ledger) -> None:
        """Take an open connection."""
        self._client = client
        self._tenant = tenant
        self._ledger = ledger

    async def send(self, lines: list[EventLine]) -> None:
        """Publish all lines that the server takes."""
        await publish_batch(self._client, self._tenant, lines, self._ledger)
        self._client.patience = PATIENCE


class StreamSender:
    """Sends everything over one stream."""

    def __init__(self, client: ServerClient, tenant: TenantId, ledger: Ledger) -> None:
        """Take an open connection."""
        self._stream = client.stream(tenant)
        self._ledger = ledger

    async def send(self, lines: list[EventLine]) -> None:
        """Publish lines, and take those out that are answered."""

        def answered(result: Published | WebhooksError) -> None:
            line = lines.pop(0)
            if isinstance(result, Published):
                self._ledger.published(line, result)
            else:
                self._ledger.refused(line.number, _reason(result))

        await self._stream.publish([line.event for line in lines], answered)
        self._stream.patience = PATIENCE


def _reason(error: WebhooksError) -> str:
    if not isinstance(error, InvalidArgument):
        return error.message
    return "; ".join(
        f"{one.field.removeprefix('event.')} {one.description}" for one in error.violations
    )
