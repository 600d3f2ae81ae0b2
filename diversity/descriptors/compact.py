"""56 invariants of an atom's neighbourhood: moments of its neighbours by distance and by kind.

After the atom density expanded in radial and angular functions (Bartók et al., Phys. Rev. B 87,
184115 (2013), doi 10.1103/PhysRevB.87.184115) and Cartesian moment tensors (Shapeev, Multiscale
Model. Simul. 14, 1153 (2016), doi 10.1137/15M1054183), cut to what telling environments apart
takes: contractions of first order in the density's products, so that the number of features does
not grow with the number of elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from rdkit.Chem import GetPeriodicTable

from ..conformers import ConformerSet
from ..errors import ConfigurationError

#: RMS change of the descriptor of cutoff 5 Å when each coordinate of every atom moves by Gaussian
#: noise of 0.05 Å, a vibration at room temperature: `displacement_bandwidth` of every tenth
#: bundled molecule gives 0.42.
VIBRATION_BANDWIDTH = 0.42
#: The same of the mean over a structure\'s atoms.
STRUCTURE_BANDWIDTH = 0.15

_RADIAL, _CHANNELS = 6, 3
_COLUMNS = _RADIAL * _CHANNELS
_FIRST, _WIDTH = 0.20, 0.14  # of the Gaussians, in cutoffs
_PER_E = math.exp(-1.0)
_MOMENTS = 10  # 1; x, y, z; xx, yy, zz, xy, xz, yz
#: Larger molecules, like periodic structures, get their neighbours from a cell list.
_DENSE_ATOMS = 500


@dataclass(frozen=True, kw_only=True)
class CompactDescriptor:
    """Invariants to rotation, reflection, translation and the order of atoms; any elements.

    The six radial functions are Gaussians at 0.20, 0.34, … 0.90 r_cut of width 0.14 r_cut times
    (1 + cos πr/r_cut)/2, smooth to zero at the cutoff: of the bases tried, the one in which a
    vibration changes least of what tells environments apart. Neighbours enter with three weights:
    1, their covalent radius and their number of outer electrons, each divided by carbon's. For
    each of these 18 columns there are the sum over neighbours (l = 0), the norm of the sum of
    their unit vectors û (l = 1), and the norm of the sum of ûûᵀ − 1/3 (l = 2, times √(3/2)): one
    neighbour alone gives three equal values. The last two features are the atom's own radius and
    outer electrons, equal for atoms of one element. Mirror images have equal descriptors.

    The cost is proportional to the number of neighbours: 0.2 to 0.4 million atoms a second of
    molecules of 18 atoms on one core.

    Parameters
    ----------
    cutoff : float, optional
        r_cut in Å.

    Raises
    ------
    ConfigurationError
        If the cutoff is not positive.
    """

    cutoff: float = 5.0

    name = "compact"
    #: Number of features of an environment.
    n_features = 3 * _COLUMNS + 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cutoff) and self.cutoff > 0):
            raise ConfigurationError(f"A cutoff must be a positive length, not {self.cutoff} Å.")

    @property
    def default_bandwidth(self) -> float | None:
        """Bandwidth of a kernel on these features; None for any but the default cutoff."""
        return VIBRATION_BANDWIDTH if self.cutoff == 5.0 else None

    @property
    def default_structure_bandwidth(self) -> float | None:
        """The same for means over structures."""
        return STRUCTURE_BANDWIDTH if self.cutoff == 5.0 else None

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the features of consecutive conformers.

        Parameters
        ----------
        conformers : ConformerSet
        chunk : int
            Conformers at a time.

        Yields
        ------
        X : array of float32, shape (atoms, 56)
        offsets : array of int64, shape (conformers + 1,)
            Where each conformer's rows begin.
        """
        weights = _weights()
        for begin in range(0, len(conformers), chunk):
            rows = np.arange(begin, min(begin + chunk, len(conformers)))
            offsets = conformers.offsets[rows[0] : rows[-1] + 2]
            atoms = slice(int(offsets[0]), int(offsets[-1]))
            own = weights[conformers.numbers[atoms]]
            moments = np.zeros((len(own), _MOMENTS, _COLUMNS))
            offsets = offsets - offsets[0]
            listed = conformers.pbc[rows].any(1) | (np.diff(offsets) > _DENSE_ATOMS)
            positions = conformers.positions[atoms].astype(np.float64)
            _dense_moments(moments, positions, own, offsets, ~listed, self.cutoff)
            for k in np.flatnonzero(listed).tolist():
                part = slice(int(offsets[k]), int(offsets[k + 1]))
                structure = Atoms(
                    numbers=conformers.numbers[conformers.atoms_slice(begin + k)],
                    positions=positions[part],
                    cell=conformers.cell[begin + k],
                    pbc=conformers.pbc[begin + k],
                )
                i, j, vectors = neighbor_list("ijD", structure, self.cutoff)
                _listed_moments(moments[part], i, j, vectors, own[part], self.cutoff)
            yield _invariants(moments, own), offsets


def _weights() -> np.ndarray:
    """Return the weights of each element relative to carbon's, shape (119, 3)."""
    table = GetPeriodicTable()
    radii = [table.GetRcovalent(z) for z in range(1, 119)]
    outer = [table.GetNOuterElecs(z) for z in range(1, 119)]
    weights = np.ones((119, _CHANNELS))
    weights[1:, 1], weights[1:, 2] = radii, outer
    return weights / weights[6]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _radial(distance, cutoff, values):  # type: ignore[no-untyped-def]
    """Fill in the six radial functions; Gaussians one width apart take two exponentials in all."""
    u = (distance / cutoff - _FIRST) / _WIDTH
    value = math.exp(-0.5 * u * u) * 0.5 * (1.0 + math.cos(math.pi * distance / cutoff))
    step = math.exp(u - 0.5)  # e^(−(u−n−1)²/2) = e^(−(u−n)²/2) · e^(u−n−1/2)
    for n in range(_RADIAL):
        values[n] = value
        value *= step
        step *= _PER_E


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add(moments, radial, x, y, z, weights):  # type: ignore[no-untyped-def]
    """Add a neighbour in the direction (x, y, z) to an atom's moments."""
    for c in range(_CHANNELS):
        for n in range(_RADIAL):
            g = weights[c] * radial[n]
            k = c * _RADIAL + n
            moments[0, k] += g
            moments[1, k] += g * x
            moments[2, k] += g * y
            moments[3, k] += g * z
            moments[4, k] += g * x * x
            moments[5, k] += g * y * y
            moments[6, k] += g * z * z
            moments[7, k] += g * x * y
            moments[8, k] += g * x * z
            moments[9, k] += g * y * z


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _dense_moments(moments, positions, weights, offsets, wanted, cutoff):  # type: ignore[no-untyped-def]
    radial = np.empty(_RADIAL)
    for k in range(len(offsets) - 1):
        if not wanted[k]:
            continue
        for i in range(offsets[k], offsets[k + 1]):
            for j in range(offsets[k], i):
                x = positions[j, 0] - positions[i, 0]
                y = positions[j, 1] - positions[i, 1]
                z = positions[j, 2] - positions[i, 2]
                square = x * x + y * y + z * z
                if square >= cutoff * cutoff:
                    continue
                distance = math.sqrt(square)
                inverse = 1.0 / distance if distance > 0 else 0.0
                x, y, z = x * inverse, y * inverse, z * inverse
                _radial(distance, cutoff, radial)
                _add(moments[i], radial, x, y, z, weights[j])
                _add(moments[j], radial, -x, -y, -z, weights[i])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _listed_moments(moments, first, second, vectors, weights, cutoff):  # type: ignore[no-untyped-def]
    radial = np.empty(_RADIAL)
    for p in range(len(first)):
        x, y, z = vectors[p, 0], vectors[p, 1], vectors[p, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / distance if distance > 0 else 0.0
        _radial(distance, cutoff, radial)
        _add(moments[first[p]], radial, x * inverse, y * inverse, z * inverse, weights[second[p]])


def _invariants(moments: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the norms of the moments, and the atoms' own kinds."""
    features = np.empty((len(moments), 3 * _COLUMNS + 2), dtype=np.float32)
    total = moments[:, 0]
    features[:, :_COLUMNS] = total
    features[:, _COLUMNS : 2 * _COLUMNS] = np.sqrt((moments[:, 1:4] ** 2).sum(1))
    # The trace is the sum itself, or zero for atoms in one place, which have no direction.
    trace = moments[:, 4:7].sum(1)
    square = (moments[:, 4:7] ** 2).sum(1) + 2 * (moments[:, 7:] ** 2).sum(1) - trace**2 / 3
    features[:, 2 * _COLUMNS : 3 * _COLUMNS] = np.sqrt(1.5 * np.maximum(square, 0.0))
    features[:, 3 * _COLUMNS :] = weights[:, 1:]
    return features
