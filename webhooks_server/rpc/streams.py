"""The publish streams that are open: how many there may be, and how they are told to end."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webhooks_server.domain.errors import ServerOverloaded, ShuttingDown, WebhooksError
from webhooks_server.rpc.admission import Admission

MAX_STREAMS = 256
MAX_STREAMS_OF_CONNECTION = 100

End = Callable[[WebhooksError], None]


class OpenStreams:
    """Knows the streams that are open. The server's bound is the admission of their wall."""

    def __init__(self) -> None:
        """Start with none."""
        self.admission = Admission(MAX_STREAMS)
        self._ends: set[End] = set()
        self._of_connection: Counter[str] = Counter()

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

    def close(self) -> None:
        """Let no stream in any more, and have those that are open end."""
        self.admission.close()
        for end in tuple(self._ends):
            end(ShuttingDown())
