"""The memory twin: the same contract on plain dicts, to try and to test with; nothing survives."""

from webhooks_server.storage.memory.open import open_memory

__all__ = ["open_memory"]
