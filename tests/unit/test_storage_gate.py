"""The gate between readers and the writer's checkpoint (engine.md, EC4)."""

import threading
import time

from webhooks_server.storage.sql.readers import Gate


def in_thread(work: "threading.Thread") -> "threading.Thread":
    work.start()
    return work


def test_readers_pass_together() -> None:
    gate = Gate()
    with gate.passed(), gate.passed():
        pass


def test_who_shuts_it_waits_for_those_inside() -> None:
    gate = Gate()
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        with gate.passed():
            entered.set()
            leave.wait(5)
            left.set()

    reader = in_thread(threading.Thread(target=read))
    assert entered.wait(5)
    threading.Timer(0.05, leave.set).start()
    with gate.shut(5):
        assert left.is_set()
    reader.join(5)


def test_but_not_for_ever() -> None:
    gate = Gate()
    begun = time.monotonic()
    with gate.passed(), gate.shut(0.05):
        assert time.monotonic() - begun < 2


def test_while_it_is_shut_nobody_comes_in() -> None:
    gate = Gate()
    entered = threading.Event()

    def read() -> None:
        with gate.passed():
            entered.set()

    with gate.shut(0.05):
        reader = in_thread(threading.Thread(target=read))
        assert not entered.wait(0.05)
    assert entered.wait(5)
    reader.join(5)
