"""Composition of structures: shares of elements, and how far they are from a reference's."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from .structure_rows import StructureRows

_N_ELEMENTS = 119


def element_shares(rows: StructureRows) -> np.ndarray:
    """Return the share of each element among a structure's atoms, shape (n, 119)."""
    owner = np.repeat(np.arange(len(rows)), rows.counts)
    counts = np.bincount(owner * _N_ELEMENTS + rows.numbers, minlength=len(rows) * _N_ELEMENTS)
    return counts.reshape(len(rows), _N_ELEMENTS) / rows.counts[:, None]


def composition_score(reference: StructureRows, rows: StructureRows) -> np.ndarray:
    """Return how far each structure's composition is from the nearest of the reference.

    The total variation distance between shares of elements: 0 for a composition of the reference
    (or a multiple of one), 1 for one that has no element in common with any.

    Returns
    -------
    array, shape (n,)
    """
    known = np.unique(element_shares(reference).round(9), axis=0)
    wanted, place = np.unique(element_shares(rows).round(9), axis=0, return_inverse=True)
    return (cdist(wanted, known, "cityblock") / 2).min(axis=1)[place.ravel()].round(9)


def unknown_elements(reference: StructureRows, rows: StructureRows) -> np.ndarray:
    """Return the share of each structure's atoms whose element the reference lacks, shape (n,)."""
    return rows.mean_of_atoms(~np.isin(rows.numbers, reference.numbers))
