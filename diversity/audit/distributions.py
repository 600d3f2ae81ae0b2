"""What the figures of an audit show: distributions of labels and distances, and who stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..tables import Labels
from .neighbours import frame_groups, nearest_frames, superposed
from .outliers import composition_residuals

#: Frames of which the nearest other is looked for, at most, by whole molecules.
MAX_NEAREST = 20_000
#: Candidates for the nearest frame, in a common superposition.
_CANDIDATES = 4
#: Checks whose records stand out in each distribution.
_LABELS = ("units", "energy_outliers", "energy_forces", "conflicting_labels", "changed_bonds")
_CHECKS = {
    "energy": _LABELS,
    "force_norm": (*_LABELS, "net_force", "net_torque"),
    "nearest": ("exact_duplicates", "near_duplicates", "conflicting_labels"),
}


@dataclass(frozen=True, eq=False)
class Distributions:
    """Distributions over one set.

    Parameters
    ----------
    level : str
        Level of theory of the labels, '' without any.
    energy : array of float64
        Energies in eV for each atom, relative to the molecule's median; where most molecules have
        one conformer, to what the composition gives.
    relative_to : str
    force_norm : array of float64
        |F| of each atom, eV/Å.
    nearest : array of float64
        RMSD (all atoms, superposed, Å) of frames to the nearest other frame of their molecule.
    named : dict of str to array of float64
        Values of the records that an audit names, by the distribution: ``energy``; ``force_norm``
        of their largest force; ``nearest``.
    """

    level: str
    energy: np.ndarray
    relative_to: str
    force_norm: np.ndarray
    nearest: np.ndarray
    named: dict[str, np.ndarray] = field(default_factory=dict)


def distributions(conformers: ConformerSet, entries: Sequence[dict[str, Any]]) -> Distributions:
    """Gather what the figures of an audit show.

    Parameters
    ----------
    conformers : ConformerSet
    entries : sequence of dict
        Of :func:`breadth.diversity.audit.audit`.

    Returns
    -------
    Distributions
        Of the first level that has labels.
    """
    level, labels = next(
        ((k, v) for k, v in conformers.levels.items() if v.has_energy.any() or v.has_forces.any()),
        ("", None),
    )
    blamed = {
        name: np.unique([w["row"] for e in entries if e["check"] in checks for w in e["worst"]])
        for name, checks in _CHECKS.items()
    }
    energy, relative_to = np.full(len(conformers), np.nan), "the molecule's median"
    largest, norms = np.full(len(conformers), np.nan), np.zeros(0)
    if labels is not None:
        energy, relative_to = _relative(conformers, labels)
        forced = labels.has_forces[conformers.atom_conformer]
        every = np.linalg.norm(labels.forces.astype(np.float64), axis=1)
        largest = np.maximum.reduceat(every, conformers.offsets[:-1])
        largest[~labels.has_forces] = np.nan
        norms = every[forced]
    nearest = _nearest(conformers)
    by_name = {"energy": energy, "force_norm": largest, "nearest": nearest}
    return Distributions(
        level=level,
        energy=_finite(energy),
        relative_to=relative_to,
        force_norm=norms,
        nearest=_finite(nearest),
        named={k: _finite(v[blamed[k].astype(np.int64)]) for k, v in by_name.items()},
    )


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _relative(conformers: ConformerSet, labels: Labels) -> tuple[np.ndarray, str]:
    """Return energies (n,) in eV for each atom; NaN where there is none, or nothing to compare."""
    known = np.flatnonzero(labels.has_energy)
    relative = np.full(len(conformers), np.nan)
    rows = conformers.molecule[known]
    counts = np.bincount(rows, minlength=conformers.n_molecules)
    if (counts[rows] > 1).sum() < 0.5 * len(rows):
        relative[known] = composition_residuals(conformers, labels)[known]
        return relative, "what the composition gives"
    order = np.argsort(rows, kind="stable")
    for part in np.split(known[order], np.flatnonzero(np.diff(rows[order])) + 1):
        if len(part) > 1:
            above = labels.energy[part] - np.median(labels.energy[part])
            relative[part] = above / conformers.counts[part]
    return relative, "the molecule's median"


def _nearest(conformers: ConformerSet) -> np.ndarray:
    """Return the RMSD (n,) to the nearest other frame; NaN for those that were not looked at."""
    nearest = np.full(len(conformers), np.nan)
    looked = 0
    for frames in frame_groups(conformers):
        if looked + len(frames.rows) > MAX_NEAREST and looked:
            continue
        looked += len(frames.rows)
        first, second = nearest_frames(frames, _CANDIDATES)
        apart = np.full(len(frames.rows), np.inf)
        size = max(1, 2_000_000 // frames.positions[0].size)
        for start in range(0, len(first), size):
            pairs = superposed(frames, first[start : start + size], second[start : start + size])
            np.minimum.at(apart, pairs.first, pairs.rmsd)
            np.minimum.at(apart, pairs.second, pairs.rmsd)
        nearest[frames.rows] = apart
    return nearest
