"""What can go wrong in a command itself."""

from webhooks_server.domain.errors import WebhooksError


class CommandFailed(WebhooksError):
    """The command could not do what was asked."""


class Misuse(WebhooksError):
    """The arguments do not fit together."""
