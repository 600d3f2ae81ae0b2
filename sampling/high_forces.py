"""Conformers whose forces lie out of the training distribution."""

from __future__ import annotations

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import DataError
from .disjoint import KEYS, check_disjoint


def force_norms(conformers: ConformerSet, level: str | None = None) -> np.ndarray:
    """Return each conformer's mean ‖F_i‖ over its atoms in eV/Å, NaN without forces; shape (n,)."""
    labels = conformers.labels(level)
    sums = np.add.reduceat(np.linalg.norm(labels.forces, axis=1), conformers.offsets[:-1])
    return np.where(labels.has_forces, sums / conformers.counts, np.nan)


def high_forces(
    conformers: ConformerSet,
    train: np.ndarray,
    candidates: np.ndarray,
    *,
    level: str | None = None,
    limit: float = 1.0,
) -> np.ndarray:
    """Return the candidates whose forces are out of the training distribution.

    That is, whose mean force norm exceeds the training mean by more than `limit` standard
    deviations (the force-norm shift of arXiv:2503.08674).

    Parameters
    ----------
    conformers : ConformerSet
        With labels at `level`.
    train, candidates : array of int
        Indices into the set; candidates are test conformers, and none may be trained on.
    level : str, optional
    limit : float, optional

    Returns
    -------
    array of int64

    Raises
    ------
    DataError
        If no training conformer has forces, or a candidate is trained on.
    """
    check_disjoint(conformers, train, candidates, by=KEYS["high_forces"])
    norms = force_norms(conformers, level)
    known = norms[train][np.isfinite(norms[train])]
    if not len(known):
        raise DataError("No training conformer has forces, so none can be called high.")
    with np.errstate(invalid="ignore"):
        return np.asarray(candidates)[norms[candidates] > known.mean() + limit * known.std()]
