"""Stores with an engine and the real relay on them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from tests.harness.egress import HERE
from tests.harness.waiting import until_async
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import DEFAULT_TENANT, IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.secrets import new_signing_secret
from webhooks_server.domain.subscription import (
    RetryPolicy,
    SignatureScheme,
    Subscription,
    SubscriptionConfig,
)
from webhooks_server.engine import EngineConfig, RunningEngine, run_engine
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Stores, Unheard
from webhooks_server.relay.http import RelayConfig, open_relay


class Faults(Unheard):
    """Telemetry that keeps what it is told; a test that ends with a fault in it has failed."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, object]]] = []
        self.faults: list[tuple[str, BaseException]] = []

    def fact(self, name: str, /, **fields: str | float | bool | None) -> None:
        self.facts.append((name, dict(fields)))

    def fault(self, name: str, error: BaseException, /, **fields: str | int) -> None:
        self.faults.append((name, error))


@dataclass
class World:
    """Stores, and an engine that can be started and stopped on them."""

    stores: Stores
    index: MatchIndex
    telemetry: Faults
    ids: IdSource
    clock: SystemClock
    config: EngineConfig

    @contextlib.asynccontextmanager
    async def engine(self, **changes: object) -> AsyncIterator[RunningEngine]:
        config = replace(self.config, **changes)  # type: ignore[arg-type]
        async with (
            open_relay(RelayConfig(egress=HERE), self.clock) as relay,
            run_engine(
                config=config,
                stores=self.stores,
                relay=relay,
                index=self.index,
                clock=self.clock,
                ids=self.ids,
                telemetry=self.telemetry,
            ) as engine,
        ):
            yield engine

    async def subscribe(
        self, url: str, *patterns: str, policy: RetryPolicy | None = None, **config: object
    ) -> Subscription:
        now = self.clock.wall()
        made = SubscriptionConfig(
            url=url,
            secret=new_signing_secret(),
            signature_schemes=(SignatureScheme.STANDARD_HMAC, SignatureScheme.HUB_SHA256),
        )
        return await self.stores.subscriptions.create(
            Subscription(
                tenant=DEFAULT_TENANT,
                id=self.ids.subscription(),
                uid=self.ids.uid().hex(),
                events=patterns or ("*",),
                config=replace(made, **config),  # type: ignore[arg-type]
                create_time=now,
                update_time=now,
                retry_policy=policy or RetryPolicy(),
            )
        )

    async def publish(
        self, engine: RunningEngine | None, event_type: str = "a.b", payload: bytes = b"{}"
    ) -> Accepted:
        (accepted,) = await self.append(event_type, [payload])
        if engine is not None:
            engine.accepted([accepted])
        return accepted

    async def append(self, event_type: str, payloads: list[bytes]) -> list[Accepted]:
        events = tuple(
            Event(
                tenant=DEFAULT_TENANT,
                id=self.ids.event(),
                event_type=event_type,
                payload=payload,
                payload_size=len(payload),
                is_json=True,
                content_type="application/json",
            )
            for payload in payloads
        )
        return list(await self.stores.events.append(Publish(tenant=DEFAULT_TENANT, events=events)))

    async def pending(self) -> int:
        return (await self.stores.deliveries.counts(None)).pending

    async def settled(self, within: float = 5.0) -> None:
        async def none_pending() -> bool:
            return await self.pending() == 0

        await until_async(none_pending, within)

    async def audited(self) -> None:
        report = await self.stores.control.audit(None)
        assert report.violations == ()

    async def change(self, subscription: Subscription, **changes: object) -> Subscription:
        return await self.stores.subscriptions.update(
            subscription.tenant,
            subscription.id,
            lambda current: replace(current, **changes),  # type: ignore[arg-type]
        )
