"""What a scrape or a probe of the operations page gets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from webhooks_server.domain.addresses import split_address

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, taken apart; a status of 0 where there was none."""

    status: int
    headers: Mapping[str, str]
    body: str


async def exchange(address: str, request: bytes, within: float = 5.0) -> Answer:
    """Send these bytes, and read what comes until the other side closes."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(*split_address(address))
        try:
            writer.write(request)
            data = await reader.read()
        except ConnectionError:
            data = b""
        finally:
            writer.close()
    return _answer(data.decode())


async def get(address: str, path: str, method: str = "GET") -> Answer:
    return await exchange(address, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def _answer(text: str) -> Answer:
    if not text:
        return Answer(status=0, headers={}, body="")
    head, _, body = text.partition("\r\n\r\n")
    line, *rest = head.split("\r\n")
    headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
    return Answer(status=int(line.split(" ")[1]), headers=headers, body=body)


def parsed(text: str) -> dict[Series, float]:
    """Return all samples of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """The figures of one moment."""

    series: Mapping[Series, float]

    def value(self, name: str, **labels: str) -> float:
        """Return one of our figures; 0 where it has not been counted yet."""
        return self.series.get((f"webhooks_{name}", frozenset(labels.items())), 0.0)

    def has(self, name: str) -> bool:
        """Tell whether there is any figure of this name."""
        return any(one == f"webhooks_{name}" for one, _ in self.series)

    def total(self, name: str) -> float:
        """Return the sum over all labels."""
        return sum(value for (one, _), value in self.series.items() if one == f"webhooks_{name}")


async def scrape(address: str) -> Scrape:
    answer = await get(address, "/metrics")
    assert answer.status == 200, answer
    return Scrape(series=parsed(answer.body))
