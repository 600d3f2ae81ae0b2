"""Scores of shift beside errors: joining, bins, in and out, labels needed."""

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.refinement import (
    error_by_score,
    error_in_and_out,
    labels_needed,
    with_scores,
)
from breadth.analysis.refinement.fine_tuning import fine_tuned
from breadth.analysis.refinement.scores import structure_measures, training_scores
from breadth.diversity.errors import DataError


def test_scores_follow_their_systems(
    scored: xr.Dataset, refinement_results: xr.Dataset, scored_designs: xr.Dataset
) -> None:
    shift = scored[["shift_score", "shift_quantile"]]
    again = with_scores(refinement_results, shift.isel(system=slice(None, None, -1)), n_resamples=9)
    xr.testing.assert_identical(again["shift_score"], scored["shift_score"])
    assert scored["group_shift_score"].dims == ("group", "measure", "replicate")
    mean = scored["shift_score"].values[scored["group_of"].values == 2].mean(axis=0)
    np.testing.assert_allclose(scored["group_shift_score"].values[2], mean)
    bounds = scored["group_shift_score_interval"].isel(group=2)
    assert (bounds.sel(bound="lower") < mean.mean(axis=-1)).all()
    assert scored_designs["group_shift_quantile"].dims[:2] == ("design", "group")
    with pytest.raises(DataError, match="pools molecule 0"):
        with_scores(refinement_results, shift.isel(system=slice(1, None)))
    with pytest.raises(DataError, match="structures"):
        with_scores(
            refinement_results, scored[["shift_score", "structure_score"]].isel(structure=[0])
        )


def test_bins_against_a_plain_loop(scored: xr.Dataset) -> None:
    found = error_by_score(scored, "force_norm", "pools", n_bins=4, n_resamples=50)
    norms, of = scored["force_norm"].values, scored["system_of"].values
    in_pools = (scored["experiment"].values == "pools")[of] & ~scored["adapted"].values
    rows = sorted(np.flatnonzero(in_pools), key=lambda s: norms[s])
    rows = rows[: -(-len(rows) // 4)]
    means = []
    for replicate in range(3):
        error = scored["structure_force_mae"].values[5, replicate]
        systems = sorted({int(of[s]) for s in rows})
        means.append(np.mean([np.mean([error[s] for s in rows if of[s] == k]) for k in systems]))
    assert float(found["force_mae"][0, 5]) == pytest.approx(np.mean(means))
    assert float(found["score"][0]) == pytest.approx(np.median(norms[rows]))
    assert int(found["n_systems"][0]) == len(systems)
    assert (np.diff(found["score"]) > 0).all()


def test_in_and_out_cover_what_is_held_back(scored: xr.Dataset) -> None:
    training = training_scores(scored, "connectivity", "pools")
    assert len(training) == 300
    found = error_in_and_out(scored, "connectivity", "pools", n_resamples=50)
    near, far = found["force_mae"].sel({"method": "none"}).values
    assert near < far  # as the fixture has it
    scores = scored["structure_score"].sel(structure_measure="connectivity").values
    rows = np.flatnonzero(
        (scored["experiment"].values == "pools")[scored["system_of"].values]
        & ~scored["adapted"].values
        & (np.abs(scores - training.mean()) > training.std())
    )
    assert int(found["n_systems"][1]) == len(set(scored["system_of"].values[rows].tolist()))
    plain = scored.drop_vars(["structure_score", "training_score", "structure_measure"])
    assert structure_measures(plain) == ["force_norm"]
    assert structure_measures(scored) == ["force_norm", "connectivity"]
    with pytest.raises(DataError, match="training scores"):
        error_in_and_out(plain, "force_norm", "pools")


def test_an_experiment_of_energies_alone_has_no_bins(scored: xr.Dataset) -> None:
    assert error_by_score(scored, "force_norm", "acac", n_resamples=9).sizes["bin"] == 0


def test_labels_needed(scored: xr.Dataset) -> None:
    n, methods = fine_tuned(scored)
    assert n.tolist() == [1, 5, 20, 100]
    assert methods == [f"fine_tune_{k}" for k in (1, 5, 20, 100)]
    errors = 8.0 * n**-0.5
    assert labels_needed(n, errors, 8.0 / 50**0.5) == pytest.approx(50.0)
    assert labels_needed(n, errors, 9.0) == 1.0
    assert labels_needed(n, errors, 0.1) == np.inf
    assert np.isnan(labels_needed(n, errors, np.nan))
    assert np.isnan(labels_needed(n, np.full(4, np.nan), 1.0))
    gap = np.array([np.nan, *errors[1:]])
    assert labels_needed(n, gap, errors[0]) == pytest.approx(5.0)
