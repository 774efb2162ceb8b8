"""The settings of a relay: of one that shares a database, or serves a server elsewhere."""

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field
from typing_extensions import override

from webhooks_server.domain.addresses import is_loopback, split_address
from webhooks_server.domain.ids import is_lower_id
from webhooks_server.settings.kinds import DEFAULT_ADDRESS, KEPT_HEADER_BYTES
from webhooks_server.settings.sending import SendingSettings

if TYPE_CHECKING:
    from webhooks_server.relay.http import RelayConfig
    from webhooks_server.rpc.client.remote_relay import RemoteRelayConfig


def _checked_server(value: str) -> str:
    scheme, separator, address = value.rpartition("://")
    if scheme == "grpcs":
        raise ValueError("must be grpc://host:port: grpcs, with TLS, is not supported yet")
    if separator and scheme != "grpc":
        raise ValueError("must be grpc://host:port")
    split_address(address)
    return address


def _checked_name(value: str) -> str:
    if value and not is_lower_id(value):
        raise ValueError("must be 1 to 63 of a-z, 0-9, - and _, and begin with a letter or digit")
    return value


class RelaySettings(SendingSettings):
    """What a relay needs; what it shares with a server has the same names there."""

    server: Annotated[str, AfterValidator(_checked_server)] = Field(
        default=DEFAULT_ADDRESS, description="The server to send for: grpc://host:port."
    )
    relay_name: Annotated[str, AfterValidator(_checked_name)] = Field(
        default="",
        description="The name that attempts are recorded with, with --server; made up if unset.",
    )

    @property
    @override
    def is_development(self) -> bool:
        """Whether the profile in force is development; auto: where a server on loopback is it."""
        if self.profile == "auto":
            return is_loopback(self.server_address) and not self.database_url.get_secret_value()
        return self.profile == "development"

    @property
    def server_address(self) -> str:
        """The server's `host:port`."""
        return self.server.rpartition("://")[2]

    @property
    def has_sqlite_file(self) -> bool:
        """Whether there is a database in the data directory."""
        from webhooks_server.storage.sql.config import DATABASE_NAME  # noqa: PLC0415

        return (self.data_dir / DATABASE_NAME).exists()

    def away_config(self) -> "RelayConfig":
        """Build the configuration of what sends for a server elsewhere, which keeps the caps."""
        from webhooks_server.relay.http import RelayConfig  # noqa: PLC0415

        return RelayConfig(
            egress=self.egress_policy,
            concurrency=self.slots + self._excess(),
            kept_body_bytes=self.kept_response_bytes,
            kept_header_bytes=KEPT_HEADER_BYTES if self.kept_response_bytes else 0,
        )

    def remote_config(self, name: str) -> "RemoteRelayConfig":
        """Build the configuration of the relay, with this name where none is set."""
        from webhooks_server.rpc.client.remote_relay import RemoteRelayConfig  # noqa: PLC0415

        return RemoteRelayConfig(
            server=self.server,
            relay=self.relay_name or name,
            slots=self.slots,
            excess=self._excess(),
            stop_grace=self.stop_grace,
        )

    def _excess(self) -> int:
        from webhooks_server.services.pings import MAX_PINGS  # noqa: PLC0415

        return MAX_PINGS
