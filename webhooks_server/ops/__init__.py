"""What operators see and what the process lives by: the clock, logs and telemetry."""

from webhooks_server.ops.clock import SystemClock
from webhooks_server.ops.logs import LogConfig, configure_logs
from webhooks_server.ops.open import OpsConfig, open_ops
from webhooks_server.ops.telemetry import ServerTelemetry
from webhooks_server.ops.welcome import next_steps

__all__ = [
    "LogConfig",
    "OpsConfig",
    "ServerTelemetry",
    "SystemClock",
    "configure_logs",
    "next_steps",
    "open_ops",
]
