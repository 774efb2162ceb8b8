"""The rows that a new database starts with."""

import secrets

from sqlalchemy import Connection, insert

from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.schema import control, partitions, server_keys, tenants

PAGE_KEY = "pages"
"""The name of the key that signs page tokens."""
_KEY_BYTES = 32


def insert_first_rows(connection: Connection, now: Instant) -> None:
    """Fill the tables of a database that was just made."""
    connection.execute(
        insert(control).values(id=1, version=0, clock=now, last_event=0, last_delivery=0)
    )
    connection.execute(insert(tenants).values(id=DEFAULT_TENANT, create_time=now))
    connection.execute(
        insert(server_keys).values(
            name=PAGE_KEY, key=secrets.token_bytes(_KEY_BYTES), create_time=now
        )
    )
    connection.execute(
        insert(partitions),
        [{"id": number, "owner": "", "epoch": 0} for number in range(PARTITIONS)],
    )
