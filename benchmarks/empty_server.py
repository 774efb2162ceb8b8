"""A publisher that does nothing, in a process of its own (`python -m benchmarks.empty_server`).

It is the limit of what an RPC costs: the message is parsed, an empty one is sent back.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from benchmarks import helper
from benchmarks.children import Message
from webhooks.v1 import publisher_service_pb2 as publisher
from webhooks_server.rpc.call import Context


async def publish(request: publisher.PublishRequest, context: object) -> publisher.PublishResponse:
    """Do nothing."""
    del request, context
    return publisher.PublishResponse()


async def streaming_publish(requests: object, context: Context) -> None:
    """Answer each message with an empty one."""
    del requests
    while (data := await context.read()) is not grpc.aio.EOF:
        publisher.StreamingPublishRequest.FromString(data)
        await context.write(publisher.StreamingPublishResponse().SerializeToString())


@asynccontextmanager
async def _serving() -> AsyncIterator[helper.Answer]:
    method = grpc.unary_unary_rpc_method_handler(
        publish,
        request_deserializer=publisher.PublishRequest.FromString,
        response_serializer=publisher.PublishResponse.SerializeToString,
    )
    stream: grpc.RpcMethodHandler[bytes, bytes]
    stream = grpc.stream_stream_rpc_method_handler(streaming_publish)
    service = grpc.method_handlers_generic_handler(
        "webhooks.v1.PublisherService", {"Publish": method, "StreamingPublish": stream}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def answer(_: Message) -> Message:
        return {"address": f"127.0.0.1:{port}"}

    yield answer
    await server.stop(None)


if __name__ == "__main__":
    helper.run(_serving)
