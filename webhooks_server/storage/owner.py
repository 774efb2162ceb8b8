"""The engine that a process runs on its stores: what it records is fenced by its name (EB4)."""


class Owner:
    """The name of the engine whose session was opened last; none at first."""

    def __init__(self) -> None:
        self.name = ""
