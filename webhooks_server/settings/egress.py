"""The settings of where requests may go, for whoever sends them."""

from abc import abstractmethod
from typing import Literal

from pydantic import Field

from webhooks_server.domain.egress import EgressPolicy, parse_networks
from webhooks_server.settings.environment import Environment
from webhooks_server.settings.kinds import Hosts, Networks, listed


class EgressValues(Environment):
    """What a server and a relay elsewhere both need to know about targets."""

    profile: Literal["auto", "development", "production"] = Field(
        default="auto",
        description="What subscriptions may target. development: http and https, this machine too."
        " production: https and public addresses only. auto: development while the server listens"
        " on loopback.",
    )
    egress_allow_http: bool = Field(
        default=False, description="Allow http:// targets in production too."
    )
    egress_allow_cidrs: Networks = Field(
        default="",
        description="Address ranges that may be targets although they are not public, such as"
        " 10.1.0.0/16,fd12::/32.",
    )
    egress_allow_hosts: Hosts = Field(
        default="",
        description="Host names that may be targets although they look internal, such as"
        " orders,*.apps.svc; their addresses have to be public or in egress_allow_cidrs.",
    )
    egress_allow_metadata: bool = Field(
        default=False,
        description="Let egress_allow_cidrs open the addresses of cloud metadata as well, where"
        " machines get their credentials.",
    )

    @property
    @abstractmethod
    def is_development(self) -> bool:
        """Whether the profile in force is development."""

    @property
    def egress_policy(self) -> EgressPolicy:
        """What requests may reach."""
        return EgressPolicy(
            allow_http=self.is_development or self.egress_allow_http,
            allow_loopback=self.is_development,
            allow_metadata=self.egress_allow_metadata,
            networks=parse_networks(listed(self.egress_allow_cidrs)),
            hosts=listed(self.egress_allow_hosts),
        )
