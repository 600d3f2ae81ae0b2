"""Models made elsewhere, kept beside a study: their predictions for its test structures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...analysis.outside import outside_errors
from ...diversity import ConfigurationError, ConformerSet, DataError, read
from ..evaluating import refuse_labels
from ..outside import matched_predictions, read_predictions
from ..results import load, save

FOLDER = "outside"


def add_outside(
    run: Path,
    path: Path,
    *,
    name: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
) -> dict[str, Any]:
    """Keep another model's predictions beside a study, for its tables and figures.

    Parameters
    ----------
    run : Path
        Folder of a finished study.
    path : Path
        Extended XYZ with predictions for structures of the study's ``pool``.
    name : str, optional
        Of the model; the file's by default. One of the same name is replaced.
    energy_key, forces_key : str, optional
        See `breadth.studies.outside.read_predictions`.

    Returns
    -------
    dict
        ``name``, ``n_predicted`` of ``n_structures`` that the study tests on.

    Raises
    ------
    ConfigurationError
        If the name can be no file's.
    DataError
        If the file cannot be used, holds the labels, or predicts nothing that is tested on.
    """
    called = path.stem if name is None else name
    if not re.fullmatch(r"[\w+-][\w .+-]*", called):
        raise ConfigurationError(f"--name {called!r}: use letters, digits, spaces and . + - _.")
    predictions = load(run / "predictions.nc")
    tested = _tested(run, predictions)
    found = read_predictions(path, energy_key=energy_key, forces_key=forces_key)
    predicted, _ = matched_predictions(found, tested, path=path)
    there = predicted.has_energy | predicted.has_forces
    if not there.any():
        raise DataError(
            f"No structure of {path} is one that {run} tests on. Predict for those of {run}/pool "
            f"(breadth convert {run}/pool pool.xyz) as they are."
        )
    refuse_labels(path, predicted, tested.labels(predictions.attrs.get("level")), tested)
    energy = np.where(predicted.has_energy, predicted.energy, np.nan)
    forced = predicted.has_forces[tested.atom_conformer]
    forces = np.where(forced[:, None], predicted.forces, np.nan)
    (run / FOLDER).mkdir(exist_ok=True)
    kept = xr.Dataset({"energy": ("structure", energy), "forces": (("atom", "xyz"), forces)})
    save(kept, run / FOLDER / f"{called}.nc")
    return {
        "name": called,
        "n_predicted": int(there.sum()),
        "n_structures": len(tested),
    }


def outside_models(run: Path) -> dict[str, xr.Dataset]:
    """Return the outside models that are kept beside a study, by name."""
    return {path.stem: load(path) for path in sorted((run / FOLDER).glob("[!.]*.nc"))}


def with_outside(results: xr.Dataset, predictions: xr.Dataset, run: Path) -> xr.Dataset:
    """Return results with the errors of the outside models that are kept beside a study."""
    models = outside_models(run)
    return results.assign(outside_errors(predictions, models)) if models else results


def _tested(run: Path, predictions: xr.Dataset) -> ConformerSet:
    """Return the test structures of a study, in the order of its predictions."""
    pool = read(run / "pool")
    names = pool.id.astype("U32")
    order = np.argsort(names, kind="stable")
    wanted = predictions["conformer_id"].values.astype(str)
    place = np.minimum(np.searchsorted(names[order], wanted), len(order) - 1)
    rows = order[place]
    if not np.array_equal(names[rows], wanted):
        raise DataError(f"{run}/pool lacks structures of predictions.nc: it is not that study's.")
    return pool.select(rows)
