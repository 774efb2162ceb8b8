"""Pictures of the latest results for the docs (`python -m benchmarks --plots`): plain SVG.

A bar for each figure, how near it is to its goal, and a line for each one that has a series.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from benchmarks.figures import Result

PLOTS = Path(__file__).parent.parent / "docs" / "plots"
WIDTH = 720
ROW = 22
LABEL = 130
NUMBERS = 190
MOST_SHARE = 2.0
"""Who surpasses a goal by more gets no longer bar."""
PLOT_HEIGHT = 240
MARGIN = 50
REACHED, SHORT, INK, GRID = "#2f855a", "#c05621", "#1a202c", "#a0aec0"
HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    ' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    '<rect width="100%" height="100%" fill="white"/>'
)


def draw(results: Sequence[Result], folder: Path = PLOTS) -> None:
    """Write goals.svg, and a file for each figure that has a series."""
    folder.mkdir(exist_ok=True)
    (folder / "goals.svg").write_text(bars(results))
    for result in results:
        if len(result.series) > 1:
            name = result.figure.name.lower().replace(" ", "-")
            (folder / f"{name}.svg").write_text(line(result))


def bars(results: Sequence[Result]) -> str:
    """Return bars of what was measured ÷ its goal (upside down where less is better)."""
    scale = (WIDTH - LABEL - NUMBERS) / MOST_SHARE
    height = ROW * (len(results) + 2)
    goal = LABEL + scale
    parts = [
        HEAD.format(width=WIDTH, height=height),
        _text(goal, ROW - 6, "goal", anchor="middle"),
    ]
    for number, result in enumerate(results, start=1):
        top = number * ROW + 4
        share = result.figure.share_of_goal(result.measured)
        color = REACHED if result.figure.is_met_by(result.measured) else SHORT
        length = min(share, MOST_SHARE) * scale
        parts += [
            _text(LABEL - 8, top + 13, result.figure.name, anchor="end"),
            f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{ROW - 6}" fill="{color}"/>',
            _text(WIDTH - NUMBERS + 8, top + 13, _measured_and_goal(result)),
        ]
    parts.append(_stroke([(goal, ROW), (goal, height - ROW / 2)], INK, dashed=True))
    return "\n".join([*parts, "</svg>\n"])


def line(result: Result) -> str:
    """Return a line of the series of a result over the seconds."""
    height = PLOT_HEIGHT + 2 * MARGIN
    last = max(at for at, _ in result.series)
    first = min(at for at, _ in result.series)
    most = 1.1 * max(value for _, value in result.series)
    wide = WIDTH - 2 * MARGIN

    def place(at: float, value: float) -> tuple[float, float]:
        across = (at - first) / (last - first or 1.0)
        return MARGIN + wide * across, MARGIN + PLOT_HEIGHT * (1 - value / (most or 1.0))

    what = result.figure
    parts = [
        HEAD.format(width=WIDTH, height=height),
        _text(MARGIN, MARGIN / 2, f"{what.name}: {what.what} ({what.unit})"),
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, top = place(first, most * share)
        parts += [
            _stroke([(left, top), (left + wide, top)], GRID),
            _text(left - 6, top + 4, f"{most * share:,.0f}", anchor="end"),
        ]
    points = [place(at, value) for at, value in result.series]
    parts += [
        _stroke(points, REACHED),
        _text(MARGIN, height - MARGIN / 2, f"{first:g} s"),
        _text(WIDTH - MARGIN, height - MARGIN / 2, f"{last:g} s", anchor="end"),
    ]
    return "\n".join([*parts, "</svg>\n"])


def _measured_and_goal(result: Result) -> str:
    what = result.figure
    sign = "≥" if what.more_is_better else "≤"
    unit = f" {what.unit}" if what.kind == "value" else ""
    quick = ", quick" if result.quick else ""
    return f"{result.measured:.3g}{unit} ({sign} {what.goal:g}{quick})"


def _stroke(points: Iterable[tuple[float, float]], color: str, *, dashed: bool = False) -> str:
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"{dashes}/>'


def _text(across: float, down: float, words: str, *, anchor: str = "start") -> str:
    return (
        f'<text x="{across:.1f}" y="{down:.1f}" fill="{INK}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )
