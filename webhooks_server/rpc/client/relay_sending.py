"""The requests in a relay's hands: each started within a second, or given back."""

import asyncio
from dataclasses import dataclass, field

from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.errors import NotSent
from webhooks_server.domain.outbound import SendResult
from webhooks_server.domain.times import Micros
from webhooks_server.ports import Clock, Relay, Telemetry
from webhooks_server.rpc.client.relay_link import RelayLink
from webhooks_server.rpc.client.relay_messages import LeasedRequest, report_message
from webhooks_server.rpc.client.relay_spool import Spool

START_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _InHand:
    link: RelayLink
    since: float
    task: "asyncio.Task[None] | None" = field(default=None)


class RelaySending:
    """Sends requests, as many at once as there is room, and spools what came of them."""

    def __init__(
        self,
        relay: Relay,
        spool: Spool,
        room: int,
        clock: Clock,
        telemetry: Telemetry,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Take what sends, where results go, and how many may be sent at once."""
        self._relay = relay
        self._spool = spool
        self._free = asyncio.Semaphore(room)
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = tasks
        self._in_hand: dict[str, _InHand] = {}
        self._draining = False

    def __len__(self) -> int:
        """Return how many requests are in hand: sent, or about to be."""
        return len(self._in_hand)

    def held_for(self, link: RelayLink, seconds: float = 0.0) -> list[str]:
        """Return which requests of a link are in hand for so long or longer."""
        before = self._clock.monotonic() - seconds
        return [
            token
            for token, one in self._in_hand.items()
            if one.link is link and one.since <= before
        ]

    def start(self, link: RelayLink, leased: LeasedRequest) -> None:
        """Send a request that has just come."""
        one = self._in_hand[leased.token] = _InHand(link, self._clock.monotonic())
        one.task = self._tasks.create_task(self._send(one, leased))

    def drain(self) -> None:
        """Start nothing more."""
        self._draining = True

    def cut_off(self) -> None:
        """Give up what is being sent."""
        for one in self._in_hand.values():
            if one.task is not None:
                one.task.cancel()

    async def _send(self, one: _InHand, leased: LeasedRequest) -> None:
        try:
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._free.acquire()
            except TimeoutError:
                await self._give_back(one.link, leased)
                return
            try:
                if self._draining or self._clock.monotonic() - one.since > START_SECONDS:
                    await self._give_back(one.link, leased)
                # What a broken link brought is somebody else's by now.
                elif one.link.broken is None and not one.link.is_finished:
                    result = await self._result(leased)
                    self._spool.put(report_message(leased.token, result), one.link)
            except NotSent:
                await self._give_back(one.link, leased)
            finally:
                self._free.release()
        finally:
            del self._in_hand[leased.token]

    async def _result(self, leased: LeasedRequest) -> SendResult:
        # The edge around one delivery: whatever is wrong with it must not end the others.
        start_time = self._clock.wall()
        try:
            return await self._relay.send(leased.request)
        except NotSent:
            raise
        except Exception as error:  # noqa: BLE001
            self._telemetry.fault("delivery.broken", error)
            return SendResult(
                outcome=Outcome.INTERNAL,
                start_time=start_time,
                latency=Micros(0),
                error_message="internal: the request could not be made",
            )

    async def _give_back(self, link: RelayLink, leased: LeasedRequest) -> None:
        await link.release([leased.token])
        self._telemetry.fact("lease.released", delivery=leased.delivery)
