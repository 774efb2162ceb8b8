"""Every error of the service, from one root.

The class docstring is the message where none is given.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from webhooks_server.domain.values import value


@value
class Violation:
    """One thing that is wrong with a request.

    The field by its path in the contract, and the bound it broke.
    """

    field: str
    description: str
    reason: str = "INVALID_FIELD"
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)


class WebhooksError(Exception):
    """The server could not do this."""

    reason = "INTERNAL"
    """A value of the contract's ErrorReason without its prefix."""

    def __init__(self, message: str = "", **metadata: str) -> None:
        """Take the message for the caller, and every dynamic part of it once more as metadata."""
        text = message or (type(self).__doc__ or "").strip()
        super().__init__(text)
        self.message = text
        self.metadata: dict[str, str] = metadata


class InvalidArgument(WebhooksError):
    """The request is not valid."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Take all violations found.

        The error's reason is theirs where they agree, else INVALID_FIELD.
        """
        first = violations[0]
        rest = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        metadata = {key: value for one in violations for key, value in one.metadata.items()}
        metadata.update(field=first.field, violation_count=str(len(violations)))
        super().__init__(f"{first.field}: {first.description}{rest}", **metadata)
        self.violations = tuple(violations)
        reasons = {violation.reason for violation in violations}
        self.reason = reasons.pop() if len(reasons) == 1 else "INVALID_FIELD"


def invalid(
    path: str, description: str, reason: str = "INVALID_FIELD", **metadata: str
) -> InvalidArgument:
    """Return the error for one violation."""
    violation = Violation(field=path, description=description, reason=reason, metadata=metadata)
    return InvalidArgument([violation])


class ResourceError(WebhooksError):
    """Something is the matter with a resource."""

    def __init__(self, resource_type: str, resource_name: str, message: str) -> None:
        """Take the resource as `webhooks.v1.Subscription` and `tenants/t/subscriptions/s`."""
        super().__init__(message, resource_type=resource_type, resource_name=resource_name)
        self.resource_type = resource_type
        self.resource_name = resource_name


class NotFound(ResourceError):
    """The resource does not exist."""

    reason = "RESOURCE_NOT_FOUND"

    def __init__(self, resource_type: str, resource_name: str) -> None:
        """Take the resource's type and name."""
        super().__init__(resource_type, resource_name, f"{resource_name} does not exist")


class ResourceExists(ResourceError):
    """The resource exists already."""

    reason = "RESOURCE_EXISTS"


class EventIdReused(ResourceError):
    """An event with this id and other content exists already."""

    reason = "EVENT_ID_REUSED"


class EtagMismatch(WebhooksError):
    """The resource has changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, current_etag: str) -> None:
        """Take the etag that the resource has now."""
        super().__init__(current_etag=current_etag)


class StoreConflict(WebhooksError):
    """Another change came in between, several times over; try again."""

    reason = "STORE_CONFLICT"


class LeaseLost(WebhooksError):
    """There is no such delivery any more; nothing was recorded, and nothing will be."""

    reason = "LEASE_LOST"


class RecordRefused(WebhooksError):
    """The database takes nothing of what came of this attempt."""


class NotSent(WebhooksError):
    """The relay gave a request back: nothing of it was sent."""


class AddressIsBusy(NotSent):
    """As many requests as may be are under way to the receiver's address."""


class PreconditionFailed(WebhooksError):
    """The resource is not in a state that allows this."""

    def __init__(self, subject: str, message: str = "") -> None:
        """Take the name of the resource that stands in the way."""
        super().__init__(message, subject=subject)
        self.subject = subject


class SubscriptionIsDisabled(PreconditionFailed):
    """The subscription is disabled; set active to true to enable it again."""

    reason = "SUBSCRIPTION_DISABLED"


class DeliveryNotRetryable(PreconditionFailed):
    """The delivery cannot be retried now."""

    reason = "DELIVERY_NOT_RETRYABLE"


class EventPurged(PreconditionFailed):
    """The event's retention time has passed and its payload is gone."""

    reason = "EVENT_PURGED"


class NoEngine(PreconditionFailed):
    """No relay is attached that could send this."""

    reason = "NO_ENGINE"


class RelayIsPaused(PreconditionFailed):
    """The relay is paused and sends nothing; call ResumeRelay first."""

    reason = "RELAY_PAUSED"


class NotSupported(PreconditionFailed):
    """This server's storage does not offer this."""

    reason = "NOT_SUPPORTED"


class TooMuchToRead(WebhooksError):
    """There is more to be read for this than the server has time for."""

    reason = "QUOTA_EXCEEDED"


class Unavailable(WebhooksError):
    """The server cannot do this right now; try again."""

    retry_after_seconds = 1.0


class StoreUnavailable(Unavailable):
    """The database does not answer right now; try again."""

    reason = "STORE_UNAVAILABLE"


class ServerOverloaded(Unavailable):
    """The server has as many calls as it can carry; try again."""

    reason = "SERVER_OVERLOADED"


class ShuttingDown(Unavailable):
    """The server is shutting down; call another one."""

    reason = "SHUTTING_DOWN"
    retry_after_seconds = 0.0


class StreamAged(ShuttingDown):
    """The stream has been open for as long as the server allows; open a new one."""


class StreamProtocolBroken(WebhooksError):
    """The messages of the stream are not those, or not in the order, that the contract says."""

    reason = "STREAM_PROTOCOL"


class StartError(WebhooksError):
    """The server cannot start."""


class DataDirectoryInUse(StartError):
    """Another server owns this data directory."""


class DatabaseDamaged(StartError):
    """The database file is damaged; restore a backup."""


class SchemaMismatch(StartError):
    """The database's schema is not the one this version works with."""


class InvalidSettings(StartError):
    """The settings cannot work together."""
