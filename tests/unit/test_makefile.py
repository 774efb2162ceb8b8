"""What the Makefile decides before it runs anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FITS = '#!/bin/sh\n[ "$1" = -c ] || echo "$0 $*"\n'
DOES_NOT_FIT = "#!/bin/sh\nexit 1\n"


def run_make(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    assert make is not None
    # Without what an outer make has left there.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    environment |= {"PATH": str(path)} if path else {}
    return subprocess.run(
        [make, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("argument", "quick"), [("QUICK=1", True), ("QUICK=0", False), ("QUICK=", False)]
)
def test_quick_0_is_not_quick(argument: str, *, quick: bool) -> None:
    shown = run_make("--dry-run", "bench", "ONLY=B8", argument).stdout
    assert "-m benchmarks --only B8" in shown
    assert ("--quick" in shown) is quick


def test_benchmarks_on_one_store_are_picked() -> None:
    shown = run_make("--dry-run", "bench", "ONLY=B1", "STORE=postgres").stdout
    assert "-m benchmarks --only B1 --store postgres" in shown


def test_a_run_of_faults_is_told_its_size_and_its_seed() -> None:
    shown = run_make("--dry-run", "test-faults", "FULL=1", "SEED=4711").stdout
    assert "FAULTS_FULL=1 FAULTS_SEED=4711 " in shown
    assert "not faults" in run_make("--dry-run", "test").stdout


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"given": FITS, "python3.13": FITS}, "given"),
        ({"given": DOES_NOT_FIT, "python3.13": DOES_NOT_FIT, "python3.12": FITS}, "python3.12"),
        ({"given": DOES_NOT_FIT}, None),
    ],
)
def test_the_compiler_gets_a_python_that_it_has_wheels_for(
    tmp_path: Path, pythons: dict[str, str], chosen: str | None
) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, script in pythons.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o700)
    made = run_make(
        f"--directory={tmp_path}",
        "--no-print-directory",
        ".venv-generate/.complete",
        "PYTHON=given",
        path=tmp_path,
    )
    # No environment is made in truth: where a Python was found, what comes next fails.
    assert made.returncode != 0
    last = made.stdout.splitlines()[-1]
    if chosen:
        assert last == f"{tmp_path}/{chosen} -m venv --clear .venv-generate"
    else:
        assert last.startswith("Python 3.11, 3.12 or 3.13 is needed")


def test_what_is_run_may_keep_its_compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    shown = run_make("--eval=show:; @env", "show").stdout
    assert "PATH=" in shown
    assert "PYTHONDONTWRITEBYTECODE" not in shown
