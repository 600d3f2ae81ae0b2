"""SOAP power spectra of atomic environments, by DScribe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..conformers import ConformerSet
from ..errors import ConfigurationError, DataError

#: Most cells, as long as the cutoff, that DScribe is let to sort the atoms of a molecule into.
_MOST_CELLS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SoapDescriptor:
    """Smooth overlap of atomic positions (Bartók et al., doi 10.1103/PhysRevB.87.184115).

    The power spectrum as DScribe computes it (Himanen et al., doi 10.1016/j.cpc.2019.106949), not
    normalised. With S elements there are S·n_max (S·n_max + 1)/2 · (l_max + 1) features: 2,100 for
    three elements. Structures repeat along
    their periodic directions.

    Parameters
    ----------
    r_cut : float, optional
        Cutoff in Å.
    n_max, l_max : int, optional
        Numbers of radial functions and of the highest angular momentum.
    sigma : float, optional
        Width of the Gaussian on each neighbour, Å.
    elements : sequence of int, optional
        Atomic numbers that may occur. If not given, they are those of the set whose features are
        taken; sets compared with each other need the same, see `bound_to`.

    Raises
    ------
    ConfigurationError
        If DScribe refuses the options.
    """

    r_cut: float = 5.0
    n_max: int = 8
    l_max: int = 6
    sigma: float = 0.375
    elements: Sequence[int] | None = None

    name = "soap"
    #: 27 MB of seven elements. Memory of more than 32 MB is handed back to the system when it is
    #: free, and to get it anew for each chunk took half as long again as the descriptors.
    chunk_atoms = 600
    #: None: `displacement_bandwidth` of the set in hand, for its size depends on the options.
    default_bandwidth = None

    def bound_to(self, *sets: ConformerSet) -> SoapDescriptor:
        """Return the descriptor with the elements of these sets, if it was given none."""
        if self.elements is not None or not sets:
            return self
        found = np.unique(np.concatenate([conformers.elements for conformers in sets]))
        return replace(self, elements=tuple(found.tolist()))

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
        X : array of float32, shape (atoms, d)
        offsets : array of int64, shape (conformers + 1,)
            Where each conformer's rows begin.

        Raises
        ------
        DataError
            If the set has an element that is not among those given.
        """
        elements = self.bound_to(conformers).elements
        assert elements is not None
        unknown = np.setdiff1d(conformers.elements, elements)
        if len(unknown):
            raise DataError(
                f"SOAP was set up for the elements {list(elements)}, but the set has atoms of "
                f"atomic number {unknown.tolist()}: name all elements of all sets."
            )
        periodic = np.array(conformers.pbc.any(axis=1))
        soap = {kind: self._soap(elements, kind) for kind in np.unique(periodic).tolist()}
        for begin in range(0, len(conformers), chunk):
            end = min(begin + chunk, len(conformers))
            offsets = conformers.offsets[begin : end + 1] - conformers.offsets[begin]
            # Each frame's rows are narrowed as they come: of a chunk in double precision the memory
            # alone takes longer to get than half of the descriptors.
            rows = None
            for i in range(begin, end):
                atoms = conformers.atoms_slice(i)
                structure = Atoms(
                    numbers=conformers.numbers[atoms],
                    positions=conformers.positions[atoms].astype(np.float64),
                    cell=conformers.cell[i],
                    pbc=conformers.pbc[i],
                )
                own = self._describe(soap[bool(periodic[i])], structure)
                if rows is None:
                    rows = np.empty((offsets[-1], own.shape[1]), dtype=np.float32)
                rows[offsets[i - begin] : offsets[i - begin + 1]] = own
            assert rows is not None
            yield rows, offsets

    def _describe(self, soap: Any, structure: Atoms) -> np.ndarray:
        if structure.pbc.any():
            structure.wrap()  # DScribe finds no neighbour of an atom two cells away, as in a liquid
            return soap.create(structure)
        # Dynamics that exploded leave atoms so far apart that DScribe's cells fill all memory:
        # what is out of reach of each other is then described by itself.
        reach = self.r_cut + 4.0 * self.sigma
        if np.prod(1.0 + np.ptp(structure.positions, axis=0) / reach) <= _MOST_CELLS:
            return soap.create(structure)
        pairs = cKDTree(structure.positions).query_pairs(reach, output_type="ndarray")
        n = len(structure)
        n_parts, part = connected_components(coo_array((np.ones(len(pairs)), pairs.T), (n, n)))
        rows = np.empty((n, soap.get_number_of_features()))
        for k in range(n_parts):
            rows[part == k] = soap.create(structure[part == k])
        return rows

    def _soap(self, elements: Sequence[int], periodic: bool) -> Any:
        from dscribe.descriptors import SOAP  # takes a second to import

        try:
            return SOAP(
                species=list(elements),
                r_cut=self.r_cut,
                n_max=self.n_max,
                l_max=self.l_max,
                sigma=self.sigma,
                periodic=periodic,
                average="off",
            )
        except ValueError as error:
            raise ConfigurationError(f"SOAP cannot be set up: {error}") from error
