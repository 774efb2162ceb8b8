"""The error wall around every RPC: what is behind it never shows.

It takes the place of gRPC's own deserialiser, which answers a message that does not parse with
UNKNOWN and the text of an exception. It wraps the methods once, at the start, and so costs less
than an interceptor, which gRPC would run anew for every call.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from webhooks_server.domain.errors import ShuttingDown, WebhooksError, invalid
from webhooks_server.engine.deadlines import Deadline, Deadlines
from webhooks_server.ports import Span, Telemetry, Untraced
from webhooks_server.rpc.admission import Admission
from webhooks_server.rpc.call import Call, Calls, Context
from webhooks_server.rpc.errors import CallStatus, deadline_status, internal_status, status_of

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[bytes, bytes]
    WritingHandler = grpc.RpcMethodHandler[bytes, Message]
else:
    # Generic in the stubs alone.
    Handler = WritingHandler = grpc.RpcMethodHandler

CALL_SECONDS = 30.0
LONGER_CALLS = {
    "PingSubscription": 35.0,
    "NotifySubscribers": 600.0,
    "Audit": 600.0,
    "BackupDatabase": 600.0,
}

_CANCELLED_WITHIN = 5.0
# What callers do; not health and reflection.
_TRACED = "webhooks."

Request = TypeVar("Request", bound=Message)
Result = TypeVar("Result")
Parse = Callable[[bytes], Request]


class _TookTooLong(Exception):
    """The call reached the server's own bound."""


class Messages(Generic[Request]):
    """The messages of a stream that a method reads and writes itself."""

    def __init__(self, context: Context, parse: Parse[Request]) -> None:
        """Take gRPC's view of the call."""
        self._context = context
        self._parse = parse

    async def read(self) -> tuple[Request, int] | None:
        """Return the next message and its size, or None after the last; raises InvalidArgument."""
        data = await self._context.read()
        return None if data is grpc.aio.EOF else (_parsed(self._parse, data), len(data))

    async def write(self, message: Message) -> None:
        """Send a message; waits while the caller does not read."""
        try:
            await self._context.write(message.SerializeToString())
        except grpc.aio.InternalError:
            # The caller is gone. gRPC cancels the call for it, here or a moment later.
            await asyncio.sleep(_CANCELLED_WITHIN)
            raise


class Wall:
    """Guards methods; those behind one wall share its admission."""

    def __init__(self, admission: Admission, telemetry: Telemetry, kind: str) -> None:
        """Take who is let in, where is told what comes, and what kind of calls that is."""
        self._admission = admission
        self._telemetry = telemetry
        telemetry.watch("calls_running", lambda: admission.running, kind, bound=admission.capacity)
        self._calls = Calls()
        self._deadlines = Deadlines()

    def unary(
        self,
        method: str,
        parse: Parse[Request],
        behavior: Callable[[Request, Call], Awaitable[Message]],
    ) -> Handler:
        """Guard a method of one request and one answer; its time is bounded."""
        seconds = LONGER_CALLS.get(method.rpartition(".")[2], CALL_SECONDS)
        # Looking after the server is no part of anybody's trace.
        span_of = self._telemetry.span if method.startswith(_TRACED) else _untraced

        async def guarded(data: bytes, context: Context) -> bytes:
            call = self._begin(method, context)
            try:
                with self._admission, span_of(method, call.traceparent) as span:
                    call.traceparent = span.traceparent
                    answering = behavior(_parsed(parse, data), call)
                    if not _ends_within(context, seconds):
                        answering = bounded(answering, self._deadlines.within(seconds))
                    return (await answering).SerializeToString()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                status = self._status(error, method, call.request_id)
                return await context.abort_with_status(status)

        return grpc.unary_unary_rpc_method_handler(guarded)

    def unary_stream(
        self,
        method: str,
        parse: Parse[Request],
        behavior: Callable[[Request, Context], Awaitable[None]],
    ) -> WritingHandler:
        """Guard a method that writes its answers itself."""

        async def guarded(data: bytes, context: Context) -> None:
            call = self._begin(method, context)
            try:
                with self._admission:
                    await behavior(_parsed(parse, data), context)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                await context.abort_with_status(self._status(error, method, call.request_id))

        return grpc.unary_stream_rpc_method_handler(guarded, None, _serialized)

    def stream_stream(
        self,
        method: str,
        parse: Parse[Request],
        behavior: Callable[[AsyncIterator[Request], Context], AsyncIterator[Message]],
    ) -> Handler:
        """Guard a method of many requests and many answers."""

        async def guarded(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            call = self._begin(method, context)
            parsed = (_parsed(parse, data) async for data in requests)
            try:
                with self._admission:
                    async for answer in behavior(parsed, context):
                        yield answer.SerializeToString()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                await context.abort_with_status(self._status(error, method, call.request_id))

        return grpc.stream_stream_rpc_method_handler(guarded)

    def stream(
        self,
        method: str,
        parse: Parse[Request],
        behavior: Callable[[Messages[Request], Call], Awaitable[None]],
    ) -> Handler:
        """Guard a method of many requests and many answers that reads and writes them itself."""

        async def guarded(_: AsyncIterator[bytes], context: Context) -> None:
            call = self._begin(method, context)
            try:
                with self._admission, self._telemetry.span(method, call.traceparent) as span:
                    call.traceparent = span.traceparent
                    await behavior(Messages(context, parse), call)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                await context.abort_with_status(self._status(error, method, call.request_id))

        return grpc.stream_stream_rpc_method_handler(guarded)

    def _begin(self, method: str, context: Context) -> Call:
        self._telemetry.count("calls", method)
        return self._calls.begin(context)

    def _status(self, error: BaseException, method: str, request_id: str) -> CallStatus:
        """Return the status that a failed call ends with; raises what gRPC itself must see."""
        if isinstance(error, grpc.aio.AbortError) or _is_cancelled(error):
            self._telemetry.count("calls_failed", method, "CANCELLED")
            raise error
        if isinstance(error, _TookTooLong):
            self._refused(method, "DEADLINE_EXCEEDED", request_id)
            return deadline_status(request_id)
        if isinstance(error, asyncio.CancelledError):
            # What the call waited for was cancelled, not the call: that happens at the stop alone,
            # and a caller would wait for ever.
            error = ShuttingDown()
        status = status_of(error, request_id) if isinstance(error, WebhooksError) else None
        if status is None or not isinstance(error, WebhooksError):
            self._telemetry.count("calls_failed", method, "INTERNAL")
            self._telemetry.fault("rpc.failed", error, method=method, request_id=request_id)
            return internal_status(request_id)
        self._refused(method, error.reason, request_id)
        return status

    def _refused(self, method: str, reason: str, request_id: str) -> None:
        self._telemetry.count("calls_failed", method, reason)
        self._telemetry.fact("rpc.refused", method=method, reason=reason, request_id=request_id)


def _untraced(_method: str, parent: str) -> Span:
    return Untraced(parent)


def _parsed(parse: Parse[Request], data: bytes) -> Request:
    try:
        return parse(data)
    except DecodeError:
        raise invalid("request", "the bytes are no message of the type of this call") from None


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def _ends_within(context: Context, seconds: float) -> bool:
    """Tell whether the caller's own deadline makes a timer of ours needless."""
    remaining: float | None = context.time_remaining()
    return remaining is not None and remaining <= seconds


async def bounded(answering: Awaitable[Result], deadline: Deadline) -> Result:
    """Return what is awaited; where it takes longer, the call ends with DEADLINE_EXCEEDED."""
    try:
        with deadline:
            return await answering
    except TimeoutError:
        if deadline.has_struck:
            raise _TookTooLong from None
        raise


def _is_cancelled(error: BaseException) -> bool:
    """Tell whether the call itself was cancelled: its caller went away."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and bool(task and task.cancelling())
