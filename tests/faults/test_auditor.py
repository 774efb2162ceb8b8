"""The auditor finds what it is there for, in a real server's books and a real receiver's ledger."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.faults.auditing import Evidence, Figures, Kill, figures
from tests.faults.books import SUCCEEDED, Books, Row, Sqlite
from tests.faults.ledger import Ledger, Pair, Publications, Receipt, Receipts
from tests.faults.processes import controlling
from tests.faults.publishing import Load
from tests.faults.receiving import open_receiver
from tests.faults.run import Run

ONE = Pair(event="one", subscription="lane0")
TWO = Pair(event="two", subscription="lane0")


def receipt(pair: Pair, moment: float, status: int = 200, attempt: int = 1) -> Receipt:
    return Receipt(moment=moment, pair=pair, attempt=attempt, status=status)


def audited(*receipts: Receipt, kills: tuple[Kill, ...] = (), successes: int = 1) -> Figures:
    """Audit a run in which ONE was acknowledged, TWO was not, and all is on record."""
    row = Row(pair=ONE, state=SUCCEEDED, attempts=1, successes=successes)
    publications = Publications(wanted=frozenset({ONE, TWO}), acknowledged=frozenset({ONE.event}))
    return figures(
        Evidence(
            publications=publications,
            receipts=receipts,
            books=Books(events=frozenset({ONE.event}), rows=[row]),
            violations=[],
            kills=kills,
        )
    )


def kill(moment: float, attempts: int = 0) -> Kill:
    return Kill(victim="relay", moment=moment, pending={ONE: attempts})


def test_a_clean_run_passes() -> None:
    audited(receipt(ONE, 1)).check()


def test_a_request_that_failed_is_no_duplicate() -> None:
    audited(receipt(ONE, 1, status=500), receipt(ONE, 2)).check()


def test_a_duplicate_is_explained_by_a_kill_that_found_it_in_flight() -> None:
    found = audited(receipt(ONE, 1), receipt(ONE, 3), kills=(kill(1.1),))
    assert (found.duplicates, found.in_flight_at_kills) == (1, 1)
    found.check()


def test_an_attempt_that_was_given_up_and_never_arrived_hides_no_later_one_in_flight() -> None:
    arrived = receipt(ONE, 1, attempt=2), receipt(ONE, 3, attempt=2)
    found = audited(*arrived, kills=(kill(1.1, attempts=1),))
    assert (found.duplicates, found.in_flight_at_kills) == (1, 1)
    found.check()


@pytest.mark.parametrize("kills", [(), (kill(0.5),), (kill(1.1, attempts=1),)])
def test_a_duplicate_that_no_kill_found_in_flight_does_not_pass(kills: tuple[Kill, ...]) -> None:
    found = audited(receipt(ONE, 1), receipt(ONE, 3), kills=kills)
    assert (found.duplicates, found.unexplained_duplicates) == (1, 1)
    with pytest.raises(AssertionError):
        found.check()


def test_one_kill_explains_one_duplicate() -> None:
    found = audited(*(receipt(ONE, moment) for moment in (1, 3, 5)), kills=(kill(1.1),))
    with pytest.raises(AssertionError):
        found.check()


@pytest.mark.parametrize(("status", "successes"), [(500, 0), (200, 2)])
def test_what_never_arrived_does_not_pass(status: int, successes: int) -> None:
    found = audited(receipt(ONE, 1, status=status), successes=successes)
    assert found.lost == (status == 500)
    with pytest.raises(AssertionError):
        found.check()


def test_a_line_that_is_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    receipts = Receipts(ledger.path)
    ledger.write([(1.5, "one", "lane0", 1, 200)])
    with ledger.path.open("a") as file:
        file.write("2.5\ttwo\tlane")
    assert receipts.all() == [receipt(ONE, 1.5)]
    with ledger.path.open("a") as file:
        file.write("0\t1\t200\n")
    assert receipts.all() == [receipt(ONE, 1.5), receipt(TWO, 2.5)]
    ledger.close()


@pytest.mark.long
async def test_a_delivery_lost_doubled_or_stuck_in_a_real_server_is_caught(tmp_path: Path) -> None:
    data, ledger = tmp_path / "data", tmp_path / "receiver.ledger"
    async with (
        open_receiver(ledger) as receiver,
        controlling(tmp_path, {"WEBHOOKS_DATA_DIR": str(data)}) as controller,
    ):
        run = Run("self-test", tmp_path, receiver, controller, Sqlite(data), seed=7)
        server = await controller.serve("server")
        await run.subscribe(server.address, 3)
        load = Load(seed=7, subscriptions=3, events=20, batch=3)
        async with run.publishing(load, [server.address]) as publisher:
            await publisher.finished.wait()
        await run.settle(server.address)
        await server.stop()
        run.audit([]).check()

        lost = tamper(data)
        kept = [line for line in ledger.read_text().splitlines(True) if f"\t{lost}\t" not in line]
        ledger.write_text("".join(kept))
        receiver.receipts = Receipts(ledger)
        server = await controller.serve("server")
        await run.settle(server.address, standstill=1.0)
        violations = await run.violations(server.address)
        await server.stop()
        found = run.audit(violations)

    assert (found.lost, found.duplicates, found.stuck) == (1, 1, 1)
    assert found.unexplained_duplicates == 1
    # The server's own audit sees that a row is missing.
    assert any("matched 1 subscriptions, but has 0" in one for one in found.contradictions)
    with pytest.raises(AssertionError):
        found.check()


def tamper(data: Path) -> str:
    """Lose one delivery, let one be sent again, and one never; returns the event of the first."""
    (file,) = data.glob("*.db")
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        rows = connection.execute("SELECT seq, event_seq FROM deliveries LIMIT 3").fetchall()
        (lost, event), (doubled, _), (stuck, _) = rows
        connection.execute("DELETE FROM deliveries WHERE seq = ?", (lost,))
        again = "UPDATE deliveries SET state = 1, attempt_count = 0, complete_time = NULL"
        connection.execute(f"{again} WHERE seq = ?", (doubled,))
        connection.execute(f"{again}, due_time = {2**60} WHERE seq = ?", (stuck,))
        forget = "DELETE FROM attempts WHERE delivery_seq IN (?, ?, ?)"
        connection.execute(forget, (lost, doubled, stuck))
        (name,) = connection.execute("SELECT id FROM events WHERE seq = ?", (event,)).fetchone()
    return str(name)
