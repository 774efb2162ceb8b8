"""The settings of the commands that talk to a server."""

from pydantic import Field

from webhooks_server.settings.environment import Environment
from webhooks_server.settings.kinds import DEFAULT_ADDRESS, Address


class ClientSettings(Environment):
    """What the commands that talk to a server need."""

    server: Address = Field(default=DEFAULT_ADDRESS, description="The server to call.")
