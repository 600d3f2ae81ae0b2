"""Models made elsewhere, on the test sets of a study."""

import numpy as np
import pytest
import xarray as xr

from breadth.analysis import figures
from breadth.analysis.figures import style
from breadth.analysis.outside import in_place_of_models, outside_errors


def as_told(predictions: xr.Dataset, off: float) -> xr.Dataset:
    """Return a model whose force components are all off by so much, and energies exact."""
    return xr.Dataset(
        {
            "energy": ("structure", predictions["energy_reference"].values.copy()),
            "forces": (("atom", "xyz"), predictions["forces_reference"].values + off),
        }
    )


def test_errors_are_those_put_in(predictions: xr.Dataset, results: xr.Dataset) -> None:
    made = outside_errors(
        predictions, {"a": as_told(predictions, 0.02), "b": as_told(predictions, 0)}
    )
    assert made["outside"].values.tolist() == ["a", "b"]
    there = np.isfinite(results["force_mae"].values)
    np.testing.assert_allclose(made["outside_force_mae"].values[0][there], 0.02, rtol=1e-4)
    np.testing.assert_allclose(made["outside_force_mae"].values[1][there], 0.0, atol=1e-12)
    energies = made["outside_conformational_energy_mae"].values[0]
    known = np.isfinite(results["conformational_energy_mae"].values)
    np.testing.assert_allclose(energies[known], 0.0, atol=1e-9)


def test_a_model_of_the_study_has_its_own_errors(
    predictions: xr.Dataset, results: xr.Dataset
) -> None:
    """Given as an outside model, with what it predicted everywhere, it is measured alike."""
    model = int(predictions["model_of"].values[0, 0])
    one = xr.Dataset(
        {
            "energy": ("structure", predictions["energy"].values[model]),
            "forces": (("atom", "xyz"), predictions["forces"].values[model]),
        }
    )
    made = outside_errors(predictions, {"itself": one})
    for name in ("force_mae", "conformational_energy_mae"):
        ours, theirs = results[name].values[0, 0], made[f"outside_{name}"].values[0, 0, 0]
        assert np.isfinite(theirs).any()
        np.testing.assert_allclose(theirs, ours)


def test_a_test_set_that_is_not_all_predicted_has_no_error(predictions: xr.Dataset) -> None:
    partial = as_told(predictions, 0.02)
    lost = int(np.flatnonzero(predictions["member"].values[0, 0])[0])
    atoms = np.repeat(np.arange(predictions.sizes["structure"]), predictions["n_atoms"].values)
    partial["forces"].values[atoms == lost] = np.nan
    made = outside_errors(predictions, {"a": partial})
    model_of = predictions["model_of"].values
    without = (
        predictions["member"].values[np.maximum(model_of, 0)][..., lost] | (model_of < 0)[..., None]
    )
    errors = made["outside_force_mae"].values[0]
    assert np.isnan(errors[without]).all()
    assert np.isfinite(errors).any()
    # Energies were predicted everywhere.
    assert np.isfinite(made["outside_conformational_energy_mae"].values[0][0, 0]).any()


@pytest.mark.parametrize("column", ["single", "double"])
def test_they_stand_in_the_figures(
    predictions: xr.Dataset, results: xr.Dataset, column: style.Column
) -> None:
    model = as_told(predictions, 0.02)
    both = results.assign(outside_errors(predictions, {"MACE": model}))
    figure = figures.error_against_molecules(both, column=column)
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert stars
    for line in stars:
        np.testing.assert_allclose(line.get_ydata(), 20.0, rtol=1e-4)
    assert "MACE" in [text.get_text() for text in figure.legends[0].get_texts()]
    drawn = figures.parity(
        predictions, column=column, outside={"MACE": in_place_of_models(predictions, model)}
    )
    (panel,) = [axes for axes in drawn.axes if axes.get_title() == "MACE"]
    assert panel.texts[0].get_text().startswith("MAE 20 meV/Å")
