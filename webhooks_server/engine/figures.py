"""What an engine tells in figures: how full each of its bounds is."""

from collections.abc import Callable
from typing import NamedTuple

from webhooks_server.engine.announcing import Announcing
from webhooks_server.engine.budget import ByteBudget
from webhooks_server.engine.caches import MAX_SUBSCRIPTIONS, Payloads, Subscriptions
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.pinging import MAX_HEARD
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.relays import MAX_ATTACHED, Relays
from webhooks_server.engine.senders import Senders
from webhooks_server.engine.store_watch import StoreWatch
from webhooks_server.engine.upkeep import Upkeep
from webhooks_server.ports import Clock, Telemetry


class Parts(NamedTuple):
    """The parts of an engine that have a bound."""

    senders: Senders
    lanes: Lanes
    recorder: Recorder
    upkeep: Upkeep
    watch: StoreWatch
    relays: Relays
    budget: ByteBudget
    announcing: Announcing
    subscriptions: Subscriptions
    payloads: Payloads


def watch_engine(telemetry: Telemetry, clock: Clock, parts: Parts) -> None:
    """Let the levels of an engine be read."""
    watch, lanes, recorder = telemetry.watch, parts.lanes, parts.recorder
    relays = parts.relays
    watch("requests_in_flight", lambda: parts.senders.busy, bound=lambda: relays.slots)
    # Nothing is sent above two thirds of it; what is in flight by then comes on top (EC14).
    watch("unrecorded_results", lambda: recorder.unrecorded, bound=lambda: 3 * relays.slots)
    watch("requests_leased", lambda: relays.held)
    watch("payload_bytes_in_flight", lambda: parts.budget.used, bound=parts.budget.most)
    watch("pings_for_others", lambda: parts.senders.beside, bound=MAX_HEARD)
    watch("announcements_waiting", lambda: parts.announcing.waiting)
    failing, doubtful = lanes.gates.failing, lanes.gates.doubtful
    watch(
        "class_requests_in_flight",
        lambda: failing.in_flight,
        "failing",
        bound=lambda: failing.most,
    )
    watch(
        "class_requests_in_flight",
        lambda: doubtful.in_flight,
        "not_proven",
        bound=lambda: doubtful.most,
    )
    watch("gates", lambda: lanes.gates.count)
    watch("relays_attached", lambda: relays.attached, bound=MAX_ATTACHED)
    watch("buffered_deliveries", lambda: lanes.most_rows - lanes.spare, bound=lanes.most_rows)
    watch("partitions_owned", lambda: len(lanes.epochs))
    watch("lanes", lambda: len(lanes))
    watch("breakers_open", lambda: lanes.standings.open)
    watch("lane_timers", lambda: lanes.timer_count)
    watch("oldest_due_seconds", _oldest_due(lanes, clock))
    watch("payload_cache_bytes", lambda: parts.payloads.size, bound=parts.payloads.most)
    watch("subscription_cache", lambda: len(parts.subscriptions), bound=MAX_SUBSCRIPTIONS)
    watch("fan_outs_owed", lambda: parts.upkeep.owed)
    watch("disables_waiting", lambda: parts.upkeep.disabling.waiting)
    watch("control_age_seconds", lambda: parts.upkeep.age)
    watch("store_writable", lambda: parts.watch.writable)


def _oldest_due(lanes: Lanes, clock: Clock) -> Callable[[], float]:
    def read() -> float:
        now = clock.monotonic()
        # The first of a lane is the one that is due longest; one in flight is not waited for.
        return max((now - lane.buffer[0].due_at for lane in lanes if lane.buffer), default=0.0)

    return read
