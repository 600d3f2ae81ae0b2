"""Torsional regions that no conformer visits: minima that chemistry expects and a set lacks.

What is expected is RDKit's library of torsions in crystals (Riniker and Landrum 2015, doi
10.1021/acs.jcim.5b00654): of each pattern a Fourier series, whose minima are where such torsions
are found. A minimum is visited if a conformer comes within `REACH` of it. Neighbours that the
graph does not tell apart count as one; so do φ and −φ in molecules without stereocentres, which a
mirror takes into each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from ..conformers import ConformerSet
from ..errors import DataError
from ..measures.conformational import molecule_frames
from ..randomness import ordering
from ..torsions import BIN, dihedral_angles, torsion_coverage, torsions
from .findings import N_WORST

#: How near to a minimum a conformer visits it, degrees.
REACH = 30.0
#: A torsion is judged where so many conformers, drawn evenly over its minima, would miss one with
#: no more than this probability.
CHANCE = 0.05
#: Molecules and conformers of each that are looked at, at most: random samples beyond.
MAX_MOLECULES, MAX_FRAMES = 1_000, 1_000
#: Patterns that are told whatever they lack, the most frequent ones.
N_FREQUENT = 8
#: Minima of the library count up to this share of the barrier above the lowest.
_DEPTH = 0.5


@dataclass
class _Pattern:
    """What all torsions of one pattern visit."""

    minima: np.ndarray
    visited: np.ndarray
    counts: np.ndarray = field(default_factory=lambda: np.zeros(int(180 / BIN), dtype=np.int64))
    n_conformers: int = 0
    n_molecules: int = 0


def torsional_regions(conformers: ConformerSet) -> dict[str, Any]:
    """Find minima of rotatable torsions that no conformer of a molecule, or of any, visits.

    Parameters
    ----------
    conformers : ConformerSet
        Of more than 1,000 molecules a random 1,000 are looked at, of more than 1,000 conformers
        of one a random 1,000.

    Returns
    -------
    dict
        ``n_torsions`` (rotatable, at heavy atoms), ``n_known`` to the library, ``n_judged`` with
        enough conformers, ``n_missing`` of these with a minimum that is not visited; ``coverage``,
        the mean share of 30° bins visited over torsions of molecules with several conformers
        (None without); ``worst``, at most 5 torsions with ``molecule``, ``atoms``, ``missing``
        (degrees), ``n_conformers``, ``what``; ``patterns``: the same of all molecules together,
        by the library's patterns: ``n_judged``, ``n_missing``, ``worst`` and ``frequent`` (at
        most 8), those of most conformers first, each with ``pattern``, ``minima``, ``missing``
        (0 … 180°), ``judged``, ``counts`` of conformers in bins of 30° of the magnitude of φ,
        ``n_conformers``, ``n_molecules``; ``n_molecules`` looked at and ``note``.
    """
    notes = []
    looked = _sample(conformers)
    if looked.n_molecules < conformers.n_molecules:
        notes.append(f"{MAX_MOLECULES:,} of {conformers.n_molecules:,} molecules, at random")
    patterns: dict[str, _Pattern] = {}
    worst: list[tuple[float, int, dict[str, Any]]] = []
    coverage: list[float] = []
    n_torsions = n_known = n_judged = n_missing = n_unknown = 0
    try:
        for graph, rows, positions, _ in molecule_frames(looked, 0):
            mol = graph.mol_with_atoms if len(graph.numbers) > 3 else None
            if mol is None:
                n_unknown += len(graph.numbers) > 3
                continue
            there = torsions(mol)
            turning = there.atoms[~there.ring]
            n_torsions += len(turning)
            if not len(turning):
                continue
            positions = positions[:MAX_FRAMES]
            n = len(positions)
            if n > 1:
                angles = dihedral_angles(positions, turning)
                coverage += torsion_coverage(angles, there.fold[~there.ring]).tolist()
            # Whether a mirror takes conformers of the molecule into conformers of it.
            mirrored = not Chem.FindMolChiralCenters(mol, includeUnassigned=True)
            for quartet, minima, smarts in _expected(mol, turning, mirrored):
                n_known += 1
                visited, angle = _visited(mol, positions, quartet, minima, mirrored)
                _pool(patterns, smarts, minima, visited, angle)
                if not _enough(n, len(minima)):
                    continue
                n_judged += 1
                missing = minima[~visited]
                if len(missing):
                    n_missing += 1
                    share = len(missing) / len(minima)
                    key = str(looked.molecules.key[looked.molecule[rows[0]]])
                    where = _told(key, graph.numbers, quartet, missing, n, mirrored)
                    worst.append((-share, -n, where))
                    worst = sorted(worst, key=lambda w: w[:2])[:N_WORST]
    except DataError as error:
        notes.append(str(error))
    if n_unknown:
        notes.append(f"{n_unknown} molecules without bond orders are not judged")
    told = [
        _pattern(name, p)
        for name, p in sorted(patterns.items(), key=lambda i: (-i[1].n_conformers, i[0]))
    ]
    gaps = [one for one in told if one["judged"] and one["missing"]]
    return {
        "n_molecules": looked.n_molecules,
        "n_torsions": n_torsions,
        "n_known": n_known,
        "n_judged": n_judged,
        "n_missing": n_missing,
        "coverage": float(np.mean(coverage)) if coverage else None,
        "worst": [where for *_, where in worst],
        "patterns": {
            "n_judged": sum(one["judged"] for one in told),
            "n_missing": len(gaps),
            "worst": gaps[:N_WORST],
            "frequent": told[:N_FREQUENT],
        },
        "note": "; ".join(notes),
    }


def _sample(conformers: ConformerSet) -> ConformerSet:
    """Leave periodic structures out, and molecules beyond so many."""
    keys = conformers.molecules.key
    chosen = ordering("torsional regions", keys.tolist())[:MAX_MOLECULES]
    wanted = np.isin(conformers.molecule, chosen) & ~conformers.pbc.any(axis=1)
    return conformers if wanted.all() else conformers.select(np.flatnonzero(wanted))


def _expected(
    mol: Chem.Mol, turning: np.ndarray, mirrored: bool
) -> list[tuple[tuple[int, int, int, int], np.ndarray, str]]:
    """Return atoms, minima (degrees, ascending) and pattern of rotatable torsions it knows."""
    bonds = {frozenset(quartet[1:3]) for quartet in turning.tolist()}
    grid = np.radians(np.arange(-179, 181))
    found = []
    for one in rdDistGeom.GetExperimentalTorsions(mol):
        a, b, c, d = one["atomIndices"]
        if frozenset((b, c)) not in bonds:
            continue
        series = [
            v * (1.0 + s * np.cos(n * grid))
            for n, (v, s) in enumerate(zip(one["V"], one["signs"], strict=True), start=1)
        ]
        energy = np.sum(series, axis=0)
        low = (energy <= np.roll(energy, 1)) & (energy < np.roll(energy, -1))
        low &= energy <= energy.min() + _DEPTH * np.ptp(energy)
        minima = np.degrees(grid[low])
        if len(minima):
            minima = np.unique(np.abs(minima).round() if mirrored else minima.round())
            found.append(((a, b, c, d), minima, str(one["smarts"])))
    return found


def _visited(
    mol: Chem.Mol,
    positions: np.ndarray,
    quartet: tuple[int, int, int, int],
    minima: np.ndarray,
    mirrored: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which minima are visited (k,), and the angle (n,) of the first of like quartets."""
    a, b, c, d = quartet
    ranks = list(Chem.CanonicalRankAtoms(mol, breakTies=False, includeChirality=False))
    like = [
        [n.GetIdx() for n in mol.GetAtomWithIdx(end).GetNeighbors() if ranks[n.GetIdx()] == rank]
        for end, rank in ((b, ranks[a]), (c, ranks[d]))
    ]
    all_like = np.array([(i, b, c, j) for i, j in product(*like) if i != c and j != b])
    angles = dihedral_angles(positions, all_like)
    told = np.abs(angles) if mirrored else angles
    apart = np.abs(told[..., None] - minima)
    near = np.minimum(apart, 360.0 - apart) <= REACH
    return near.any(axis=(0, 1)), angles[:, all_like.tolist().index(list(quartet))]


def _pool(
    patterns: dict[str, _Pattern],
    smarts: str,
    minima: np.ndarray,
    visited: np.ndarray,
    angle: np.ndarray,
) -> None:
    folded = np.unique(np.abs(minima))
    pattern = patterns.setdefault(smarts, _Pattern(folded, np.zeros(len(folded), dtype=bool)))
    pattern.visited |= np.isin(pattern.minima, np.abs(minima[visited]))
    bins = np.minimum(np.abs(angle) // BIN, len(pattern.counts) - 1).astype(np.int64)
    pattern.counts += np.bincount(bins, minlength=len(pattern.counts))
    pattern.n_conformers += len(angle)
    pattern.n_molecules += 1


def _enough(n: int, n_minima: int) -> bool:
    return (1.0 - 1.0 / n_minima) ** n <= CHANCE


def _told(
    key: str,
    numbers: np.ndarray,
    quartet: tuple[int, int, int, int],
    missing: np.ndarray,
    n: int,
    mirrored: bool,
) -> dict[str, Any]:
    names = "–".join(f"{chemical_symbols[numbers[atom]]}{atom}" for atom in quartet)
    where = ", ".join(
        f"{m:.0f}°" if m in (0.0, 180.0) else f"±{m:.0f}°" if mirrored else f"{m:+.0f}°"
        for m in missing.tolist()
    )
    return {
        "molecule": key,
        "atoms": list(quartet),
        "missing": missing.tolist(),
        "n_conformers": n,
        "what": f"{names}: none of {n} conformers near {where}",
    }


def _pattern(name: str, pattern: _Pattern) -> dict[str, Any]:
    return {
        "pattern": name,
        "minima": pattern.minima.tolist(),
        "missing": pattern.minima[~pattern.visited].tolist(),
        "judged": _enough(pattern.n_conformers, len(pattern.minima)),
        "counts": pattern.counts.tolist(),
        "n_conformers": pattern.n_conformers,
        "n_molecules": pattern.n_molecules,
    }
