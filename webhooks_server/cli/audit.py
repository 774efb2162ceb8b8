"""`webhooks-server audit`."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from webhooks_server.cli.connection import check_one_place, open_client, owner_of, tenant_id
from webhooks_server.cli.failures import Misuse
from webhooks_server.cli.options import (
    ClientOptions,
    DatabaseUrlOption,
    DataDirOption,
    JsonOption,
    data_directory,
    database,
)
from webhooks_server.cli.output import print_json, print_pairs
from webhooks_server.domain.audit import AuditReport
from webhooks_server.domain.ids import TenantId
from webhooks_server.settings import ClientSettings


def audit(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    tenant: Annotated[str, Parameter(show_default=False, help="Count this tenant alone.")] = "",
    as_json: JsonOption = False,
    settings: ClientOptions = None,
) -> int:
    """Count everything a server holds, and prove that nothing was lost.

    With --data-dir the server that runs on that directory counts, and where none runs, this
    command; with --database-url this command counts what is in that database of PostgreSQL. Ends
    with status 1 where a rule does not hold, and says which: that is a bug or damage.

        webhooks-server audit
    """
    whose = tenant_id(tenant) if tenant else None
    if database_url is None:
        report = _count(data_dir, settings or ClientSettings(), whose)
    else:
        report = _count_database(database_url, whose)
    counts = asdict(report)
    violations = counts.pop("violations")
    if as_json:
        print_json(counts | {"violations": list(violations)})
    else:
        print_pairs(counts | {"violations": len(violations)})
        print("".join(f"violation: {violation}\n" for violation in violations), end="")
    return 1 if violations else 0


def _count(data_dir: Path | None, settings: ClientSettings, tenant: TenantId | None) -> AuditReport:
    from webhooks_server.storage.sql import audit_sqlite

    check_one_place(data_dir, settings)
    owner = settings if data_dir is None else owner_of(data_dir)
    if owner is None:
        return audit_sqlite(data_directory(data_dir), tenant)
    return asyncio.run(_have_counted(owner, tenant))


def _count_database(url: str, tenant: TenantId | None) -> AuditReport:
    config = database(url)
    if config is None:
        raise Misuse("--database-url is empty")
    from webhooks_server.storage.postgres import audit_postgres

    return asyncio.run(audit_postgres(config, tenant))


async def _have_counted(settings: ClientSettings, tenant: TenantId | None) -> AuditReport:
    async with open_client(settings) as client:
        return await client.audit(tenant)
