"""The configuration of each component that sends, from the settings."""

from typing import TYPE_CHECKING

from webhooks_server import __version__
from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.secrets import Secret
from webhooks_server.settings.kinds import KEPT_HEADER_BYTES, span_seconds
from webhooks_server.settings.sending_values import SendingValues

if TYPE_CHECKING:
    from webhooks_server.engine import EngineConfig
    from webhooks_server.relay.http import RelayConfig
    from webhooks_server.storage.postgres import PostgresConfig
    from webhooks_server.storage.sql import SqliteConfig

HOST_IN_FLIGHT = 64
HOST_REQUESTS_PER_SECOND = 200


class SendingSettings(SendingValues):
    """What a process that sends needs; builds the configuration of each of its components."""

    # The components are imported where a server is built: `publish` needs none of their libraries.

    def sqlite_config(self) -> "SqliteConfig":
        """Build the configuration of the storage where it is SQLite."""
        from webhooks_server.storage.sql import SqliteConfig  # noqa: PLC0415

        return SqliteConfig(data_dir=self.data_dir, migrate=self.migrate)

    def postgres_config(self) -> "PostgresConfig | None":
        """Build the configuration of the storage where it is PostgreSQL."""
        url = self.database_url.get_secret_value()
        if not url:
            # Its driver takes a fifth of a second to import.
            return None
        from webhooks_server.storage.postgres.config import PostgresConfig  # noqa: PLC0415

        return PostgresConfig(url=Secret(url), migrate=self.migrate)

    def relay_config(self) -> "RelayConfig":
        """Build the configuration of the relay."""
        from webhooks_server.relay.http import RelayConfig  # noqa: PLC0415
        from webhooks_server.services.pings import MAX_PINGS  # noqa: PLC0415

        return RelayConfig(
            egress=self.egress_policy,
            own=tuple(split_address(address) for address in self._own_listeners()),
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
            retention=span_seconds(self.retention),
            disable_after=span_seconds(self.disable_after),
            hosts=HostCaps(
                self._cap(self.host_in_flight, HOST_IN_FLIGHT),
                self._cap(self.host_requests_per_second, HOST_REQUESTS_PER_SECOND),
            ),
            bytes_in_flight=self.bytes_in_flight,
            lease=self.lease,
        )

    def _own_listeners(self) -> tuple[str, ...]:
        return (self.ops_listen,) if self.has_page else ()

    def _cap(self, value: str, in_production: int) -> int:
        if value == "auto":
            return 0 if self.is_development else in_production
        return int(value)
