"""A receiver that only fails, and how long that is borne (api.md 2.3)."""

from webhooks_server.domain.times import Micros
from webhooks_server.domain.values import value

EXHAUSTED_AT_LEAST = 10
"""So that a subscription with one slow retry after the other is not disabled for two deliveries."""


@value
class Failures:
    """The attempts of a subscription since its last success, all of which failed.

    `lasting` is how long ago the first of them was recorded, `exhausted_count` how many deliveries
    they gave up.
    """

    lasting: Micros
    exhausted_count: int


def is_hopeless(failures: Failures, most: Micros) -> bool:
    """Tell whether a subscription is to be disabled that may fail for so long."""
    return failures.lasting >= most and failures.exhausted_count >= EXHAUSTED_AT_LEAST
