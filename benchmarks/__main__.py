"""`python -m benchmarks`: runs benchmarks, prints their table and writes it down."""

import argparse
import asyncio
import os
import platform
import sys
import time
from collections.abc import Sequence

from benchmarks.children import BenchmarkError
from benchmarks.figures import RESULTS, Result, read, table, write
from benchmarks.measures import MEASURES
from benchmarks.turns import FULL, QUICK, Scale


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.table:
        print(table(read()))
        return 0
    results, failed = asyncio.run(_run(given.only, QUICK if given.quick else FULL))
    print(f"\n{table(results)}\n\nwritten to {RESULTS}")
    if failed:
        print(f"benchmarks: failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


async def _run(only: Sequence[str], scale: Scale) -> tuple[list[Result], list[str]]:
    """Measure and write down one benchmark after the other; returns results, and what failed."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.1f}")
    results: list[Result] = []
    failed = []
    for identity in only:
        started = time.monotonic()
        try:
            measured = await MEASURES[identity](scale)
        except BenchmarkError as error:
            print(f"benchmarks: {identity}: {error}", file=sys.stderr)
            failed.append(identity)
            continue
        write(measured)
        results += measured
        print(f"{identity}  took {time.monotonic() - started:.0f} s\n")
    return results, failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_identities,
        default=list(MEASURES),
        metavar="B1,B5",
        help=f"of {','.join(MEASURES)}",
    )
    parser.add_argument("--quick", action="store_true", help="all figures in a few minutes")
    parser.add_argument("--table", action="store_true", help="print the latest results")
    return parser


def _identities(text: str) -> list[str]:
    wanted = text.upper().split(",")
    if unknown := [identity for identity in wanted if identity not in MEASURES]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
