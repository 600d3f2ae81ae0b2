"""The errors of a study, with baselines and intervals: ``predictions.nc`` → ``results.nc``."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ..bootstrap import CrossedBootstrap, mean_over_replicates
from ..errors import (
    MINIMUM_CONFORMERS,
    conformational_energy_mae_by_molecule,
    force_mae_by_structure,
    mean_by_molecule,
    undertrained,
)
from .predictions import CELL, check_predictions


class ErrorTables:
    """Errors of every (model, test set, molecule), and what cheap predictions reach there."""

    NAMES = ("force_mae", "energy_mae_per_atom", "conformational_energy_mae")
    BASELINES = (
        "zero_force_mae",
        "prior_force_mae",
        "zero_conformational_energy_mae",
        "prior_conformational_energy_mae",
    )

    def __init__(self, predictions: xr.Dataset, minimum: int) -> None:
        # Structures in the order of their ids: the conformers chosen do not depend on file order.
        order = np.argsort(predictions["conformer_id"].values.astype(str), kind="stable")
        names, molecule = np.unique(predictions["molecule"].values[order], return_inverse=True)
        n_molecules, n_atoms = len(names), predictions["n_atoms"].values
        reference = predictions["energy_reference"].values[order]
        forces = predictions["forces_reference"].values
        n_models, n_sets = predictions.sizes["model"], predictions.sizes["test_set"]
        zero = force_mae_by_structure(np.zeros_like(forces), forces, n_atoms)[order]
        prior_force = prior_energy = np.full(len(order), np.nan)
        if "forces_prior" in predictions:
            prior = predictions["forces_prior"].values
            prior_force = force_mae_by_structure(prior, forces, n_atoms)[order]
        if "energy_prior" in predictions:
            prior_energy = predictions["energy_prior"].values[order]

        shape = (n_models, n_sets, n_molecules)
        self.tables = {name: np.full(shape, np.nan) for name in self.NAMES + self.BASELINES}
        self.n_molecules = np.zeros(shape[:2], dtype=np.int64)
        self.n_structures = np.zeros(shape[:2], dtype=np.int64)
        for model in range(n_models):
            energy = predictions["energy"].values[model][order]
            by_structure = force_mae_by_structure(
                predictions["forces"].values[model], forces, n_atoms
            )[order]
            per_atom = np.abs(energy - reference) / n_atoms[order]
            for test_set in range(n_sets):
                rows = np.flatnonzero(predictions["member"].values[model, test_set][order])
                of = molecule[rows]
                self.n_structures[model, test_set] = len(rows)
                self.n_molecules[model, test_set] = len(np.unique(of))
                means = {
                    "force_mae": by_structure,
                    "energy_mae_per_atom": per_atom,
                    "zero_force_mae": zero,
                    "prior_force_mae": prior_force,
                }
                for name, values in means.items():
                    self.tables[name][model, test_set] = mean_by_molecule(
                        values[rows], of, n_molecules
                    )
                energies = {
                    "conformational_energy_mae": energy,
                    "zero_conformational_energy_mae": np.zeros_like(energy),
                    "prior_conformational_energy_mae": prior_energy,
                }
                for name, values in energies.items():
                    self.tables[name][model, test_set] = conformational_energy_mae_by_molecule(
                        values[rows], reference[rows], of, n_molecules, minimum
                    )

    def by_design(self, name: str, model_of: np.ndarray) -> np.ndarray:
        """Return the table of each (design, replicate, test set, molecule); NaN without a model."""
        table = self.tables[name][np.maximum(model_of, 0)]
        table[model_of < 0] = np.nan
        return table


def measure_errors(
    predictions: xr.Dataset,
    *,
    n_resamples: int = 1000,
    random_state: int = 0,
    minimum_conformers: int = MINIMUM_CONFORMERS,
) -> xr.Dataset:
    """Compute every error, baseline and interval of a study from its predictions.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.tradeoff.predictions`.
    n_resamples, random_state : int
        The crossed bootstrap over replicates × test molecules, at 95 %.
    minimum_conformers : int
        Test conformers that a molecule needs for a conformational-energy error, ≥ 2.

    Returns
    -------
    xarray.Dataset
        Dimensions ``design``, ``replicate``, ``test_set``, ``other_design``, ``bound``; every
        variable carries ``units`` and ``long_name``, and says what NaN means in it.

    Raises
    ------
    DataError
        The predictions are incomplete or not in the agreed layout.
    """
    check_predictions(predictions)
    tables = ErrorTables(predictions, minimum_conformers)
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    full, quarter = (predictions[n].values for n in ("model_of", "model_of_quarter"))
    results = xr.Dataset(
        coords={
            **{n: predictions[n] for n in ("experiment", *CELL)},
            "test_set": predictions["test_set"],
            "bound": ["lower", "upper"],
        },
        attrs={
            **{k: v for k, v in predictions.attrs.items() if k in _KEPT},
            "interval": "95 % crossed bootstrap over replicates × test molecules",
            "n_resamples": n_resamples,
            "random_state": random_state,
        },
    )
    cells = ("design", "replicate", "test_set")
    by_design = {n: tables.by_design(n, full) for n in tables.tables}
    for name, table in by_design.items():
        results[name] = (cells, mean_over_molecules(table))
    results["relative_force_mae"] = results["force_mae"] / results["zero_force_mae"]
    results["force_mae_quarter"] = (
        cells,
        mean_over_molecules(tables.by_design("force_mae", quarter)),
    )
    for name, counts in (
        ("n_test_molecules", tables.n_molecules),
        ("n_test_structures", tables.n_structures),
    ):
        results[name] = (cells, np.where(full[..., None] < 0, 0, counts[np.maximum(full, 0)]))
    if (full < 0).any():
        results.attrs["missing"] = "a design × replicate without a model is NaN, its counts 0"

    for name in tables.NAMES:
        bounds = np.stack(
            [
                [bootstrap.interval(by_set, positive=True) for by_set in np.moveaxis(table, 1, 0)]
                for table in by_design[name]
            ]
        )
        results[f"{name}_interval"] = (("design", "test_set", "bound"), bounds)

    means = [results[n].mean("replicate").values for n in ("force_mae", "force_mae_quarter")]
    results["undertrained"] = (
        ("design", "test_set"),
        undertrained(means[0], means[1], predictions["experiment"].values.astype(str)),
    )
    results["updates_gain"] = (("design", "test_set"), means[1] / means[0])
    _add_differences(results, by_design["force_mae"], bootstrap)
    for name, (units, long_name, missing) in _ATTRIBUTES.items():
        results[name].attrs = {"units": units, "long_name": long_name, "missing": missing}
    return results


def mean_over_molecules(table: np.ndarray) -> np.ndarray:
    """Average over the last axis, molecules, among those that are not NaN."""
    present = np.isfinite(table)
    count, total = present.sum(axis=-1), np.where(present, table, 0.0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(n) for j in range(i + 1, n))


def _add_differences(results: xr.Dataset, table: np.ndarray, bootstrap: CrossedBootstrap) -> None:
    """Add force_mae_difference(design, other_design, test_set): design minus other design."""
    n_designs, _, n_sets, _ = table.shape
    difference = np.full((n_designs, n_designs, n_sets), np.nan)
    bounds = np.full((n_designs, n_designs, n_sets, 2), np.nan)
    for one, other in _pairs(n_designs):
        for test_set in range(n_sets):
            # NaN unless the molecule is in the test set of both, in this replicate
            paired = table[one, :, test_set] - table[other, :, test_set]
            mean = mean_over_replicates(paired)
            interval = bootstrap.interval(paired, positive=False)
            difference[one, other, test_set], difference[other, one, test_set] = mean, -mean
            bounds[one, other, test_set] = interval
            bounds[other, one, test_set] = -interval[1], -interval[0]
    dims = ("design", "other_design", "test_set")
    results["force_mae_difference"] = (dims, difference)
    results["force_mae_difference_interval"] = ((*dims, "bound"), bounds)


_KEPT = ("prior", "level", "budget", "synthetic")
_NO_SET = "NaN: the test set of this design and replicate is empty"
_FEW = "NaN: no molecule of the test set has enough conformers"
_NO_PRIOR = "NaN: no prior was computed; a molecule that it cannot treat is left out"
_ONE = "NaN: fewer than two replicates or two test molecules"
_ATTRIBUTES = {
    "force_mae": (
        "eV/angstrom",
        "force MAE over Cartesian components, averaged within a molecule, then over molecules",
        _NO_SET,
    ),
    "energy_mae_per_atom": ("eV", "energy MAE per atom, averaged likewise", _NO_SET),
    "conformational_energy_mae": (
        "eV",
        "energy MAE with each molecule's mean removed, times sqrt(n/(n-1))",
        _FEW,
    ),
    "zero_force_mae": ("eV/angstrom", "force MAE of predicting zero: mean |F|", _NO_SET),
    "prior_force_mae": ("eV/angstrom", "force MAE of the prior force field", _NO_PRIOR),
    "zero_conformational_energy_mae": (
        "eV",
        "conformational-energy MAE of predicting one energy per molecule: the spread",
        _FEW,
    ),
    "prior_conformational_energy_mae": (
        "eV",
        "conformational-energy MAE of the prior force field",
        _NO_PRIOR,
    ),
    "relative_force_mae": ("1", "force MAE ÷ mean |F component|", _NO_SET),
    "force_mae_quarter": (
        "eV/angstrom",
        "force MAE after a quarter of the updates",
        "NaN: not fitted, or the test set is empty",
    ),
    "n_test_molecules": ("1", "molecules in the test set", "none"),
    "n_test_structures": ("1", "structures in the test set", "none"),
    "force_mae_interval": ("eV/angstrom", "95 % interval of the mean force MAE", _ONE),
    "energy_mae_per_atom_interval": ("eV", "95 % interval of the mean energy MAE per atom", _ONE),
    "conformational_energy_mae_interval": (
        "eV",
        "95 % interval of the mean conformational-energy MAE",
        _ONE,
    ),
    "undertrained": (
        "1",
        "rank within the experiment differs between a quarter of the updates and all of them",
        "False where force_mae_quarter is NaN: not known",
    ),
    "updates_gain": (
        "1",
        "force MAE after a quarter of the updates ÷ after all of them",
        "NaN: no quarter fit",
    ),
    "force_mae_difference": (
        "eV/angstrom",
        "force MAE of design minus other_design, paired by replicate and molecule",
        "NaN: the two have no test molecule in common; NaN on the diagonal",
    ),
    "force_mae_difference_interval": (
        "eV/angstrom",
        "95 % interval of the paired difference",
        _ONE,
    ),
}
