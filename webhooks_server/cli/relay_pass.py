"""`webhooks-server relay --once`: one relay pass, made by whoever can."""

import asyncio
import sys
import time
from collections.abc import Coroutine

from webhooks_server.cli.connection import open_client, owner_of
from webhooks_server.cli.output import print_json
from webhooks_server.domain.errors import DatabaseDamaged, Unavailable
from webhooks_server.domain.lanes import PassResult
from webhooks_server.settings import ClientSettings, RelaySettings

TOO_LATE = 3
DEFAULT_SECONDS = 600.0
PROGRESS_SECONDS = 10.0
CUT_AFTER_SECONDS = 30.0
"""A connection may be ended for its age: a call that ran for so long is made again."""


def relay_pass(
    settings: RelaySettings, within: float | None, *, is_away: bool, as_json: bool
) -> int:
    """Make a pass, and say in a line what it did; returns the exit status."""
    result = asyncio.run(_passed(settings, within, is_away=is_away))
    if as_json:
        print_json(
            {
                "attempts": result.attempts,
                "succeeded": result.succeeded,
                "retrying": result.retrying,
                "failed": result.failed,
                "complete": result.is_complete,
            }
        )
    else:
        print(summary(result))
    return 0 if result.is_complete else TOO_LATE


def summary(result: PassResult) -> str:
    """Return what a pass did, as a line."""
    counts = (
        f"{result.succeeded} succeeded, {result.retrying} to be retried, {result.failed} failed"
    )
    end = "" if result.is_complete else "; the deadline came before the end"
    return f"{result.attempts} attempts: {counts}{end}"


def _passed(
    settings: RelaySettings, within: float | None, *, is_away: bool
) -> Coroutine[None, None, PassResult]:
    if is_away:
        return _have_passed(ClientSettings(server=settings.server_address), within)
    if settings.postgres_config() is None:
        owner = owner_of(settings.data_dir)
        if owner is not None:
            return _have_passed(owner, within)
        if not settings.has_sqlite_file:
            raise DatabaseDamaged(f"there is no database in {settings.data_dir}")
    from webhooks_server.app.once import relay_once

    return relay_once(settings, within)


async def _have_passed(settings: ClientSettings, within: float | None) -> PassResult:
    """Have a server make the pass, since nobody else may open what it owns (EA5)."""
    asking = asyncio.create_task(_asked(settings, DEFAULT_SECONDS if within is None else within))
    begun = time.monotonic()
    while not asking.done():
        await asyncio.wait({asking}, timeout=PROGRESS_SECONDS)
        if not asking.done():
            seconds = time.monotonic() - begun
            print(f"{settings.server} is at it for {seconds:.0f} seconds", file=sys.stderr)
    return asking.result()


async def _asked(settings: ClientSettings, within: float) -> PassResult:
    from webhooks_server.rpc.client import NoAnswer

    end = time.monotonic() + within
    async with open_client(settings) as client:
        while True:
            begun = time.monotonic()
            try:
                return await client.notify(deadline=max(0.001, end - begun))
            except NoAnswer:
                return PassResult(is_complete=False)
            except Unavailable:
                if time.monotonic() - begun < CUT_AFTER_SECONDS:
                    raise
