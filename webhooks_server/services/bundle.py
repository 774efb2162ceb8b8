"""All use cases, built over one set of ports."""

from dataclasses import dataclass

from webhooks_server.domain.bounds import MAX_PAYLOAD_BYTES
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.target_url import UrlPolicy
from webhooks_server.ports import Clock, Engine, Stores, Telemetry
from webhooks_server.services.admin import Admin
from webhooks_server.services.background import Background
from webhooks_server.services.deliveries import Deliveries
from webhooks_server.services.events import Events
from webhooks_server.services.pings import Pings
from webhooks_server.services.publishing import Publishing
from webhooks_server.services.rotations import Rotations
from webhooks_server.services.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesConfig:
    """What the use cases allow."""

    url_policy: UrlPolicy
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases; close() comes before the end of the engine and the stores they stand on."""

    admin: Admin
    deliveries: Deliveries
    events: Events
    pings: Pings
    publishing: Publishing
    rotations: Rotations
    subscriptions: Subscriptions
    background: Background

    async def close(self, grace: float = 35.0) -> None:
        """Wait for the pings that are under way, at most `grace` seconds.

        The longest request takes 30 seconds; a ping that is cut off is sent once more later.
        """
        await self.background.close(grace)


def build_services(
    config: ServicesConfig,
    stores: Stores,
    engine: Engine,
    index: MatchIndex,
    clock: Clock,
    ids: IdSource,
    telemetry: Telemetry,
) -> Services:
    """Build the use cases over these ports."""
    background = Background(telemetry)
    pings = Pings(
        largest_payload=config.max_payload_bytes,
        subscriptions=stores.subscriptions,
        events=stores.events,
        deliveries=stores.deliveries,
        engine=engine,
        ids=ids,
        background=background,
    )
    return Services(
        background=background,
        pings=pings,
        publishing=Publishing(
            largest_payload=config.max_payload_bytes,
            events=stores.events,
            subscriptions=stores.subscriptions,
            engine=engine,
            index=index,
            ids=ids,
            clock=clock,
            background=background,
        ),
        subscriptions=Subscriptions(
            url_policy=config.url_policy,
            subscriptions=stores.subscriptions,
            deliveries=stores.deliveries,
            engine=engine,
            pings=pings,
            ids=ids,
            clock=clock,
            telemetry=telemetry,
        ),
        rotations=Rotations(
            subscriptions=stores.subscriptions, engine=engine, clock=clock, telemetry=telemetry
        ),
        events=Events(
            largest_payload=config.max_payload_bytes,
            events=stores.events,
            subscriptions=stores.subscriptions,
            deliveries=stores.deliveries,
            index=index,
        ),
        deliveries=Deliveries(
            deliveries=stores.deliveries,
            subscriptions=stores.subscriptions,
            engine=engine,
            index=index,
            telemetry=telemetry,
        ),
        admin=Admin(
            control=stores.control,
            subscriptions=stores.subscriptions,
            deliveries=stores.deliveries,
            engine=engine,
            index=index,
            telemetry=telemetry,
        ),
    )
