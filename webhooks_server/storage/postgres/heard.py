"""What processes tell each other by NOTIFY, as text.

`<partitions>/<lanes>`, numbers with commas between; or a letter in the place of the partitions, and
reports or pings as fields with dots between. Who does not know a letter hears nothing in it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from webhooks_server.domain.delivery import NewDelivery, Outcome, Trigger
from webhooks_server.domain.ids import DeliverySeq, EventSeq, SubscriptionNumber
from webhooks_server.domain.partitions import Heard, Reported

Item = TypeVar("Item")
Said = TypeVar("Said")

CHANNEL = "webhooks_server"
# So many fit into the 8,000 bytes that PostgreSQL takes, whatever their numbers.
_LANES_AT_ONCE = 300
_REPORTS_AT_ONCE = 100
_PINGS_AT_ONCE = 50
_REPORTS, _PINGS = "r", "p"


def payloads_of(heard: Heard) -> Iterator[str]:
    """Yield texts that together say this."""
    parts = list(_parts(sorted(heard.subscriptions), _LANES_AT_ONCE))
    if heard.partitions and not parts:
        parts = [[]]
    for number, lanes in enumerate(parts):
        partitions = () if number else heard.partitions
        yield f"{_joined(partitions)}/{_joined(lanes)}"
    for reports in _parts(heard.reports, _REPORTS_AT_ONCE):
        yield f"{_REPORTS}/{','.join(map(_report_text, reports))}"
    for pings in _parts(heard.pings, _PINGS_AT_ONCE):
        yield f"{_PINGS}/{','.join(map(_ping_text, pings))}"


def heard_of(payload: str) -> Heard:
    """Return what a text says; one that is nobody's of ours says nothing."""
    kind, _, rest = payload.partition("/")
    if kind == _REPORTS:
        return Heard(reports=tuple(_read(rest, _report_of)))
    if kind == _PINGS:
        return Heard(pings=tuple(_read(rest, _ping_of)))
    return Heard(
        partitions=frozenset(_numbers(kind)),
        subscriptions=frozenset(SubscriptionNumber(number) for number in _numbers(rest)),
    )


def _report_text(report: Reported) -> str:
    fields = (report.subscription, int(report.outcome), report.status_code)
    return ".".join((report.token.hex(), *map(str, fields)))


def _report_of(fields: Sequence[str]) -> Reported:
    token, subscription, outcome, status_code = fields
    return Reported(
        token=bytes.fromhex(token),
        subscription=SubscriptionNumber(int(subscription)),
        outcome=Outcome(int(outcome)),
        status_code=int(status_code),
    )


def _ping_text(ping: NewDelivery) -> str:
    return f"{ping.uid.hex()}.{ping.seq}.{ping.subscription}.{ping.event_seq}"


def _ping_of(fields: Sequence[str]) -> NewDelivery:
    uid, seq, subscription, event_seq = fields
    return NewDelivery(
        seq=DeliverySeq(int(seq)),
        uid=bytes.fromhex(uid),
        subscription=SubscriptionNumber(int(subscription)),
        event_seq=EventSeq(int(event_seq)),
        trigger=Trigger.PING,
    )


def _read(text: str, item_of: Callable[[Sequence[str]], Said]) -> Iterator[Said]:
    for item in text.split(","):
        with suppress(ValueError):
            yield item_of(item.split("."))


def _parts(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, most)):
        yield part


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers))


def _numbers(text: str) -> Iterator[int]:
    return (int(one) for one in text.split(",") if one.isascii() and one.isdecimal())
