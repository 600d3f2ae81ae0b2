"""Energies that stand far from the others once composition is taken out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..tables import Labels
from .findings import Finding, report
from .units import compositions, formula_groups

#: Robust standard deviations from the median that make an outlier among many, and the least
#: distance, eV:
#: for each frame of a molecule, and for each atom of a composition.
Z_LIMIT, _FRAME_FLOOR, _ATOM_FLOOR = 12.0, 0.5, 0.5
#: Frames of a molecule that tell its spread.
_FEWEST = 8
#: More than this share of the energies beyond the limit is a second mode, such as the end of a
#: scan, and not a fault of single records.
_MODE = 0.1


def energy_outliers(conformers: ConformerSet) -> dict[str, Any]:
    """Find energies far from those of the same molecule, or of similar compositions.

    Within a molecule, energies are compared with their median in units of the robust standard
    deviation (1.4826 × the median absolute deviation). Between compositions, median energies are
    first fitted by a sum over elements with least absolute deviations; this needs ten compositions,
    and three for each element.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    dict
    """
    found: list[Finding] = []
    checked = np.zeros(len(conformers), dtype=bool)
    notes = []
    for level, labels in conformers.levels.items():
        for rows in _molecule_groups(conformers, labels):
            checked[rows] = True
            energy = labels.energy[rows]
            distance = energy - np.median(energy)
            spread = 1.4826 * float(np.median(np.abs(distance)))
            far = np.abs(distance) > max(_limit(len(rows)) * spread, _FRAME_FLOOR)
            if _is_mode(far):
                notes.append(f"{far.sum()} of {len(rows)} frames of a molecule form a second mode")
                continue
            for k in np.flatnonzero(far):
                score = abs(float(distance[k])) / max(spread, 1e-6)
                what = (
                    f"energy {distance[k]:+.4g} eV from the median of its molecule ({score:.0f} "
                    f"robust standard deviations) at level {level}"
                )
                found.append(Finding(int(rows[k]), score, what))
        between, judged = _compositions_apart(conformers, labels)
        checked[judged] = True
        if not len(judged) and labels.has_energy.any():
            notes.append(f"too few compositions at level {level} to compare them")
        found += [f._replace(what=f"{f.what} at level {level}") for f in between]
    return report(
        "energy_outliers", conformers, found, int(checked.sum()), "; ".join(dict.fromkeys(notes))
    )


def _limit(n: int) -> float:
    """Return robust standard deviations that n energies exceed by a fault alone.

    Thermal energies have a long tail and the spread of a few frames is uncertain: of 25 frames in
    normal modes at 500 K some lie at 17.
    """
    return Z_LIMIT * (1.0 + 20.0 / n)


def _is_mode(far: np.ndarray) -> bool:
    return bool(far.sum() > max(1, _MODE * len(far)))


def _molecule_groups(conformers: ConformerSet, labels: Labels) -> list[np.ndarray]:
    rows = np.flatnonzero(labels.has_energy)
    order = rows[np.argsort(conformers.molecule[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(conformers.molecule[order])) + 1
    return [part for part in np.split(order, ends) if len(part) >= _FEWEST]


def _compositions_apart(
    conformers: ConformerSet, labels: Labels
) -> tuple[list[Finding], np.ndarray]:
    groups = formula_groups(conformers, labels)
    if len(groups) < max(10, 3 * len(conformers.elements)):
        return [], np.zeros(0, dtype=np.int64)
    counts = compositions(conformers)
    table = np.array([counts[rows[0]] for rows in groups], dtype=np.float64)
    middle = np.array([np.median(labels.energy[rows]) for rows in groups])
    size = table.sum(axis=1)
    share, per_atom = table / size[:, None], middle / size
    residual = per_atom - share @ _least_absolute(share, per_atom)
    distance = residual - np.median(residual)
    spread = 1.4826 * float(np.median(np.abs(distance)))
    far = np.abs(distance) > max(_limit(len(groups)) * spread, _ATOM_FLOOR)
    found: list[Finding] = []
    if _is_mode(far):
        return found, np.concatenate(groups)
    for k in np.flatnonzero(far):
        score = abs(float(distance[k])) / max(spread, 1e-6)
        what = f"energy {distance[k]:+.4g} eV for each atom from what its composition gives"
        found += [Finding(int(row), score, what) for row in groups[k]]
    return found, np.concatenate(groups)


def composition_residuals(conformers: ConformerSet, labels: Labels) -> np.ndarray:
    """Return energies (n,) in eV for each atom, less what a sum over elements gives for them.

    The sum is fitted with least absolute deviations; NaN without an energy.
    """
    known = np.flatnonzero(labels.has_energy)
    residuals = np.full(len(conformers), np.nan)
    if len(known):
        share = compositions(conformers)[known] / conformers.counts[known, None]
        per_atom = labels.energy[known] / conformers.counts[known]
        residuals[known] = per_atom - share @ _least_absolute(share, per_atom)
    return residuals


def _least_absolute(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the coefficients of least absolute deviations, by iterated weights."""
    weights = np.ones(len(values))
    solution = np.zeros(table.shape[1])
    for _ in range(60):
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(table * root[:, None], values * root, rcond=None)[0]
        weights = 1.0 / np.maximum(np.abs(values - table @ solution), 1e-6)
    return np.asarray(solution)
