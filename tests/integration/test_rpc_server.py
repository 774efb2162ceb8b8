"""The server itself: health, reflection, and its end."""

import asyncio
import json
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.harness.contract import FILES
from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import PARENT, Served, open_served, refusal_of, refused
from tests.harness.waiting import until_async
from webhooks.v1 import subscription_service_pb2
from webhooks_server.domain.errors import StartError

SERVICES = [service.full_name for file in FILES for service in file.services_by_name.values()]
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
GRPCURL = Path(sys.executable).parent / "grpcurl"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(served: Served, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    answer = await served.raw("/grpc.health.v1.Health/Check", request.SerializeToString())
    return int(health_pb2.HealthCheckResponse.FromString(answer).status)


async def draining(served: Served) -> bool:
    return await health(served) == NOT_SERVING


async def reflected(
    served: Served, name: str, *requests: reflection_pb2.ServerReflectionRequest
) -> list[reflection_pb2.ServerReflectionResponse]:
    call = served.channel.stream_stream(
        f"/{name}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return [answer async for answer in call(iter(requests), timeout=5)]


async def grpcurl(served: Served, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        GRPCURL,
        "-plaintext",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_every_service_and_the_whole_are_healthy(shared: Served) -> None:
    for service in ("", *SERVICES):
        assert await health(shared, service) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await health(shared, "webhooks.v1.Nothing")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", REFLECTIONS)
async def test_reflection_names_and_describes_everything(shared: Served, name: str) -> None:
    request = reflection_pb2.ServerReflectionRequest
    listed, described = await reflected(
        shared,
        name,
        request(list_services=""),
        request(file_containing_symbol="webhooks.v1.PublisherService"),
    )
    names = {one.name for one in listed.list_services_response.service}
    assert names == {*SERVICES, *REFLECTIONS, "grpc.health.v1.Health"}
    files = described.file_descriptor_response.file_descriptor_proto
    found = {FileDescriptorProto.FromString(file).name for file in files}
    assert "webhooks/v1/publisher_service.proto" in found
    # Those that it imports come along.
    assert "google/api/field_behavior.proto" in found
    symbols = [*names, "google.rpc.BadRequest", "webhooks.v1.Subscription.State"]
    answers = await reflected(
        shared, name, *(request(file_containing_symbol=one) for one in symbols)
    )
    assert all(answer.HasField("file_descriptor_response") for answer in answers)
    (answer,) = await reflected(shared, name, request(file_containing_symbol="a.Nothing"))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_can_be_turned_off(tmp_path: Path) -> None:
    async with open_served(tmp_path, reflection=False) as served:
        for name in REFLECTIONS:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await reflected(served, name, reflection_pb2.ServerReflectionRequest())
            assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await health(served) == SERVING


@pytest.mark.parametrize("name", REFLECTIONS)
async def test_a_malformed_reflection_request_is_an_invalid_argument(
    shared: Served, name: str
) -> None:
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    call = shared.channel.stream_stream(f"/{name}/ServerReflectionInfo", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in call(iter([b"\xff"]), timeout=5):
            pass
    refusal = refusal_of(failed.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"
    assert refusal.request_id


async def test_a_malformed_health_request_is_an_invalid_argument(shared: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await shared.raw("/grpc.health.v1.Health/Check", b"\xff")
    assert refusal_of(failed.value).reason == "INVALID_FIELD"
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
    call = shared.channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in call(b"\xff", timeout=5):
            pass
    refusal = refusal_of(failed.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELD"


async def test_grpcurl_lists_describes_and_shows_errors_decoded(shared: Served) -> None:
    code, output, _ = await grpcurl(shared, shared.address, "list")
    assert code == 0
    assert set(output.split()) == {*SERVICES, *REFLECTIONS, "grpc.health.v1.Health"}
    code, output, _ = await grpcurl(shared, shared.address, "describe")
    assert code == 0
    assert "rpc Publish" in output
    data = json.dumps({"parent": PARENT, "event": {"event_type": "a b"}})
    method = "webhooks.v1.PublisherService/Publish"
    code, output, errors = await grpcurl(shared, "-d", data, shared.address, method)
    assert code == 64 + 3
    assert '"reason":"INVALID_FIELD"' in errors
    assert '"field":"event.event_type"' in errors
    data = json.dumps({"parent": PARENT, "event": {"event_type": "a", "data": {"text": "hi"}}})
    code, output, _ = await grpcurl(shared, "-d", data, shared.address, method)
    assert code == 0
    assert json.loads(output)["event"].startswith(f"{PARENT}/events/evt_")


async def test_a_second_server_on_the_port_is_refused(shared: Served, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=shared.address):
        async with open_served(tmp_path, listen=shared.address):
            pass
    assert await health(shared) == SERVING


async def test_draining_refuses_new_calls_and_waits_for_those_that_run(
    served: Served, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    made = await subscribe(served, receiver.url)
    ping = served.subscriptions.PingSubscription(
        subscription_service_pb2.PingSubscriptionRequest(name=made.name)
    )
    running = asyncio.ensure_future(_answer(ping))
    await receiver.got(1)
    drained = asyncio.ensure_future(served.server.drain(10))
    await until_async(lambda: draining(served))
    for service in SERVICES:
        assert await health(served, service) == NOT_SERVING
    refusal = await refused(served.publisher.Publish(publish()))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "SHUTTING_DOWN"
    assert "RetryInfo" in refusal.details
    assert not drained.done()
    receiver.gate.set()
    assert (await running).attempt.response_status_code == 200
    assert await drained


async def _answer(
    call: "grpc.aio.UnaryUnaryCall[subscription_service_pb2.PingSubscriptionRequest,"
    " subscription_service_pb2.PingSubscriptionResponse]",
) -> subscription_service_pb2.PingSubscriptionResponse:
    return await call


async def test_draining_does_not_wait_for_ever(served: Served, receiver: Receiver) -> None:
    receiver.gate = asyncio.Event()
    made = await subscribe(served, receiver.url)
    ping = served.subscriptions.PingSubscription(
        subscription_service_pb2.PingSubscriptionRequest(name=made.name)
    )
    running = asyncio.ensure_future(_answer(ping))
    await receiver.got(1)
    assert not await served.server.drain(0.05)
    receiver.gate.set()
    await running


async def test_calls_are_served_during_the_delay_of_a_drain(served: Served) -> None:
    drained = asyncio.ensure_future(served.server.drain(1, delay=0.3))
    await until_async(lambda: draining(served))
    await served.publisher.Publish(publish())
    assert await drained
    assert (await refused(served.publisher.Publish(publish()))).reason == "SHUTTING_DOWN"


async def test_a_watcher_sees_the_drain(served: Served) -> None:
    watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
    watch = served.channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)
    answers = aiter(watch(b"", timeout=10))
    seen = [health_pb2.HealthCheckResponse.FromString(await anext(answers)).status]
    await served.server.drain(1)
    seen.append(health_pb2.HealthCheckResponse.FromString(await anext(answers)).status)
    assert seen == [SERVING, NOT_SERVING]


async def test_a_busy_server_says_that_it_is_healthy(tmp_path: Path, receiver: Receiver) -> None:
    receiver.gate = asyncio.Event()
    async with open_served(tmp_path, max_concurrent_calls=1) as served:
        made = await subscribe(served, receiver.url)
        ping = served.subscriptions.PingSubscription(
            subscription_service_pb2.PingSubscriptionRequest(name=made.name)
        )
        running = asyncio.ensure_future(_answer(ping))
        await receiver.got(1)
        assert (await refused(served.publisher.Publish(publish()))).reason == "SERVER_OVERLOADED"
        assert await health(served) == SERVING
        receiver.gate.set()
        await running


async def test_calls_under_way_when_the_door_closes_are_told_to_go_elsewhere(
    served: Served,
) -> None:
    drained = asyncio.ensure_future(served.server.drain(1))
    await until_async(lambda: draining(served))
    # The server is idle: without its lingering, drain() would be over and gRPC cut this call off.
    refusal = await refused(served.publisher.Publish(publish()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert not drained.done()
    assert await drained
