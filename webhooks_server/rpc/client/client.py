"""One connection to a server, and its calls as methods."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import grpc

from webhooks.v1 import admin_service_pb2 as admin
from webhooks.v1 import publisher_service_pb2 as publisher
from webhooks.v1 import subscription_service_pb2 as subscription
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.errors import Unavailable
from webhooks_server.domain.ids import IdSource, TenantId
from webhooks_server.domain.lanes import PassResult
from webhooks_server.ports import Clock
from webhooks_server.rpc.client import messages
from webhooks_server.rpc.client.failures import failure_of
from webhooks_server.rpc.client.stream import EventStream
from webhooks_server.rpc.client.values import (
    CreatedSubscription,
    EventDraft,
    Published,
    ServerInfo,
    SubscriptionDraft,
)

DEADLINE = 30.0
LONG_DEADLINE = 600.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
DEFAULT_PATIENCE = 1.0
"""Seconds during which a call that is safe to repeat is repeated while no server can take it."""

_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A proxy of the environment is for the web, not for a server that listens in plain text.
    ("grpc.enable_http_proxy", 0),
)

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class ServerClient:
    """The calls of one server.

    Every call has a deadline. One that is safe to repeat, because it reads or carries an id that
    makes it so, is repeated while the server is not available, for as long as `patience` says.
    Errors are those of the domain, and those in `failures` for what only a caller sees.
    """

    def __init__(self, channel: grpc.aio.Channel, address: str, clock: Clock) -> None:
        """Take an open channel and the address it leads to, for messages."""
        self.patience = DEFAULT_PATIENCE
        self._address = address
        self._clock = clock
        self._ids = IdSource(clock.wall)
        self._admin = AdminServiceStub(channel)
        self._publisher = PublisherServiceStub(channel)
        self._subscriptions = SubscriptionServiceStub(channel)

    async def create_subscription(
        self, tenant: TenantId, draft: SubscriptionDraft, *, skip_ping: bool = False
    ) -> CreatedSubscription:
        """Create a subscription."""
        request = subscription.CreateSubscriptionRequest(
            parent=_parent(tenant),
            subscription_id=draft.id,
            subscription=messages.subscription_message(draft),
            request_id=str(uuid.uuid4()),
            skip_ping=skip_ping,
        )
        answer = await self._repeat(self._subscriptions.CreateSubscription, request)
        return messages.created_subscription(answer)

    async def publish(self, tenant: TenantId, event: EventDraft) -> Published:
        """Publish one event; it gets its id here, before the first try."""
        request = publisher.PublishRequest(
            parent=_parent(tenant), event=messages.event_message(self._with_id(event))
        )
        return messages.published(await self._repeat(self._publisher.Publish, request))

    async def batch_publish(
        self, tenant: TenantId, events: Sequence[EventDraft]
    ) -> list[Published]:
        """Publish all events or none; each without an id gets one here, before the first try."""
        request = publisher.BatchPublishRequest(
            parent=_parent(tenant),
            events=[messages.event_message(self._with_id(event)) for event in events],
        )
        answer = await self._repeat(self._publisher.BatchPublish, request)
        return [messages.published(result) for result in answer.results]

    def stream(self, tenant: TenantId) -> EventStream:
        """Return a stream for the events of a tenant; it is opened with the first of them."""
        return EventStream(self._publisher, self._address, tenant, self._clock)

    async def server_info(self) -> ServerInfo:
        """Ask which server answers, and by which limits."""
        answer = await self._repeat(self._admin.GetServerInfo, admin.GetServerInfoRequest())
        return messages.server_info(answer)

    async def audit(self, tenant: TenantId | None = None) -> AuditReport:
        """Count everything of a tenant, or of all."""
        request = admin.AuditRequest(parent="" if tenant is None else _parent(tenant))
        answer = await self._repeat(self._admin.Audit, request, deadline=LONG_DEADLINE)
        return messages.audit_report(answer)

    async def notify(
        self, tenant: TenantId | None = None, *, deadline: float = LONG_DEADLINE
    ) -> PassResult:
        """Have everything sent that is due now, within so many seconds."""
        request = admin.NotifySubscribersRequest(tenant="" if tenant is None else _parent(tenant))
        answer = await self._once(self._admin.NotifySubscribers, request, deadline=deadline)
        return messages.pass_result(answer)

    async def backup(self) -> Backup:
        """Have the server copy its database."""
        request = admin.BackupDatabaseRequest()
        answer = await self._once(self._admin.BackupDatabase, request, deadline=LONG_DEADLINE)
        return messages.backup(answer)

    def _with_id(self, event: EventDraft) -> EventDraft:
        return event if event.event_id else replace(event, event_id=self._ids.event())

    async def _repeat(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        *,
        deadline: float = DEADLINE,
    ) -> Answer:
        give_up_at = self._clock.monotonic() + self.patience
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._once(method, request, deadline=deadline)
            except Unavailable:
                if self._clock.monotonic() + pause > give_up_at:
                    raise
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        *,
        deadline: float = DEADLINE,
    ) -> Answer:
        try:
            return await method(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, self._address) from error


@asynccontextmanager
async def connect(address: str, clock: Clock) -> AsyncIterator[ServerClient]:
    """Open a connection to the server at host:port; the first call finds out whether one is."""
    async with grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        yield ServerClient(channel, address, clock)


def _parent(tenant: TenantId) -> str:
    return f"tenants/{tenant}"
