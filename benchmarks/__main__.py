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
from benchmarks.measures import MEASURES, Measure
from benchmarks.plots import PLOTS, draw
from benchmarks.stores import KINDS
from benchmarks.turns import FULL, QUICK, Scale


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.table:
        print(table(read()))
        return 0
    if given.plots:
        draw(read())
        return 0
    chosen = [one for one in MEASURES if one.id in given.only and one.kind in given.store]
    results, failed = asyncio.run(_run(chosen, QUICK if given.quick else FULL))
    print(f"\n{table(results)}\n\nwritten to {RESULTS}")
    if failed:
        print(f"benchmarks: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


async def _run(measures: Sequence[Measure], scale: Scale) -> tuple[list[Result], list[str]]:
    """Measure and write down one benchmark after the other; returns results, and what failed."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.1f}")
    results: list[Result] = []
    failed = []
    for number, measure in enumerate(measures, start=1):
        started = time.monotonic()
        print(f"{measure.name}, {number} of {len(measures)}", flush=True)
        try:
            measured = await measure.run(scale, measure.kind)
        except BenchmarkError as error:
            print(f"benchmarks: {measure.name}: {error}", file=sys.stderr)
            failed.append(measure.name)
            continue
        write(measured)
        results += measured
        print(f"{measure.name} took {time.monotonic() - started:.0f} s\n", flush=True)
    return results, failed


def _parser() -> argparse.ArgumentParser:
    identities = list(dict.fromkeys(measure.id for measure in MEASURES))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_identities,
        default=identities,
        metavar="B1,B5",
        help=f"of {','.join(identities)}",
    )
    parser.add_argument(
        "--store",
        type=lambda text: [text],
        default=KINDS,
        metavar="|".join(KINDS),
        help="on this kind of store alone",
    )
    parser.add_argument("--quick", action="store_true", help="all figures in a few minutes")
    parser.add_argument("--table", action="store_true", help="print the latest results")
    parser.add_argument(
        "--plots", action="store_true", help=f"draw the latest results into {PLOTS.name}"
    )
    return parser


def _identities(text: str) -> list[str]:
    wanted = text.upper().split(",")
    known = {measure.id for measure in MEASURES}
    if unknown := [identity for identity in wanted if identity not in known]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
