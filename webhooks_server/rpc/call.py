"""One call: what is known of it beside its message."""

import itertools
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio

if TYPE_CHECKING:
    # The two parameters concern methods that write their answers themselves.
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    # Generic in the stubs alone.
    Context = grpc.aio.ServicerContext

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
# W3C Trace Context: never all zeros, never the version ff.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


@dataclass(slots=True)
class Call:
    """A call that runs: gRPC's view of it, its id, and the caller's trace context or nothing."""

    context: Context
    request_id: str
    traceparent: str


class Calls:
    """Makes a Call of what gRPC hands over."""

    def __init__(self) -> None:
        """Choose what the ids of this process begin with."""
        self._ids = _request_ids()

    def begin(self, context: Context) -> Call:
        """Read the call's metadata, and see to it that a given request id is echoed.

        One that is made here is told with an error alone: there it finds the line in the log, and
        sending it with every answer is a twentieth of what a call costs.
        """
        request_id = traceparent = ""
        for key, value in context.invocation_metadata() or ():
            if key == REQUEST_ID_KEY and isinstance(value, str):
                request_id = value if _REQUEST_ID.fullmatch(value) else ""
            elif key == TRACEPARENT_KEY and isinstance(value, str):
                traceparent = value if _TRACEPARENT.fullmatch(value) else ""
        if request_id:
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        return Call(context, request_id or next(self._ids), traceparent)


def _request_ids() -> Iterator[str]:
    """Yield ids that no other process makes: a random beginning, and a count."""
    beginning = secrets.token_hex(6)
    return (f"{beginning}-{number:x}" for number in itertools.count(1))
