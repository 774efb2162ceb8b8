"""Brings the match index up to date with the store (engine.md, EA9)."""

from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import SubscriptionStore


async def catch_up(index: MatchIndex, subscriptions: SubscriptionStore) -> None:
    """Apply all changes that were stored before the call."""
    complete = False
    while not complete:
        changes = await subscriptions.changes(index.version)
        index.apply(changes)
        complete = changes.complete
