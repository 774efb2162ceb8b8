"""The settings: the only place that reads the environment.

Every setting is an environment variable (`WEBHOOKS_DATA_DIR`) and an option of the commands that
use it (`--data-dir`); the option wins. docs/settings.md lists them, and a test holds it to this.
"""

from webhooks_server.settings.client import ClientSettings
from webhooks_server.settings.environment import option, variable
from webhooks_server.settings.relay import RelaySettings
from webhooks_server.settings.sending import SendingSettings
from webhooks_server.settings.server import Settings

__all__ = [
    "ClientSettings",
    "RelaySettings",
    "SendingSettings",
    "Settings",
    "option",
    "variable",
]
