"""What runs inside a helper process: a command a line, an answer a line (see children.Child)."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import uvloop

from benchmarks.children import Message

Answer = Callable[[Message], Awaitable[Message]]


def run(opening: Callable[[], AbstractAsyncContextManager[Answer]]) -> None:
    """Open a helper and let it answer commands until there are no more."""
    uvloop.run(_serve(opening))


async def _serve(opening: Callable[[], AbstractAsyncContextManager[Answer]]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with opening() as answer:
        while line := await reader.readline():
            print(json.dumps(await answer(json.loads(line))), flush=True)
