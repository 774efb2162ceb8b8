"""How the clients connect, and what goes with every call."""

import json

import grpc
import pytest

from tests.clients import Connect
from tests.fault_server import Fault, FaultServer, run_fault_server
from webhooks.v1 import (
    admin_service_pb2,
    delivery_service_pb2,
    event_service_pb2,
    subscription_service_pb2,
)
from webhooks_client import Event, InvalidArgument
from webhooks_client.channel import READS, CallDefaults, channel_options
from webhooks_client.retry import DEFAULT_RETRY


async def test_token_and_trace_go_with_every_call(
    fault_server: FaultServer, connect: Connect
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fault_server.script = [Fault(code=grpc.StatusCode.UNAVAILABLE)]
    async with connect(fault_server.address, token="secret-1") as client:
        await client.publish("a.b", {}, traceparent=trace)
        await client.publish_batch([Event(event_type="a", data=1)], traceparent=trace)
        await client.server_version()
    sent = [call.metadata for call in fault_server.calls]
    assert [one["authorization"] for one in sent] == ["Bearer secret-1"] * 4
    assert [one.get("traceparent") for one in sent] == [trace] * 3 + [None]


@pytest.mark.parametrize("trace", ["00-a\nb", "00-ä"])
async def test_a_trace_that_no_header_can_carry_is_refused(
    fault_server: FaultServer, connect: Connect, trace: str
) -> None:
    async with connect(fault_server.address) as client:
        with pytest.raises(InvalidArgument, match="traceparent"):
            await client.publish("a.b", {}, traceparent=trace)
    assert fault_server.calls == []


async def test_credentials_make_a_secure_channel(connect: Connect) -> None:
    with run_fault_server(credentials=grpc.local_server_credentials()) as server:
        credentials = grpc.local_channel_credentials()
        async with connect(server.address, credentials=credentials, token="secret-1") as client:
            published = await client.publish("a.b", {})
        assert server.stored == {published.event_id}
        assert server.calls[0].metadata["authorization"] == "Bearer secret-1"


async def test_a_target_with_a_scheme_is_one_too(
    fault_server: FaultServer, connect: Connect
) -> None:
    for scheme in ("dns:///", "ipv4:"):
        async with connect(scheme + fault_server.address) as client:
            await client.publish("a.b", {})
    assert len(fault_server.calls) == 2


def test_a_token_is_not_shown() -> None:
    defaults = CallDefaults(tenant="t", token="secret-1", timeout=1.0, retry=DEFAULT_RETRY)
    assert "secret-1" not in repr(defaults)


def test_only_the_servers_of_a_name_share_the_calls() -> None:
    def balancing(target: str) -> object:
        config = json.loads(str(dict(channel_options(target, secure=True))["grpc.service_config"]))
        return config.get("loadBalancingConfig")

    assert balancing("dns:///webhooks:50051") == [{"round_robin": {}}]
    assert balancing("ipv4:10.0.0.1:50051,10.0.0.2:50051") == [{"round_robin": {}}]
    assert balancing("127.0.0.1:50051") is None


def test_only_a_secure_channel_may_use_the_proxy_of_the_environment() -> None:
    assert dict(channel_options("a:1", secure=False))["grpc.enable_http_proxy"] == 0
    assert "grpc.enable_http_proxy" not in dict(channel_options("a:1", secure=True))


def test_the_reads_that_are_repeated_exist() -> None:
    services = {
        service.full_name: {method.name for method in service.methods}
        for module in (
            admin_service_pb2,
            delivery_service_pb2,
            event_service_pb2,
            subscription_service_pb2,
        )
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    for service, methods in READS.items():
        assert set(methods) <= services[service]
