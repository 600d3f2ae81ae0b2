"""What ever broader training sets leave to win back."""

import numpy as np
import pytest
import xarray as xr

from breadth.analysis.refinement import left_to_win


def results(gains, *, n_systems=12, n_replicates=3, experiment="fixed_budget", seed=0):
    """Gains (eV/Å) of designs of 10, 40, … molecules, each system and replicate off by a little."""
    rng = np.random.default_rng(seed)
    shift = np.array(["in_distribution"] * 4 + ["larger"] * n_systems)
    of_system = rng.normal(scale=0.002, size=(1, 1, len(shift)))
    noise = rng.normal(scale=0.001, size=(len(gains), n_replicates, len(shift)))
    gain = np.asarray(gains)[:, None, None] + of_system + noise
    gain[:, :, :4] = 5.0  # in distribution: not asked for
    stacked = np.stack([np.zeros_like(gain), gain], axis=-1)
    dims = ("design", "replicate", "system", "method")
    return xr.Dataset(
        {"gain": (dims, stacked), "force_mae": (dims, 0.1 - stacked)},
        coords={
            "method": ["none", "test_time"],
            "shift": ("system", shift),
            "design_experiment": ("design", [experiment] * len(gains)),
            "n_molecules": ("design", 10 * 4 ** np.arange(len(gains))),
            "n_conformers": ("design", 16 // 4 ** np.arange(len(gains))),
        },
    )


def test_the_gains_that_were_put_in_come_out():
    rows = left_to_win(results([0.03, 0.01]))
    assert [(row.n_molecules, row.n_conformers, row.n_systems) for row in rows] == [
        (10, 16, 12),
        (40, 4, 12),
    ]
    assert [row.gain for row in rows] == pytest.approx([0.03, 0.01], abs=2e-3)
    assert rows[1].less == pytest.approx(rows[0].gain - rows[1].gain)
    # Paired, what systems have in common falls out: the difference is known better than each.
    low, high = rows[1].less_interval
    assert low < 0.02 < high
    assert high - low < rows[0].gain_interval[1] - rows[0].gain_interval[0]
    assert np.isnan(rows[0].less_interval).all()


def test_intervals_hold_the_truth():
    held = 0
    for seed in range(40):
        row = left_to_win(results([0.01, 0.01], seed=seed), n_resamples=300)[1]
        held += row.less_interval[0] <= 0 <= row.less_interval[1]
    assert held >= 34


def test_designs_stand_by_molecules_whatever_their_order():
    given = results([0.03, 0.02, 0.01])
    turned = left_to_win(given.isel(design=[2, 0, 1]))
    assert [row.n_molecules for row in turned] == [10, 40, 160]
    assert turned[0].less == 0


def test_nothing_to_compare():
    given = results([0.03, 0.01])
    assert left_to_win(given.isel(design=0)) == []
    assert left_to_win(given, method="radius") == []
    assert left_to_win(results([0.03], experiment="fixed_molecules")) == []
    assert left_to_win(given.isel(system=slice(0, 4))) == []
