"""AdminService."""

import os
from pathlib import Path

import grpc
import pytest

from tests.harness.receiver import Receiver
from tests.harness.requests import publish, subscribe
from tests.harness.served import PARENT, Served, refused
from tests.harness.waiting import until_async
from webhooks.v1 import admin_service_pb2 as pb


async def test_the_server_tells_who_it_is_and_what_it_bears(shared: Served) -> None:
    info = await shared.admin.GetServerInfo(pb.GetServerInfoRequest())
    assert info.version == "1.2.3"
    assert info.server_id.startswith("test-")
    assert info.start_time.seconds > 1_700_000_000
    assert info.limits["max_payload_bytes"] == str(256 * 1024)
    assert info.limits["max_batch_events"] == "500"
    assert all(limit.isdecimal() for limit in info.limits.values())


@pytest.mark.parametrize("tenant", ["", PARENT])
async def test_events_are_accepted_while_the_relay_is_paused(
    served: Served, receiver: Receiver, tenant: str
) -> None:
    await subscribe(served, receiver.url)
    paused = await served.admin.PauseRelay(pb.PauseRelayRequest(tenant=tenant, reason="deploy"))
    again = await served.admin.PauseRelay(pb.PauseRelayRequest(tenant=tenant, reason="deploy 2"))
    assert again.pause_time == paused.pause_time
    await served.publisher.Publish(publish())
    status = await served.admin.GetRelayStatus(pb.GetRelayStatusRequest(tenant=tenant))
    assert status.paused
    assert status.pause_reason.startswith("deploy")
    assert status.stats.pending_count == 1
    assert status.stats.HasField("oldest_pending_time")
    (worker,) = status.workers
    assert worker.relay == "engine-1"
    assert worker.leased_count == 0
    assert receiver.requests == []
    await served.admin.ResumeRelay(pb.ResumeRelayRequest(tenant=tenant))
    await receiver.got(1)
    # Once more does no harm.
    await served.admin.ResumeRelay(pb.ResumeRelayRequest(tenant=tenant))

    async def recorded() -> bool:
        status = await served.admin.GetRelayStatus(pb.GetRelayStatusRequest(tenant=tenant))
        return status.stats.succeeded_count == 1 and not status.paused

    await until_async(recorded)


async def test_a_pass_relays_what_is_due(served: Served, receiver: Receiver) -> None:
    receiver.script = [200, 500]
    await subscribe(served, receiver.url)
    await served.publisher.Publish(publish())
    await receiver.got(1)
    answer = await served.admin.NotifySubscribers(pb.NotifySubscribersRequest(tenant=PARENT))
    assert answer.failed_count == 0
    again = await served.admin.NotifySubscribers(pb.NotifySubscribersRequest())
    assert again == pb.NotifySubscribersResponse()


async def test_an_audit_counts_every_row(served: Served, receiver: Receiver) -> None:
    await subscribe(served, receiver.url, "a.*")
    for event_type in ("a.b", "c"):
        await served.publisher.Publish(publish(event_type=event_type))
    await receiver.got(1)

    async def recorded() -> bool:
        return (await served.admin.Audit(pb.AuditRequest())).attempt_count == 1

    await until_async(recorded)
    for parent in ("", PARENT):
        answer = await served.admin.Audit(pb.AuditRequest(parent=parent))
        assert answer == pb.AuditResponse(
            event_count=2,
            unmatched_event_count=1,
            delivery_count=1,
            succeeded_count=1,
            attempt_count=1,
        )


async def test_a_backup_is_a_file_on_the_server(served: Served, tmp_path: Path) -> None:
    await served.publisher.Publish(publish())
    made = await served.admin.BackupDatabase(pb.BackupDatabaseRequest())
    assert Path(made.path).parent == (tmp_path / "backups").resolve()
    assert os.stat(made.path).st_size == made.size_bytes > 0  # noqa: PTH116


async def test_another_tenant_is_not_known(shared: Served) -> None:
    for call in (
        shared.admin.GetRelayStatus(pb.GetRelayStatusRequest(tenant="tenants/other")),
        shared.admin.PauseRelay(pb.PauseRelayRequest(tenant="tenants/other")),
        shared.admin.ResumeRelay(pb.ResumeRelayRequest(tenant="tenants/other")),
        shared.admin.Audit(pb.AuditRequest(parent="tenants/other")),
        shared.admin.NotifySubscribers(pb.NotifySubscribersRequest(tenant="tenants/other")),
    ):
        refusal = await refused(call)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert refusal.metadata["resource_type"] == "webhooks.v1.Tenant"
    malformed = shared.admin.Audit(pb.AuditRequest(parent="other"))
    assert list((await refused(malformed)).fields) == ["parent"]
