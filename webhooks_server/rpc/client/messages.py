"""Values of the client to messages of the contract, and back."""

from webhooks.v1 import admin_service_pb2 as admin
from webhooks.v1 import event_pb2 as event
from webhooks.v1 import publisher_service_pb2 as publisher
from webhooks.v1 import subscription_pb2 as subscription
from webhooks.v1 import subscription_service_pb2 as subscription_service
from webhooks_server.domain.audit import AuditReport, Backup
from webhooks_server.domain.lanes import PassResult
from webhooks_server.domain.secrets import Secret
from webhooks_server.rpc.client.values import (
    CreatedSubscription,
    EventDraft,
    Published,
    ServerInfo,
    SubscriptionDraft,
)


def subscription_message(draft: SubscriptionDraft) -> subscription.Subscription:
    """Return the draft as a message, secrets in clear text."""
    return subscription.Subscription(
        display_name=draft.display_name,
        events=draft.events,
        config=subscription.SubscriptionConfig(
            url=draft.url,
            secret="" if draft.secret is None else draft.secret.reveal(),
            headers=draft.headers,
            secret_headers={name: value.reveal() for name, value in draft.secret_headers.items()},
        ),
    )


def created_subscription(
    answer: subscription_service.CreateSubscriptionResponse,
) -> CreatedSubscription:
    """Return what was created."""
    return CreatedSubscription(
        name=answer.subscription.name, secret=Secret(answer.secret) if answer.secret else None
    )


def event_message(draft: EventDraft) -> event.EventInput:
    """Return the draft as a message."""
    message = event.EventInput(
        event_id=draft.event_id,
        event_type=draft.event_type,
        data_content_type=draft.content_type,
        source=draft.source,
        subject=draft.subject,
        attributes=draft.attributes,
        data_schema=draft.data_schema,
    )
    if draft.data_json is not None:
        message.data_json = draft.data_json
    if draft.data_bytes is not None:
        message.data_bytes = draft.data_bytes
    if draft.occur_time is not None:
        message.occur_time.FromMicroseconds(draft.occur_time)
    return message


def published(answer: publisher.PublishResponse) -> Published:
    """Return what became of an event."""
    return Published(
        event=answer.event,
        duplicate=answer.duplicate,
        matched_subscriptions=answer.matched_subscription_count,
    )


def server_info(answer: admin.GetServerInfoResponse) -> ServerInfo:
    """Return which server answered."""
    return ServerInfo(
        version=answer.version,
        server_id=answer.server_id,
        limits={name: int(value) for name, value in answer.limits.items()},
    )


def audit_report(answer: admin.AuditResponse) -> AuditReport:
    """Return the counts and the violations."""
    return AuditReport(
        events=answer.event_count,
        unmatched_events=answer.unmatched_event_count,
        deliveries=answer.delivery_count,
        pending=answer.pending_count,
        succeeded=answer.succeeded_count,
        failed=answer.failed_count,
        cancelled=answer.cancelled_count,
        expired=answer.expired_count,
        attempts=answer.attempt_count,
        violations=tuple(answer.violations),
    )


def backup(answer: admin.BackupDatabaseResponse) -> Backup:
    """Return where the copy is."""
    return Backup(path=answer.path, size=answer.size_bytes)


def pass_result(answer: admin.NotifySubscribersResponse) -> PassResult:
    """Return what the relay pass did."""
    return PassResult(
        attempts=answer.attempt_count,
        succeeded=answer.succeeded_count,
        retrying=answer.retrying_count,
        failed=answer.failed_count,
    )
