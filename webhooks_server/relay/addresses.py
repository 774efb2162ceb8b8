"""What all requests to one address may do together, whatever host names led to it (EC10)."""

from collections.abc import Callable

from webhooks_server.domain.errors import AddressIsBusy
from webhooks_server.domain.rates import Rate, per_minute, shared

SECONDS_PER_MINUTE = 60
MOST_UNUSED = 1024


class _Address:
    __slots__ = ("full_at", "in_flight")

    def __init__(self, full_at: float) -> None:
        self.in_flight = 0
        self.full_at = full_at


class Addresses:
    """Counts requests by the address that they go to; a bound of 0 is none."""

    def __init__(
        self, in_flight: int, requests_per_second: int, monotonic: Callable[[], float]
    ) -> None:
        self._in_flight = in_flight
        self._per_minute = requests_per_second * SECONDS_PER_MINUTE
        self._most = 0
        self._rate: Rate | None = None
        self.share(1)
        self._monotonic = monotonic
        self._known: dict[str, _Address] = {}
        self._sweep_at = MOST_UNUSED
        self.bounded = bool(in_flight or requests_per_second)

    def share(self, engines: int) -> None:
        """Keep to the share of one of so many that send."""
        self._most = shared(self._in_flight, engines)
        self._rate = per_minute(shared(self._per_minute, engines)) if self._per_minute else None

    def check(self, address: str) -> None:
        """Raise AddressIsBusy where no request may start: before a connection is opened for it."""
        found = self._known.get(address)
        if found is not None and not self._admits(found):
            raise AddressIsBusy

    def enter(self, address: str) -> None:
        """Count a request that starts; raises AddressIsBusy."""
        found = self._known.get(address)
        if found is None:
            self._sweep()
            found = self._known[address] = _Address(self._monotonic())
        if not self._admits(found):
            raise AddressIsBusy
        found.in_flight += 1
        if self._rate is not None:
            found.full_at = self._rate.taken(found.full_at, self._monotonic())

    def leave(self, address: str) -> None:
        """Count a request that has ended."""
        self._known[address].in_flight -= 1

    def _admits(self, found: _Address) -> bool:
        if self._most and found.in_flight >= self._most:
            return False
        return self._rate is None or self._rate.free_at(found.full_at) <= self._monotonic()

    def _sweep(self) -> None:
        """Forget addresses without anything to count, now and then."""
        if len(self._known) < self._sweep_at:
            return
        now = self._monotonic()
        self._known = {
            name: one for name, one in self._known.items() if one.in_flight or one.full_at > now
        }
        self._sweep_at = 2 * len(self._known) + MOST_UNUSED
