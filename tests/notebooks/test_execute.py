"""What `make notebooks` says of a notebook that works, one that fails, and one that is slow."""

import subprocess
import sys
from pathlib import Path

import pytest

EXECUTE = Path(__file__).parents[2] / "notebooks" / "execute.py"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with a copy of the runner and three notebooks."""
    (tmp_path / "execute.py").write_text(EXECUTE.read_text())
    for name, code in {
        "01_works": "1 + 1",
        "02_fails": "1 / 0",
        "03_is_slow": "import time\ntime.sleep(0.1)",
    }.items():
        (tmp_path / f"{name}.py").write_text(f"# %%\n{code}\n")
    return tmp_path


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "execute.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_it_fails_where_a_notebook_does_and_says_which(folder):
    done = _run(folder, "--keep", str(folder / "kept"), "01", "02")
    works, fails = done.stdout.splitlines()
    assert works.startswith("01_works")
    assert works.endswith("ok")
    assert fails.startswith("02_fails")
    assert fails.endswith("FAILED")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert '"text/plain": [\n       "2"' in (folder / "kept" / "01_works.ipynb").read_text()
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".ipynb") == []


def test_it_fails_where_a_notebook_takes_too_long(folder):
    done = _run(folder, "--limit", "0.05", "03")
    assert done.returncode == 1
    assert "are more than 0.05" in done.stderr


def test_an_unknown_name_is_an_error(folder):
    done = _run(folder, "09")
    assert done.returncode == 2
    assert "begins with 09" in done.stderr
