"""Graphs of molecules: a canonical key of connectivity, and spectra of radius graphs."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
from ase.data import chemical_symbols
from rdkit import Chem

from .bonds import pairs_within

#: Eigenvalues this near an end of an interval count as inside: K₁₁ has λ = 1.1 exactly.
EIGENVALUE_TOLERANCE = 1e-6


def hill_formula(numbers: np.ndarray) -> str:
    """Return the formula in Hill's order: C, H, then the alphabet; without C the alphabet alone.

    Examples
    --------
    >>> hill_formula(np.array([8, 6, 1, 1, 1, 6, 1, 1, 1]))
    'C2H6O'
    """
    counts = Counter(chemical_symbols[z] for z in np.asarray(numbers).tolist())
    first = [s for s in ("C", "H") if "C" in counts and s in counts]
    rest = sorted(s for s in counts if s not in first)
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in first + rest)


def connectivity_key(
    numbers: np.ndarray, bonds: np.ndarray, charge: int = 0, multiplicity: int = 1
) -> str:
    """Return a key that two molecules share where their atoms are connected alike.

    It is blind to the order of atoms, to bond orders and to stereochemistry. It rests on RDKit's
    canonical labelling of the graph of elements and single bonds, so that pairs which colour
    refinement cannot tell apart (decalin and bicyclopentyl) have different keys.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    bonds : array of int, shape (B, 2) or (B, 3)
        Each bonded pair once, in any order; further columns are ignored.
    charge, multiplicity : int, optional
        Total charge in e and spin multiplicity; part of the key.

    Returns
    -------
    str
        Formula and hash, such as ``C2H6O-f7…``; charge and multiplicity follow where unusual.

    Examples
    --------
    >>> water = connectivity_key(np.array([8, 1, 1]), np.array([[0, 1], [0, 2]]))
    >>> water == connectivity_key(np.array([1, 8, 1]), np.array([[1, 2], [0, 1]]))
    True
    """
    molecule = skeleton(numbers, bonds)
    canonical = Chem.MolToSmiles(molecule, isomericSmiles=False)
    digest = hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
    state = f"{charge:+d}" if charge else ""
    # Closed shell without charge is the rule; 2 is what an odd number of electrons gives.
    usual = 1 + (int(np.sum(numbers)) - charge) % 2
    spin = f"^{multiplicity}" if multiplicity != usual else ""
    return f"{hill_formula(numbers)}{state}{spin}-{digest}"


def skeleton(numbers: np.ndarray, bonds: np.ndarray) -> Chem.Mol:
    """Return a molecule of these atoms and single bonds, which obeys no rule of valence.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    bonds : array of int, shape (B, 2) or (B, 3)
        Each bonded pair once; further columns are ignored.
    """
    graph = Chem.RWMol()
    for z in np.asarray(numbers).tolist():
        atom = Chem.Atom(z)
        atom.SetNoImplicit(True)
        graph.AddAtom(atom)
    for i, j in np.asarray(bonds, dtype=np.int64)[:, :2].reshape(-1, 2).tolist():
        graph.AddBond(i, j, Chem.BondType.SINGLE)
    molecule = graph.GetMol()
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    return molecule


def radius_graph(
    positions: np.ndarray,
    cutoff: float,
    cell: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
) -> np.ndarray:
    """Return the adjacency of atoms nearer than a cutoff.

    Parameters
    ----------
    positions : array, shape (N, 3)
        In Å.
    cutoff : float
        In Å.
    cell : array, shape (3, 3), optional
    pbc : array of bool, shape (3,), optional

    Returns
    -------
    array of float64, shape (N, N)
        Symmetric; 1 for neighbours, the number of images where several are near, 0 on the
        diagonal unless an atom's own images are near.
    """
    pairs, _ = pairs_within(positions, cutoff, cell, pbc)
    adjacency = np.zeros((len(positions), len(positions)))
    np.add.at(adjacency, (pairs[:, 0], pairs[:, 1]), 1.0)
    off_diagonal = pairs[:, 0] != pairs[:, 1]
    np.add.at(adjacency, (pairs[off_diagonal, 1], pairs[off_diagonal, 0]), 1.0)
    return adjacency


def normalised_laplacian_spectrum(adjacency: np.ndarray) -> np.ndarray:
    """Return the ascending eigenvalues of L = I − D^(−1/2) A D^(−1/2).

    An atom of degree 0 contributes λ = 0 (arXiv:2503.08674 measures connectivity shifts by this
    spectrum).

    Parameters
    ----------
    adjacency : array, shape (N, N) or (n, N, N)
        Symmetric and not negative.

    Returns
    -------
    array of float64, shape (N,) or (n, N)
        Each between 0 and 2.

    Examples
    --------
    A complete graph has 0 once and N / (N − 1) otherwise.

    >>> normalised_laplacian_spectrum(np.ones((3, 3)) - np.eye(3)).round(6)
    array([0. , 1.5, 1.5])
    """
    adjacency = np.asarray(adjacency, dtype=np.float64)
    degree = adjacency.sum(-1)
    root = np.where(degree > 0, 1.0 / np.sqrt(np.where(degree > 0, degree, 1.0)), 0.0)
    identity = np.where(degree > 0, 1.0, 0.0)[..., None] * np.eye(adjacency.shape[-1])
    laplacian = identity - root[..., :, None] * adjacency * root[..., None, :]
    return np.clip(np.linalg.eigvalsh(laplacian), 0.0, 2.0)


def fraction_near_one(
    spectra: np.ndarray, counts: np.ndarray | None = None, *, half_width: float = 0.1
) -> np.ndarray:
    """Return the fraction of eigenvalues in [1 − half_width, 1 + half_width], last axis reduced.

    Parameters
    ----------
    spectra : array, shape (…, N) or (n, …, N)
    counts : array of int, shape (n,), optional
        Eigenvalues of each structure, where spectra are padded with zeros, which are never near 1.
    half_width : float
        Below 1.

    Returns
    -------
    array of float64
        Without the last axis.
    """
    spectra = np.asarray(spectra)
    near = (np.abs(spectra - 1.0) <= half_width + EIGENVALUE_TOLERANCE).sum(-1)
    if counts is None:
        return near / spectra.shape[-1]
    return near / np.reshape(counts, (-1, *(1,) * (near.ndim - 1)))
