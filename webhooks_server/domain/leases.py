"""One attempt in somebody's hands: what must be known to record it, also where nobody waits."""

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.values import value


@value
class Lease:
    """An attempt that was begun: of which delivery, under which fence.

    The fence is the `epoch` since which `engine` owned the partition; the name is empty only where
    nobody else will ever record it. `token` is the attempt's own: whatever reports of it, the store
    takes one (EA1). `age` is that of the delivery when the attempt began, in microseconds. The
    delivery's name is for people who look.
    """

    delivery: NewDelivery
    partition: int
    epoch: int
    token: bytes
    age: int = 0
    delivery_name: str = ""
    engine: str = ""

    @property
    def attempt_number(self) -> int:
        """How many attempts there will have been with this one, if none comes in between."""
        return self.delivery.attempt_count + 1
