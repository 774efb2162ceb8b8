"""How benchmark results are judged, written down and shown."""

import json
from pathlib import Path

import pytest

import benchmarks.__main__
from benchmarks import figures
from benchmarks.children import BenchmarkError
from benchmarks.figures import Result, figure
from benchmarks.measures import MEASURES
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
    async def works(scale: Scale) -> list[Result]:
        return RESULTS[:1]

    async def fails(scale: Scale) -> list[Result]:
        raise BenchmarkError("told to")

    results = tmp_path / "results" / "latest.jsonl"
    for module in (figures, benchmarks.__main__):
        monkeypatch.setattr(module, "RESULTS", results)
    measures = {"B1": works, "B2": fails}
    monkeypatch.setattr(benchmarks.__main__, "MEASURES", measures)
    assert benchmarks.__main__.main(["--only", "B2,B1"]) == 1
    assert figures.read() == RESULTS[:1]
    assert "B2: told to" in capsys.readouterr().err


def test_table_tells_what_was_reached() -> None:
    lines = figures.table(RESULTS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells[2:]] == ["B1", "B8 idle, quick"]
    assert [row[2:5] for row in cells[2:]] == [
        ["0.90", "≥ 0.85", "pass"],
        ["120.00 MiB", "≤ 115 MiB", "short"],
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("identity", "measured", "met"),
    [("B1", 0.85, True), ("B1", 0.8499, False), ("B12", 1.0, True), ("B12", 1.001, False)],
)
def test_goal_is_met_at_its_bound(identity: str, measured: float, *, met: bool) -> None:
    assert figure(identity).is_met_by(measured) is met


def test_every_figure_has_a_measure() -> None:
    assert {one.id for one in figures.FIGURES} == set(MEASURES)
