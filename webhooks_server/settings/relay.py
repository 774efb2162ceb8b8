"""The settings of a relay that serves a server elsewhere."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from webhooks_server.domain.addresses import is_loopback, split_address
from webhooks_server.domain.ids import is_lower_id
from webhooks_server.settings.client import ClientSettings
from webhooks_server.settings.egress import EgressValues
from webhooks_server.settings.kinds import DEFAULT_ADDRESS, KEPT_HEADER_BYTES

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


class RelaySettings(EgressValues, ClientSettings):
    """What such a relay needs; those that it shares with a server have the same names there."""

    server: Annotated[str, AfterValidator(_checked_server)] = Field(
        default=DEFAULT_ADDRESS, description="The server to send for: grpc://host:port."
    )
    relay_name: Annotated[str, AfterValidator(_checked_name)] = Field(
        default="", description="The name that attempts are recorded with; made up if unset."
    )
    slots: int = Field(
        default=256, ge=1, le=4096, description="Requests to receivers at the same time."
    )
    kept_response_bytes: int = Field(
        default=16384,
        ge=0,
        le=65536,
        description="How much of a receiver's answer is reported; 0 reports nothing but the"
        " status.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json: one object a line, as is auto. console: for people."
    )
    stop_grace: float = Field(
        default=35.0,
        ge=0,
        le=3600,
        description="Seconds that requests and their reports get to finish at a stop.",
    )

    @property
    def is_development(self) -> bool:
        """Whether the profile in force is development; auto: where the server is on loopback."""
        if self.profile == "auto":
            return is_loopback(self.server)
        return self.profile == "development"

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.log_format != "console"

    def relay_config(self) -> "RelayConfig":
        """Build the configuration of what sends."""
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
