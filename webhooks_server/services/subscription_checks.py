"""What must hold for every subscription that is stored (security.md, 5)."""

from collections.abc import Mapping, Sequence

from webhooks_server.domain import bounds
from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.secrets import Secret, signing_secret_problem, standard_key
from webhooks_server.domain.subscription import SignatureScheme, Subscription, SubscriptionConfig
from webhooks_server.domain.target_url import url_problem
from webhooks_server.services.violations import Violations


def check_subscription(subscription: Subscription, violations: Violations) -> None:
    """Check everything but the URL: which ones are allowed is the server's setting."""
    violations.add(
        "subscription.display_name",
        bounds.text_problem(subscription.display_name, bounds.MAX_DISPLAY_NAME),
    )
    violations.add("subscription.events", bounds.patterns_problem(subscription.events))
    violations.add("subscription.annotations", bounds.annotations_problem(subscription.annotations))
    for name, problem in bounds.retry_policy_problems(subscription.retry_policy).items():
        violations.add(f"subscription.retry_policy.{name}", problem)
    _check_config(subscription.config, violations)


def check_url(url: str, policy: EgressPolicy, violations: Violations) -> None:
    """Check the URL that requests go to."""
    has_length = 1 <= len(url) <= bounds.MAX_URL
    reason = "URL_NOT_ALLOWED" if has_length else "INVALID_FIELD"
    violations.add("subscription.config.url", url_problem(url, policy), reason)


def check_secret(secret: Secret, path: str, violations: Violations) -> None:
    """Check a signing secret that a caller supplies."""
    violations.add(path, signing_secret_problem(secret.reveal()))


def check_schemes(
    schemes: Sequence[SignatureScheme], secret: Secret, path: str, violations: Violations
) -> None:
    """Check that the secret can be used with the schemes."""
    if SignatureScheme.STANDARD_HMAC in schemes and standard_key(secret) is None:
        violations.add(
            path, "SIGNATURE_SCHEME_STANDARD_HMAC needs a secret of the form whsec_ and base64"
        )


def _check_config(config: SubscriptionConfig, violations: Violations) -> None:
    path = "subscription.config"
    check_schemes(config.signature_schemes, config.secret, f"{path}.signature_schemes", violations)
    secret_headers = {name: value.reveal() for name, value in config.secret_headers.items()}
    _check_headers(config.headers, f"{path}.headers", violations)
    _check_headers(secret_headers, f"{path}.secret_headers", violations)
    violations.add(
        f"{path}.headers",
        bounds.headers_problem([*config.headers.items(), *secret_headers.items()]),
    )
    if not bounds.MIN_TIMEOUT <= config.timeout <= bounds.MAX_TIMEOUT:
        violations.add(f"{path}.timeout", "must be 1s to 30s")
    if not 1 <= config.max_in_flight <= bounds.MAX_MAX_IN_FLIGHT:
        violations.add(
            f"{path}.max_in_flight",
            f"must be 1 to {bounds.MAX_MAX_IN_FLIGHT}, or 0 for the default",
        )
    if not 0 <= config.max_requests_per_minute <= bounds.MAX_REQUESTS_PER_MINUTE:
        violations.add(
            f"{path}.max_requests_per_minute",
            f"must be 1 to {bounds.MAX_REQUESTS_PER_MINUTE}, or 0 for no limit",
        )


def _check_headers(headers: Mapping[str, str], path: str, violations: Violations) -> None:
    for name, value in headers.items():
        problem = bounds.header_name_problem(name)
        violations.add(path, problem)
        value_problem = None if problem else bounds.header_value_problem(value)
        # The name is a token by now and may be told; the value may be a credential and never is.
        violations.add(path, value_problem and f"the value of {name} {value_problem}")
