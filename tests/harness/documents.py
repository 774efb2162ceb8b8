"""JSON documents of all kinds, the same ones for the same seed.

They are written here character by character: what json.dumps writes never has odd white space, a
key twice, 1e400 or an escaped slash.
"""

import random
from collections.abc import Iterator

from webhooks_server.domain.bounds import MAX_PAYLOAD_BYTES

DEEPEST = 128
_DIGITS = 5_000
_SPACES = (" ", "  ", "\t", " \t ", "\r", "\r\n", "\n\n    ")
_KEYS = ("id", "ID", "", "schlüssel", "鍵", "🔑", r"\ud83d\udd11", r"a\/b", "id")
_LITERALS = ("null", "true", "false", "[]", "{}", '""')
_NUMBERS = (
    *("0", "-0", "-0.0", "1.50", "1E+2", "1e400", "-1e400", "1e-400", "9007199254740993"),
    *("123456789012345678901234567890.10", "0.1000000000000000055511151231257827"),
)
_TEXTS = (
    *(
        "plain",
        "Grüße",
        "日本語",
        "שלום",
        "e\u0301",
        "\u2028",
        "\ufeff",
        "\x7f",
        "🦉",
        "👩\u200d🚀",
    ),
    *(r"\ud83e\udd89", r"\uD800", r"\udfff\ud800", r"\u0000", r"\u00e4", r"\u00E4"),
    *(r"\/", r"\\", r"\"", r"\n", "/", "<script>", "%00"),
)


def json_documents(count: int, seed: int) -> Iterator[str]:
    """Yield so many documents of 2 bytes up to the largest payload there may be."""
    writer = _Writer(random.Random(seed))
    edges = [*_of_the_largest_size(), *_nested_deepest(), "{}", "[]", '""', "-0"]
    yield from edges
    for number in range(count - len(edges)):
        yield writer.document(number)


def _of_the_largest_size() -> Iterator[str]:
    for filler in ("x", "ä", "🦉", r"\ud800", r"\/", " "):
        room = MAX_PAYLOAD_BYTES - len('["",1]')
        times, rest = divmod(room, len(filler.encode()))
        yield f'["{filler * times}{"x" * rest}",1]'
    yield "9" * MAX_PAYLOAD_BYTES
    yield "[1" + " " * (MAX_PAYLOAD_BYTES - 3) + "]"


def _nested_deepest() -> Iterator[str]:
    yield "[" * DEEPEST + "]" * DEEPEST
    yield '{"a":' * (DEEPEST - 1) + "{}" + "}" * (DEEPEST - 1)
    yield '[{"🦉" : ' * (DEEPEST // 2) + "1e400" + "\t}]" * (DEEPEST // 2)


class _Writer:
    """Writes JSON text by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def document(self, number: int) -> str:
        """Write a document: one in a hundred large, one in fifty nested deep."""
        value = self._object(4)
        if number % 100 == 0:
            filler = self._chance.choice(_TEXTS) * self._chance.randrange(2_000, 8_000)
            return f'{{"filler":"{filler}",{self._space()}"rest":{value}}}'
        if number % 50 == 1:
            depth = self._chance.randrange(30, DEEPEST - 10)
            return "[" * depth + value + "]" * depth
        return value

    def _value(self, depth: int) -> str:
        match self._chance.randrange(5 if depth else 3):
            case 0:
                return self._number()
            case 1:
                return self._text()
            case 2:
                return self._chance.choice(_LITERALS)
            case 3:
                return self._object(depth - 1)
            case _:
                return self._array(depth - 1)

    def _object(self, depth: int) -> str:
        members = [
            f'{self._space()}"{self._chance.choice(_KEYS)}"{self._space()}:{self._element(depth)}'
            for _ in range(self._chance.randrange(6))
        ]
        return "{" + (",".join(members) or self._space()) + "}"

    def _array(self, depth: int) -> str:
        elements = [self._element(depth) for _ in range(self._chance.randrange(6))]
        return "[" + (",".join(elements) or self._space()) + "]"

    def _element(self, depth: int) -> str:
        return self._space() + self._value(depth) + self._space()

    def _number(self) -> str:
        if self._chance.random() < 0.01:
            return self._chance.choice("123456789") + "".join(
                self._chance.choices("0123456789", k=_DIGITS - 1)
            )
        return self._chance.choice(_NUMBERS)

    def _text(self) -> str:
        return '"' + "".join(self._chance.choices(_TEXTS, k=self._chance.randrange(12))) + '"'

    def _space(self) -> str:
        return self._chance.choice(_SPACES) if self._chance.random() < 0.2 else ""
