"""Checks of close frames of one molecule: do forces explain energies, and does a frame recur."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.units import Bohr

from ..conformers import ConformerSet
from ..tables import Labels
from .findings import Finding, record_name, report
from .neighbours import Frames, frame_groups, near_pairs, nearest_frames, superposed
from .units import ENERGY_UNITS, FORCE_UNITS

#: Two frames are one geometry up to this RMSD over all atoms after superposition, Å. Successive
#: frames of a molecule's dynamics at 300 K are some 0.01 Å apart after 0.5 fs.
NEAR_LIMIT = 1e-3
#: Energies of one geometry agree to this, eV, beyond what the forces explain.
SAME_ENERGY = 2e-3
#: Neighbours of each frame, the fewest that judge it, and how far any atom may be, Å.
_NEIGHBOURS, _FEWEST, _REACH = 8, 3, 0.8
#: How many times better another sign or unit must explain the energies to be believed, and at what
#: share of the neighbours.
_CONVICTION, _AGREED = 3.0, 0.75
#: Most error that this may leave, as a share of the work that it makes of the record's forces: of
#: frames too far apart, no forces at all explain energies better than the right ones.
_EXPLAINED = 0.5
#: And in multiples of the median over all pairs of neighbours.
_LEFT_OVER = 5.0
#: What may be wrong with a record's forces, by what they are to be multiplied with, and what else
#: with those of a whole level.
_FAULTS = {-1.0: "the sign is reversed"} | {
    1.0 / size: f"as if in {unit}" for unit, size in FORCE_UNITS.items()
}
_LEVEL_FAULTS = (
    _FAULTS
    | {-1.0 / size: f"as if gradients in {unit}" for unit, size in FORCE_UNITS.items()}
    | {size: f"as if energies were in {unit}" for unit, size in ENERGY_UNITS.items()}
    | {
        1.0 / Bohr: "as if for each bohr, not Å, in the unit of the energies",
        -1.0 / Bohr: "as if gradients for each bohr, not Å, in the unit of the energies",
    }
)


def near_duplicates(conformers: ConformerSet) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find records that repeat a geometry, and those that repeat it with other labels.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    near : dict
        Records within `NEAR_LIMIT` of an earlier one without being equal to it by content id.
    conflicts : dict
        Records with the geometry of an earlier one whose energy differs by more than
        `SAME_ENERGY` beyond what the forces explain, or whose forces differ by more than a tenth.
    """
    near: list[Finding] = []
    conflicts: list[Finding] = []
    _, first, group = np.unique(conformers.id, return_index=True, return_inverse=True)
    first = first[group]
    repeated = np.flatnonzero(first != np.arange(len(conformers)))
    for row in repeated.tolist():
        conflicts += _conflicts(conformers, int(first[row]), row, None, np.eye(3))
    fresh = np.ones(len(conformers), dtype=bool)
    fresh[repeated] = False
    for frames in frame_groups(conformers):
        keep = fresh[frames.rows]
        part = frames._replace(rows=frames.rows[keep], positions=frames.positions[keep])
        if not len(part.rows) > 1:
            continue
        pairs = near_pairs(part, NEAR_LIMIT)
        for p in range(len(pairs.rmsd)):
            # Rows of a group ascend, so the pair's first is the earlier one.
            a, b = int(part.rows[pairs.first[p]]), int(part.rows[pairs.second[p]])
            what = f"{pairs.rmsd[p]:.1e} Å from {record_name(conformers, a)}"
            near.append(Finding(b, NEAR_LIMIT - float(pairs.rmsd[p]), what))
            conflicts += _conflicts(conformers, a, b, pairs.step[p], pairs.rotation[p])
    return (
        report("near_duplicates", conformers, near, len(conformers)),
        report("conflicting_labels", conformers, conflicts, len(conformers)),
    )


def _conflicts(
    conformers: ConformerSet, a: int, b: int, step: np.ndarray | None, rotation: np.ndarray
) -> list[Finding]:
    found = []
    for level, labels in conformers.levels.items():
        told = conflict(conformers, labels, a, conformers, labels, b, step, rotation)
        if told:
            name = record_name(conformers, a)
            what = f"{told[1]} at level {level}, with the geometry of {name}"
            found.append(Finding(b, told[0], what))
    return found


def conflict(
    first: ConformerSet,
    labels: Labels,
    a: int,
    second: ConformerSet,
    others: Labels,
    b: int,
    step: np.ndarray | None,
    rotation: np.ndarray,
) -> tuple[float, str] | None:
    """Say how the labels of two records of one geometry differ, with a severity; None if not.

    Parameters
    ----------
    first, second : ConformerSet
        The sets of the two records.
    labels, others : Labels
        Theirs, of one level.
    a, b : int
        Rows.
    step : array, shape (N, 3), or None
        From the first to the superposed second, Å; None for none.
    rotation : array, shape (3, 3)
        Of the second's rows onto the first.
    """
    f = g = None
    if labels.has_forces[a] and others.has_forces[b]:
        f = labels.forces[first.atoms_slice(a)].astype(np.float64)
        g = others.forces[second.atoms_slice(b)].astype(np.float64) @ rotation
    if labels.has_energy[a] and others.has_energy[b]:
        difference = float(others.energy[b] - labels.energy[a])
        explained = 0.0
        if f is not None and g is not None and step is not None:
            explained = float(-0.5 * ((f + g) * step).sum())
        if abs(difference - explained) > SAME_ENERGY:
            return abs(difference - explained), f"energy differs by {difference:.4g} eV"
    if f is not None and g is not None:
        gap = float(np.sqrt(((f - g) ** 2).sum(1).mean()))
        size = float(np.sqrt((f**2).sum(1).mean()))
        # An atom moved by 0.001 Å feels 0.1 eV/Å more along a stiff bond.
        if gap > max(0.1 * size, 0.1):
            return gap, f"forces differ by {gap:.3g} eV/Å (root mean square)"
    return None


def energy_forces(conformers: ConformerSet) -> dict[str, Any]:
    """Find forces that do not explain the differences of energy between close frames.

    Between neighbours, ΔE ≈ −½ (F₁ + F₂)·Δx after superposition, to third order in Δx. A record
    is blamed where its forces with the other sign, or in another unit, explain the differences to
    its neighbours at least 3 times better, and well; a whole level likewise. Neighbours of which an
    atom is farther than 0.8 Å tell nothing, so that records without three nearer ones are not
    judged. In random parts of 13 sets of molecular dynamics, of 4 to 300 frames each, one clean
    record in 60,000 was blamed; of flipped signs, 64 of 65 were found among 1,000 frames, 42 of 65
    among 50, the others mostly not judged.

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
        groups: list[tuple[np.ndarray, ...]] = []
        labelled = labels.has_energy & labels.has_forces
        for frames in frame_groups(conformers, smallest=_FEWEST + 1):
            keep = labelled[frames.rows]
            if keep.sum() > _FEWEST:
                part = frames._replace(rows=frames.rows[keep], positions=frames.positions[keep])
                groups.append((part.rows, *_work(conformers, labels, part)))
        if not groups:
            continue
        gaps = np.concatenate([g[2] for g in groups])
        works = np.concatenate([g[3] + g[4] for g in groups])
        overall = None
        if len(gaps) >= 20:
            overall = _better(gaps, works, np.zeros_like(works), _LEVEL_FAULTS)
        factor = 1.0 if overall is None else overall[0]
        if overall is not None:
            notes.append(f"all forces of level {level}: {_LEVEL_FAULTS[factor]}")
        residual = float(np.median(np.abs(gaps - factor * works))) if len(gaps) else 0.0
        for rows, first, gap, own, other in groups:
            for i, members in _by_frame(first):
                checked[rows[i]] = True
                if overall is not None:
                    ratio, what = overall[1], f"forces at level {level}: {_LEVEL_FAULTS[factor]}"
                    found.append(Finding(int(rows[i]), ratio, what))
                told = _better(
                    gap[members], factor * own[members], factor * other[members], _FAULTS
                )
                if told is None or told[2] > _LEFT_OVER * residual + 1e-6:
                    continue
                what = f"forces at level {level}: {_FAULTS[told[0]]}"
                found.append(Finding(int(rows[i]), told[1], what))
    note = "; ".join(notes)
    if not checked.any():
        note = "no molecule has enough labelled frames that are close"
    return report("energy_forces", conformers, found, int(checked.sum()), note)


def _work(
    conformers: ConformerSet, labels: Labels, frames: Frames
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return of each pair of neighbours its first frame, ΔE, and the work of either's forces."""
    index = conformers.offsets[frames.rows][:, None] + np.arange(frames.positions.shape[1])
    forces = labels.forces[index].astype(np.float64)
    energy = labels.energy[frames.rows]
    first, second = nearest_frames(frames, _NEIGHBOURS)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    size = max(1, 2_000_000 // forces[0].size)
    for start in range(0, len(first), size):
        pairs = superposed(frames, first[start : start + size], second[start : start + size])
        # A hydroxyl group turned by 60° moves one atom by 0.9 Å, on no straight way.
        farthest = np.sqrt((pairs.step**2).sum(axis=2).max(axis=1))
        close = (farthest < _REACH) & (pairs.rmsd > NEAR_LIMIT)
        i, j, step = pairs.first[close], pairs.second[close], pairs.step[close]
        columns[0].append(i)
        columns[1].append(energy[j] - energy[i])
        columns[2].append(-0.5 * (forces[i] * step).sum(axis=(1, 2)))
        columns[3].append(-0.5 * (forces[j] @ pairs.rotation[close] * step).sum(axis=(1, 2)))
    joined = [np.concatenate(column) for column in columns]
    return joined[0], joined[1], joined[2], joined[3]


def _by_frame(first: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return each frame with enough pairs, and the pairs."""
    order = np.argsort(first, kind="stable")
    frames, starts = np.unique(first[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(frames) else []
    return [(int(i), p) for i, p in zip(frames, parts, strict=True) if len(p) >= _FEWEST]


def _better(
    gap: np.ndarray, own: np.ndarray, other: np.ndarray, factors: dict[float, str]
) -> tuple[float, float, float] | None:
    """Return the factor on `own` that explains the gaps better than 1 does.

    Returns
    -------
    tuple of float, or None
        The factor, how many times better, and the median error that it leaves.
    """
    tried = np.array(list(factors))
    misses = np.abs(gap - other - tried[:, None] * own)
    as_told = np.abs(gap - other - own)
    errors, now = np.median(misses, axis=1), float(np.median(as_told))
    best = int(errors.argmin())
    work = float(np.median(np.abs(tried[best] * own)))
    agreed = float((misses[best] < as_told).mean()) >= _AGREED
    convinces = now > _CONVICTION * errors[best] and errors[best] < _EXPLAINED * work
    if now < SAME_ENERGY or not (convinces and agreed):
        return None
    return float(tried[best]), now / max(float(errors[best]), 1e-12), float(errors[best])
