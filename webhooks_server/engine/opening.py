"""How an engine is opened, and ends."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.running import RunningEngine
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.ports import Clock, Relay, Stores, Telemetry


@asynccontextmanager
async def run_engine(
    *,
    config: EngineConfig,
    stores: Stores,
    relay: Relay | None,
    index: MatchIndex,
    clock: Clock,
    ids: IdSource,
    telemetry: Telemetry,
) -> AsyncIterator[RunningEngine]:
    """Run an engine for the length of the block; leaving it stops the engine cleanly."""
    async with open_tasks() as tasks:
        engine = RunningEngine(
            config=config,
            stores=stores,
            relay=relay,
            index=index,
            clock=clock,
            ids=ids,
            telemetry=telemetry,
            tasks=tasks,
        )
        async with aclosing(engine.ownership):
            loops = await engine.start(tasks)
            try:
                yield engine
            finally:
                await engine.stop()
                for loop in loops:
                    loop.cancel()
