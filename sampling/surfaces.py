"""Geometries on a plane through a minimum, along two eigenvectors of its Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError
from ..diversity.tables import Extra
from .calculators import frames_of, one_conformer
from .modes import normal_modes


@dataclass(frozen=True, eq=False)
class Surface:
    """A grid of geometries.

    Parameters
    ----------
    conformers : ConformerSet
        The geometry at ``x[i], y[j]`` is conformer ``i * len(y) + j``; extras `x` and `y`.
    x, y : array of float64
        Displacements along the two directions, Å: root of the sum over atoms of their squares.
    directions : array of float64, shape (2, N, 3)
        Orthonormal.
    constants : array of float64, shape (2,)
        Eigenvalues of the Hessian in eV/Å².
    """

    conformers: ConformerSet
    x: np.ndarray
    y: np.ndarray
    directions: np.ndarray
    constants: np.ndarray

    def grid(self, values: np.ndarray) -> np.ndarray:
        """Return values of the conformers, such as energies, as an array (len(x), len(y))."""
        return np.asarray(values).reshape(len(self.x), len(self.y))


def surface(
    conformer: ConformerSet,
    hessian: np.ndarray,
    *,
    eigenvectors: tuple[int, int] = (0, 1),
    n_points: int = 21,
    rise: float = 0.5,
    farthest: float = 1.0,
    extent: tuple[float, float] | None = None,
) -> Surface:
    """Return the geometries of a surface over two eigenvectors of a Hessian.

    Parameters
    ----------
    conformer : ConformerSet
        Of one conformer, a minimum; the middle of the grid.
    hessian : array, shape (3N, 3N)
        In eV/Å²; translations and rotations are projected out.
    eigenvectors : tuple of two int, optional
        Their places in ascending order of eigenvalues, the softest first; −1 is the stiffest.
    n_points : int, optional
        Along each axis.
    rise, farthest : float, optional
        Each axis reaches to where the harmonic energy is `rise` in eV, but no further than
        `farthest` in Å.
    extent : tuple of two float, optional
        Reach of each axis in Å instead.

    Returns
    -------
    Surface

    Raises
    ------
    ConfigurationError
        If there are no such eigenvectors, they are one, or the reach is not positive.
    """
    start = one_conformer(conformer, "A surface")
    x0 = start.positions.astype(np.float64)
    constants, vectors = normal_modes(start.numbers, x0, hessian, masses=np.ones(start.n_atoms))
    m = len(constants)
    if not all(-m <= k < m for k in eigenvectors) or len({k % m for k in eigenvectors}) < 2:
        raise ConfigurationError(
            f"Eigenvectors {eigenvectors}: there are {m} vibrations; name two different ones."
        )
    chosen = [k % m for k in eigenvectors]
    if extent is None:
        # A direction that does not rise is followed to the farthest.
        soft = 2.0 * rise / farthest**2
        extent = tuple(np.sqrt(2.0 * rise / np.maximum(constants[chosen], soft)).tolist())
    if n_points < 2 or not min(extent) > 0:
        raise ConfigurationError(
            f"A surface of {n_points} points to {min(extent)} Å: give two points or more, above 0."
        )
    x, y = (np.linspace(-reach, reach, n_points) for reach in extent)
    # The sign of an eigenvector is anyone's: the largest component is made positive.
    directions = vectors[chosen]
    for direction in directions:
        direction *= np.sign(direction.flat[np.abs(direction).argmax()])
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    n = len(grid)
    return Surface(
        frames_of(
            start,
            x0 + np.tensordot(grid, directions, 1),
            source=np.full(n, "surface"),
            record=np.arange(n),
            frame_extras={
                name: Extra(grid[:, k], np.ones(n, dtype=bool)) for k, name in enumerate("xy")
            },
        ),
        x,
        y,
        directions,
        constants[chosen],
    )
