"""The settings of a server."""

from typing import Self

from pydantic import Field, model_validator
from typing_extensions import override

from webhooks_server.domain.addresses import is_loopback
from webhooks_server.domain.bounds import LARGEST_PAYLOAD_SETTING, MAX_PAYLOAD_BYTES
from webhooks_server.settings.kinds import DEFAULT_ADDRESS, Address
from webhooks_server.settings.sending import SendingSettings


class ServerValues(SendingSettings):
    """What a server needs to know."""

    listen: Address = Field(
        default=DEFAULT_ADDRESS,
        description="The address to serve gRPC on; port 0 takes any free one.",
    )
    plaintext: bool = Field(
        default=False,
        description="Listen beyond loopback although calls are neither encrypted nor"
        " authenticated: whoever reaches the port rules the server.",
    )
    max_payload_bytes: int = Field(
        default=MAX_PAYLOAD_BYTES,
        ge=1,
        le=LARGEST_PAYLOAD_SETTING,
        description="The largest payload of an event; at most 3 MiB.",
    )
    relay: bool = Field(
        default=True, description="Send to receivers; without, attached relays alone do that."
    )
    reflection: bool = Field(
        default=True, description="Describe the contract to tools such as grpcurl."
    )
    max_concurrent_calls: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Calls at the same time; more are answered UNAVAILABLE.",
    )
    connection_age: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="Seconds after which a connection is asked to make way for a new one, so that"
        " callers spread over the servers there are; 0: never.",
    )
    connection_age_grace: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Seconds that the calls of such a connection get to finish.",
    )
    drain_delay: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="Seconds between reporting NOT_SERVING and refusing calls at a stop, for load"
        " balancers to notice.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if is_loopback(self.listen):
            return self
        if not self.plaintext:
            raise ValueError(
                f"the server would listen on {self.listen}, beyond this machine, and calls are"
                " neither encrypted nor authenticated; where the network is trusted, say"
                " WEBHOOKS_PLAINTEXT=true (--plaintext)"
            )
        if self.profile == "development":
            raise ValueError(
                f"the profile is development, which lets callers reach this machine, and"
                f" {self.listen} is open to others; choose production or listen on loopback"
            )
        return self

    @property
    @override
    def is_development(self) -> bool:
        """Whether the profile in force is development."""
        if self.profile == "auto":
            return is_loopback(self.listen)
        return self.profile == "development"
