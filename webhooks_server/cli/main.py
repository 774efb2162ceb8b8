"""The commands by name, and how whatever ends one becomes an exit status and at most one line."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from cyclopts import App, CycloptsError, UnusedCliTokensError

from webhooks_server import __version__
from webhooks_server.cli.failures import Misuse
from webhooks_server.domain.errors import InvalidSettings, WebhooksError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
READER_GONE = 141

HELP = """Take events over gRPC, and deliver them as signed HTTP requests to whoever subscribed.

To see it work, run these in this order, the first and the third in a terminal of their own:

    webhooks-server serve
    webhooks-server subscribe http://127.0.0.1:8080 'invoice.*'
    webhooks-server listen --secret whsec_...
    webhooks-server publish invoice.paid '{"amount": 12}'
"""

COMMANDS = (
    "serve",
    "relay",
    "subscribe",
    "publish",
    "listen",
    "audit",
    "migrate",
    "backup",
    "config",
)


def build_app(*, with_summaries: bool) -> App:
    """Return the command line; the module of a command is imported only when it is called.

    Or for its summary: the first sentence of its docstring.
    """
    app = App(
        name="webhooks-server",
        help=HELP,
        version=__version__,
        help_format="markdown",
        result_action="return_value",
    )
    for name in COMMANDS:
        app.command(f"webhooks_server.cli.{name}:{name}", name=name)
        if with_summaries:
            app[name]
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its status."""
    _set_up_grpc()
    _let_output_show_anything()
    given = list(sys.argv[1:] if arguments is None else arguments)
    app = build_app(with_summaries=given[:1] in ([], ["--help"], ["-h"]))
    try:
        status = app(given, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        status = _fail(_usage_problem(error), MISUSED)
    except (InvalidSettings, Misuse) as error:
        status = _fail(error.message, MISUSED)
    except WebhooksError as error:
        status = _fail(error.message, FAILED)
    except UnicodeEncodeError:
        if _is_utf8(given):
            raise
        status = _fail("an argument is not UTF-8", MISUSED)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = _give_up_output()
    except OSError as error:
        status = _fail(_os_problem(error), FAILED)
    sys.exit(status or 0)


def _set_up_grpc() -> None:
    """Set what gRPC reads once, when it is imported; no command has imported it yet."""
    # It would tell of a port that is taken in words of its own, beside ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # A child made by fork() after gRPC has started can hang; nothing here ever forks.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def _let_output_show_anything() -> None:
    """Let what a terminal's encoding lacks be printed as an escape, and not end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_utf8(arguments: Sequence[str]) -> bool:
    # Each byte that is not stands as half of a surrogate pair.
    return not any("\ud800" <= character <= "\udfff" for character in "".join(arguments))


def _fail(message: str, status: int) -> int:
    # One line, whatever a text from elsewhere holds.
    print(f"webhooks-server: {' '.join(message.split())}", file=sys.stderr)
    return status


def _usage_problem(error: CycloptsError) -> str:
    command = " ".join(["webhooks-server", *(error.command_chain or ())])
    problem = str(error).rstrip(".")
    if isinstance(error, UnusedCliTokensError):
        problem = f"what is meant by {' '.join(error.unused_tokens or ())}?"
    return f"{problem} (see {command} --help)"


def _os_problem(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _give_up_output() -> int:
    # What is still buffered would raise once more when the interpreter flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE
