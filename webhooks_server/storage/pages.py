"""Pages that end early: no answer may outgrow what a gRPC client takes by default (4 MiB)."""

from collections.abc import Callable, Iterable, Mapping

from webhooks_server.domain.delivery import Attempt, Delivery
from webhooks_server.domain.event import Event
from webhooks_server.domain.paging import Item, Page, PageRequest
from webhooks_server.domain.subscription import Subscription

PAGE_BYTES = 2 * 1024 * 1024
MOST_COUNTED = 50_000
"""Of so many deliveries, the newest, DeliveryStore.counts() counts those that are final."""


def page_of(
    items: Iterable[Item],
    page: PageRequest,
    key: Callable[[Item], int],
    size: Callable[[Item], int],
) -> Page[Item]:
    """Return a page of items that come by key descending, from the first one that it may have.

    It ends after the item with which the sizes exceed 2 MiB. One item more than the page holds
    tells that there is a next page.
    """
    chosen: list[Item] = []
    weight = 0
    for item in items:
        if len(chosen) == page.size or weight > PAGE_BYTES:
            return Page(items=chosen, next_before=key(chosen[-1]))
        chosen.append(item)
        weight += size(item)
    return Page(items=chosen)


def subscription_size(subscription: Subscription) -> int:
    """Return about how many characters a subscription shows."""
    return (
        len(subscription.config.url)
        + sum(map(len, subscription.events))
        + _pairs_size(subscription.config.headers)
        + _pairs_size(subscription.annotations)
    )


def event_size(event: Event) -> int:
    """Return about how many bytes an event shows."""
    return len(event.payload) + _pairs_size(event.attributes)


def attempt_size(attempt: Attempt) -> int:
    """Return about how many bytes an attempt shows."""
    return (
        len(attempt.response_body)
        + _pairs_size(attempt.request_headers)
        + _pairs_size(attempt.response_headers)
    )


def delivery_size(delivery: Delivery) -> int:
    """Return about how many bytes a delivery shows."""
    return 0 if delivery.last_attempt is None else attempt_size(delivery.last_attempt)


def _pairs_size(pairs: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in pairs.items())
