"""The kinds of values that more than one setting has."""

from typing import Annotated

from pydantic import AfterValidator

from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.egress import listed_host_problem, parse_networks
from webhooks_server.domain.spans import parse_span
from webhooks_server.domain.times import seconds

OFF = "off"
DEFAULT_ADDRESS = "127.0.0.1:50051"
KEPT_HEADER_BYTES = 8192
LARGEST_CAP = 1_000_000


def _checked_address(value: str) -> str:
    split_address(value)
    return value


def _checked_span(value: str) -> str:
    parse_span(value)
    return value


def _checked_page(value: str) -> str:
    if value != OFF:
        split_address(value)
    return value


def _checked_cap(value: str) -> str:
    is_number = value.isascii() and value.isdecimal() and len(value) <= len(str(LARGEST_CAP))
    if value != "auto" and not (is_number and int(value) <= LARGEST_CAP):
        raise ValueError(f"must be auto or 0 to {LARGEST_CAP}")
    return value


def _checked_networks(value: str) -> str:
    parse_networks(listed(value))
    return value


def _checked_hosts(value: str) -> str:
    for host in listed(value):
        problem = listed_host_problem(host)
        if problem is not None:
            raise ValueError(problem)
    return value


def listed(value: str) -> tuple[str, ...]:
    """Return the parts of a list with commas, in lower case."""
    return tuple(part.strip().lower() for part in value.split(",") if part.strip())


Address = Annotated[str, AfterValidator(_checked_address)]
Cap = Annotated[str, AfterValidator(_checked_cap)]
Hosts = Annotated[str, AfterValidator(_checked_hosts)]
Networks = Annotated[str, AfterValidator(_checked_networks)]
Page = Annotated[str, AfterValidator(_checked_page)]
Span = Annotated[str, AfterValidator(_checked_span)]


def span_seconds(value: str) -> float | None:
    """Return a span in seconds; None where it is off."""
    span = parse_span(value)
    return None if span is None else seconds(span)
