"""Models of a study that diverged: tables, figures and the report go without them, and say so."""

import json
import shutil

import numpy as np
import pytest
import torch

from breadth.analysis import figures, measure_errors
from breadth.analysis.tradeoff.predictions import CELL
from breadth.studies.cli import learned
from breadth.studies.models import monitored
from breadth.studies.predictions import Evaluation
from breadth.studies.report import write_report
from breadth.studies.results import save
from breadth.studies.specs import DesignSpec
from breadth.studies.tradeoff.diverged import with_diverged
from breadth.training import DivergedError, build_potential, predict

from ..analysis.conftest import synthetic_curves, synthetic_pool, synthetic_predictions
from .report.conftest import DESIGNS, made, results  # noqa: F401
from .report.tables import Tables
from .test_stacking import springs

#: Of design 60 × 10, which two experiments share: one replicate of it; all of 150 × 4.
LOST = [((60, 10), (1,)), ((150, 4), (0, 1, 2))]


@pytest.fixture(scope="module")
def predictions():
    found = synthetic_predictions(4, 10, designs=DESIGNS)
    for counts, replicates in LOST:
        for design, row in enumerate(DESIGNS):
            if row[1:3] == counts:
                found["model_of"][design, list(replicates)] = -1
    return found


def test_parity_takes_a_replicate_that_has_its_models(predictions):
    # Of 20 × 30 all replicates are there, of 60 × 10 the second diverged, of 150 × 4 all.
    for of, first, absent in (((0, 1), 0, 0), ((0, 2), 0, 2)):
        figure = figures.parity(predictions, designs=of)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert texts.count("no model") == absent
        again = figures.parity(predictions, designs=of, replicate=first)
        assert texts == [text.get_text() for axes in again.axes for text in axes.texts]
    lost = predictions.copy(deep=True)
    lost["model_of"][1, 0] = -1
    texts = [t.get_text() for axes in figures.parity(lost, designs=(0, 1)).axes for t in axes.texts]
    third = figures.parity(predictions, designs=(0, 1), replicate=2)
    assert texts == [t.get_text() for axes in third.axes for t in axes.texts]


@pytest.fixture(scope="module")
def left(predictions):
    """Return results without the models that diverged."""
    specs = [DesignSpec(*row) for row in DESIGNS]
    diverged = [
        (Evaluation("", DesignSpec("fixed_budget", *counts), replicate, 1.0), "Training diverged.")
        for counts, replicates in LOST
        for replicate in replicates
    ]
    return with_diverged(measure_errors(predictions, n_resamples=20), diverged, specs)


def test_errors_are_those_of_the_other_replicates(left, results):  # noqa: F811
    lost = left["diverged"].values
    assert lost.sum(axis=1).tolist() == [
        {(60, 10): 1, (150, 4): 3}.get(row[1:3], 0) for row in DESIGNS
    ]
    for name in ("force_mae", "energy_mae_per_atom"):
        assert np.isnan(left[name].values[lost]).all()
        np.testing.assert_array_equal(left[name].values[~lost], results[name].values[~lost])
    assert not left["diverged_quarter"].any()
    assert left.attrs["n_diverged"] == 4
    told = json.loads(left.attrs["warnings"])
    assert told[1] == "60 × 10, replicate 1: Training diverged."
    assert len(told) == 5


def test_tables_mark_the_designs(left, capsys):
    learned.show(left)
    said = capsys.readouterr().out
    assert "60 × 10†" in said
    assert "20 × 30†" not in said
    assert "† mean of fewer replicates: models that diverged are left out." in said
    row = next(line for line in said.splitlines() if "unseen molecules" in line).split()
    assert "–" in row, "150 × 4 has no model at all"
    assert json.dumps(learned.told(left))


def test_figures_say_what_they_lack(left, predictions):
    curves = synthetic_curves(designs=DESIGNS)
    for counts, replicates in LOST:
        same = np.ones(curves.sizes["model"], dtype=bool)
        for name, value in zip(CELL, counts, strict=False):
            same &= curves[name].values == value
        same &= np.isin(curves["replicate"].values, replicates) & (curves["updates_fraction"] == 1)
        curves = curves.isel(model=np.flatnonzero(~same))
    drawn = figures._drawn(
        left, predictions, synthetic_pool(), curves, "single", "unseen_molecules", {}
    )
    said = {name: figure.get_suptitle() for name, figure in drawn.items()}
    lacking = "Left out: 4 models that diverged"
    assert {name for name, text in said.items() if text == lacking} == {
        *("error_against_molecules", "error_against_conformers", "map", "training_curves")
    }


def test_the_report_warns(left, made, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    shutil.copytree(made, run, symlinks=True)
    save(left, run / "results.nc")
    page = write_report(run, tmp_path / "report.html").read_text()
    assert "60 × 10, replicate 1: Training diverged." in page
    rows = Tables(page).tables["Force MAE, meV/Å"]
    marked = [row[0] for row in rows if row[0].endswith("†")]
    assert marked == ["60 × 10 †"]
    assert "models that diverged are left out" in page


def test_a_model_that_predicts_no_number_has_diverged_too():
    data = springs()
    potential = build_potential("factorised_painn", n_features=8, n_layers=1, levels=["springs"])
    assert np.isfinite(monitored(potential, data, "springs"))
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.fill_(1e30)
    with pytest.raises(DivergedError, match=r"NaN or infinity for 30 of 30 conformers.*diverged"):
        predict(potential, data, level="springs")
    assert np.isnan(monitored(potential, data, "springs"))
