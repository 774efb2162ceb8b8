"""The engine.

Leases partitions, keeps lanes, decides which delivery is sent when, and records what came of it.
"""

from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.gates import HostCaps
from webhooks_server.engine.opening import run_engine
from webhooks_server.engine.running import RunningEngine

__all__ = ["EngineConfig", "HostCaps", "RunningEngine", "run_engine"]
