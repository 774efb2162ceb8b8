"""A relay elsewhere, as the engine sees it: what it holds, and what is on its way to it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from webhooks_server.domain.delivery import Outcome, Trigger
from webhooks_server.domain.errors import NotSent
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.partitions import Reported
from webhooks_server.domain.times import Instant, Micros, after, seconds
from webhooks_server.ports import Clock

AFTER_TIMEOUT_SECONDS = 10.0
"""A lease outlives its request's time-out by this much: so long a report may take."""
ABANDONED = "abandoned: the relay that had the request did not tell what came of it"


class Held:
    """A request in the hands of a relay, until it is reported, released, or given up."""

    __slots__ = (
        "deadline",
        "expire_time",
        "future",
        "lease",
        "leased_at",
        "leased_time",
        "request",
    )

    def __init__(
        self, lease: Lease, request: OutboundRequest, leased_at: float, leased_time: Instant
    ) -> None:
        """Take the request, and when it was leased by the monotonic and by the wall clock."""
        self.lease = lease
        self.request = request
        self.leased_at = leased_at
        self.leased_time = leased_time
        self.deadline = leased_at
        self.expire_time = leased_time
        self.future: asyncio.Future[SendResult] = asyncio.get_running_loop().create_future()

    @property
    def takes_slot(self) -> bool:
        """Whether it counts: a ping is sent at once, outside all limits of lanes."""
        return self.lease.delivery.trigger is not Trigger.PING

    def settle(self, result: SendResult) -> None:
        """Tell the sender what came of it."""
        if not self.future.done():
            self.future.set_result(result)

    def give_back(self) -> None:
        """Tell the sender that nothing was sent."""
        if not self.future.done():
            self.future.set_exception(NotSent())

    def abandon(self, relay: str, now: float) -> None:
        """Tell the sender that nobody knows."""
        result = self._result(Outcome.ABANDONED, relay, now)
        self.settle(replace(result, error_message=ABANDONED))

    def prolong(self, span: float, clock: Clock) -> None:
        """Let the lease run for so many seconds from now, or longer where its request may."""
        left = max(span, seconds(self.request.timeout) + AFTER_TIMEOUT_SECONDS)
        self.deadline = clock.monotonic() + left
        self.expire_time = after(clock.wall(), round(left * 1_000_000))

    def settle_elsewhere(self, report: Reported, relay: str, now: float) -> None:
        """Tell the sender what came of it, and that this is on record."""
        result = self._result(report.outcome, relay, now)
        self.settle(replace(result, status_code=report.status_code, is_on_record=True))

    def _result(self, outcome: Outcome, relay: str, now: float) -> SendResult:
        return SendResult(
            outcome=outcome,
            start_time=self.leased_time,
            latency=Micros(max(0, round((now - self.leased_at) * 1_000_000))),
            relay=relay,
        )


class AttachedRelay:
    """One attached relay: at most `slots` requests are in its hands or on their way to it."""

    def __init__(self, name: str, slots: int, seen: Instant) -> None:
        """Take its name, which attempts are recorded with, and how much it can hold."""
        self.name = name
        self.slots = slots
        self.last_seen_time = seen
        self.is_leaving = False
        self.held: dict[bytes, Held] = {}
        self._waiting: deque[Held] = deque()
        self._wanted = asyncio.Event()
        self._counted = 0

    @property
    def free(self) -> int:
        """How many more it can hold; negative where it was told to hold fewer since."""
        return self.slots - self._counted

    def give(self, held: Held) -> None:
        """Hand it a request."""
        self.held[held.lease.token] = held
        self._counted += held.takes_slot
        self._waiting.append(held)
        self._wanted.set()

    def drop(self, held: Held) -> None:
        """Take note that it does not hold a request any more."""
        if self.held.pop(held.lease.token, None) is not None:
            self._counted -= held.takes_slot

    async def next(self, most: int, most_bytes: int) -> Sequence[Held]:
        """Wait for requests to hand over; returns at least one, and no more than fit."""
        while not self._waiting:
            self._wanted.clear()
            await self._wanted.wait()
        taken: list[Held] = []
        size = 0
        while self._waiting and len(taken) < most:
            size += len(self._waiting[0].request.body)
            if taken and size > most_bytes:
                break
            taken.append(self._waiting.popleft())
        return [held for held in taken if not held.future.done()]

    def lose(self, now: float) -> int:
        """End all leases; those that it has certainly not got are only given back.

        Returns how many are abandoned.
        """
        self.give_back_waiting()
        lost = [held for held in self.held.values() if not held.future.done()]
        for held in lost:
            held.abandon(self.name, now)
        self.held.clear()
        self._counted = 0
        return len(lost)

    def give_back_waiting(self) -> None:
        """Give back what has not begun its way to the relay."""
        while self._waiting:
            self._waiting.popleft().give_back()
