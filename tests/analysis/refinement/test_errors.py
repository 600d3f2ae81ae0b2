"""From predictions to gains: values worked out slowly, known gains, layout, and what must raise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.analysis.bootstrap import CrossedBootstrap
from breadth.analysis.refinement import group_means, refinement_errors
from breadth.diversity.errors import ConfigurationError, DataError

Make = Callable[..., xr.Dataset]
SMALL = (("pools", "in_distribution", 2, 4, 0.0), ("pools", "larger", 2, 4, 0.5))


def _slow(predictions: xr.Dataset, method: str, system: int, replicate: int, adapted: bool):
    """Force and conformational-energy MAE of one cell by a plain loop."""
    start, force, residual = 0, [], []
    cell = predictions.sel({"method": method}).isel(replicate=replicate)
    for s, n in enumerate(predictions["n_atoms"].values):
        if (
            predictions["system_of"].values[s] == system
            and predictions["adapted"].values[s] == adapted
        ):
            total = 0.0
            for atom in range(start, start + n):
                for k in range(3):
                    reference = float(predictions["forces_reference"].values[atom, k])
                    total += abs(float(cell["forces"].values[atom, k]) - reference)
            force.append(total / (3 * n))
            reference = float(predictions["energy_reference"].values[s])
            residual.append(float(cell["energy"].values[s]) - reference)
        start += n
    count = len(residual)
    mean = sum(residual) / count
    spread = sum(abs(r - mean) for r in residual) / count * (count / (count - 1)) ** 0.5
    return sum(force) / count, spread


def test_values_against_a_plain_loop(make: Make) -> None:
    predictions = make(systems=SMALL, methods=("none", "joint", "test_time"), n_replicates=2)
    results = refinement_errors(predictions, n_resamples=20, minimum_conformers=2)
    for system, method, replicate in ((0, "none", 1), (3, "test_time", 0)):
        for adapted, ending in ((False, ""), (True, "_adapted")):
            cell = results.isel(system=system, replicate=replicate).sel({"method": method})
            plain, base, own = (
                _slow(predictions, m, system, replicate, adapted) for m in ("none", "joint", method)
            )
            assert float(cell[f"force_mae{ending}"]) == pytest.approx(own[0], rel=1e-5)
            energies = float(cell[f"conformational_energy_mae{ending}"])
            assert energies == pytest.approx(own[1], rel=1e-9)
            assert float(cell[f"gain{ending}"]) == pytest.approx(plain[0] - own[0], abs=1e-6)
            steps = float(cell[f"gain_steps{ending}"])
            if method == "none":
                assert np.isnan(steps)
            else:
                assert steps == pytest.approx(base[0] - own[0], abs=1e-6)
            if not adapted:
                relative = (plain[0] - own[0]) / plain[0]
                assert float(cell["relative_gain"]) == pytest.approx(relative, abs=1e-6)


def test_layout_and_units(refinement_results: xr.Dataset, refined: xr.Dataset) -> None:
    results = refinement_results
    for name in ("force_mae", "gain", "gain_steps", "relative_gain", "conformational_energy_mae"):
        assert results[name].dims == ("system", "method", "replicate"), name
        assert results[f"group_{name}"].dims == ("group", "method", "replicate"), name
        assert results[f"group_{name}_interval"].dims == ("group", "method", "bound"), name
    for name in ("force_mae_interval", "gain_interval", "gain_steps_interval"):
        assert results[name].dims == ("system", "method", "bound")
    assert results["prior_force_mae"].dims == results["zero_force_mae"].dims == ("system",)
    assert all({"units", "long_name", "missing"} <= set(v.attrs) for v in results.values())
    assert list(results["group"].values[:2]) == ["pools: in_distribution", "pools: new_element"]
    assert results["structure_force_mae"].sizes["structure"] == refined.sizes["structure"]
    assert results["force_mae"].sel({"method": "none"}).notnull().sum() == 3 * (31 + 6)
    scans = results.sel(system=results["experiment"] == "acac")
    assert scans["force_mae"].isnull().all()
    assert scans["conformational_energy_mae"].notnull().all()


def test_bounds_hold_the_mean_and_none_gains_nothing(refinement_results: xr.Dataset) -> None:
    results = refinement_results
    for name in ("force_mae", "gain", "group_force_mae", "group_gain", "group_relative_gain"):
        mean = results[name].mean("replicate")
        bounds = results[f"{name}_interval"]
        known = bounds.notnull().all("bound")
        assert known.any()
        assert (bounds.sel(bound="lower") <= mean).where(known, True).all()
        assert (mean <= bounds.sel(bound="upper")).where(known, True).all()
    plain = results["gain"].sel({"method": "none"})
    assert (plain.where(plain.notnull(), 0.0) == 0.0).all()


def test_intervals_hold_a_known_gain_in_simulation(make: Make) -> None:
    """The mean |Laplace| is its width: the gain of every system is known before it is drawn."""
    systems = (("pools", "larger", 12, 8, 0.5),)
    held = total = 0
    for seed in range(40):
        predictions = make(
            systems=systems, methods=("none", "test_time"), n_replicates=3, seed=seed
        )
        results = refinement_errors(predictions, n_resamples=200)
        # exp(normal) widths of systems (0.25), structures (0.25) and models (0.1); see the maker
        mean = np.exp((0.25**2 + 0.25**2 + 0.1**2) / 2)
        true = 0.06 * 2.0 * mean * (0.28 * 0.5)  # test_time takes 28 % off, far out
        lower, upper = results["group_gain_interval"].sel({"method": "test_time"}).values[0]
        held += lower < true < upper
        total += 1
    assert held / total >= 0.85  # 0.95 meant; 34 of 40 or fewer has probability 0.014


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_same_in_any_order_of_structures(make: Make, seed: int) -> None:
    predictions = make(systems=SMALL, methods=("none", "joint"), n_replicates=2)
    rng = np.random.default_rng(seed)
    order = rng.permutation(predictions.sizes["structure"])
    n = predictions["n_atoms"].values
    starts = np.cumsum(n) - n
    atoms = np.concatenate([np.arange(starts[s], starts[s] + n[s]) for s in order])
    shuffled = predictions.isel(structure=order, atom=atoms)
    one, other = (
        refinement_errors(p, n_resamples=20, minimum_conformers=2) for p in (predictions, shuffled)
    )
    for name in ("force_mae", "gain", "conformational_energy_mae", "group_gain_interval"):
        np.testing.assert_allclose(one[name].values, other[name].values, rtol=1e-12, atol=1e-15)


def test_designs_are_carried_through(make: Make, tmp_path: Path) -> None:
    predictions = make(systems=SMALL, methods=("none", "joint"), designs=(50, 100))
    results = refinement_errors(predictions, n_resamples=20)
    assert results["gain"].dims == ("design", "system", "method", "replicate")
    assert results["gain_interval"].dims == ("design", "system", "method", "bound")
    assert results["group_gain"].dims == ("design", "group", "method", "replicate")
    assert results["n_molecules"].dims == ("design",)
    alone = refinement_errors(predictions.isel(design=1, drop=True), n_resamples=20)
    np.testing.assert_array_equal(alone["gain_interval"], results["gain_interval"][1])
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "results.nc"), results)
    predictions.to_netcdf(tmp_path / "predictions.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "predictions.nc") as lazy:
        again = refinement_errors(lazy, n_resamples=20)
        xr.testing.assert_identical(again.load(), results)


def test_a_structure_that_the_prior_cannot_treat_is_paired_away(make: Make) -> None:
    predictions = make(systems=SMALL, methods=("none", "delta"), n_replicates=2)
    structure = int(np.flatnonzero(~predictions["adapted"].values)[0])
    atoms = np.repeat(np.arange(16), predictions["n_atoms"].values) == structure
    for name in ("forces_prior", "energy_prior"):
        rows = atoms if name == "forces_prior" else structure
        predictions[name].values[rows] = np.nan
    predictions["forces"].values[1][:, atoms] = np.nan
    predictions["energy"].values[1][:, structure] = np.nan
    results = refinement_errors(predictions, n_resamples=20, minimum_conformers=2)
    by_structure = results["structure_force_mae"].values
    other = int(np.flatnonzero(~predictions["adapted"].values)[1])
    expected = by_structure[0, :, other] - by_structure[1, :, other]
    np.testing.assert_allclose(results["gain"].values[0, 1], expected)
    relative = expected / by_structure[0, :, other]  # both of the structure that is left
    np.testing.assert_allclose(results["relative_gain"].values[0, 1], relative)


def test_replicates_may_be_tested_on_different_systems(make: Make) -> None:
    """As triples of molecules are: what one trains on another is tested on."""
    predictions = make(systems=SMALL, methods=("none", "joint"), n_replicates=2)
    atoms = np.repeat(predictions["system_of"].values, predictions["n_atoms"].values) == 2
    predictions["forces"].values[:, 0, atoms] = np.nan
    predictions["energy"].values[:, 0, predictions["system_of"].values == 2] = np.nan
    results = refinement_errors(predictions, n_resamples=20)
    table = results["force_mae"].values
    assert np.isnan(table[2, :, 0]).all()
    assert np.isfinite(table[2, :, 1]).all()
    np.testing.assert_allclose(results["group_force_mae"].values[1, :, 0], table[3, :, 0])


def test_systems_behind_a_mean_are_counted_for_each_method(make: Make) -> None:
    predictions = make(systems=SMALL, methods=("none", "delta"), n_replicates=2)
    atoms = np.repeat(predictions["system_of"].values, predictions["n_atoms"].values) == 2
    predictions["forces"].values[1][:, atoms] = np.nan  # no prior treats the third
    results = refinement_errors(predictions, n_resamples=20, minimum_conformers=2)
    found = results["group_force_mae_n_systems"]
    assert found.dims == ("group", "method")
    assert found.values.tolist() == [[2, 2], [2, 1]]
    assert (results["group_conformational_energy_mae_n_systems"] == 2).all()


def _without(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda predictions: predictions.drop_vars(name)


def _spoil(name: str, index: object, value: object) -> Callable[[xr.Dataset], xr.Dataset]:
    def spoil(predictions: xr.Dataset) -> xr.Dataset:
        spoiled = predictions.copy(deep=True)
        spoiled[name].values[index] = value
        return spoiled

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("adapted"), "'adapted'.*missing"),
        (lambda p: p.transpose("xyz", ...), "dimensions"),
        (lambda p: p.sel({"method": ["joint"]}), "no method 'none'"),
        (_spoil("n_atoms", 0, 99), "sums to"),
        (_spoil("system_of", 0, 9), "outside the systems"),
        (_spoil("adapted", slice(0, 4), True), "pools molecule 0.*held back"),
        (_spoil("energy_reference", 0, np.nan), "pools molecule 0.*reference energy"),
        (_spoil("forces_reference", 0, np.nan), "pools molecule 0.*reference forces"),
        (_spoil("forces", (1, 0, 0), np.inf), "'joint', replicate 0.*forces.*pools molecule 0"),
        (_spoil("energy", (0, 1, 15), np.nan), "'none', replicate 1.*energy.*pools molecule 3"),
        (lambda p: p.assign_coords(system=["a", "a", "b", "c"]), "one name"),
        (lambda p: p.assign_coords(base_of_method=("method", ["", "gone"])), "gone"),
    ],
)
def test_bad_predictions_say_what_is_wrong(
    make: Make, spoil: Callable[[xr.Dataset], xr.Dataset], message: str
) -> None:
    predictions = make(systems=SMALL, methods=("none", "joint"), n_replicates=2)
    with pytest.raises(DataError, match=message):
        refinement_errors(spoil(predictions), n_resamples=20)


def test_bad_arguments(make: Make, refinement_results: xr.Dataset) -> None:
    predictions = make(systems=SMALL, methods=("none",), n_replicates=2)
    with pytest.raises(ConfigurationError, match="minimum_conformers"):
        refinement_errors(predictions, minimum_conformers=1)
    with pytest.raises(DataError, match="no system"):
        group_means(refinement_results, "force_norm", CrossedBootstrap())
