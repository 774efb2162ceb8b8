"""What the receivers of the tests need: they are all on this machine."""

from webhooks_server.domain.egress import EgressPolicy

HERE = EgressPolicy(allow_http=True, allow_loopback=True)
