"""What can be set about an engine."""

from dataclasses import dataclass

from webhooks_server.engine.gates import NO_CAPS, HostCaps


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """An engine's settings; spans in seconds.

    `slots` is how many requests may be in flight at once. A request starts only while the control
    data was confirmed at most `stale_after` ago (EB3, EC6). The back-stop visits
    `backstop_partitions` every `backstop_interval`, so that whatever wake-up was lost, each lane is
    seen within about a minute (EC1); more often and fewer at once would cost an idle engine most of
    the little it uses. Finished events are kept for `retention`, and a subscription
    whose deliveries only fail stays enabled for `disable_after`; None stands for ever.
    Payloads of so many `bytes_in_flight` are with receivers at once.
    Whoever has not beaten for `lease` may lose its partitions to
    others. A `transient` engine is gone soon, and counts for nobody's share (EC7). One that does
    not send by itself (`sends`) leaves that to attached relays, but for relay passes (EC11).
    """

    engine: str
    user_agent: str
    slots: int = 256
    payload_cache_bytes: int = 16 * 1024 * 1024
    beat_interval: float = 0.3
    stale_after: float = 3.0
    backstop_interval: float = 2.0
    backstop_partitions: int = 8
    stop_grace: float = 35.0
    retention: float | None = None
    disable_after: float | None = None
    hosts: HostCaps = NO_CAPS
    bytes_in_flight: int = 64 * 1024 * 1024
    lease: float = 60.0
    transient: bool = False
    sends: bool = True
