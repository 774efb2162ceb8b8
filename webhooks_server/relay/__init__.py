"""The back door: performs one HTTP request and tells what came of it."""

from webhooks_server.relay.http import RelayConfig, open_relay

__all__ = ["RelayConfig", "open_relay"]
