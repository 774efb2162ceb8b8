"""Server reflection under both of its names: older tools know v1alpha alone, newer ones drop it.

The two differ in the name of their package and in nothing else.
"""

from collections.abc import Sequence

from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

ALPHA = SERVICE_NAME
STABLE = ALPHA.replace("v1alpha", "v1")
METHOD = "ServerReflectionInfo"


def open_reflection(services: Sequence[str]) -> aio.ReflectionServicer:
    """Return a servicer that describes these services, itself, and the details of errors."""
    known = descriptor_pool.Default()
    pool = DescriptorPool()
    added: set[str] = set()
    for symbol in (*services, ALPHA, ErrorInfo.DESCRIPTOR.full_name):
        _add(known.FindFileContainingSymbol(symbol), pool, added)
    stable = _stable_file(known.FindFileContainingSymbol(ALPHA))
    pool.AddSerializedFile(stable.SerializeToString())
    return aio.ReflectionServicer([*services, ALPHA, STABLE], pool)


def _add(file: FileDescriptor, pool: DescriptorPool, added: set[str]) -> None:
    """Add a file after those that it imports."""
    if file.name in added:
        return
    added.add(file.name)
    for imported in file.dependencies:
        _add(imported, pool, added)
    pool.AddSerializedFile(file.serialized_pb)


def _stable_file(alpha: FileDescriptor) -> FileDescriptorProto:
    """Return the file of v1, which no package carries, made from v1alpha's."""
    described = FileDescriptorProto.FromString(alpha.serialized_pb)
    text = text_format.MessageToString(described).replace("v1alpha", "v1")
    return text_format.Parse(text, FileDescriptorProto())
