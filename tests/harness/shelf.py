"""The stores of one storage, and the few things that most contract tests begin with."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from webhooks_server.domain.delivery import (
    Attempt,
    Delivery,
    DeliveryState,
    NewDelivery,
    Outcome,
    Record,
    Recorded,
)
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId, SubscriptionId, TenantId
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.partitions import EngineEntry, claims_to
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.subscription import PARTITIONS, Subscription, SubscriptionConfig
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.ports import EngineSession, Stores

START = Instant(1_800_000_000_000_000)
OTHER_TENANT = TenantId("other")
ALL_PARTITIONS = range(PARTITIONS)


@dataclass
class StandingClock:
    """Time that moves only when it is told to."""

    wall_time: Instant = START
    passed: float = 1000.0

    def wall(self) -> Instant:
        return self.wall_time

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.passed += seconds

    @property
    def now(self) -> Instant:
        """What a store that was opened at START makes of it."""
        return Instant(START + int((self.passed - 1000.0) * 1_000_000))


@dataclass
class Shelf:
    """Stores under test, with the clock and the index that they use."""

    stores: Stores
    clock: StandingClock
    index: MatchIndex
    epochs: dict[int, int] = field(default_factory=dict)

    async def subscribe(self, name: str = "sub", *events: str, **fields: object) -> Subscription:
        return await self.stores.subscriptions.create(subscription(name, *events, **fields))

    async def publish(self, *ids: str, event_type: str = "invoice.paid") -> Sequence[Accepted]:
        events = tuple(event(name, event_type=event_type) for name in ids)
        return await self.stores.events.append(Publish(tenant=DEFAULT_TENANT, events=events))

    @contextlib.asynccontextmanager
    async def session(self, engine: EngineEntry) -> AsyncIterator[EngineSession]:
        """Let an engine take part until the end of the block, which gives nothing back."""
        session = self.stores.leases.session(engine)
        try:
            yield session
        finally:
            await session.close()

    async def own(self, engine: str = "engine-1") -> None:
        """Take all partitions, whoever has them."""
        async with self.session(EngineEntry(name=engine)) as session:
            claims = claims_to(ALL_PARTITIONS, await session.beat(1, 0))
            self.epochs = dict(await session.take(claims))

    async def disown(self, engine: str = "engine-1") -> None:
        """Give all partitions of an engine back."""
        async with self.session(EngineEntry(name=engine)) as session:
            await session.release(self.epochs)

    async def due(self, subscriber: Subscription, limit: int = 100) -> Sequence[NewDelivery]:
        read = LaneRead(subscription=subscriber.number, partition=subscriber.partition, limit=limit)
        (answer,) = await self.stores.lanes.due([read])
        return answer.rows

    def record_of(self, subscriber: Subscription, row: NewDelivery, **changes: object) -> Record:
        """A record of a success; `changes` make it another one."""
        record = Record(
            token=secrets.token_bytes(16),
            seq=row.seq,
            uid=row.uid,
            subscription=row.subscription,
            partition=subscriber.partition,
            epoch=self.epochs.get(subscriber.partition, 0),
            retry_requests=row.retry_requests,
            attempt_count=row.attempt_count,
            attempt=ATTEMPT,
            state=DeliveryState.SUCCEEDED,
            charged=True,
        )
        return replace(record, **changes)  # type: ignore[arg-type]

    async def record(
        self, subscriber: Subscription, row: NewDelivery, **changes: object
    ) -> Recorded:
        (recorded,) = await self.stores.lanes.record([self.record_of(subscriber, row, **changes)])
        return recorded

    async def shown(self, subscriber: Subscription, row: NewDelivery) -> Delivery:
        return await self.stores.deliveries.get(
            subscriber.tenant, subscriber.id, row.uid, full=True
        )

    async def lane(
        self, count: int = 1, name: str = "sub"
    ) -> tuple[Subscription, list[NewDelivery]]:
        """A subscription of its own event type, with so many deliveries; all partitions owned."""
        subscriber = await self.subscribe(name, f"{name}.*")
        await self.own()
        ids = [f"{name}-{number}" for number in range(count)]
        accepted = await self.publish(*ids, event_type=f"{name}.happened")
        return subscriber, [one.deliveries[0] for one in accepted]

    async def one_delivery(self) -> tuple[Subscription, NewDelivery]:
        """A subscription to everything, and its delivery of the event e1."""
        subscriber = await self.subscribe("sub")
        await self.own()
        (accepted,) = await self.publish("e1")
        return subscriber, accepted.deliveries[0]

    async def taken_again(self, subscriber: Subscription) -> NewDelivery:
        """The only pending row of a lane, as the engine takes it next."""
        (row,) = await self.due(subscriber)
        return row

    async def audited(self) -> None:
        """See that nothing contradicts what must always be true."""
        report = await self.stores.control.audit(None)
        assert report.violations == ()


ATTEMPT = Attempt(
    number=0,
    outcome=Outcome.HTTP_ERROR,
    start_time=START,
    latency=Micros(12_345),
    url="https://receiver.example/hook",
    status_code=503,
    error_message="",
    remote_ip_address="192.0.2.7",
    request_headers={"webhook-id": "evt_1", "X-Webhook-Attempt": "1"},
    response_headers={"Content-Type": "text/plain"},
    response_body=b"\x00\xffnot now",
    response_body_truncated=True,
    retry_after=Micros(2_000_000),
    relay="engine-1",
)


def subscription(name: str = "sub", *events: str, **fields: object) -> Subscription:
    """A subscription with a URL of its own, to everything unless patterns are given."""
    url = str(fields.pop("url", f"https://receiver.example/{name}"))
    made = Subscription(
        tenant=DEFAULT_TENANT,
        id=SubscriptionId(name),
        uid=f"uid-{name}",
        events=events or ("*",),
        config=SubscriptionConfig(url=url, secret=Secret("whsec_secret")),
        create_time=START,
        update_time=START,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def event(name: str, **fields: object) -> Event:
    """An event of type invoice.paid unless said otherwise."""
    made = Event(
        tenant=DEFAULT_TENANT,
        id=EventId(name),
        event_type="invoice.paid",
        payload=b'{"a": 1}',
        is_json=True,
        content_type="application/json",
    )
    return made._replace(**fields)  # type: ignore[arg-type]


def publish_of(*events: Event, **fields: object) -> Publish:
    """One operation of an event store."""
    return replace(Publish(tenant=DEFAULT_TENANT, events=events), **fields)  # type: ignore[arg-type]
