"""What most tests of updates begin with."""

import uuid

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness.requests import URL
from tests.harness.served import PARENT, Served
from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb

Config = pb.SubscriptionConfig


async def full(served: Served) -> pb.Subscription:
    """A subscription with every field away from its default."""
    wanted = pb.Subscription(
        display_name="old",
        events=["old"],
        active=False,
        annotations={"old": "1"},
        retry_policy=pb.RetryPolicy(
            max_attempts=3,
            initial_backoff=Duration(seconds=1),
            max_backoff=Duration(seconds=2),
            backoff_multiplier=3,
            max_age=Duration(seconds=4),
            client_error_policy=pb.CLIENT_ERROR_POLICY_FAIL_DELIVERY,
        ),
        config=Config(
            url=f"{URL}/{uuid.uuid4()}",
            signature_schemes=[pb.SIGNATURE_SCHEME_HUB_LEGACY],
            headers={"X-Old": "1"},
            secret_headers={"X-Secret": "old"},
            timeout=Duration(seconds=5),
            max_in_flight=5,
            max_requests_per_minute=5,
        ),
    )
    answer = await served.subscriptions.CreateSubscription(
        service_pb.CreateSubscriptionRequest(parent=PARENT, subscription=wanted, skip_ping=True)
    )
    return answer.subscription


def update(
    name: str, *paths: str, config: Config | None = None, **fields: object
) -> service_pb.UpdateSubscriptionRequest:
    wanted = pb.Subscription(name=name, config=config, **fields)  # type: ignore[arg-type]
    mask = FieldMask(paths=paths) if paths else None
    return service_pb.UpdateSubscriptionRequest(subscription=wanted, update_mask=mask)


def differing(before: pb.Subscription, after: pb.Subscription) -> set[str]:
    """The writable leaves in which the two differ."""
    found = set()
    for prefix, old, new in (
        ("", before, after),
        ("config.", before.config, after.config),
        ("retry_policy.", before.retry_policy, after.retry_policy),
    ):
        for field in old.DESCRIPTOR.fields:
            nested = field.name in ("config", "retry_policy")
            output = field.name in ("etag", "update_time", "state", "secret_set")
            if not nested and not output and getattr(old, field.name) != getattr(new, field.name):
                found.add(prefix + field.name)
    return found
