"""Normal modes of a minimum on the MMFF94 surface, and their thermal amplitudes."""

from __future__ import annotations

import numpy as np
from ase import units
from ase.data import atomic_masses

from .minima import KCAL_PER_MOL, mmff_field
from .molecules import Molecule

#: ħω in eV of a mode whose mass-weighted force constant is 1 eV/(u Å²).
_QUANTUM = units._hbar * 1e10 / np.sqrt(units._e * units._amu)
#: Step of the central differences in Å: MMFF is analytic, and its gradient exact to 1e-10.
_STEP = 1e-3


def mmff_hessian(molecule: Molecule, positions: np.ndarray) -> np.ndarray:
    """Return the Hessian of MMFF94 by central differences of its gradient.

    Parameters
    ----------
    molecule : Molecule
    positions : array, shape (N, 3)
        In Å.

    Returns
    -------
    array of float64, shape (3N, 3N)
        In eV/Å², symmetric.
    """
    field = mmff_field(molecule, positions)
    x = np.asarray(positions, dtype=float).ravel()
    gradients = np.empty((2, len(x), len(x)))
    for side, step in enumerate((_STEP, -_STEP)):
        for i in range(len(x)):
            moved = x.copy()
            moved[i] += step
            at = moved.tolist()
            field.CalcEnergy(at)  # the gradient is right only after the energy at the same place
            gradients[side, i] = field.CalcGrad(at)
    hessian = (gradients[0] - gradients[1]) / (2 * _STEP) * KCAL_PER_MOL
    return 0.5 * (hessian + hessian.T)


def normal_modes(
    numbers: np.ndarray,
    positions: np.ndarray,
    hessian: np.ndarray,
    *,
    masses: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vibrations: translations and rotations are projected out.

    Parameters
    ----------
    numbers : array of int, shape (N,)
    positions : array, shape (N, 3)
        In Å.
    hessian : array, shape (3N, 3N)
        In eV/Å².
    masses : array, shape (N,), optional
        In u; those of the elements by default. With masses of 1, modes are the Hessian's own
        eigenvectors, orthonormal.

    Returns
    -------
    constants : array, shape (m,)
        Eigenvalues of the mass-weighted Hessian in eV/(u Å²), ascending; m = 3N − 6, or 3N − 5
        for a linear molecule.
    modes : array, shape (m, N, 3)
        Displacement of the atoms in Å for a unit (1 Å √u) of each mass-weighted coordinate.
    """
    masses = atomic_masses[numbers] if masses is None else np.asarray(masses, dtype=float)
    root = np.sqrt(masses)
    centred = positions - np.average(positions, axis=0, weights=masses)
    rigid = [np.broadcast_to(axis, centred.shape) for axis in np.eye(3)]
    rigid += [np.cross(axis, centred) for axis in np.eye(3)]
    basis = np.stack([(motion * root[:, None]).ravel() for motion in rigid], axis=1)
    left, singular, _ = np.linalg.svd(basis, full_matrices=False)
    # A linear molecule has no third rotation; bent by less than 1e-4 it still has none.
    rank = int((singular > 1e-4 * singular[0]).sum())
    vibrations = np.linalg.qr(left[:, :rank], mode="complete")[0][:, rank:]
    weights = np.repeat(1.0 / root, 3)
    weighted = vibrations.T @ (weights[:, None] * hessian * weights[None]) @ vibrations
    constants, vectors = np.linalg.eigh(weighted)
    modes = (vibrations @ vectors).T * weights[None]
    return constants, modes.reshape(len(constants), len(numbers), 3)


def wavenumbers(constants: np.ndarray) -> np.ndarray:
    """Return the wavenumbers in cm⁻¹ of modes with constants in eV/(u Å²), imaginary as < 0."""
    return np.sign(constants) * _QUANTUM * np.sqrt(np.abs(constants)) / units.invcm


def amplitudes(constants: np.ndarray, temperature: float, softest: float) -> np.ndarray:
    """Return the standard deviation √(k_B T / λ) of each mass-weighted coordinate in Å √u.

    Modes softer than `softest` (cm⁻¹), imaginary ones too, take the amplitude of that wavenumber.
    """
    floor = (softest * units.invcm / _QUANTUM) ** 2
    return np.sqrt(units.kB * temperature / np.maximum(constants, floor))
