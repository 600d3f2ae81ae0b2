"""How rough an energy surface on a grid is, and how far it lies from another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..diversity.errors import DataError


class Roughness(NamedTuple):
    """How rough a surface is.

    Attributes
    ----------
    amplitude : float
        In eV: the standard deviation of the uncorrelated noise on the grid that has third
        differences as large.
    relative : float
        The amplitude over the standard deviation of the energies; 0 for a flat surface.
    n_minima : int
        Points of the interior that are lower than all eight neighbours: one for a basin.
    """

    amplitude: float
    relative: float
    n_minima: int


def roughness(energy: np.ndarray) -> Roughness:
    """Return how rough an energy surface on a regular grid is.

    The amplitude is the root mean square of third differences along both axes,
    e_k+3 − 3 e_k+2 + 3 e_k+1 − e_k, over √20, which is what they are for noise of unit variance.
    It is zero for every quadratic surface, does not change with an offset or a slope, and is a
    property of surface and spacing: compare surfaces on one grid. A smooth anharmonic surface
    has h³ ∂³E / √20, which vanishes with the spacing h; a ripple A sin(k x) along one axis alone
    has A · 8 sin³(kh/2) / √80.

    Parameters
    ----------
    energy : array, shape (m, n)
        In eV, on equally spaced points, m and n ≥ 4.

    Raises
    ------
    DataError
        If the grid is too small or an energy is not finite.

    Examples
    --------
    >>> x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9), indexing="ij")
    >>> bowl = 3 * x**2 + x * y + 2 * y**2
    >>> roughness(bowl).amplitude < 1e-12, roughness(bowl).n_minima
    (True, 1)
    """
    e = _grid(energy)
    cubes = [np.diff(e, 3, axis=axis).ravel() for axis in (0, 1)]
    amplitude = float(np.sqrt(np.mean([np.mean(c**2) for c in cubes]) / 20.0))
    spread = float(e.std())
    inner = e[1:-1, 1:-1]
    m, n = e.shape
    around = [
        e[1 + i : m - 1 + i, 1 + j : n - 1 + j]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0)
    ]
    lowest = np.all([inner < other for other in around], axis=0)
    return Roughness(amplitude, amplitude / spread if spread else 0.0, int(lowest.sum()))


def surface_error(energy: np.ndarray, reference: np.ndarray) -> float:
    """Return the root mean square difference of two surfaces in eV, each less its mean.

    Raises
    ------
    DataError
        If the grids differ or an energy is not finite.
    """
    ours, theirs = _grid(energy), _grid(reference)
    if ours.shape != theirs.shape:
        raise DataError(f"Surfaces of {ours.shape} and {theirs.shape} points: use one grid.")
    return float((ours - theirs).std())


def _grid(energy: np.ndarray) -> np.ndarray:
    e = np.asarray(energy, dtype=float)
    if e.ndim != 2 or min(e.shape) < 4:
        raise DataError(f"A surface of shape {e.shape}: a grid of 4 by 4 or more is needed.")
    if not np.isfinite(e).all():
        raise DataError("A surface has energies that are not finite. Make its extent smaller.")
    return e - e.mean()
