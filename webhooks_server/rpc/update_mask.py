"""Update masks (AIP-134, AIP-161): which fields of a subscription an update changes."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from webhooks.v1 import subscription_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as service_pb
from webhooks_server.domain.errors import invalid
from webhooks_server.services.subscription_draft import PATHS, SECRET_HEADERS_PATH, SECRET_PATH
from webhooks_server.services.violations import Violations

EVERYTHING = "*"
MAX_PATHS = 64
_SECRET_PATHS = frozenset({SECRET_PATH, SECRET_HEADERS_PATH})


def read_update_mask(request: service_pb.UpdateSubscriptionRequest) -> frozenset[str]:
    """Return the leaf fields to change; raises InvalidArgument where the mask names unknown ones.

    Left out, the mask is every populated leaf. What is OUTPUT_ONLY in it is passed over. Secret
    fields change only where they are populated or named themselves, never through `*` or `config`.
    """
    populated = frozenset(_populated(request.subscription))
    given = request.update_mask.paths
    if len(given) > MAX_PATHS:
        problem = f"must have at most {MAX_PATHS} paths, has {len(given)}"
        raise invalid("update_mask", problem, "INVALID_UPDATE_MASK")
    paths = list(given)
    if not paths:
        return populated & (PATHS | _SECRET_PATHS)
    if EVERYTHING in paths and len(paths) == 1:
        return PATHS | (populated & _SECRET_PATHS)
    violations = Violations()
    wanted: set[str] = set()
    for path in paths:
        if not _exists(path):
            problem = f"names no field of a subscription: {path[:200]}"
            violations.add("update_mask", problem, "INVALID_UPDATE_MASK")
        wanted |= _leaves(path, populated)
    violations.raise_any()
    return frozenset(wanted)


def _leaves(path: str, populated: frozenset[str]) -> frozenset[str]:
    if path in PATHS or path in _SECRET_PATHS:
        return frozenset({path})
    inside = f"{path}."
    secret = {leaf for leaf in _SECRET_PATHS & populated if leaf.startswith(inside)}
    return frozenset({leaf for leaf in PATHS if leaf.startswith(inside)} | secret)


def _exists(path: str) -> bool:
    descriptor: Descriptor | None = pb.Subscription.DESCRIPTOR
    for name in path.split("."):
        field = None if descriptor is None else descriptor.fields_by_name.get(name)
        if field is None:
            return False
        descriptor = field.message_type if _is_nested(field) else None
    return True


def _populated(message: Message, prefix: str = "") -> Iterator[str]:
    for field, value in message.ListFields():
        if _is_nested(field):
            yield from _populated(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _is_nested(field: FieldDescriptor) -> bool:
    """Tell whether a mask reaches into the field: a message of ours, no list, map or time."""
    kind = field.message_type
    return kind is not None and not field.is_repeated and kind.file.package == "webhooks.v1"
