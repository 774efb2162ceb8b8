"""What the inner rooms need from outside: one Protocol per need, each written as a contract."""

from webhooks_server.ports.control import ControlStore, LaneStore, Stores
from webhooks_server.ports.running import Clock, Engine, Relay, Telemetry
from webhooks_server.ports.stores import DeliveryStore, EventStore, SubscriptionStore

__all__ = [
    "Clock",
    "ControlStore",
    "DeliveryStore",
    "Engine",
    "EventStore",
    "LaneStore",
    "Relay",
    "Stores",
    "SubscriptionStore",
    "Telemetry",
]
