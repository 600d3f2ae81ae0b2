"""Bounds on structures of new systems: promised in distribution, realised under shift."""

import numpy as np
import pytest

from breadth.analysis.relation.applicability import ALPHAS, structure_bounds
from breadth.analysis.relation.conformal import hierarchical_bound
from breadth.diversity.errors import DataError


def structures(seed: int, n_hold_out: int = 40) -> dict:
    """SYNTHETIC errors of structures of systems: those that calibrate, as many near, and far."""
    rng = np.random.default_rng(seed)
    n = n_hold_out + 40
    count = rng.integers(1, 12, n)
    far = np.repeat([1.0, 1.0, 4.0], [n_hold_out, 20, 20])
    size = 0.05 * far * np.exp(0.4 * rng.normal(size=(3, n)))
    system = np.repeat(np.arange(n), count)
    return {
        "error": size[:, system] * np.exp(0.3 * rng.normal(size=(3, len(system)))),
        "system": system,
        "group": ["hold-out"] * n_hold_out + ["near"] * 20 + ["far"] * 20,
        "calibrates": np.arange(n) < n_hold_out,
    }


def test_values_are_the_hierarchical_bound_and_shares_of_structures_within() -> None:
    given = structures(0)
    found = structure_bounds(**given, n_resamples=50)
    assert found["group"].values.tolist() == ["near", "far"]
    assert found["relation_structure_n_calibration"].values.tolist() == [40, 40, 40]
    error, system = given["error"], given["system"]
    for a, alpha in enumerate(ALPHAS):
        shares = []
        for r in range(3):
            held = system < 40
            bound = hierarchical_bound(error[r, held], system[held], alpha=alpha)
            assert float(found["relation_structure_bound"][a, r]) == bound
            shares.append([np.mean(error[r, system == s] <= bound) for s in range(40, 60)])
        coverage = found["relation_structure_coverage"].sel(group="near")
        assert float(coverage[a]) == pytest.approx(np.mean(shares))
    coverage, interval = (found[f"relation_structure_coverage{e}"] for e in ("", "_interval"))
    assert (interval.sel(bound="lower") <= coverage).all()
    assert (interval.sel(bound="upper") >= coverage).all()
    assert (coverage.sel(group="far") < 0.5).all()


def test_the_promise_is_kept_in_distribution_on_average() -> None:
    found = [
        structure_bounds(**structures(seed), n_resamples=2)["relation_structure_coverage"]
        for seed in range(60)
    ]
    near = np.mean([x.sel(group="near").values for x in found], axis=0)
    promised = 1 - np.array(ALPHAS)
    assert (near > promised - 0.015).all()
    assert (near < promised + 0.05).all()


def test_few_systems_bound_nothing_and_unknown_errors_are_left_out() -> None:
    given = structures(1, n_hold_out=10)
    given["error"][0, given["system"] < 5] = np.nan
    found = structure_bounds(**given, n_resamples=20)
    assert found["relation_structure_n_calibration"].values.tolist() == [5, 10, 10]
    finite = np.isfinite(found["relation_structure_bound"].values)
    assert finite.tolist() == [[False] * 3, [False, True, True], [True, True, True]]
    with pytest.raises(DataError, match="50 systems"):
        structure_bounds(given["error"], given["system"], given["group"][:-1], given["calibrates"])
