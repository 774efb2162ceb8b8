"""Verifies the signatures of a received request, with the receivers' own library."""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from standardwebhooks import Webhook, WebhookVerificationError

STANDARD = "webhook-signature"
HUB = "x-hub-signature-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one signature header turned out to be; without a problem it is right."""

    header: str
    problem: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.header} {self.problem or 'ok'}"


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> list[Verdict]:
    """Return a verdict on each signature that the secret can check; at least one.

    Headers are by name in lower case. A secret that is not `whsec_…` is good for the hub signature
    alone.
    """
    verdicts = list(_verdicts(secret, headers, body))
    return verdicts or [Verdict(header=STANDARD, problem="is missing")]


def _verdicts(secret: str, headers: Mapping[str, str], body: bytes) -> Iterator[Verdict]:
    if STANDARD in headers and secret.startswith("whsec_"):
        yield Verdict(header=STANDARD, problem=_standard_problem(secret, headers, body))
    if HUB in headers:
        yield Verdict(header=HUB, problem=_hub_problem(secret, headers[HUB], body))


def _standard_problem(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        return str(error).lower()
    except UnicodeDecodeError:
        return "the library standardwebhooks cannot check bodies that are not UTF-8"
    except ValueError:
        return "not a signature of Standard Webhooks"
    return ""


def _hub_problem(secret: str, given: str, body: bytes) -> str:
    expected = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    return "" if hmac.compare_digest(expected.encode(), given.encode()) else "does not match"
