"""Predicted against reference, for chosen designs: the points behind a parity plot."""

import numpy as np
import xarray as xr

from ..errors import MINIMUM_CONFORMERS, conformational_selection, mean_by_molecule


def parity_points(
    predictions: xr.Dataset,
    design: int,
    test_set: str,
    *,
    replicate: int = 0,
    minimum_conformers: int = MINIMUM_CONFORMERS,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return reference and prediction of one fitted model on one of its test sets.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.tradeoff.predictions`.
    design, replicate : int
        Which model, after all updates.
    test_set : str
        Name of the test set.

    Returns
    -------
    dict
        ``forces``: all Cartesian components, eV/Å; ``conformational_energies``: energies minus
        their molecule's mean, eV, over the conformers that the error uses too. Each a pair
        (reference, predicted) of 1-d arrays, empty without a model or without structures.
    """
    empty = np.empty(0)
    model = int(predictions["model_of"].values[design, replicate])
    if model < 0:
        return {"forces": (empty, empty), "conformational_energies": (empty, empty)}
    column = [str(name) for name in predictions["test_set"].values].index(test_set)
    member = predictions["member"].values[model, column]
    n_atoms = predictions["n_atoms"].values
    atoms = np.repeat(member, n_atoms)
    forces = tuple(
        np.asarray(values, dtype=np.float64)[atoms].ravel()
        for values in (predictions["forces_reference"].values, predictions["forces"].values[model])
    )
    order = np.argsort(predictions["conformer_id"].values.astype(str), kind="stable")
    rows = order[member[order]]
    names, molecule = np.unique(predictions["molecule"].values[rows], return_inverse=True)
    chosen, _ = conformational_selection(molecule, minimum_conformers)
    molecule = molecule[chosen]
    energies = []
    for values in (predictions["energy_reference"].values, predictions["energy"].values[model]):
        energy = values[rows[chosen]]
        energies.append(energy - mean_by_molecule(energy, molecule, len(names))[molecule])
    return {
        "forces": _known(*forces),
        "conformational_energies": _known(*energies),
    }


def _known(reference: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out what was not predicted, as models made elsewhere may do."""
    there = np.isfinite(predicted)
    return reference[there], predicted[there]


def parity_statistics(reference: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return mean absolute and root-mean-square residual, Pearson's r and the slope.

    The slope is that of predicted on reference: below 1 the model is too soft. The residuals count
    every component alike, so the MAE differs from one averaged over molecules.

    >>> parity_statistics(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 1.0]))["slope"]
    0.5
    """
    residual = predicted - reference
    r, spread = reference - reference.mean(), predicted - predicted.mean()
    return {
        "mae": float(np.abs(residual).mean()),
        "rmse": float(np.sqrt((residual**2).mean())),
        "r": float((r @ spread) / np.sqrt((r @ r) * (spread @ spread))),
        "slope": float((r @ spread) / (r @ r)),
    }
