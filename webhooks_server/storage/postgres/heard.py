"""What processes tell each other by NOTIFY: partitions, then lanes, as numbers."""

from collections.abc import Iterable, Iterator
from itertools import islice

from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.partitions import Heard

CHANNEL = "webhooks_server"
_LANES_AT_ONCE = 300
"""So many fit into the 8,000 bytes that PostgreSQL takes, whatever their numbers."""


def payloads_of(heard: Heard) -> Iterator[str]:
    """Yield texts that together say this."""
    lanes = iter(sorted(heard.subscriptions))
    partitions = _joined(heard.partitions)
    while True:
        text = f"{partitions}/{_joined(islice(lanes, _LANES_AT_ONCE))}"
        if text == "/":
            return
        yield text
        partitions = ""


def heard_of(payload: str) -> Heard:
    """Return what a text says; one that is nobody's of ours says nothing."""
    partitions, _, lanes = payload.partition("/")
    return Heard(
        partitions=frozenset(_numbers(partitions)),
        subscriptions=frozenset(SubscriptionNumber(number) for number in _numbers(lanes)),
    )


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers))


def _numbers(text: str) -> Iterator[int]:
    return (int(one) for one in text.split(",") if one.isascii() and one.isdecimal())
