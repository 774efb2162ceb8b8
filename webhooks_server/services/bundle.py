"""All use cases, built over one set of ports."""

from dataclasses import dataclass

from webhooks_server.domain.bounds import MAX_PAYLOAD_BYTES
from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Clock, Engine, Stores, Telemetry
from webhooks_server.services.admin import Admin
from webhooks_server.services.background import Background
from webhooks_server.services.deliveries import Deliveries
from webhooks_server.services.events import Events
from webhooks_server.services.pings import MAX_PINGS, Pings
from webhooks_server.services.publishing import Publishing
from webhooks_server.services.rotations import Rotations
from webhooks_server.services.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesConfig:
    """What the use cases allow."""

    egress: EgressPolicy
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
        """Wait for the pings that were asked for and are under way, at most `grace` seconds.

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
    ports = _Ports(stores, engine, index, clock, ids, telemetry)
    pings = _pings(config, ports, background)
    telemetry.watch("pings_running", lambda: pings.running, bound=MAX_PINGS)
    return Services(
        background=background,
        pings=pings,
        publishing=_publishing(config, ports, background),
        subscriptions=_subscriptions(config, ports, pings),
        rotations=Rotations(
            subscriptions=stores.subscriptions, engine=engine, clock=clock, telemetry=telemetry
        ),
        events=_events(config, ports),
        deliveries=_deliveries(ports),
        admin=_admin(ports),
    )


@dataclass(frozen=True, slots=True)
class _Ports:
    stores: Stores
    engine: Engine
    index: MatchIndex
    clock: Clock
    ids: IdSource
    telemetry: Telemetry


def _pings(config: ServicesConfig, ports: _Ports, background: Background) -> Pings:
    return Pings(
        largest_payload=config.max_payload_bytes,
        subscriptions=ports.stores.subscriptions,
        events=ports.stores.events,
        deliveries=ports.stores.deliveries,
        engine=ports.engine,
        index=ports.index,
        ids=ports.ids,
        background=background,
    )


def _publishing(config: ServicesConfig, ports: _Ports, background: Background) -> Publishing:
    return Publishing(
        largest_payload=config.max_payload_bytes,
        stores=ports.stores,
        engine=ports.engine,
        index=ports.index,
        ids=ports.ids,
        clock=ports.clock,
        background=background,
        telemetry=ports.telemetry,
    )


def _subscriptions(config: ServicesConfig, ports: _Ports, pings: Pings) -> Subscriptions:
    return Subscriptions(
        egress=config.egress,
        subscriptions=ports.stores.subscriptions,
        deliveries=ports.stores.deliveries,
        engine=ports.engine,
        pings=pings,
        ids=ports.ids,
        clock=ports.clock,
        telemetry=ports.telemetry,
    )


def _events(config: ServicesConfig, ports: _Ports) -> Events:
    return Events(
        largest_payload=config.max_payload_bytes,
        events=ports.stores.events,
        subscriptions=ports.stores.subscriptions,
        deliveries=ports.stores.deliveries,
        index=ports.index,
    )


def _deliveries(ports: _Ports) -> Deliveries:
    return Deliveries(
        deliveries=ports.stores.deliveries,
        subscriptions=ports.stores.subscriptions,
        engine=ports.engine,
        index=ports.index,
        telemetry=ports.telemetry,
    )


def _admin(ports: _Ports) -> Admin:
    return Admin(
        control=ports.stores.control,
        subscriptions=ports.stores.subscriptions,
        deliveries=ports.stores.deliveries,
        engine=ports.engine,
        index=ports.index,
        telemetry=ports.telemetry,
    )
