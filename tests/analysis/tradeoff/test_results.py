"""From predictions to results: values, layout, round trip, and what must raise."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from breadth.analysis import measure_errors, parity_points, summarise
from breadth.diversity.errors import DataError


def test_layout_and_units(results: xr.Dataset) -> None:
    assert results["force_mae"].dims == ("design", "replicate", "test_set")
    for name in ("experiment", "n_molecules", "n_conformers", "molecule_selector"):
        assert results[name].dims == ("design",)
    for name in ("force_mae", "energy_mae_per_atom", "conformational_energy_mae"):
        assert results[f"{name}_interval"].dims == ("design", "test_set", "bound")
        inside = results[name].mean("replicate")
        bounds = results[f"{name}_interval"]
        assert (bounds.sel(bound="lower") < inside).all()
        assert (inside < bounds.sel(bound="upper")).all()
    assert all({"units", "long_name", "missing"} <= set(v.attrs) for v in results.values())
    assert results["undertrained"].dtype == bool


def test_values_of_one_model(predictions: xr.Dataset, results: xr.Dataset) -> None:
    """One cell, worked out slowly."""
    design, replicate, test_set = 2, 1, 3
    model = int(predictions["model_of"][design, replicate])
    member = predictions["member"].values[model, test_set]
    structure = np.repeat(np.arange(member.size), predictions["n_atoms"].values)
    molecule = predictions["molecule"].values
    force, energy, conformational, zero = [], [], [], []
    for name in np.unique(molecule[member]):
        rows = np.flatnonzero(member & (molecule == name))
        atoms = np.isin(structure, rows)
        reference = predictions["forces_reference"].values[atoms]
        force.append(np.abs(predictions["forces"].values[model][atoms] - reference).mean())
        zero.append(np.abs(reference).mean())
        residual = (predictions["energy"].values[model] - predictions["energy_reference"].values)[
            rows
        ]
        energy.append(np.abs(residual / predictions["n_atoms"].values[rows]).mean())
        n = len(rows)
        centred = residual - residual.mean()
        conformational.append(np.abs(centred).mean() * np.sqrt(n / (n - 1)))
    cell = results.isel(design=design, replicate=replicate, test_set=test_set)
    assert float(cell["force_mae"]) == pytest.approx(np.mean(force), rel=1e-6)
    assert float(cell["zero_force_mae"]) == pytest.approx(np.mean(zero), rel=1e-6)
    assert float(cell["energy_mae_per_atom"]) == pytest.approx(np.mean(energy))
    assert float(cell["conformational_energy_mae"]) == pytest.approx(np.mean(conformational))
    assert float(cell["relative_force_mae"]) == pytest.approx(np.mean(force) / np.mean(zero))
    assert int(cell["n_test_structures"]) == member.sum()
    assert int(cell["n_test_molecules"]) == len(force)


def test_differences_are_paired_and_antisymmetric(results: xr.Dataset) -> None:
    difference = results["force_mae_difference"].values
    mean = results["force_mae"].mean("replicate").values
    fixed = 3  # a test set that is the same for every model
    np.testing.assert_allclose(difference[0, 4, fixed], mean[0, fixed] - mean[4, fixed])
    np.testing.assert_array_equal(difference[4, 0], -difference[0, 4])
    bounds = results["force_mae_difference_interval"].values
    np.testing.assert_array_equal(bounds[4, 0, :, ::-1], -bounds[0, 4])
    same = 2, 9  # 60 × 10 stands in both experiments and is one model
    np.testing.assert_array_equal(bounds[same], 0.0)
    # pairing pays: narrower than the difference of two independent means
    width = np.ptp(bounds[0, 4, fixed])
    apart = np.ptp(results["force_mae_interval"].values[[0, 4], fixed], axis=1)
    assert width < np.hypot(*apart)


def test_same_after_a_round_trip_and_in_any_order(
    predictions: xr.Dataset, results: xr.Dataset, tmp_path: Path
) -> None:
    results.to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "results.nc"), results)
    again = measure_errors(predictions, n_resamples=200)
    xr.testing.assert_identical(again, results)
    order = np.random.default_rng(0).permutation(predictions.sizes["structure"])
    starts = np.cumsum(predictions["n_atoms"].values) - predictions["n_atoms"].values
    atoms = [np.arange(starts[i], starts[i] + predictions["n_atoms"].values[i]) for i in order]
    shuffled = predictions.isel(structure=order, atom=np.concatenate(atoms))
    xr.testing.assert_allclose(measure_errors(shuffled, n_resamples=200), results)


def test_without_prior_or_quarter_fits(predictions: xr.Dataset) -> None:
    bare = predictions.drop_vars(["energy_prior", "forces_prior"]).copy(deep=True)
    bare["model_of_quarter"] = bare["model_of_quarter"] * 0 - 1
    bare["model_of"][0, 2] = -1
    found = measure_errors(bare, n_resamples=20)
    assert found["prior_force_mae"].isnull().all()
    assert found["force_mae_quarter"].isnull().all()
    assert not found["undertrained"].any()
    assert found["force_mae"][0, 2].isnull().all()
    assert found["force_mae"][0, :2].notnull().all()
    assert (found["n_test_structures"][0, 2] == 0).all()


def test_prior_that_cannot_treat_a_molecule(predictions: xr.Dataset, results: xr.Dataset) -> None:
    partial = predictions.copy(deep=True)
    last = partial["molecule"].values == partial["molecule"].values[-1]
    partial["energy_prior"][last] = np.nan
    partial["forces_prior"][np.repeat(last, partial["n_atoms"].values)] = np.nan
    found = measure_errors(partial, n_resamples=20)
    assert found["prior_force_mae"].notnull().all()
    assert (found["prior_force_mae"] != results["prior_force_mae"]).any()
    xr.testing.assert_equal(found["force_mae"], results["force_mae"])


def test_a_prediction_that_is_not_finite_is_an_error(predictions: xr.Dataset) -> None:
    diverged = predictions.copy(deep=True)
    diverged["energy"][5] = np.nan
    with pytest.raises(DataError, match="model 5 has no finite prediction"):
        measure_errors(diverged)
    unlabelled = predictions.copy(deep=True)
    unlabelled["forces_reference"][0, 0] = np.nan
    with pytest.raises(DataError, match="no finite reference"):
        measure_errors(unlabelled)


@pytest.mark.parametrize("name", ["forces", "member", "n_molecules"])
def test_a_wrong_layout_is_named(predictions: xr.Dataset, name: str) -> None:
    with pytest.raises(DataError, match=name):
        measure_errors(predictions.drop_vars(name))


def test_wrong_counts_and_rows_are_named(predictions: xr.Dataset) -> None:
    short = predictions.assign(n_atoms=predictions["n_atoms"] + 1)
    with pytest.raises(DataError, match="n_atoms"):
        measure_errors(short)
    with pytest.raises(DataError, match="model_of"):
        measure_errors(predictions.assign(model_of=predictions["model_of"] + 1000))
    with pytest.raises(DataError, match="experiments"):
        measure_errors(
            predictions.assign_coords(experiment=("design", ["x"] * predictions.sizes["design"]))
        )


def test_summary_finds_the_trade_off_that_was_put_in(results: xr.Dataset) -> None:
    rows = summarise(results, ["unseen_conformers", "unseen_molecules"])
    ends = {(r.experiment, r.test_set): r for r in rows if r.kind == "ends"}
    assert len(ends) == 4
    assert ends["fixed_budget", "unseen_molecules"].verdict == "lower"
    assert ends["fixed_budget", "unseen_conformers"].verdict == "higher"
    assert str(ends["fixed_budget", "unseen_molecules"].design) == "300 × 2"
    row = ends["fixed_molecules", "unseen_conformers"]
    assert (row.design.n_conformers, row.other.n_conformers) == (20, 1)
    assert row.interval[0] < row.difference < row.interval[1] < 0
    assert row.excludes_zero
    best = [r for r in rows if r.kind == "best"]
    assert all(r.difference < 0 for r in best)


def test_selectors_are_compared_with_random_on_their_axis(by_selector: xr.Dataset) -> None:
    rows = summarise(by_selector, ["unseen_molecules"])
    assert {r.kind for r in rows} == {"random"}
    assert len(rows) == 8
    named = {
        (r.experiment, r.design.molecule_selector, r.design.conformer_selector): r for r in rows
    }
    fps = named["molecule_selectors", "fps", "random"]
    assert fps.verdict == "lower"
    assert (fps.other.molecule_selector, fps.other.conformer_selector) == ("random", "random")
    assert named["conformer_selectors", "random", "fps"].verdict == "lower"
    assert fps.difference == pytest.approx(fps.design.force_mae - fps.other.force_mae)


def test_parity_points_agree_with_the_errors(predictions: xr.Dataset, results: xr.Dataset) -> None:
    points = parity_points(predictions, 1, "unseen_molecules", replicate=2)
    reference, predicted = points["forces"]
    cell = results.isel(design=1, replicate=2).sel(test_set="unseen_molecules")
    assert np.abs(predicted - reference).mean() == pytest.approx(float(cell["force_mae"]), rel=0.1)
    reference, predicted = points["conformational_energies"]
    n = int(cell["n_test_structures"]) / int(cell["n_test_molecules"])  # equal for all here
    found = np.abs(predicted - reference).mean() * np.sqrt(n / (n - 1))
    assert found == pytest.approx(float(cell["conformational_energy_mae"]))
