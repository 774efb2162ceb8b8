"""The settings: the only place that reads the environment.

Every setting is an environment variable (`WEBHOOKS_DATA_DIR`) and an option of the commands that
use it (`--data-dir`); the option wins. docs/settings.md lists them, and a test holds it to this.
"""

import difflib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from webhooks_server import __version__
from webhooks_server.domain.addresses import is_loopback, split_address
from webhooks_server.domain.bounds import LARGEST_PAYLOAD_SETTING, MAX_PAYLOAD_BYTES, MAX_TIMEOUT
from webhooks_server.domain.errors import InvalidSettings
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.spans import parse_span
from webhooks_server.domain.target_url import UrlPolicy
from webhooks_server.domain.times import seconds

if TYPE_CHECKING:
    from webhooks_server.engine import EngineConfig
    from webhooks_server.relay.http import RelayConfig
    from webhooks_server.rpc.server import ServerConfig
    from webhooks_server.services import ServicesConfig
    from webhooks_server.storage.postgres import PostgresConfig
    from webhooks_server.storage.sql import SqliteConfig

PREFIX = "WEBHOOKS_"
OFF = "off"
DEFAULT_ADDRESS = "127.0.0.1:50051"
KEPT_HEADER_BYTES = 8192
SHORTEST_LEASE = seconds(MAX_TIMEOUT) + 5
"""In seconds; a lease is longer (reliability T4)."""
LARGEST_CAP = 1_000_000
HOST_IN_FLIGHT = 64
HOST_REQUESTS_PER_SECOND = 200
ELSEWHERE = ("relay_name",)  # of a command whose settings have a module of their own

Source = Literal["default", "environment", "option"]


def _checked_address(value: str) -> str:
    split_address(value)
    return value


def _checked_span(value: str) -> str:
    parse_span(value)
    return value


def _checked_page(value: str) -> str:
    if value != OFF:
        split_address(value)
    return value


def _checked_cap(value: str) -> str:
    is_number = value.isascii() and value.isdecimal() and len(value) <= len(str(LARGEST_CAP))
    if value != "auto" and not (is_number and int(value) <= LARGEST_CAP):
        raise ValueError(f"must be auto or 0 to {LARGEST_CAP}")
    return value


Address = Annotated[str, AfterValidator(_checked_address)]
Cap = Annotated[str, AfterValidator(_checked_cap)]
Span = Annotated[str, AfterValidator(_checked_span)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One setting as it holds: its variable, its value as text, and where that came from."""

    variable: str
    value: str
    source: Source


class _Environment(BaseSettings):
    """Values from options, then from the environment, then the defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    _options: frozenset[str] = PrivateAttr(default=frozenset())

    def __init__(self, **options: object) -> None:
        """Take what was given as options; raises InvalidSettings, which names what is wrong."""
        _refuse_unknown_variables()
        try:
            super().__init__(**cast("dict[str, Any]", options))
        except ValidationError as error:
            raise InvalidSettings("; ".join(_problems(error, frozenset(options)))) from None
        self._options = frozenset(options)

    def effective(self) -> Iterator[Effective]:
        """Yield every setting as it holds; a secret shows as asterisks."""
        for field in type(self).model_fields:
            yield Effective(
                variable=variable(field), value=self._text(field), source=self.source(field)
            )

    def chosen(self) -> str:
        """Return those that are not defaults as `name=value …`, each value quoted where needed."""
        return " ".join(
            f"{one.variable}={shlex.quote(one.value)}"
            for one in self.effective()
            if one.source != "default"
        )

    def source(self, field: str) -> Source:
        """Tell where a setting's value comes from."""
        if field in self._options:
            return "option"
        return "environment" if field in self.model_fields_set else "default"

    def _text(self, field: str) -> str:
        value = getattr(self, field)
        return str(value).lower() if isinstance(value, bool) else str(value)


class ClientSettings(_Environment):
    """What the commands that talk to a server need."""

    server: Address = Field(default=DEFAULT_ADDRESS, description="The server to call.")


class Settings(_Environment):
    """What a server needs; builds the configuration of each of its components."""

    listen: Address = Field(
        default=DEFAULT_ADDRESS,
        description="The address to serve gRPC on; port 0 takes any free one.",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="The directory of the database. One server owns it at a time.",
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="The PostgreSQL database, postgresql://user:password@host/name; or SQLite.",
    )
    profile: Literal["auto", "development", "production"] = Field(
        default="auto",
        description="What subscriptions may target. development: http and https, this machine too."
        " production: https only. auto: development while the server listens on loopback.",
    )
    egress_allow_http: bool = Field(
        default=False, description="Allow http:// targets in production too."
    )
    plaintext: bool = Field(
        default=False,
        description="Listen beyond loopback although calls are neither encrypted nor"
        " authenticated: whoever reaches the port rules the server.",
    )
    max_payload_bytes: int = Field(
        default=MAX_PAYLOAD_BYTES,
        ge=1,
        le=LARGEST_PAYLOAD_SETTING,
        description="The largest payload of an event; at most 3 MiB.",
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
    relay: bool = Field(
        default=True, description="Send to receivers; without, attached relays alone do that."
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
    reflection: bool = Field(
        default=True, description="Describe the contract to tools such as grpcurl."
    )
    max_concurrent_calls: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Calls at the same time; more are answered UNAVAILABLE.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged; debug adds every delivery."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="json: one object a line. console: for people. auto: json in production.",
    )
    ops_listen: Annotated[str, AfterValidator(_checked_page)] = Field(
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
    drain_delay: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Seconds between reporting NOT_SERVING and refusing calls at a stop, for load"
        " balancers to notice.",
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
    def _fits_together(self) -> Self:
        url = self.database_url.get_secret_value()
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError(f"{variable('database_url')} must begin with postgresql://")
        if self.lease <= SHORTEST_LEASE:
            raise ValueError(
                f"{variable('lease')} must be more than {SHORTEST_LEASE:g}: the longest request"
                " takes 30 seconds, and another server must not send it once more meanwhile"
            )
        if is_loopback(self.listen):
            return self
        if not self.plaintext:
            raise ValueError(
                f"the server would listen on {self.listen}, beyond this machine, and calls are"
                " neither encrypted nor authenticated; where the network is trusted, say"
                " WEBHOOKS_PLAINTEXT=true (--plaintext)"
            )
        if self.profile == "development":
            raise ValueError(
                f"the profile is development, which lets callers reach this machine, and"
                f" {self.listen} is open to others; choose production or listen on loopback"
            )
        return self

    @property
    def is_development(self) -> bool:
        """Whether the profile in force is development."""
        if self.profile == "auto":
            return is_loopback(self.listen)
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

    @property
    def url_policy(self) -> UrlPolicy:
        """What subscriptions may target."""
        development = self.is_development
        return UrlPolicy(
            allow_http=development or self.egress_allow_http, allow_loopback=development
        )

    def _cap(self, value: str, in_production: int) -> int:
        if value == "auto":
            return 0 if self.is_development else in_production
        return int(value)

    # The components are imported where a server is built: `publish` needs none of their libraries.

    def sqlite_config(self) -> "SqliteConfig":
        """Build the configuration of the storage where it is SQLite."""
        from webhooks_server.storage.sql import SqliteConfig  # noqa: PLC0415

        return SqliteConfig(data_dir=self.data_dir, migrate=self.migrate)

    def postgres_config(self) -> "PostgresConfig | None":
        """Build the configuration of the storage where it is PostgreSQL."""
        from webhooks_server.storage.postgres.config import PostgresConfig  # noqa: PLC0415

        url = Secret(self.database_url.get_secret_value())
        return PostgresConfig(url=url, migrate=self.migrate) if url.reveal() else None

    def relay_config(self) -> "RelayConfig":
        """Build the configuration of the relay."""
        from webhooks_server.relay.http import RelayConfig  # noqa: PLC0415
        from webhooks_server.services.pings import MAX_PINGS  # noqa: PLC0415

        return RelayConfig(
            concurrency=self.slots + MAX_PINGS,
            kept_body_bytes=self.kept_response_bytes,
            kept_header_bytes=KEPT_HEADER_BYTES if self.kept_response_bytes else 0,
            address_in_flight=self._cap(self.host_in_flight, HOST_IN_FLIGHT),
            address_requests_per_second=self._cap(
                self.host_requests_per_second, HOST_REQUESTS_PER_SECOND
            ),
        )

    def engine_config(self, engine: str) -> "EngineConfig":
        """Build the configuration of the engine with this name."""
        from webhooks_server.engine import EngineConfig, HostCaps  # noqa: PLC0415

        return EngineConfig(
            engine=engine,
            user_agent=f"webhooks-server-hookshot/{__version__}",
            slots=self.slots,
            stop_grace=self.stop_grace,
            retention=_span_seconds(self.retention),
            disable_after=_span_seconds(self.disable_after),
            hosts=HostCaps(
                self._cap(self.host_in_flight, HOST_IN_FLIGHT),
                self._cap(self.host_requests_per_second, HOST_REQUESTS_PER_SECOND),
            ),
            bytes_in_flight=self.bytes_in_flight,
            lease=self.lease,
        )

    def services_config(self) -> "ServicesConfig":
        """Build the configuration of the use cases."""
        from webhooks_server.services import ServicesConfig  # noqa: PLC0415

        return ServicesConfig(max_payload_bytes=self.max_payload_bytes, url_policy=self.url_policy)

    def server_config(self) -> "ServerConfig":
        """Build the configuration of the gRPC server."""
        from webhooks_server.rpc.server import ServerConfig  # noqa: PLC0415

        return ServerConfig(
            listen=self.listen,
            reflection=self.reflection,
            max_concurrent_calls=self.max_concurrent_calls,
            max_payload_bytes=self.max_payload_bytes,
            kept_response_bytes=self.kept_response_bytes,
        )


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + field.upper()


def option(field: str) -> str:
    """Return the command line option of a setting."""
    return "--" + field.replace("_", "-")


def _span_seconds(value: str) -> float | None:
    span = parse_span(value)
    return None if span is None else seconds(span)


def _refuse_unknown_variables() -> None:
    fields = (*ClientSettings.model_fields, *Settings.model_fields, *ELSEWHERE)
    known = [variable(field) for field in fields]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise InvalidSettings(f"{name} is not a setting; did you mean {near[0]}?")


def _problems(error: ValidationError, options: frozenset[str]) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        text = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not problem["loc"]:
            yield text
            continue
        field = str(problem["loc"][0])
        named = option(field) if field in options else variable(field)
        yield f"{named} must be {text.removeprefix('must be ')}"
