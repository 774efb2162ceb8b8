"""How long it takes to find due work (`python -m benchmarks.finding`).

It asks a store what an engine asks it, while no server runs.
"""

import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from benchmarks import helper
from benchmarks.children import Message
from webhooks_server.app.sending import open_storage
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import LaneRead
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.ops import SystemClock
from webhooks_server.ports import LaneStore, Unheard
from webhooks_server.settings import Settings

ROWS = 20
"""What a lane with ten requests at once has in its buffer."""
WARM_UP = 5


async def _measure(lanes: LaneStore, lane: int, rounds: int) -> Message:
    hot = LaneRead(subscription=SubscriptionNumber(lane), partition=lane % PARTITIONS, limit=ROWS)
    whole, head = [], []
    for _ in range(WARM_UP + rounds):
        started = time.perf_counter()
        await lanes.find(range(PARTITIONS))
        found = time.perf_counter()
        (read,) = await lanes.due([hot])
        ended = time.perf_counter()
        if len(read.rows) != ROWS:
            raise ValueError(f"{len(read.rows)} rows of the lane")
        whole.append(ended - started)
        head.append(ended - found)
    p99 = sorted(head[WARM_UP:])[int(rounds * 0.99)]
    return {"median": str(1000 * statistics.median(whole[WARM_UP:])), "claim_p99": str(1000 * p99)}


@asynccontextmanager
async def _finding() -> AsyncIterator[helper.Answer]:
    async def answer(command: Message) -> Message:
        clock = SystemClock()
        settings = Settings.model_validate(_settings(command))
        async with open_storage(settings, MatchIndex(), clock, Unheard()) as storage:
            return await _measure(
                storage.stores.lanes, int(command["lane"]), int(command["rounds"])
            )

    yield answer


def _settings(command: Message) -> Mapping[str, str]:
    """Return the settings among the words of a command, which are named as the variables are."""
    prefix = "WEBHOOKS_"
    return {
        name.removeprefix(prefix).lower(): word
        for name, word in command.items()
        if name.startswith(prefix)
    }


if __name__ == "__main__":
    helper.run(_finding)
