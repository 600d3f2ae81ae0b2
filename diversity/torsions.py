"""Torsions of a molecule: which there are, their angles, fingerprints, densities and basins.

Angles are in degrees. The density of a torsion is a sum of von Mises kernels whose value at its
own point is 1, as everywhere in this house: the entropy of one value is 0, that of n values
without overlap ln n, and that of a free rotor −ln(e^−κ I₀(κ)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import TorsionFingerprints
from scipy.special import i0e

from .graphs import skeleton

#: Standard deviation of the kernel, degrees: about that of a torsion vibrating at 300 K.
BANDWIDTH = 15.0
#: Width of the bins of `torsion_coverage`, degrees.
BIN = 30.0
#: Cells of the grid over one period of a torsion on which densities are told.
_GRID = 360
#: A minimum of the density parts two basins if it is below this share of the lower peak.
_BARRIER = 0.5


@dataclass(frozen=True, eq=False)
class Torsions:
    """Torsions of one molecule.

    Parameters
    ----------
    atoms : array of int64, shape (T, 4)
    fold : array of int64, shape (T,)
        Turning by 360°/fold leaves the molecule as it is: 2 for phenyl, 3 for CF₃, 6 for both.
    ring : array of bool, shape (T,)
        Whether the middle bond is in a ring; else it is rotatable.
    """

    atoms: np.ndarray
    fold: np.ndarray
    ring: np.ndarray


def torsions(mol: Chem.Mol) -> Torsions:
    """Return the torsions that can tell conformers of a molecule apart.

    One for each bond that RDKit's torsion fingerprint considers (acyclic, both ends with further
    heavy atoms, none of them linear) and that is single; and those within rings of four or more
    atoms about single bonds. At each end of a rotatable bond the neighbour that no other
    resembles is taken; where all resemble each other the torsion is periodic. (At a pyramidal
    N(CH₃)₂ that overlooks which side the lone pair is on.) Atoms are alike if element and
    connectivity say so, as in `automorphisms`. Bonds that turn hydrogens alone (OH, CH₃) are not
    among them, as in torsion fingerprints and RMSDs of heavy atoms.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        With explicit hydrogens.

    Returns
    -------
    Torsions
        Rotatable bonds first. Empty for a rigid molecule.
    """
    ends = [[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in mol.GetBonds()]
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
    bare = skeleton(numbers, np.array(ends, dtype=np.int64).reshape(-1, 2))
    ranks = list(Chem.CanonicalRankAtoms(bare, breakTies=False))
    rotatable, rings = TorsionFingerprints.CalculateTorsionLists(mol)
    found: list[tuple[tuple[int, ...], int, bool]] = []
    for quartets, _ in rotatable:
        _, b, c, _ = quartets[0]
        if _single(mol, b, c):
            (first, left), (last, right) = _end(mol, ranks, b, c), _end(mol, ranks, c, b)
            found.append(((first, b, c, last), int(np.lcm(left, right)), False))
    for quartets, _ in rings:
        if len(quartets) > 3:
            found += [(q, 1, True) for q in quartets if _single(mol, q[1], q[2])]
    return Torsions(
        np.array([q for q, _, _ in found], dtype=np.int64).reshape(-1, 4),
        np.array([f for _, f, _ in found], dtype=np.int64),
        np.array([r for _, _, r in found], dtype=bool),
    )


def dihedral_angles(positions: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Return dihedral angles with the sign of IUPAC.

    Parameters
    ----------
    positions : array, shape (n, N, 3)
        In Å.
    atoms : array of int, shape (T, 4)

    Returns
    -------
    array of float64, shape (n, T)
        In degrees, −180 … 180; 0 where three atoms are collinear.

    Examples
    --------
    >>> corners = np.array([[[0.0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]]])
    >>> dihedral_angles(corners, np.array([[0, 1, 2, 3]]))
    array([[90.]])
    """
    a, b, c, d = (np.asarray(positions, dtype=np.float64)[:, i] for i in np.asarray(atoms).T)
    axis = c - b
    left, right = np.cross(b - a, axis), np.cross(axis, d - c)
    sine = np.einsum("ntk,ntk->nt", b - a, right) * np.sqrt((axis * axis).sum(-1))
    return np.degrees(np.arctan2(sine, np.einsum("ntk,ntk->nt", left, right)))


def torsion_fingerprint_deviation(mol: Chem.Mol, positions: np.ndarray) -> np.ndarray | None:
    """Return the torsion fingerprint deviation of each pair of conformers.

    As RDKit's ``GetTFDMatrix`` (Schulz-Gasch et al. 2012, doi 10.1021/ci2002318), with its
    torsions and weights; equal weights where RDKit has none.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        With explicit hydrogens.
    positions : array, shape (n, N, 3)
        In Å.

    Returns
    -------
    array of float64, shape (n, n), or None
        Between 0 and 1. None if the molecule has neither rotatable bonds nor rings.
    """
    rotatable, rings = TorsionFingerprints.CalculateTorsionLists(mol)
    entries: list[Any] = rotatable + rings
    if not entries:
        return None
    try:
        weights = TorsionFingerprints.CalculateTorsionWeights(mol)
    except (IndexError, ZeroDivisionError):  # it knows no most central bond
        weights = []
    if len(weights) != len(entries) or not sum(weights):
        weights = [1.0] * len(entries)
    flat = np.array([quartet for quartets, _ in entries for quartet in quartets])
    angles = np.split(
        dihedral_angles(positions, flat), np.cumsum([len(q) for q, _ in entries])[:-1], axis=1
    )
    total = np.zeros((len(positions), len(positions)))
    for k, (theirs, (_, largest)) in enumerate(zip(angles, entries, strict=True)):
        values = theirs if k < len(rotatable) else np.abs(theirs).mean(axis=1, keepdims=True)
        nearest = np.full_like(total, 180.0)
        for left in values.T:
            for right in values.T:
                apart = np.abs(left[:, None] - right[None])
                np.minimum(nearest, np.minimum(apart, 360.0 - apart), out=nearest)
        total += nearest * (weights[k] / largest)
    return total / sum(weights)


def torsion_density(
    angles: np.ndarray, fold: np.ndarray, *, bandwidth: float = BANDWIDTH
) -> np.ndarray:
    """Return the density of each torsion over its period.

    Angles are put into 360 cells first, so that time grows as n and not as n².

    Parameters
    ----------
    angles : array, shape (n, T)
        In degrees.
    fold : array of int, shape (T,)
    bandwidth : float, optional
        In degrees.

    Returns
    -------
    array of float64, shape (T, 360)
        Mean of exp(κ (cos Δ − 1)) over the n values, Δ and κ being scaled to the period.
    """
    density = np.empty((len(fold), _GRID))
    cells = _cells(angles, fold)
    columns = np.arange(len(fold)) * _GRID
    counts = np.bincount((cells + columns).ravel(), minlength=len(fold) * _GRID)
    for m in np.unique(fold).tolist():
        which = fold == m
        density[which] = counts.reshape(-1, _GRID)[which] @ _kernel(m, bandwidth)
    return density / max(1, len(angles))


def torsion_entropy(
    angles: np.ndarray, fold: np.ndarray, *, bandwidth: float = BANDWIDTH
) -> tuple[np.ndarray, np.ndarray]:
    """Return the circular entropy of each torsion, and the most that it could be.

    Minus the mean logarithm of the density at the values themselves: of up to 360 values by the
    double sum; of more on the cells of `torsion_density`, to about 0.001.

    Parameters
    ----------
    angles, fold, bandwidth
        As of `torsion_density`; n ≥ 1.

    Returns
    -------
    entropy : array of float64, shape (T,)
        In nats.
    ceiling : array of float64, shape (T,)
        The least of ln n and the entropy of a free rotor.
    """
    if len(angles) <= _GRID:
        phase = np.radians(angles * fold).T
        kappa = _concentration(fold, bandwidth)[:, None, None]
        at = np.exp(kappa * (np.cos(phase[:, :, None] - phase[:, None]) - 1.0)).mean(axis=2)
    else:
        density = torsion_density(angles, fold, bandwidth=bandwidth)
        at = np.take_along_axis(density, _cells(angles, fold).T, axis=1)
    free = -np.log(i0e(_concentration(fold, bandwidth)))
    return -np.log(at).mean(axis=1) + 0.0, np.minimum(free, np.log(len(angles)))


def torsion_coverage(angles: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the share of the 30° bins of its period that each torsion visits, shape (T,)."""
    period = 360.0 / fold
    n_bins = np.maximum(1, np.rint(period / BIN)).astype(np.int64)
    bins = np.minimum((np.mod(angles, period) / period * n_bins).astype(np.int64), n_bins - 1)
    visited = np.zeros((len(fold), int(n_bins.max(initial=1))), dtype=bool)
    visited[np.broadcast_to(np.arange(len(fold)), bins.shape), bins] = True
    return visited.sum(axis=1) / n_bins


def torsion_basins(
    angles: np.ndarray, fold: np.ndarray, *, bandwidth: float = BANDWIDTH
) -> np.ndarray:
    """Return which torsional basin each conformer lies in.

    The density of each torsion is cut at those minima that are below half of the lower of the two
    peaks beside them; a basin is a combination of peaks. Atoms keep their labels: states that a
    mirror or a relabelling takes into each other are different basins. The sample decides what
    is a minimum, so few conformers of a free rotor may seem to have several basins.

    Parameters
    ----------
    angles, fold, bandwidth
        As of `torsion_density`.

    Returns
    -------
    array of int64, shape (n,)
        From 0; all 0 without torsions.
    """
    if not len(fold) or not len(angles):
        return np.zeros(len(angles), dtype=np.int64)
    cells = _cells(angles, fold)
    peaks = np.empty_like(cells)
    for t, density in enumerate(torsion_density(angles, fold, bandwidth=bandwidth)):
        cuts = _cuts(density)
        peaks[:, t] = np.searchsorted(cuts, cells[:, t], side="right") % max(1, len(cuts))
    _, basin = np.unique(peaks, axis=0, return_inverse=True)
    return basin.reshape(-1).astype(np.int64)


def _single(mol: Chem.Mol, b: int, c: int) -> bool:
    bond = mol.GetBondBetweenAtoms(b, c)
    return bond.GetBondType() == Chem.BondType.SINGLE


def _end(mol: Chem.Mol, ranks: list[int], atom: int, other: int) -> tuple[int, int]:
    """Return the neighbour that tells how an end is turned, and how often it is repeated."""
    near = [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors() if n.GetIdx() != other]
    alike = {i: sum(ranks[i] == ranks[j] for j in near) for i in near}
    # Heavy atoms before hydrogens, then the first in the file.
    first = min(near, key=lambda i: (alike[i], mol.GetAtomWithIdx(i).GetAtomicNum() == 1, i))
    return first, alike[first] if alike[first] == len(near) else 1


def _cells(angles: np.ndarray, fold: np.ndarray) -> np.ndarray:
    share = np.mod(np.asarray(angles) * fold, 360.0) / 360.0
    return np.minimum((share * _GRID).astype(np.int64), _GRID - 1)


def _concentration(fold: np.ndarray | int, bandwidth: float) -> np.ndarray:
    return 1.0 / np.square(np.multiply(fold, np.radians(bandwidth)))


@lru_cache(maxsize=16)
def _kernel(fold: int, bandwidth: float) -> np.ndarray:
    apart = 2 * np.pi / _GRID * np.subtract.outer(np.arange(_GRID), np.arange(_GRID))
    return np.exp(_concentration(fold, bandwidth) * (np.cos(apart) - 1.0))


def _cuts(density: np.ndarray) -> np.ndarray:
    """Return the cells, ascending, at which a circular density is cut into its basins."""
    rises = density > np.roll(density, 1)
    peaks = np.flatnonzero(rises & (density >= np.roll(density, -1))).tolist()
    if len(peaks) < 2:
        return np.zeros(0, dtype=np.int64)
    # valleys[k] lies between peaks[k] and the next one, the last between the last and the first.
    turned = np.roll(density, -peaks[0])
    edges = [p - peaks[0] for p in peaks] + [_GRID]
    valleys = [(a + int(turned[a:b].argmin()) + peaks[0]) % _GRID for a, b in pairwise(edges)]
    while len(peaks) > 1:
        after = peaks[1:] + peaks[:1]
        barrier = [
            density[v] / min(density[p], density[q])
            for p, v, q in zip(peaks, valleys, after, strict=True)
        ]
        k = int(np.argmax(barrier))
        if barrier[k] < _BARRIER:
            return np.sort(np.array(valleys, dtype=np.int64))
        del valleys[k]
        del peaks[k if density[peaks[k]] < density[after[k]] else (k + 1) % len(peaks)]
    return np.zeros(0, dtype=np.int64)
