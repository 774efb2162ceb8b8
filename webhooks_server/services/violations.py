"""Collects all that is wrong with a request, so that its sender can mend everything at once."""

from collections.abc import Iterable

from webhooks_server.domain.errors import InvalidArgument, Violation

MOST = 20
"""How many violations are told of one request; finding more would only cost time."""


class Violations:
    """What was found so far.

    `prefix` is set to what stands before the paths that are taken down next (`event.`). Where they
    are those of a list's element, it is the list's path (`events`) and `position` is the element's.
    """

    __slots__ = ("_found", "position", "prefix")

    def __init__(self, found: Iterable[Violation] = ()) -> None:
        """Begin with what somebody else found already."""
        self._found = list(found)
        self.prefix = ""
        self.position: int | None = None

    def add(
        self, path: str, problem: str | None, reason: str = "INVALID_FIELD", **metadata: str
    ) -> None:
        """Take a problem of the field at this path down; None is none."""
        if problem is not None and len(self._found) < MOST:
            # Put together for what is wrong alone: of most lists that is nothing.
            before = self.prefix if self.position is None else f"{self.prefix}[{self.position}]."
            violation = Violation(
                field=before + path, description=problem, reason=reason, metadata=metadata
            )
            self._found.append(violation)

    def found(self) -> tuple[Violation, ...]:
        """Return what was found."""
        return tuple(self._found)

    @property
    def is_full(self) -> bool:
        """Tell whether looking on is of no use."""
        return len(self._found) >= MOST

    def raise_any(self) -> None:
        """Raise InvalidArgument where anything was found."""
        if self._found:
            raise InvalidArgument(self._found)
