"""The gallery: its example runs, and its pictures are there and small."""

import re
from pathlib import Path

import pytest
import xarray as xr
from matplotlib.image import imread

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"


def test_the_example_puts_four_figures_into_one(
    results: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    results.to_netcdf(tmp_path / "runs" / "demo" / "results.nc", engine="h5netcdf")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    whole = names["whole"]
    assert len(whole.axes) == 6  # two with a colour bar
    assert (tmp_path / "paper" / "figure_1.pdf").stat().st_size > 10_000
    assert imread(tmp_path / "paper" / "figure_1.png").shape[:2] == (1860, 2100)
    head, *rows = (tmp_path / "paper" / "figure_1.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("panel,series,kind,x,y,lower,upper")
    assert {row.split(",")[0] for row in rows} == {"1", "2", "3", "4"}


def test_pictures_are_there_and_small() -> None:
    named = re.findall(r"\((figures/gallery/[^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 35
    kept = {path.name for path in (PAGE.parent / "figures" / "gallery").iterdir()}
    assert {Path(path).name for path in named} == kept
    for path in named:
        assert (PAGE.parent / path).stat().st_size <= 120_000, path
