"""Errors of predictions, computed here and nowhere else: plain functions on arrays.

The unit is the molecule, never the frame: every error is averaged within a molecule, then over the
molecules of a test set, so that a molecule with many conformers does not count for more.
"""

import numpy as np
from scipy import stats

MINIMUM_CONFORMERS = 10
"""Test conformers that a molecule needs for a conformational-energy error."""


def structure_starts(n_atoms: np.ndarray) -> np.ndarray:
    """Return the first atom of each structure, (S,), from the atoms per structure, (S,).

    >>> structure_starts(np.array([3, 2, 4]))
    array([0, 3, 5])
    """
    return np.concatenate([[0], np.cumsum(n_atoms)[:-1]]).astype(np.int64)


def force_mae_by_structure(
    forces: np.ndarray, reference: np.ndarray, n_atoms: np.ndarray
) -> np.ndarray:
    """Return the mean absolute error over the Cartesian components of each structure.

    Parameters
    ----------
    forces, reference : ndarray, shape (A, 3)
        Forces of all atoms, structure after structure, eV/Å.
    n_atoms : ndarray of int, shape (S,)
        Atoms of each structure; they sum to A.

    Returns
    -------
    ndarray, shape (S,)
        eV/Å; NaN where a force is NaN.

    Examples
    --------
    >>> forces = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 6.0, 3.0]])
    >>> force_mae_by_structure(forces, np.zeros((3, 3)), np.array([2, 1]))
    array([0.5, 3. ])
    """
    per_atom = np.abs(forces - reference).sum(axis=-1, dtype=np.float64)
    return np.add.reduceat(per_atom, structure_starts(n_atoms)) / (3 * n_atoms)


def mean_by_molecule(values: np.ndarray, molecule: np.ndarray, n_molecules: int) -> np.ndarray:
    """Average values of structures, (S,), within each molecule; NaN for one without structures.

    >>> mean_by_molecule(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3)
    array([ 2., nan,  5.])
    """
    count = np.bincount(molecule, minlength=n_molecules)
    total = np.bincount(molecule, weights=values, minlength=n_molecules)
    return np.divide(total, count, out=np.full(n_molecules, np.nan), where=count > 0)


def force_mae_by_molecule(
    forces: np.ndarray,
    reference: np.ndarray,
    n_atoms: np.ndarray,
    molecule: np.ndarray,
    n_molecules: int,
) -> np.ndarray:
    """Return the force MAE of each molecule, (M,), in eV/Å: its structures' mean.

    ``molecule`` (S,) is the row of each structure's molecule; see :func:`force_mae_by_structure`.
    """
    by_structure = force_mae_by_structure(forces, reference, n_atoms)
    return mean_by_molecule(by_structure, molecule, n_molecules)


def conformational_selection(
    molecule: np.ndarray, minimum: int = MINIMUM_CONFORMERS
) -> tuple[np.ndarray, int]:
    """Choose the same number n of structures of every molecule that has at least ``minimum``.

    n is the smallest such count; a molecule gives its first n structures in the given order.

    Returns
    -------
    chosen : ndarray of int
        Rows of the structures used.
    n : int
        Structures per molecule; 0 if no molecule has enough.

    Examples
    --------
    >>> conformational_selection(np.array([0, 0, 0, 1, 1, 2]), minimum=2)
    (array([0, 1, 3, 4]), 2)
    """
    count = np.bincount(molecule)
    enough = count[count >= minimum]
    if not enough.size:
        return np.empty(0, dtype=np.int64), 0
    n = int(enough.min())
    grouped = np.argsort(molecule, kind="stable")
    position = np.empty(len(molecule), dtype=np.int64)  # within its own molecule
    position[grouped] = np.arange(len(molecule)) - (np.cumsum(count) - count)[molecule[grouped]]
    return np.flatnonzero((count[molecule] >= n) & (position < n)), n


def conformational_energy_mae_by_molecule(
    predicted: np.ndarray,
    reference: np.ndarray,
    molecule: np.ndarray,
    n_molecules: int,
    minimum: int = MINIMUM_CONFORMERS,
) -> np.ndarray:
    r"""Return the error of the energies of conformers relative to their molecule's mean.

    :math:`\sqrt{n/(n-1)}\,\langle |(E_i - \bar E) - (E^{ref}_i - \bar E^{ref})| \rangle_i` over
    the n structures of each molecule that :func:`conformational_selection` chooses. The root makes
    up for the spread that removing a mean of n takes away.

    Parameters
    ----------
    predicted, reference : ndarray, shape (S,)
        Energies, eV.
    molecule : ndarray of int, shape (S,)
        Row of each structure's molecule.

    Returns
    -------
    ndarray, shape (M,)
        eV; NaN for a molecule with fewer than ``minimum`` structures.

    Examples
    --------
    >>> molecule, predicted = np.zeros(2, dtype=int), np.array([7.0, 9.0])
    >>> conformational_energy_mae_by_molecule(predicted, np.zeros(2), molecule, 1, minimum=2)
    array([1.41421356])
    """
    chosen, n = conformational_selection(molecule, minimum)
    if n == 0:
        return np.full(n_molecules, np.nan)
    molecule, residual = molecule[chosen], (predicted - reference)[chosen]
    centred = residual - mean_by_molecule(residual, molecule, n_molecules)[molecule]
    return mean_by_molecule(np.abs(centred), molecule, n_molecules) * np.sqrt(n / (n - 1))


def undertrained(full: np.ndarray, quarter: np.ndarray, experiment: np.ndarray) -> np.ndarray:
    """Flag designs whose rank within their experiment changes with the number of updates.

    Parameters
    ----------
    full, quarter : ndarray, shape (D, T)
        Error per design and test set after all and after a quarter of the updates.
    experiment : ndarray, shape (D,)
        Designs are ranked among those of their own experiment; one without both errors is left
        out, and its flag is False.

    Examples
    --------
    >>> full, quarter = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [5.0], [4.0]])
    >>> undertrained(full, quarter, np.array(["a", "a", "a"]))[:, 0]
    array([False,  True,  True])
    """
    flags = np.zeros(full.shape, dtype=bool)
    known = np.isfinite(full) & np.isfinite(quarter)
    for name in np.unique(experiment):
        for column in range(full.shape[1]):
            rows = np.flatnonzero((experiment == name) & known[:, column])
            ranks = [stats.rankdata(x[rows, column], method="min") for x in (full, quarter)]
            flags[rows, column] = ranks[0] != ranks[1]
    return flags
