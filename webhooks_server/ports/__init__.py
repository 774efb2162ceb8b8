"""What the inner rooms need from outside: one Protocol per need, each written as a contract."""

from webhooks_server.ports.control import ControlStore, LaneStore, Stores
from webhooks_server.ports.leases import EngineSession, Leases
from webhooks_server.ports.running import Clock, Engine, Relay
from webhooks_server.ports.stores import DeliveryStore, EventStore, SubscriptionStore
from webhooks_server.ports.telemetry import Span, Telemetry, Unheard, Untraced

__all__ = [
    "Clock",
    "ControlStore",
    "DeliveryStore",
    "Engine",
    "EngineSession",
    "EventStore",
    "LaneStore",
    "Leases",
    "Relay",
    "Span",
    "Stores",
    "SubscriptionStore",
    "Telemetry",
    "Unheard",
    "Untraced",
]
