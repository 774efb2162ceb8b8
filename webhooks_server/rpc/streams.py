"""The publish streams that are open: what bounds them together, and how they are told to end."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhooks_server.domain.errors import ServerOverloaded, ShuttingDown, WebhooksError
from webhooks_server.engine.deadlines import Deadlines
from webhooks_server.rpc.admission import Admission

MAX_STREAMS = 256
MAX_STREAMS_OF_CONNECTION = 100
MAX_UNSTORED_BYTES = 64 * 1024 * 1024
"""Of what all streams together have read and not stored, lest a store that is stuck fill memory."""

LONGEST_STREAM_SECONDS = 50.0

End = Callable[[WebhooksError], None]


class OpenStreams:
    """Knows the streams that are open. The server's bound is the admission of their wall."""

    def __init__(self, seconds: float = LONGEST_STREAM_SECONDS) -> None:
        """Start with none; each may be open for so many seconds."""
        self.seconds = min(seconds, LONGEST_STREAM_SECONDS)
        self.admission = Admission(MAX_STREAMS)
        self._ends: set[End] = set()
        self._of_connection: Counter[str] = Counter()
        self.unstored_bytes = 0
        self.deadlines = Deadlines()
        """Those of publishers, whose calls and streams come by the thousand."""
        self._room = asyncio.Event()

    @contextmanager
    def opened(self, connection: str, end: End) -> Iterator[None]:
        """Count a stream while the block runs; `end` is called where it shall come to its end.

        Raises ServerOverloaded where its connection has too many.
        """
        if self._of_connection[connection] >= MAX_STREAMS_OF_CONNECTION:
            message = f"the connection has {MAX_STREAMS_OF_CONNECTION} publish streams already"
            raise ServerOverloaded(message)
        self._of_connection[connection] += 1
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)
            self._of_connection[connection] -= 1
            if not self._of_connection[connection]:
                del self._of_connection[connection]

    def took(self, size: int) -> None:
        """Take note of so many bytes that were read."""
        self.unstored_bytes += size

    def stored(self, size: int) -> None:
        """Take note of so many bytes that are stored, or given up."""
        self.unstored_bytes -= size
        self._room.set()

    @property
    def is_full(self) -> bool:
        """Whether no stream may read on."""
        return self.unstored_bytes >= MAX_UNSTORED_BYTES

    async def wait_for_room(self) -> None:
        """Wait until streams may read on."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Let no stream in any more, and have those that are open end."""
        self.admission.close()
        for end in tuple(self._ends):
            end(ShuttingDown())
