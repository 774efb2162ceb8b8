"""Ten thousand documents from JSON Lines, through the real commands, byte for byte."""

import json
from pathlib import Path

import pytest

from tests.harness.command_line import Serving, finish, run, serving, start
from tests.harness.documents import DEEPEST, json_documents
from tests.harness.receiver import Receiver
from tests.harness.signed import see_signed, subscribe_at
from tests.harness.waiting import until_async
from webhooks_server.domain.bounds import MAX_PAYLOAD_BYTES

pytestmark = pytest.mark.long

COUNT = 10_000
WITHIN = 40.0
# Each of these stands in some hundred of the documents.
CURIOSITIES = ("🦉", r"\uD800", r"\/", "1e400", '"" :', "\t", "\r", "\n", "שלום", r"\u0000")


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    made = enumerate(json_documents(COUNT, seed=2))
    return {f"document-{number}": text for number, text in made}


def test_the_documents_are_as_various_as_they_are_meant_to_be(documents: dict[str, str]) -> None:
    assert len(documents) == COUNT
    sizes = [len(text.encode()) for text in documents.values()]
    assert (min(sizes), max(sizes)) == (2, MAX_PAYLOAD_BYTES)
    assert sizes.count(MAX_PAYLOAD_BYTES) == 8
    assert "[" * DEEPEST + "]" * DEEPEST in documents.values()
    for curiosity in CURIOSITIES:
        assert sum(curiosity in text for text in documents.values()) > 100, curiosity
    long_numbers = [text for text in documents.values() if _longest_number(text) == 5000]
    assert len(long_numbers) > 100
    # Both keys are there: a parser that keeps one of them loses bytes.
    assert sum(_has_a_key_twice(text) for text in documents.values()) > 100


def _longest_number(text: str) -> int:
    lengths = [0]
    json.loads(text, parse_int=lambda digits: lengths.append(len(digits)))
    return max(lengths)


def _has_a_key_twice(text: str) -> bool:
    found = []

    def see(pairs: list[tuple[str, object]]) -> None:
        found.append(len({key for key, _ in pairs}) < len(pairs))

    json.loads(text, parse_int=str, object_pairs_hook=see)
    return any(found)


def line(name: str, text: str) -> str:
    """A line that holds a document as it is, or in a string where it has line feeds itself."""
    data = f'"data_json":{json.dumps(text)}' if "\n" in text else f'"data": {text}'
    return f'{{"event_type":"document.made","event_id":"{name}",{data} }}\n'


async def test_ten_thousand_documents_arrive_once_byte_for_byte_and_well_signed(
    documents: dict[str, str], tmp_path: Path, receiver: Receiver
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes("".join(line(*document) for document in documents.items()).encode())
    async with serving(tmp_path / "data") as server:
        secret = await subscribe_at(server.address, receiver.url)
        there = ("--server", server.address)
        published = await finish(await start("publish", "--file", str(path), *there), within=WITHIN)
        assert (published.status, published.err) == (0, "")
        assert published.out == f"accepted {COUNT}, duplicate 0, refused 0\n"
        await receiver.got(COUNT, within=WITHIN)
        await see_all_succeeded(server)

    assert len(receiver.requests) == COUNT
    bodies = {request.headers["webhook-id"]: request.body for request in receiver.requests}
    wrong = [name for name, text in documents.items() if bodies.get(name) != text.encode()]
    assert wrong == []
    for request in receiver.requests:
        see_signed(request, secret)


async def see_all_succeeded(server: Serving) -> None:
    """See that the audit counts each event as delivered by one attempt, and finds nothing wrong."""
    counts: dict[str, object] = {}

    async def none_pending() -> bool:
        audited = await run("audit", "--json", "--server", server.address)
        assert audited.status == 0, audited.out
        counts.update(audited.json)
        return counts["pending"] == 0

    await until_async(none_pending)
    expected = dict.fromkeys(("events", "deliveries", "succeeded", "attempts"), COUNT)
    assert counts.items() >= (expected | {"pending": 0, "failed": 0}).items()
    assert counts["violations"] == []
