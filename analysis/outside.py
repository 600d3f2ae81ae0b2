"""Models made elsewhere, on the test sets of a study: the same errors on the same structures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from .errors import MINIMUM_CONFORMERS, structure_starts
from .tradeoff.results import ErrorTables, mean_over_molecules

#: Errors that stand in results as ``outside_NAME``.
ERRORS = ("force_mae", "conformational_energy_mae")


def in_place_of_models(predictions: xr.Dataset, outside: xr.Dataset) -> xr.Dataset:
    """Return a study's predictions with an outside model's in place of every model's own.

    Parameters
    ----------
    predictions : xarray.Dataset
        See :mod:`breadth.analysis.tradeoff.predictions`.
    outside : xarray.Dataset
        ``energy`` (structure), eV, and ``forces`` (atom, xyz), eV/Å, of the same structures; NaN
        where the model predicted nothing.
    """
    return predictions.assign(
        {
            name: (
                predictions[name].dims,
                np.broadcast_to(outside[name].values, predictions[name].shape),
            )
            for name in ("energy", "forces")
        }
    )


def outside_errors(
    predictions: xr.Dataset,
    outside: Mapping[str, xr.Dataset],
    *,
    minimum_conformers: int = MINIMUM_CONFORMERS,
) -> xr.Dataset:
    """Compute the errors of outside models on each test set of each design.

    Parameters
    ----------
    predictions : xarray.Dataset
    outside : mapping of str to xarray.Dataset
        By the model's name; see :func:`in_place_of_models`.
    minimum_conformers : int
        As of :func:`~breadth.analysis.measure_errors`.

    Returns
    -------
    xarray.Dataset
        ``outside_force_mae`` (eV/Å) and ``outside_conformational_energy_mae`` (eV), with the
        dimensions ``outside``, ``design``, ``replicate``, ``test_set``. NaN where the model has
        not predicted every structure of the test set: errors on some would not compare.
    """
    model_of, member = predictions["model_of"].values, predictions["member"].values
    starts = structure_starts(predictions["n_atoms"].values)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ERRORS}
    for one in outside.values():
        tables = ErrorTables(in_place_of_models(predictions, one), minimum_conformers)
        there = {
            "conformational_energy_mae": np.isfinite(one["energy"].values),
            "force_mae": np.logical_and.reduceat(
                np.isfinite(one["forces"].values).all(axis=-1), starts
            ),
        }
        for name in ERRORS:
            complete = ~(member & ~there[name]).any(axis=-1)  # (model, test set)
            complete = complete[np.maximum(model_of, 0)] & (model_of >= 0)[..., None]
            mean = mean_over_molecules(tables.by_design(name, model_of))
            found[name].append(np.where(complete, mean, np.nan))
    dims = ("outside", "design", "replicate", "test_set")
    units = {"force_mae": "eV/angstrom", "conformational_energy_mae": "eV"}
    missing = "NaN: the model has not predicted every structure of the test set"
    return xr.Dataset(
        {
            f"outside_{name}": (dims, np.stack(found[name]), {"units": u, "missing": missing})
            for name, u in units.items()
        },
        coords={"outside": list(outside)},
    )
