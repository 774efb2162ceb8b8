"""`webhooks-server audit`."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from webhooks_server.cli.connection import open_client, tenant_id
from webhooks_server.cli.options import ClientOptions, JsonOption
from webhooks_server.cli.output import print_json, print_pairs


async def audit(
    *,
    tenant: Annotated[str, Parameter(show_default=False, help="Count this tenant alone.")] = "",
    as_json: JsonOption = False,
    settings: ClientOptions = None,
) -> int:
    """Count everything a server holds, and prove that nothing was lost.

    Ends with status 1 where a rule does not hold, and says which: that is a bug or damage.

        webhooks-server audit
    """
    async with open_client(settings) as client:
        report = await client.audit(tenant_id(tenant) if tenant else None)
    counts = asdict(report)
    violations = counts.pop("violations")
    if as_json:
        print_json(counts | {"violations": list(violations)})
    else:
        print_pairs(counts | {"violations": len(violations)})
        print("".join(f"violation: {violation}\n" for violation in violations), end="")
    return 1 if violations else 0
