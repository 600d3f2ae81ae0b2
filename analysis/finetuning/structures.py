"""Errors and scores of every structure by every model: what means and intervals are made of."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..errors import force_mae_by_structure, structure_starts
from .layout import ORIGINAL_DOMAIN

#: The detector whose limit tells what a training set covers.
COVERING = "q"


@dataclass(frozen=True)
class StructureTables:
    """Per model and structure; NaN where a model was not evaluated.

    Attributes
    ----------
    residual : ndarray, shape (M, S)
        (E − E_ref)/N, eV per atom.
    force_mae : ndarray, shape (M, S)
        eV/Å.
    elements : ndarray of int, shape (E,)
        Atomic numbers, ascending, of `tested_elements`.
    element_error : ndarray, shape (M, S, E)
        Sum of the absolute errors of the Cartesian components of an element's atoms, eV/Å.
    element_force : ndarray, shape (S, E)
        Sum of the absolute components of the reference, eV/Å.
    element_components : ndarray, shape (S, E)
        How many components these are.
    score : dict of str to ndarray, shape (M, S)
        Mean over atoms, by detector.
    coverage : ndarray, shape (M, S), or None
        Share of atoms inside the limit of `COVERING`.
    """

    residual: np.ndarray
    force_mae: np.ndarray
    elements: np.ndarray
    element_error: np.ndarray
    element_force: np.ndarray
    element_components: np.ndarray
    score: dict[str, np.ndarray]
    coverage: np.ndarray | None


def structure_tables(predictions: xr.Dataset) -> StructureTables:
    """Compute them from predictions in the layout of :mod:`.layout`."""
    n_atoms, numbers = predictions["n_atoms"].values, predictions["atomic_number"].values
    starts = structure_starts(n_atoms)
    elements = tested_elements(predictions)
    belongs = (numbers[:, None] == elements).astype(float)
    reference = predictions["forces_reference"].values.astype(np.float64)
    n_models = predictions.sizes["model"]
    force_mae = np.full((n_models, len(n_atoms)), np.nan)
    element_error = np.full((n_models, len(n_atoms), len(elements)), np.nan)
    for m in range(n_models):
        forces = predictions["forces"][m].values
        force_mae[m] = force_mae_by_structure(forces, reference, n_atoms)
        error = np.abs(forces - reference).sum(axis=1)
        by_element = np.where(belongs > 0, error[:, None], 0.0)
        element_error[m] = np.add.reduceat(by_element, starts)
    size = np.abs(reference).sum(axis=1)[:, None]
    score, coverage = _scores(predictions, starts)
    return StructureTables(
        residual=(predictions["energy"].values - predictions["energy_reference"].values) / n_atoms,
        force_mae=force_mae,
        elements=elements,
        element_error=element_error,
        element_force=np.add.reduceat(size * belongs, starts),
        element_components=3.0 * np.add.reduceat(belongs, starts),
        score=score,
        coverage=coverage,
    )


def tested_elements(predictions: xr.Dataset) -> np.ndarray:
    """Return the atomic numbers, ascending, of all that is no other molecule's (original domain).

    All, where there is nothing else.
    """
    other = predictions["test_run"].values.astype(str) == ORIGINAL_DOMAIN
    atoms = np.repeat(~other | other.all(), predictions["n_atoms"].values)
    return np.unique(predictions["atomic_number"].values[atoms])


def inside(predictions: xr.Dataset, detector: str) -> np.ndarray:
    """Return whether each atom lies inside its element's limit, (model, atom): 1, 0, or NaN.

    NaN where the atom was not scored; an element that the training set lacks is outside.
    """
    score = predictions["score"].sel(detector=detector).values
    limit = predictions["limit"].sel(detector=detector).values
    known = predictions["element"].values
    numbers = predictions["atomic_number"].values
    place = np.searchsorted(known, numbers).clip(max=len(known) - 1)
    of_atom = np.where(known[place] == numbers, limit[:, place], np.nan)
    return np.where(np.isfinite(score), score <= of_atom, np.nan)


def _scores(
    predictions: xr.Dataset, starts: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    if "score" not in predictions:
        return {}, None
    n_atoms = predictions["n_atoms"].values
    detectors = predictions["detector"].values.astype(str).tolist()

    def mean(of_atoms: np.ndarray) -> np.ndarray:
        return np.add.reduceat(of_atoms.astype(np.float64), starts, axis=1) / n_atoms

    score = {d: mean(predictions["score"].sel(detector=d).values) for d in detectors}
    covered = "limit" in predictions and COVERING in detectors
    return score, mean(inside(predictions, COVERING)) if covered else None
