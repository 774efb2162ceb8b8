"""`webhooks-server publish`."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from webhooks_server.cli.connection import open_client, tenant_id
from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import ClientOptions, JsonOption, TenantOption
from webhooks_server.cli.output import Value, print_result
from webhooks_server.domain.ids import DEFAULT_TENANT, TenantId
from webhooks_server.settings import ClientSettings

if TYPE_CHECKING:
    from webhooks_server.rpc.client import EventDraft, Published


EventType = Annotated[
    str, Parameter(show_default=False, help="What happened, such as invoice.paid.")
]
Data = Annotated[
    str | None, Parameter(help="The payload as JSON text, sent as it is; {} where not given.")
]
DataFileOption = Annotated[
    Path | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Take the payload from this file, or from standard input (-).",
    ),
]
ContentTypeOption = Annotated[
    str, Parameter(show_default=False, help="What --data-file holds, where that is not JSON.")
]
EventIdOption = Annotated[
    str,
    Parameter(
        show_default=False,
        help="Makes publishing safe to repeat: one id is one event. Made where not given.",
    ),
]
FileOption = Annotated[
    Path | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Publish each line of this JSON Lines file, or of standard input (-).",
    ),
]
StreamOption = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Publish the lines of --file, or of standard input, one by one over a stream.",
    ),
]


def publish(  # noqa: PLR0913 - one parameter for each option
    event_type: EventType = "",
    data: Data = None,
    /,
    *,
    data_file: DataFileOption = None,
    content_type: ContentTypeOption = "",
    event_id: EventIdOption = "",
    file: FileOption = None,
    stream: StreamOption = False,
    tenant: TenantOption = DEFAULT_TENANT,
    as_json: JsonOption = False,
    settings: ClientOptions = None,
) -> int:
    """Publish one event, or with --file or --stream each line of a JSON Lines file.

    A line is an object with event_type and data, and if wanted event_id, source, subject,
    occur_time, attributes, data_schema; data_json (a string) or data_bytes (base64, with
    data_content_type) in the place of data. Data is sent byte for byte as it stands in the line.
    Each line that is refused is named with the reason, and the status is then 1.

        webhooks-server publish invoice.paid '{"amount": 12}'
        webhooks-server publish --file events.jsonl
        tail -f events.jsonl | webhooks-server publish --stream
    """
    if file is not None or stream:
        if event_type or data_file is not None or content_type or event_id:
            option = "--file" if file is not None else "--stream"
            raise Misuse(f"{option} takes everything from the lines: give it alone")
        from webhooks_server.cli.publish_file import publish_file

        return publish_file(
            file or Path("-"), tenant_id(tenant), settings, over_stream=stream, as_json=as_json
        )
    if not event_type:
        raise Misuse("publish needs an event type, such as invoice.paid, or --file")
    draft = _draft(event_type, data, data_file, content_type, event_id)
    published = asyncio.run(_publish_one(tenant_id(tenant), draft, settings))
    result: dict[str, Value] = {
        "event": published.event,
        "duplicate": published.duplicate,
        "matched_subscriptions": published.matched_subscriptions,
    }
    print_result(result, as_json=as_json)
    return 0


async def _publish_one(
    tenant: TenantId, draft: "EventDraft", settings: ClientSettings | None
) -> "Published":
    async with open_client(settings) as client:
        return await client.publish(tenant, draft)


def _draft(
    event_type: str, data: str | None, data_file: Path | None, content_type: str, event_id: str
) -> "EventDraft":
    from webhooks_server.rpc.client import EventDraft

    if data is not None and data_file is not None:
        raise Misuse("give the payload as an argument or by --data-file, not both")
    if data_file is None and content_type:
        raise Misuse("--content-type describes --data-file")
    payload = None if data_file is None else _read(data_file)
    if content_type:
        return EventDraft(
            event_type=event_type, event_id=event_id, data_bytes=payload, content_type=content_type
        )
    if payload is not None:
        data = _as_text(payload)
    return EventDraft(event_type=event_type, event_id=event_id, data_json=data)


def _read(source: Path) -> bytes:
    return sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()


def _as_text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Misuse("the payload is not UTF-8, so not JSON: say --content-type") from None
