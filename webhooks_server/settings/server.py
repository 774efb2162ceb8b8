"""The configuration of each component of a server, from the settings."""

from typing import TYPE_CHECKING

from typing_extensions import override

from webhooks_server.settings.server_values import ServerValues

if TYPE_CHECKING:
    from webhooks_server.rpc.server import ServerConfig
    from webhooks_server.services import ServicesConfig


class Settings(ServerValues):
    """What a server needs; builds the configuration of each of its components."""

    def services_config(self) -> "ServicesConfig":
        """Build the configuration of the use cases."""
        from webhooks_server.services import ServicesConfig  # noqa: PLC0415

        return ServicesConfig(max_payload_bytes=self.max_payload_bytes, egress=self.egress_policy)

    def server_config(self, *, shares_port: bool = False) -> "ServerConfig":
        """Build the configuration of the gRPC server."""
        from webhooks_server.rpc.server import ServerConfig  # noqa: PLC0415

        return ServerConfig(
            listen=self.listen,
            shares_port=shares_port,
            connection_age=self.connection_age,
            connection_grace=self.connection_age_grace,
            reflection=self.reflection,
            max_concurrent_calls=self.max_concurrent_calls,
            max_payload_bytes=self.max_payload_bytes,
            kept_response_bytes=self.kept_response_bytes,
        )

    @override
    def _own_listeners(self) -> tuple[str, ...]:
        return (self.listen, *super()._own_listeners())
