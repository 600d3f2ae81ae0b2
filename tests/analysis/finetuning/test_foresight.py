"""What detectors foresee of models tuned in dynamics: perfect and senseless scores, intervals."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from breadth.analysis.bootstrap import IDENTITY
from breadth.analysis.figures.finetuning import foresight, frame_foresight, risk_coverage
from breadth.analysis.figures.style import WIDTH
from breadth.analysis.finetuning import foresee_arms
from breadth.analysis.finetuning.foresight import _bounds


@pytest.fixture(scope="module")
def small(make_predictions: Callable[..., xr.Dataset]) -> xr.Dataset:
    """Predictions with a detector that is the error itself, and one that is its opposite."""
    predictions = make_predictions(
        arms=("naive", "chosen"), n_iterations=1, n_replicates=2, n_original=0
    )
    error = np.linalg.norm(predictions["forces"] - predictions["forces_reference"], axis=-1)
    score = predictions["score"].values[:, :3].copy()
    score[1:, 0], score[1:, 1] = error[1:], -error[1:]
    limit = predictions["limit"].values[:, :3]
    few = predictions.drop_dims("detector")
    few = few.assign(
        score=(("model", "detector", "atom"), score),
        limit=(("model", "detector", "element"), limit),
    )
    return few.assign_coords(detector=["error", "opposite", "mahalanobis"])


@pytest.fixture(scope="module")
def foreseen(small: xr.Dataset) -> xr.Dataset:
    return foresee_arms(small, n_resamples=30)


def test_the_error_itself_foresees_all_and_its_opposite_nothing(foreseen):
    for name, worst in (("spearman", -1.0), ("auroc", 0.0)):
        for detector, expected in (("error", 1.0), ("opposite", worst)):
            told = foreseen[name].sel(detector=detector, element=["H", "C"]).values
            assert np.isfinite(told).any()
            np.testing.assert_allclose(told[np.isfinite(told)], expected, atol=1e-12)
    np.testing.assert_allclose(foreseen["won"].sel(detector="error"), 1.0)


def test_a_number_is_the_mean_of_what_each_replicate_s_model_says(small, foreseen):
    rows = (small["test_run"] == "independent").values
    atoms = np.repeat(rows, 12) & (small["atomic_number"].values == 1)
    found = []
    for replicate in range(2):
        at = (small["arm"] == "chosen") & (small["replicate"] == replicate)
        model = small.isel(model=int(np.flatnonzero(at)[0]), atom=atoms)
        error = np.linalg.norm(model["forces"] - model["forces_reference"], axis=-1)
        found.append(spearmanr(model["score"].sel(detector="mahalanobis"), error).statistic)
    told = foreseen["spearman"].sel(
        arm="chosen", test_run="independent", element="H", detector="mahalanobis"
    )
    assert float(told) == pytest.approx(np.mean(found))
    low, high = foreseen["spearman_interval"].sel(
        arm="chosen", test_run="independent", element="H", detector="mahalanobis"
    )
    assert low < told < high


def test_intervals_are_the_wider_of_replicates_and_frames():
    table, frames = np.array([[0.1], [0.3]]), np.array([[[0.0, 0.2]], [[0.2, 0.4]]])
    apart = _bounds(table, frames, IDENTITY, shared=True)[0]
    assert apart == pytest.approx([0.2 - 12.706 * 0.1, 0.2 + 12.706 * 0.1], rel=1e-3)
    alike = np.array([[0.2], [0.2]])
    assert _bounds(alike, frames, IDENTITY, shared=True)[0] == pytest.approx([0.1, 0.3])
    narrower = [0.2 - 0.1 / 2**0.5, 0.2 + 0.1 / 2**0.5]
    assert _bounds(alike, frames, IDENTITY, shared=False)[0] == pytest.approx(narrower)


def test_what_few_atoms_or_no_scores_cannot_tell_is_nan(small, foreseen):
    assert np.isnan(foreseen["auroc"].sel(element="N", test_run="independent")).all()
    silent = small.assign(score=small["score"] * np.nan)
    assert np.isnan(foresee_arms(silent, n_resamples=5)["spearman"]).all()


@pytest.mark.parametrize("column", ["single", "double"])
@pytest.mark.parametrize("draw", [foresight, frame_foresight, risk_coverage])
def test_it_is_drawn_in_a_column(draw, column, foreseen):
    figure = draw(foreseen, column=column)
    assert figure.get_figwidth() == WIDTH[column]
    assert figure.get_figheight() < 8.5
