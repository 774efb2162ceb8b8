"""What a running process offers the inner rooms: time, the relay and the engine."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from webhooks_server.domain.delivery import Attempt
from webhooks_server.domain.event import Accepted
from webhooks_server.domain.ids import (
    SubscriptionNumber,
    TenantId,
)
from webhooks_server.domain.lanes import (
    EngineStatus,
    PassResult,
)
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant


class Clock(Protocol):
    """Time. Everything inside a process is measured by monotonic().

    wall() is for what people and receivers read.
    """

    def wall(self) -> Instant:
        """Return the wall clock's time; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only ever go forward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds of monotonic time."""
        ...


class Relay(Protocol):
    """What performs one HTTP request. Never raises for what the other side does.

    That is an outcome. One that is elsewhere may raise NotSent, where it gave the request back.
    """

    async def send(self, request: OutboundRequest) -> SendResult:
        """Send a request and read the answer under its one deadline and the byte caps.

        Never follows a redirect. Raises NotSent where nothing of it was sent.
        """
        ...

    def share(self, engines: int) -> None:
        """Keep to the share of one of so many engines in what spans them: bounds of addresses."""
        ...


class Engine(Protocol):
    """The engine as the front door sees it."""

    def accepted(self, accepted: Sequence[Accepted]) -> None:
        """Take note of committed deliveries: they may be sent from now on."""
        ...

    def changed(self) -> None:
        """Take note that subscriptions or pauses changed; the engine reads what at once."""
        ...

    def wake(self, subscription: SubscriptionNumber) -> None:
        """Take note that rows of a lane are due earlier than the engine knows, or final."""
        ...

    def store_refused(self) -> None:
        """Take note that the store refused a write: nothing is sent until it takes them again."""
        ...

    def readiness(self) -> AsyncIterator[bool]:
        """Yield whether the store takes writes: now, and after each change."""
        ...

    async def send_now(self, subscription: Subscription, accepted: Accepted) -> Attempt:
        """Make the one attempt of a ping at once, outside the lane's limits.

        Returns it as recorded. Raises ShuttingDown, StoreUnavailable where the control data is too
        old or attempts cannot be recorded, RelayIsPaused, and NoEngine where nobody could send.
        """
        ...

    async def notify(self, tenant: TenantId | None) -> PassResult:
        """Relay everything that is due now and may be sent; returns when that is settled (EC11).

        Raises NoEngine where nobody could send.
        """
        ...

    def status(self) -> Sequence[EngineStatus]:
        """Return who sends, and what each has in flight; nobody where no relay is attached."""
        ...
