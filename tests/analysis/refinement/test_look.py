"""Names, order and extents that all figures of refinement share; marks that would hide others."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from breadth.analysis.figures.refinement import gain_against_shift
from breadth.analysis.figures.refinement.look import extent, in_order, method_look
from breadth.analysis.refinement import refinement_errors


def test_methods_of_other_priors_are_named_and_stand_beside_their_own() -> None:
    assert method_look("test_time_uff")[0] == "test-time training, UFF"
    assert method_look("test_time_uff")[1] == method_look("test_time")[1]
    assert method_look("test_time_wrong_prior")[0] == "test time, wrong prior"
    assert method_look("something_else")[0] == "something else"
    mixed = ["fine_tune_20", "prior_uff", "joint_uff", "fine_tune_5", "none", "joint", "prior"]
    assert in_order(mixed) == [
        *("none", "joint", "joint_uff", "prior", "prior_uff"),
        *("fine_tune_5", "fine_tune_20"),
    ]


def test_an_interval_over_decades_leaves_the_means_their_room() -> None:
    assert extent(np.array([100.0, 200.0]), np.array([[90.0, 250.0]])) == (90.0, 250.0)
    assert extent(np.array([90.0, 200.0]), np.array([[1e-3, 1e6], [np.nan] * 2])) == (30.0, 600.0)
    assert np.isnan(extent(np.array([np.nan]), np.array([1.0]))).all()


def test_marks_at_equal_scores_are_set_apart_with_their_dots(scored: xr.Dataset) -> None:
    score = scored["shift_score"].copy(deep=True)
    score.values[...] = 1.0
    score.values[scored["group_of"].values == 1] = 9.0  # far enough for a logarithmic axis
    grouped = scored["group_shift_score"].copy(deep=True)
    grouped.values[...] = 1.0
    grouped.values[1] = 9.0
    near = scored.assign(shift_score=score, group_shift_score=grouped)
    axes = gain_against_shift(near, experiment="pools").axes[0]
    assert axes.get_xscale() == "log"
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in (".", "None")]
    assert len(marks) == 6
    gaps = np.diff(np.sort(np.log(marks)))
    assert (gaps > 0.99 * 0.13 * np.log(9.0)).all()
    dots = [set(np.asarray(d.get_xdata()).tolist()) for d in axes.lines if d.get_marker() == "."]
    assert [len(found) for found in dots] == [1] * 6
    np.testing.assert_allclose([next(iter(found)) for found in dots], marks)


def test_a_further_prior_may_fail_where_the_first_does_not(make: Callable[..., xr.Dataset]) -> None:
    predictions = make(
        systems=(("pools", "larger", 2, 4, 0.5),), methods=("none", "prior"), n_replicates=2
    )
    predictions = predictions.assign_coords(method=["none", "prior_uff"])
    atoms = np.repeat(np.arange(8), predictions["n_atoms"].values) == 2
    predictions["forces"].values[1][:, atoms] = np.nan
    results = refinement_errors(predictions, n_resamples=20)
    assert results["gain"].sel({"method": "prior_uff"}).notnull().all()
    assert np.isnan(results["structure_force_mae"].values[1, :, 2]).all()
