"""Compares what was promised, what arrived, and what the database and the server say of it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.faults.books import PENDING, Books
from tests.faults.ledger import Pair, Publications, Receipt

ON_ITS_WAY = 0.2
"""Seconds in which a request that somebody sent before it died may still arrive. Nobody takes
over its work that soon."""
_SHOWN = 5
_AROUND = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A process that was killed, and what it still had to deliver at that moment.

    `pending` has how many attempts of each delivery were on record.
    """

    victim: str
    moment: float
    pending: Mapping[Pair, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a run has left behind."""

    publications: Publications
    receipts: Sequence[Receipt]
    books: Books
    violations: Sequence[str]
    """What the server's Audit says."""
    kills: Sequence[Kill] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of a run. The first three are what it is about."""

    lost: int
    """Promised deliveries that never arrived and that nobody is going to send."""
    duplicates: int
    """Requests beyond the first that the receiver took."""
    stuck: int
    """Deliveries that are still pending although all others have come to their end."""
    in_flight_at_kills: int
    """Requests that had arrived without being on record when their sender was killed."""
    unexplained_duplicates: int
    """Deliveries that arrived more often than once and that no kill had found in flight."""
    contradictions: tuple[str, ...] = ()
    """What else does not fit together."""
    acknowledged: int
    delivered: int
    kills: int

    def check(self) -> None:
        """Raise AssertionError unless the promise was kept."""
        assert self.contradictions == (), self
        assert (self.lost, self.stuck, self.unexplained_duplicates) == (0, 0, 0), self
        assert self.duplicates <= self.in_flight_at_kills, self

    def line(self, **facts: object) -> str:
        """Return everything as one line of JSON, with facts about the run before it."""
        share = round(self.duplicates / max(1, self.delivered), 5)
        return json.dumps(facts | asdict(self) | {"share_of_duplicates": share})


def figures(evidence: Evidence) -> Figures:
    """Compare everything with everything."""
    promised = evidence.publications.promised
    taken = Counter(receipt.pair for receipt in evidence.receipts if receipt.is_taken)
    pending = {row.pair for row in evidence.books.rows if row.state == PENDING}
    in_flight = [found_in_flight(kill, evidence.receipts) for kill in evidence.kills]
    explained = set().union(*in_flight)
    unexplained = {pair for pair, count in taken.items() if count > 1} - explained
    return Figures(
        lost=len(promised - taken.keys() - pending),
        duplicates=sum(taken.values()) - len(taken),
        stuck=len(pending),
        in_flight_at_kills=sum(map(len, in_flight)),
        unexplained_duplicates=len(unexplained),
        contradictions=(*_contradictions(evidence, taken), *_stories(evidence, unexplained)),
        acknowledged=len(evidence.publications.acknowledged),
        delivered=len(taken),
        kills=len(evidence.kills),
    )


def found_in_flight(kill: Kill, receipts: Iterable[Receipt]) -> set[Pair]:
    """Return what the victim had sent and not recorded.

    By the number of the attempt, and not by how many have arrived: one that was given up together
    with the relay elsewhere that had it is on record, whether or not it ever left.
    """
    return {
        receipt.pair
        for receipt in receipts
        if receipt.moment < kill.moment + ON_ITS_WAY
        and receipt.attempt > kill.pending.get(receipt.pair, receipt.attempt)
    }


def sent_again_after(kill: Kill, receipts: Iterable[Receipt]) -> dict[Pair, float]:
    """Return after how many seconds what the victim had left behind was sent."""
    found: dict[Pair, float] = {}
    for receipt in receipts:
        is_later = receipt.moment >= kill.moment + ON_ITS_WAY
        if is_later and receipt.pair in kill.pending and receipt.pair not in found:
            found[receipt.pair] = receipt.moment - kill.moment
    return found


def _stories(evidence: Evidence, pairs: set[Pair]) -> Iterable[str]:
    """Tell of deliveries when they arrived, and who was killed around that time."""
    for pair in sorted(pairs, key=str)[:_SHOWN]:
        receipts = [receipt for receipt in evidence.receipts if receipt.pair == pair]
        story = [
            (receipt.moment, f"attempt {receipt.attempt} arrived, answer {receipt.status}")
            for receipt in receipts
        ]
        begin, end = receipts[0].moment, receipts[-1].moment
        story += [
            (kill.moment, f"{kill.victim} killed, on record: {kill.pending.get(pair, 'not its')}")
            for kill in evidence.kills
            if begin - _AROUND < kill.moment < end + _AROUND
        ]
        told = [f"{moment - begin:+.3f} {what}" for moment, what in sorted(story)]
        yield f"{pair} arrived {len(receipts)} times: {'; '.join(told)}"


def _contradictions(evidence: Evidence, taken: Mapping[Pair, int]) -> Iterable[str]:
    publications, books = evidence.publications, evidence.books
    yield from evidence.violations
    missing = publications.acknowledged - books.events
    if missing:
        yield f"acknowledged events that are not stored: {_some(missing)}"
    rows: dict[Pair, int] = defaultdict(int)
    for row in books.rows:
        rows[row.pair] += 1
        if row.successes > taken.get(row.pair, 0):
            yield f"{row.pair} succeeded {row.successes} times, but never arrived so often"
    twice = {pair for pair, count in rows.items() if count > 1}
    if twice:
        yield f"pairs with more than one delivery: {_some(twice)}"
    unwanted = (rows.keys() | taken.keys()) - publications.wanted
    if unwanted:
        yield f"what nobody wanted: {_some(unwanted)}"
    absent = publications.promised - rows.keys()
    if absent:
        yield f"promised pairs without a delivery: {_some(absent)}"


def _some(found: Iterable[object]) -> str:
    shown = sorted(map(str, found))
    return f"{len(shown)}, such as {', '.join(shown[:_SHOWN])}"
