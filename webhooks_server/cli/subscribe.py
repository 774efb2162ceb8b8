"""`webhooks-server subscribe`."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from webhooks_server.cli.connection import open_client, tenant_id
from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import ClientOptions, JsonOption, TenantOption
from webhooks_server.cli.output import print_result
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.secrets import Secret

Url = Annotated[str, Parameter(help="Where requests are sent.")]
Patterns = Annotated[
    str, Parameter(help="Event types: invoice.paid, every one below invoice.* or all: '*'.")
]
IdOption = Annotated[
    str,
    Parameter(
        name="--id", show_default=False, help="The last part of its name; made where not given."
    ),
]
SecretOption = Annotated[
    str | None,
    Parameter(help="What requests are signed with; made, and printed once, where not given."),
]
HeaderOption = Annotated[
    Sequence[str],
    Parameter(
        negative="",
        show_default=False,
        help="Sent with each request: 'Name: value'. May be repeated.",
    ),
]
SecretHeaderOption = Annotated[
    Sequence[str],
    Parameter(
        negative="", show_default=False, help="As --header; the server never shows the value again."
    ),
]
DisplayNameOption = Annotated[str, Parameter(show_default=False, help="A name for people.")]
SkipPingOption = Annotated[
    bool, Parameter(negative="", show_default=False, help="Do not send a ping to the URL now.")
]


async def subscribe(  # noqa: PLR0913 - one parameter for each option
    url: Url,
    /,
    *patterns: Patterns,
    subscription_id: IdOption = "",
    secret: SecretOption = None,
    header: HeaderOption = (),
    secret_header: SecretHeaderOption = (),
    display_name: DisplayNameOption = "",
    skip_ping: SkipPingOption = False,
    tenant: TenantOption = DEFAULT_TENANT,
    as_json: JsonOption = False,
    settings: ClientOptions = None,
) -> None:
    """Register a URL for events; prints the subscription's name and its secret.

    The secret is shown here and never again: the receiver needs it to verify signatures.

        webhooks-server subscribe http://127.0.0.1:8080 'invoice.*'
    """
    from webhooks_server.rpc.client import SubscriptionDraft

    if not patterns:
        raise Misuse("subscribe needs at least one pattern after the URL, such as 'invoice.*'")
    draft = SubscriptionDraft(
        url=url,
        events=patterns,
        id=subscription_id,
        secret=None if secret is None else Secret(secret),
        headers=dict(map(_pair, header)),
        secret_headers={name: Secret(value) for name, value in map(_pair, secret_header)},
        display_name=display_name,
    )
    async with open_client(settings) as client:
        created = await client.create_subscription(tenant_id(tenant), draft, skip_ping=skip_ping)
    shown = None if created.secret is None else created.secret.reveal()
    result = {"name": created.name, "secret": shown if as_json else shown or "(as given)"}
    print_result(result, as_json=as_json)


def _pair(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        raise Misuse("a header is given as 'Name: value'")
    return name.strip(), value.strip()
