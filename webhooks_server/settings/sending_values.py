"""The settings that everything that sends from a database has in common."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from typing_extensions import override

from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.bounds import MAX_TIMEOUT
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.domain.times import seconds
from webhooks_server.settings.egress import EgressValues
from webhooks_server.settings.environment import variable
from webhooks_server.settings.kinds import OFF, Cap, Page, Span

SHORTEST_LEASE = seconds(MAX_TIMEOUT) + 5
"""In seconds; a lease is longer (reliability T4)."""
LARGEST_PORT = 65535


class SendingValues(EgressValues):
    """What a process needs to know that takes deliveries from a database and sends them."""

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="The PostgreSQL database, postgresql://user:password@host/name; or SQLite.",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="The directory of the database. One server owns it at a time.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        description="Processes to run, each as set here, on one PostgreSQL database.",
    )
    slots: int = Field(
        default=256, ge=1, le=4096, description="Requests to receivers at the same time."
    )
    host_in_flight: Cap = Field(
        default="auto",
        description="Requests to one target host, and to one address, at the same time; 0 is no"
        " bound. auto: 64 in production, none in development.",
    )
    host_requests_per_second: Cap = Field(
        default="auto",
        description="Requests to one target host, and to one address, in a second; 0 is no bound."
        " auto: 200 in production, none in development.",
    )
    bytes_in_flight: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=16 * 1024 * 1024 * 1024,
        description="Bytes of payloads on their way to receivers at the same time.",
    )
    kept_response_bytes: int = Field(
        default=16384,
        ge=0,
        le=65536,
        description="How much of a receiver's answer is kept with the attempt; 0 keeps nothing"
        " but the status.",
    )
    migrate: bool = Field(
        default=True,
        description="Bring the database to this version's schema at start; without, an older one"
        " is refused.",
    )
    retention: Span = Field(
        default="30d", description="How long finished events are kept; off keeps them for ever."
    )
    disable_after: Span = Field(
        default="5d",
        description="How long a subscription's deliveries may only fail before it is disabled.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged; debug adds every delivery."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="json: one object a line. console: for people. auto: json in production.",
    )
    ops_listen: Page = Field(
        default=OFF,
        description="The address to serve /metrics, /live and /ready on over HTTP; off: nowhere.",
    )
    metrics_tenants: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Tenants with figures of their own in the metrics; 0: no tenant is named.",
    )
    traces: bool = Field(
        default=False,
        description="Make OpenTelemetry traces; the OTEL_ variables say where they go.",
    )
    stop_grace: float = Field(
        default=35.0,
        ge=0,
        le=3600,
        description="Seconds that running calls and requests get to finish at a stop.",
    )
    lease: float = Field(
        default=60.0,
        le=3600,
        description="Seconds after which a server that shows no sign of life loses its work to"
        " the others on the same PostgreSQL database, even where its connection is there.",
    )

    @model_validator(mode="after")
    def _can_send(self) -> Self:
        url = self.database_url.get_secret_value()
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError(f"{variable('database_url')} must begin with postgresql://")
        if self.lease <= SHORTEST_LEASE:
            raise ValueError(
                f"{variable('lease')} must be more than {SHORTEST_LEASE:g}: the longest request"
                " takes 30 seconds, and another server must not send it once more meanwhile"
            )
        if self.workers > 1:
            self._check_workers()
        return self

    def _check_workers(self) -> None:
        name = variable("workers")
        if not self.database_url.get_secret_value():
            raise ValueError(
                f"{name} needs PostgreSQL ({variable('database_url')}): a SQLite file belongs to"
                " one process"
            )
        if self.workers > PARTITIONS:
            raise ValueError(
                f"{name} must be at most {PARTITIONS}: subscriptions are in {PARTITIONS}"
                " partitions, and each belongs to one process"
            )
        if not self.has_page:
            return
        _, port = split_address(self.ops_listen)
        if port and port + self.workers - 1 > LARGEST_PORT:
            raise ValueError(
                f"{variable('ops_listen')} leaves no port for each of {self.workers} workers"
            )

    @property
    @override
    def is_development(self) -> bool:
        """Whether the profile in force is development."""
        return self.profile == "development"

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        is_json = {"json": True, "console": False, "auto": not self.is_development}
        return is_json[self.log_format]

    @property
    def has_page(self) -> bool:
        """Whether the operations page is served."""
        return self.ops_listen != OFF
