"""Where the inner rooms say what happened, how much of it, and how long it took."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

Bound = float | Callable[[], float] | None
Field = str | int | float | bool | None


class Span(Protocol):
    """A piece of work as a trace shows it; a `with` block, whose exception it tells."""

    @property
    def traceparent(self) -> str:
        """What those that go on from here are given: this span, where one is made (W3C)."""
        ...

    @property
    def is_kept(self) -> bool:
        """Whether anybody will see what is noted."""
        ...

    def note(self, **attributes: str | int) -> None:
        """Add what came of it; never a secret or a payload."""
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """End."""
        ...


class Telemetry(Protocol):
    """Where the inner rooms say what happened.

    The names of figures are those of ops/catalogue.py; there each has its unit and its labels.
    """

    def fact(self, name: str, /, **fields: Field) -> None:
        """State one fact by its dotted name (`delivery.attempted`).

        Fields never hold a secret or a payload.
        """
        ...

    def fault(self, name: str, error: BaseException, /, **fields: str | int) -> None:
        """State that something failed which should not, with the exception, for operators only."""
        ...

    def count(self, name: str, /, *labels: str, amount: int = 1) -> None:
        """Add to a counter. Labels are in the order of the catalogue and have few values each.

        Never an id of an event or a subscription.
        """
        ...

    def measure(self, name: str, value: float, /) -> None:
        """Put one value into a distribution."""
        ...

    def watch(
        self, name: str, read: Callable[[], float], /, *labels: str, bound: Bound = None
    ) -> None:
        """Let a level be read whenever somebody looks, and tell what it never exceeds.

        `read` is quick and has no effect. Watched again, the level is the one that is read from
        then on.
        """
        ...

    def span(self, name: str, parent: str, /) -> Span:
        """Make a span that continues a trace, given as a traceparent; empty where there is none.

        Where no traces are made, what continues it is given the parent unchanged.
        """
        ...


class Untraced:
    """A span where no traces are made."""

    __slots__ = ("traceparent",)
    is_kept = False

    def __init__(self, traceparent: str) -> None:
        """Take what those that go on are given."""
        self.traceparent = traceparent

    def note(self, **attributes: str | int) -> None:
        """Forget it."""

    def __enter__(self) -> Self:
        """Begin nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """End nothing."""


class Unheard:
    """Telemetry where nobody listens: commands that open a storage for a moment."""

    def fact(self, name: str, /, **fields: Field) -> None:
        """Forget it."""

    def fault(self, name: str, error: BaseException, /, **fields: str | int) -> None:
        """Forget it."""

    def count(self, name: str, /, *labels: str, amount: int = 1) -> None:
        """Forget it."""

    def measure(self, name: str, value: float, /) -> None:
        """Forget it."""

    def watch(
        self, name: str, read: Callable[[], float], /, *labels: str, bound: Bound = None
    ) -> None:
        """Forget it."""

    def span(self, _name: str, parent: str, /) -> Span:
        """Make none."""
        return Untraced(parent)
