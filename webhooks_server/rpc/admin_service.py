"""AdminService: check, call, map."""

from webhooks.v1 import admin_service_pb2 as pb
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_delivery import stats_message
from webhooks_server.rpc.convert_times import timestamp
from webhooks_server.rpc.info import ServerInfo
from webhooks_server.services import Services


class AdminServicer:
    """For whoever runs the server."""

    def __init__(self, services: Services, info: ServerInfo) -> None:
        """Take the use cases, and what the server says of itself."""
        self._admin = services.admin
        self._info = info

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, call: Call
    ) -> pb.GetServerInfoResponse:
        """Say which server answers, and by which limits."""
        info = self._info
        return pb.GetServerInfoResponse(
            version=info.version,
            server_id=info.server_id,
            start_time=timestamp(info.start_time),
            limits={name: str(limit) for name, limit in info.limits.items()},
            features=info.features,
        )

    async def GetRelayStatus(
        self, request: pb.GetRelayStatusRequest, call: Call
    ) -> pb.GetRelayStatusResponse:
        """Say how the sending goes."""
        tenant = names.read_optional_tenant(request.tenant, "tenant")
        status = await self._admin.relay_status(tenant)
        workers = [
            pb.RelayWorker(
                relay=engine.engine,
                leased_count=engine.in_flight,
                last_seen_time=timestamp(engine.last_seen_time),
            )
            for engine in status.engines
        ]
        return pb.GetRelayStatusResponse(
            paused=status.pause is not None,
            pause_reason="" if status.pause is None else status.pause.reason,
            stats=stats_message(status.counts),
            workers=workers,
        )

    async def PauseRelay(self, request: pb.PauseRelayRequest, call: Call) -> pb.PauseRelayResponse:
        """Stop sending."""
        tenant = names.read_optional_tenant(request.tenant, "tenant")
        pause = await self._admin.pause_relay(tenant, request.reason)
        return pb.PauseRelayResponse(pause_time=timestamp(pause.pause_time))

    async def ResumeRelay(
        self, request: pb.ResumeRelayRequest, call: Call
    ) -> pb.ResumeRelayResponse:
        """Send again."""
        await self._admin.resume_relay(names.read_optional_tenant(request.tenant, "tenant"))
        return pb.ResumeRelayResponse()

    async def Audit(self, request: pb.AuditRequest, call: Call) -> pb.AuditResponse:
        """Count every row."""
        report = await self._admin.audit(names.read_optional_tenant(request.parent, "parent"))
        return pb.AuditResponse(
            event_count=report.events,
            unmatched_event_count=report.unmatched_events,
            delivery_count=report.deliveries,
            pending_count=report.pending,
            succeeded_count=report.succeeded,
            failed_count=report.failed,
            cancelled_count=report.cancelled,
            expired_count=report.expired,
            attempt_count=report.attempts,
            violations=report.violations,
        )

    async def NotifySubscribers(
        self, request: pb.NotifySubscribersRequest, call: Call
    ) -> pb.NotifySubscribersResponse:
        """Send everything that is due now."""
        result = await self._admin.notify(names.read_optional_tenant(request.tenant, "tenant"))
        return pb.NotifySubscribersResponse(
            attempt_count=result.attempts,
            succeeded_count=result.succeeded,
            retrying_count=result.retrying,
            failed_count=result.failed,
        )

    async def BackupDatabase(
        self, request: pb.BackupDatabaseRequest, call: Call
    ) -> pb.BackupDatabaseResponse:
        """Copy the database."""
        made = await self._admin.backup()
        return pb.BackupDatabaseResponse(path=made.path, size_bytes=made.size)
