"""Folders of studies made by hand from SYNTHETIC results: no study is run for a report's tests."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breadth.analysis import measure_errors
from breadth.diversity import read, write
from breadth.studies.configuration import load
from breadth.studies.plan import finish, open_plan
from breadth.studies.results import save
from breadth.studies.store import Store
from breadth.studies.tradeoff import TradeoffConfiguration
from breadth.studies.units import Unit

from ...analysis.conftest import synthetic_predictions

#: What a molecule, a file or a folder may be called by someone who wishes no good.
HOSTILE = "<script>alert(1)</script>"
RANDOM = ("random", "random")
DESIGNS = [("fixed_budget", m, 600 // m, *RANDOM) for m in (20, 60, 150)]
DESIGNS += [("fixed_molecules", 60, c, *RANDOM) for c in (1, 10)]
UPDATES = (50, 200)


def write_pool(folder: Path) -> None:
    """Write a labelled set whose second record has a net force, from a file of a hostile name."""
    frames = "".join(
        "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-76.0\n"
        f"O 0 0 0 {pull} 0 0\nH 0.96 0 0 0.1 0 0\nH {x} 0.93 0 -0.1 0 0\n"
        for x, pull in ((-0.24, 0.0), (-0.25, 9.0), (-0.26, 0.0))
    )
    path = folder / "water.xyz"
    path.write_text(frames)
    data = read(path, level="gfn2")
    write(replace(data, source=np.full(len(data), HOSTILE)), folder / "pool")
    path.unlink()


def write_unit(root: Path, unit: Unit, **files: object) -> None:
    """Write a finished unit with what it tells of its making."""
    with Store(root).writing(unit) as folder:
        told = {"seconds": 90.0, "processor": "A processor", "accelerator": None}
        for name, content in {"record": told, **files}.items():
            (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="session")
def results():
    """Errors of the designs that the folder's results are of."""
    return measure_errors(synthetic_predictions(4, 10, designs=DESIGNS), n_resamples=20)


@pytest.fixture(scope="session")
def made(results, tmp_path_factory):
    """The folder of a finished trade-off study, never changed."""
    root = tmp_path_factory.mktemp("report") / "b<i>old"
    Store(root).root.mkdir()
    open_plan(root, "tradeoff", load(TradeoffConfiguration, preset="smoke"), molecules="bundled")
    for n in UPDATES:
        write_unit(root, Unit("fit", 1, {"training": {"n_updates": n}}))
    aside = [["a", f"bond broken: {HOSTILE}"], ["b", f"{HOSTILE}: too long"]]
    write_unit(root, Unit("labels", 1), aside=aside, cost={"gfn2": 30.0})
    write_pool(root)
    save(results, root / "results.nc")
    folder = root / "figures"
    folder.mkdir()
    for name in ("error_against_molecules", "of_my_own"):
        Image.new("RGB", (1005, 700), "#336699").save(folder / f"{name}.png")
    finish(root, workers=2, fits=30)
    return root


@pytest.fixture
def run(made, tmp_path):
    """A copy of the study that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / made.name, symlinks=True))
