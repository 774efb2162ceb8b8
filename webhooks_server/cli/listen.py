"""`webhooks-server listen`."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from webhooks_server.cli.options import JsonOption
from webhooks_server.cli.output import print_json

if TYPE_CHECKING:
    from webhooks_server.cli.receiver import Received

SHOWN_BODY = 4096


PortOption = Annotated[
    int,
    Parameter(validator=Number(gte=0, lte=65535), help="Of 127.0.0.1; 0 takes any free one."),
]
SecretOption = Annotated[
    str | None, Parameter(help="The subscription's secret, to verify signatures with.")
]
StatusOption = Annotated[
    int, Parameter(validator=Number(gte=200, lte=599), help="Answer this status.")
]
WaitOption = Annotated[
    float, Parameter(validator=Number(gte=0, lte=3600), help="Answer after so many seconds.")
]
CountOption = Annotated[
    int | None, Parameter(validator=Number(gte=1), help="Stop after so many requests.")
]
QuietOption = Annotated[
    bool, Parameter(negative="", show_default=False, help="Print the summary alone.")
]


async def listen(
    *,
    port: PortOption = 8080,
    secret: SecretOption = None,
    status: StatusOption = 200,
    wait: WaitOption = 0.0,
    count: CountOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Receive requests, print them, and verify their signatures.

    A receiver to try things with: it can be slow (--wait) or fail (--status 500) too. Stop it with
    Ctrl-C. Ends with status 1 where a signature was wrong or missing.

        webhooks-server listen --port 8080 --secret whsec_...
    """
    from webhooks_server.cli.receiver import HOST, Receiver, ReceiverConfig

    screen = _Screen(quiet=quiet, as_json=as_json)
    config = ReceiverConfig(port=port, secret=secret, status=status, wait=wait)
    receiver = Receiver(config, screen.show)
    async with receiver.listening():
        print(f"listening on http://{HOST}:{receiver.port} (Ctrl-C stops)", file=sys.stderr)
        try:
            await receiver.wait_for(count)
        finally:
            screen.sum_up()
    return 1 if screen.refused else 0


class _Screen:
    """Shows requests, and counts what it shows."""

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self._quiet = quiet
        self._as_json = as_json
        self._received = 0
        self._verified = 0
        self.refused = 0

    def show(self, received: "Received") -> None:
        self._received += 1
        self._verified += received.is_verified is True
        self.refused += received.is_verified is False
        if self._as_json:
            print_json(received.as_json())
        elif not self._quiet:
            print(_description(received), flush=True)

    def sum_up(self) -> None:
        if not self._as_json:
            print(f"received {self._received}, verified {self._verified}, refused {self.refused}")


def _description(received: "Received") -> str:
    signatures = ", ".join(map(str, received.verdicts)) or "not verified without --secret"
    lines = [
        f"{received.method} {received.path}",
        *(f"{name}: {value}" for name, value in received.headers.items()),
        "",
        _shown_body(received.body),
        "",
        f"signatures: {signatures}",
        f"answered: {received.status}",
    ]
    return "\n".join(["", *map(_harmless, lines)])


def _shown_body(body: bytes) -> str:
    try:
        text = body[:SHOWN_BODY].decode(errors="strict" if len(body) <= SHOWN_BODY else "ignore")
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are not UTF-8)"
    return text if len(body) <= SHOWN_BODY else f"{text}\n… ({len(body)} bytes)"


def _harmless(text: str) -> str:
    """Return the text with control characters escaped, which could command the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )
