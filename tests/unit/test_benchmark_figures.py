"""How benchmark results are judged, written down and shown."""

import json
import re
from pathlib import Path

import pytest

import benchmarks.__main__
from benchmarks import figures
from benchmarks.children import BenchmarkError
from benchmarks.figures import Result
from benchmarks.goals import FIGURES, figure
from benchmarks.measures import MEASURES, Measure
from benchmarks.plots import draw
from benchmarks.stores import Kind
from benchmarks.turns import Scale

RESULTS = [
    Result(figure=figure("B1"), measured=0.9, ours=6300.0, limit=7000.0),
    Result(figure=figure("B8", "idle"), measured=120.0, ours=120.0, quick=True),
]


def test_results_come_back_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results" / "latest.jsonl")
    figures.write(RESULTS)
    rows = [json.loads(line) for line in figures.RESULTS.read_text().splitlines()]
    assert rows == [
        {
            "id": "B1",
            "ratio": 0.9,
            "ours": 6300.0,
            "limit": 7000.0,
            "unit": "deliveries/s",
            "goal": 0.85,
        },
        {
            "id": "B8",
            "part": "idle",
            "value": 120.0,
            "ours": 120.0,
            "unit": "MiB",
            "goal": 115.0,
            "quick": True,
        },
    ]
    assert figures.read() == RESULTS


def test_series_come_back_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "latest.jsonl")
    series = ((0.0, 90.0), (0.5, 101.5))
    memory = Result(figure=figure("B8", "idle"), measured=101.5, ours=101.5, series=series)
    figures.write([memory])
    assert figures.read() == [memory]


def test_other_figures_and_parts_stay_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results" / "latest.jsonl")
    assert figures.read() == []
    figures.write(RESULTS)
    median, p99 = (
        Result(figure=figure("B5", part), measured=2.0, ours=2.0, limit=1.0)
        for part in ("median", "p99")
    )
    again = Result(figure=figure("B1"), measured=0.5, ours=3500.0, limit=7000.0)
    figures.write([p99])
    figures.write([median, again])
    assert figures.read() == [again, median, p99, RESULTS[1]]


def test_rows_of_figures_that_are_no_more_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "latest.jsonl")
    figures.RESULTS.write_text('{"id": "B0", "ratio": 1.0, "ours": 1.0}\n')
    figures.write(RESULTS[:1])
    assert figures.read() == RESULTS[:1]


def test_a_benchmark_that_fails_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    async def works(scale: Scale, kind: Kind) -> list[Result]:
        asked.append(kind)
        return RESULTS[:1]

    async def fails(scale: Scale, kind: Kind) -> list[Result]:
        raise BenchmarkError("told to")

    results = tmp_path / "results" / "latest.jsonl"
    for module in (figures, benchmarks.__main__):
        monkeypatch.setattr(module, "RESULTS", results)
    measures = (
        Measure(id="B2", kind="sqlite", run=fails),
        Measure(id="B1", kind="sqlite", run=works),
        Measure(id="B1", kind="postgres", run=works),
    )
    monkeypatch.setattr(benchmarks.__main__, "MEASURES", measures)
    assert benchmarks.__main__.main(["--only", "B2,B1"]) == 1
    assert figures.read() == RESULTS[:1]
    assert "B2 on sqlite: told to" in capsys.readouterr().err
    assert benchmarks.__main__.main(["--only", "B1", "--store", "postgres"]) == 0
    assert asked == ["sqlite", "postgres", "postgres"]


def test_table_tells_what_was_reached() -> None:
    lines = figures.table(RESULTS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells[2:]] == ["B1", "B8 idle, quick"]
    assert [row[2:5] for row in cells[2:]] == [
        ["0.90", "≥ 0.85", "pass"],
        ["120.00 MiB", "≤ 115 MiB", "short"],
    ]
    assert cells[2][5:] == ["6,300 deliveries/s", "7,000 deliveries/s"]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("identity", "measured", "met"),
    [("B1", 0.85, True), ("B1", 0.8499, False), ("B12", 1.0, True), ("B12", 1.001, False)],
)
def test_goal_is_met_at_its_bound(identity: str, measured: float, *, met: bool) -> None:
    assert figure(identity).is_met_by(measured) is met


def test_every_figure_has_a_measure() -> None:
    assert {one.id for one in FIGURES} == {one.id for one in MEASURES}


def test_names_of_figures_are_their_own() -> None:
    assert len({one.name for one in FIGURES}) == len(FIGURES)


def test_plots_show_how_near_the_goals_are(tmp_path: Path) -> None:
    steady = Result(
        figure=figure("B8", "idle"),
        measured=100.0,
        ours=100.0,
        series=((0.0, 98.0), (10.0, 100.0), (20.0, 99.0)),
    )
    draw([*RESULTS, steady], tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b8-idle.svg", "goals.svg"]
    goals = (tmp_path / "goals.svg").read_text()
    bars = [float(width) for width in re.findall(r'<rect x="130" y="\d+" width="([\d.]+)"', goals)]
    # A share of 1 ends where the line of the goal is.
    assert bars == pytest.approx([200 * 0.9 / 0.85, 200 * 115 / 120, 200 * 1.15], abs=0.1)
    *_, points = re.findall(r'points="([^"]+)"', (tmp_path / "b8-idle.svg").read_text())
    assert len(points.split()) == 3
