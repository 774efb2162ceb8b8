"""What an engine may take, from what it has seen of the others (engine.md, EB3, EC7)."""

from collections.abc import Mapping

from webhooks_server.domain.partitions import Beat, EngineBeat, EngineEntry, Holding
from webhooks_server.domain.shares import MAY_TAKE_OVER, SETTLED
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.domain.times import Instant
from webhooks_server.engine.peers import Peers

LEASE = 60.0
STEP = 0.5
DEAD_AFTER = 20.0


class Scene:
    """Beats of engines over time, as `me` sees them; `dead` beats no more after a while."""

    def __init__(self, owners: Mapping[int, str]) -> None:
        self._owners = owners
        self.peers = Peers(EngineEntry(name="me"), LEASE)
        self.now = 0.0

    def run(self, seconds: float, *names: str) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            self.peers.observe(self._beat(names), self.now)

    def _beat(self, names: tuple[str, ...]) -> Beat:
        engines = [
            EngineBeat(
                name=name,
                beat=int(self.now / STEP),
                slots=64,
                is_transient=False,
                is_connected=True,
                in_flight=0,
                last_seen_time=Instant(0),
            )
            for name in names
        ]
        holdings = {
            number: Holding(owner=self._owners.get(number, ""), epoch=1)
            for number in range(PARTITIONS)
        }
        return Beat(session=1, version=None, newest=None, engines=engines, holdings=holdings)


def owners(*names: str) -> dict[int, str]:
    return {number: names[number % len(names)] for number in range(PARTITIONS)}


def test_what_a_dead_engine_left_is_not_kept_for_one_that_has_just_joined() -> None:
    scene = Scene(owners("me", "other", "dead"))
    scene.run(DEAD_AFTER, "me", "other", "dead")
    scene.run(2.0, "me", "other", "new")

    assert scene.peers.share == 86
    assert scene.peers.share_of_orphans(scene.now) == 128
    assert set(scene.peers.orphans(scene.now)) == {n for n in range(PARTITIONS) if n % 3 == 2}


def test_one_that_has_been_there_for_a_while_gets_its_share() -> None:
    scene = Scene(owners("me", "other", "dead"))
    scene.run(DEAD_AFTER, "me", "other", "dead")
    scene.run(MAY_TAKE_OVER + 2 * STEP, "me", "other", "new")

    assert scene.peers.share_of_orphans(scene.now) == scene.peers.share == 86


def test_engines_that_start_together_share_what_is_left_of_those_before() -> None:
    scene = Scene(owners("before"))
    scene.run(SETTLED + STEP, "me", "other")

    assert len(scene.peers.orphans(scene.now)) == PARTITIONS
    assert scene.peers.share_of_orphans(scene.now) == 128


def test_what_nobody_owns_is_no_orphan() -> None:
    scene = Scene({})
    scene.run(SETTLED + STEP, "me", "new")

    assert scene.peers.orphans(scene.now) == []
    assert len(scene.peers.free(scene.now)) == PARTITIONS
