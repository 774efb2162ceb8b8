"""A publisher that never gives up on an event, and writes down what it knows of each."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ledger import ACKNOWLEDGED, INTENT, Ledger
from tests.harness.waiting import until
from webhooks_client import AsyncWebhooksClient, Event, WebhooksError
from webhooks_client.retry import RetryPolicy

# Servers are away for a second or two: the client keeps trying one of them, and then another one.
_RETRY = RetryPolicy(attempts=40, longest_pause=0.5)
_TIMEOUT = 8.0
_GIVE_UP = 40
"""How many servers in turn an event is offered to: a bound for runs that have gone wrong."""
_LONGEST_SYNC = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is published. The same seed makes the same events, in the same calls."""

    seed: int
    subscriptions: int
    events: int = 1_000_000_000
    """At most so many; it can be stopped earlier."""
    batch: int = 1
    """A call has 1 to so many events."""
    rate: float = 0.0
    """Events a second; 0 is as many as there can be."""
    workers: int = 8


def subscription_id(number: int) -> str:
    """Return the id of a subscription of a run; it wants the events of the type of its name."""
    return f"lane{number}"


def event_type(subscription: str) -> str:
    """Return the one type of events that a subscription wants."""
    return f"load.{subscription}"


class Publisher:
    """Publishes a load through all servers, each event until one of them acknowledges it."""

    def __init__(self, load: Load, servers: Sequence[str], ledger: Path) -> None:
        self._load = load
        self._servers = servers
        self._random = random.Random(load.seed)
        self._ledger = Ledger(ledger)
        self._synced = 0.0
        self._stopping = False
        self.finished = asyncio.Event()
        """Set once all that was begun is acknowledged."""
        self.acknowledged = 0
        self.failed_calls = 0
        """Calls that failed although the client tried again."""

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping = True

    async def gets_through(self, within: float = 20.0) -> None:
        """Wait until a server acknowledges something from now on."""
        before = self.acknowledged
        await until(lambda: self.acknowledged > before, within)

    async def run(self) -> None:
        """Publish all, or until stopped."""
        batches = self._batches()
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    AsyncWebhooksClient(server, timeout=_TIMEOUT, retry=_RETRY)
                )
                for server in self._servers
            ]
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._load.workers):
                    tasks.create_task(self._work(batches, clients))
        self._ledger.sync()
        self._ledger.close()
        self.finished.set()

    def _batches(self) -> Iterator[tuple[float, list[str], list[Event]]]:
        """Yield when a call is due, the subscriptions that want its events, and the events."""
        due, made = time.monotonic(), 0
        while made < self._load.events and not self._stopping:
            size = min(self._random.randint(1, self._load.batch), self._load.events - made)
            chosen = [self._random.randrange(self._load.subscriptions) for _ in range(size)]
            names = [subscription_id(number) for number in chosen]
            # What was held up is not made up for: the rate is also the highest one.
            due = max(due, time.monotonic())
            yield (
                due,
                names,
                [
                    Event(
                        event_type=event_type(name),
                        data={"number": made + place},
                        event_id=f"run{self._load.seed}-{made + place}",
                    )
                    for place, name in enumerate(names)
                ],
            )
            made += size
            due += size / self._load.rate if self._load.rate else 0.0

    async def _work(
        self,
        batches: Iterator[tuple[float, list[str], list[Event]]],
        clients: Sequence[AsyncWebhooksClient],
    ) -> None:
        for due, names, events in batches:
            await asyncio.sleep(due - time.monotonic())
            intents = zip(events, names, strict=True)
            self._write([(INTENT, event.event_id, name) for event, name in intents])
            await self._publish(events, clients)
            self._write([(ACKNOWLEDGED, event.event_id) for event in events])
            self.acknowledged += len(events)

    async def _publish(self, events: list[Event], clients: Sequence[AsyncWebhooksClient]) -> None:
        first = self._random.randrange(len(clients))
        for number in range(_GIVE_UP):
            client = clients[(first + number) % len(clients)]
            try:
                # One at a time has a call of its own; it has no Event as its argument.
                if len(events) == 1:
                    (event,) = events
                    await client.publish(event.event_type, event.data, event_id=event.event_id)
                else:
                    await client.publish_batch(events)
            except WebhooksError as failure:
                if not (failure.is_transient or failure.code.name == "DEADLINE_EXCEEDED"):
                    raise
                self.failed_calls += 1
            else:
                return
        raise AssertionError(f"nobody took {events[0].event_id}")

    def _write(self, lines: list[tuple[object, ...]]) -> None:
        """Write before what is to be written happens, or after it has; sync now and then."""
        self._ledger.write(lines)
        if time.monotonic() >= self._synced + _LONGEST_SYNC:
            self._ledger.sync()
            self._synced = time.monotonic()
