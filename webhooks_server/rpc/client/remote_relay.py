"""A relay that serves a server elsewhere: it sends what it is handed, and reports (EB5).

A result is kept until the server says that it is on record, whatever becomes of the stream
meanwhile. Nothing is leased while too many are kept.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.errors import InvalidArgument, WebhooksError
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.ports import Clock, Relay, Telemetry
from webhooks_server.rpc.client.failures import CallRefused
from webhooks_server.rpc.client.relay_link import RelayLink, open_link
from webhooks_server.rpc.client.relay_messages import leased_request
from webhooks_server.rpc.client.relay_sending import RelaySending
from webhooks_server.rpc.client.relay_spool import Spool

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LEAST_SPOOL = 64
PAUSE_AFTER_REFUSAL = 0.5
LOOK_SECONDS = 0.02
_UNAVAILABLE = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRelayConfig:
    """Which server (`host:port`), as whom, with how many requests at once.

    `excess` more are borne: pings, and what is in flight from before a broken stream.
    """

    server: str
    relay: str
    slots: int = 256
    excess: int = 16
    stop_grace: float = 35.0


async def run_remote_relay(
    config: RemoteRelayConfig,
    relay: Relay,
    clock: Clock,
    telemetry: Telemetry,
    stop: asyncio.Event,
    *,
    watch: Callable[[Callable[[], bool]], None] = lambda _: None,
) -> None:
    """Serve until `stop` is set, then report what is in flight; raises where it is refused.

    `watch` gets what tells whether the relay is attached and may be handed something.
    """
    async with open_tasks() as tasks:
        remote = RemoteRelay(config, relay, clock, telemetry, tasks)
        watch(remote.is_attached)
        attached = tasks.create_task(remote.keep_attached())
        await stop.wait()
        await remote.stop()
        attached.cancel()


class RemoteRelay:
    """One relay, from its start to its stop."""

    def __init__(
        self,
        config: RemoteRelayConfig,
        relay: Relay,
        clock: Clock,
        telemetry: Telemetry,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Take what sends, and where facts are stated."""
        self._config = config
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = tasks
        self._spool = Spool()
        room = config.slots + config.excess
        self._sending = RelaySending(relay, self._spool, room, clock, telemetry, tasks)
        self._links: list[RelayLink] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._full = False

    async def stop(self) -> None:
        """Lease nothing more, and return when everything is reported, or the grace is over."""
        self._stopping = True
        self._sending.drain()
        self._told("relay.stopping")
        for link in self._links:
            # Not waited for: a line that takes nothing must not outlast the grace.
            self._tasks.create_task(self._govern(link))
        end = self._clock.monotonic() + self._config.stop_grace
        while len(self._sending) or len(self._spool) or not all(map(self._is_still, self._links)):
            if self._clock.monotonic() >= end:
                self._told("relay.stopped_dirty")
                break
            await self._clock.sleep(LOOK_SECONDS)
        self._sending.cut_off()
        for serving in self._serving:
            serving.cancel()

    def is_attached(self) -> bool:
        """Tell whether a server may hand something over now."""
        return any(link.slots for link in self._links)

    async def keep_attached(self) -> None:
        """Be attached by one stream after the other; raises where the server refuses that."""
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            aged = asyncio.Event()
            serving = self._tasks.create_task(self._serve_link(aged))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
            aging = self._tasks.create_task(aged.wait())
            try:
                await asyncio.wait({serving, aging}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                aging.cancel()
            if not serving.done():
                # The next one is opened at once, while this one reports what it has.
                for link in self._links:
                    self._tasks.create_task(self._retire(link))
                continue
            if self._clock.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            # Those that lost their server together do not come back together.
            await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _serve_link(self, aged: asyncio.Event) -> None:
        """Serve one stream from its beginning to its end; sets `aged` when it needs a successor."""
        config = self._config
        async with open_link(config.server, config.relay) as link:
            try:
                await link.open(self._offered(link))
            except (InvalidArgument, CallRefused):
                raise
            except WebhooksError as error:
                self._told("relay.not_attached", error.message)
                return
            self._links.append(link)
            life = link.life_seconds * random.uniform(0.8, 1.0)  # noqa: S311
            timer = asyncio.get_running_loop().call_later(life, aged.set)
            self._told("relay.attached")
            try:
                await self._converse(link)
            finally:
                timer.cancel()
                self._links.remove(link)
                self._spool.link_lost(link)
            self._told("relay.detached", link.broken.message if link.broken else "")

    async def _converse(self, link: RelayLink) -> None:
        async with open_tasks() as tasks:
            loops = [tasks.create_task(self._report(link)), tasks.create_task(self._extend(link))]
            async for message in link.messages():
                match message.WhichOneof("response"):
                    case "opened":
                        link.opened()
                    case "deliveries":
                        self._take(link, message.deliveries.deliveries)
                    case "reported":
                        self._acknowledge(message.reported.results)
                        await self._govern(link)
                    case "extended":
                        lost = len(message.extended.lost_lease_tokens)
                        if lost:
                            self._telemetry.fact("lease.lost", count=lost)
                    case _:
                        # A newer server may say more.
                        pass
            for loop in loops:
                loop.cancel()

    def _take(self, link: RelayLink, deliveries: Sequence[pb.LeasedDelivery]) -> None:
        for one in deliveries:
            self._sending.start(link, leased_request(one))

    async def _report(self, link: RelayLink) -> None:
        while True:
            await link.report(await self._spool.take(link))
            await self._govern(link)

    def _acknowledge(self, results: Sequence[pb.ReportDeliveriesResponse.Result]) -> None:
        later = []
        for result in results:
            code = result.error.code
            if code == _UNAVAILABLE:
                later.append(result.lease_token)
                continue
            if code:
                self._telemetry.fact("report.refused", code=code, reason=result.error.message)
            self._spool.acknowledged(result.lease_token)
        if later:
            self._tasks.create_task(self._report_later(later))

    async def _report_later(self, tokens: Sequence[str]) -> None:
        await self._clock.sleep(PAUSE_AFTER_REFUSAL)
        self._spool.send_again(tokens)

    async def _extend(self, link: RelayLink) -> None:
        part = max(link.lease_seconds / 3, LOOK_SECONDS)
        while True:
            await self._clock.sleep(part)
            held = self._sending.held_for(link, part)
            if held:
                await link.extend(held)

    async def _retire(self, link: RelayLink) -> None:
        link.is_retired = True
        await self._govern(link)
        while link.broken is None and (
            not self._is_still(link)
            or self._sending.held_for(link)
            or self._spool.is_waiting_on(link)
        ):
            await self._clock.sleep(LOOK_SECONDS)
        await link.finish()

    def _is_still(self, link: RelayLink) -> bool:
        """Tell whether the server knows that it may hand nothing out over this link."""
        return link.broken is not None or (not link.slots and not link.answers_due)

    async def _govern(self, link: RelayLink) -> None:
        offered = self._offered(link)
        if offered != link.slots:
            await link.resize(offered)

    def _offered(self, link: RelayLink) -> int:
        """Return how much may be leased: nothing while too many results are not on record."""
        most = max(self._config.slots, LEAST_SPOOL)
        kept = len(self._spool)
        self._full = kept >= most or (self._full and kept > most // 2)
        return 0 if self._stopping or link.is_retired or self._full else self._config.slots

    def _told(self, fact: str, reason: str | None = None) -> None:
        self._telemetry.fact(
            fact,
            address=self._config.server,
            relay=self._config.relay,
            in_flight=len(self._sending),
            unrecorded=len(self._spool),
            **({} if reason is None else {"reason": reason}),
        )
