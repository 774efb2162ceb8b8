"""Calls other servers: for the commands that talk to one. Plain values in and out."""

from webhooks_server.rpc.client.client import ServerClient, connect
from webhooks_server.rpc.client.failures import (
    CallRefused,
    NoAnswer,
    ServerFault,
    ServerUnreachable,
)
from webhooks_server.rpc.client.values import (
    CreatedSubscription,
    EventDraft,
    Published,
    ServerInfo,
    SubscriptionDraft,
)

__all__ = [
    "CallRefused",
    "CreatedSubscription",
    "EventDraft",
    "NoAnswer",
    "Published",
    "ServerClient",
    "ServerFault",
    "ServerInfo",
    "ServerUnreachable",
    "SubscriptionDraft",
    "connect",
]
