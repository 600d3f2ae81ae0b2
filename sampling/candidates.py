"""What selectors read of conformers: features, fingerprints, scaffolds, minima and labels."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from rdkit import Chem

from ..diversity.conformers import ConformerSet
from ..diversity.descriptors import bound, structure_features
from ..diversity.errors import ConfigurationError, DataError
from ..diversity.fingerprints import fingerprints
from ..diversity.protocols import Featurizer
from ..diversity.scaffolds import scaffold
from ..diversity.topology import MolecularGraph, molecular_graphs, sites
from ..diversity.torsions import dihedral_angles, torsion_basins, torsions
from .given import shared_identity
from .selectors import Selector


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How selectors read conformers.

    Parameters
    ----------
    featurizer : Featurizer, optional
        Of atoms or of structures; a structure's features are the mean over its rows, a molecule's
        the mean over its conformers.
    label_level : str, optional
        Level of theory of energies and forces; the only one of a set by default.
    fingerprint : {'morgan', 'maccs', 'atom_pair'}
    """

    featurizer: Featurizer | None = None
    label_level: str | None = None
    fingerprint: str = "morgan"


def members(molecule: np.ndarray) -> dict[int, np.ndarray]:
    """Return the places of each molecule in an array of molecules, in their order."""
    order = np.argsort(molecule, kind="stable")
    present, starts = np.unique(molecule[order], return_index=True)
    return dict(zip(present.tolist(), np.split(order, starts[1:]), strict=True))


class Candidates:
    """What selectors read of the conformers to choose from, made once and only as needed.

    Parameters
    ----------
    conformers : ConformerSet
    rows : array of int64
        In canonical order, so that not even the rounding of a mean depends on that of records.
    reading : Reading
    given : ConformerSet or None
    """

    def __init__(
        self, conformers: ConformerSet, rows: np.ndarray, reading: Reading, given: Any = None
    ) -> None:
        self.pool = conformers.select(rows)
        self.reading = reading
        self.given: ConformerSet | None = given if given is not None and len(given) else None
        sets = (self.pool,) if self.given is None else (self.pool, self.given)
        self.featurizer = None if reading.featurizer is None else bound(reading.featurizer, *sets)

    def choose(
        self,
        selector: Selector,
        budget: int,
        *,
        among: np.ndarray | None = None,
        whole_molecules: bool = False,
    ) -> np.ndarray:
        """Return candidates (of whole molecules: rows of the pool's) in the order of choice.

        Parameters
        ----------
        selector : Selector
        budget : int
        among : array of int64, optional
            Candidates to choose from, of one molecule; all by default. Only what is given of this
            molecule counts as given.
        whole_molecules : bool
        """
        pool, before = self.pool, self.given
        X, y = self._table(pool, selector), self._target(pool, selector)
        given: np.ndarray | None = None
        if before is not None:
            by_y = selector.takes in ("labels", "groups")
            given = self._target(before, selector) if by_y else self._table(before, selector)
        keys: np.ndarray = pool.id
        if whole_molecules:
            keys = pool.molecules.key
            X, y = _by_molecule(X, pool), _by_molecule(y, pool)
            given = None if given is None or before is None else _by_molecule(given, before)
        elif among is not None:
            keys, X, y = keys[among], X[among], None if y is None else y[among]
            if given is not None:
                own = getattr(pool.molecules, self._identity)[pool.molecule[among[0]]]
                given = given[self._given_of.get(str(own), [])]
        fresh = copy(selector).set_params(n_to_select=budget)
        chosen: np.ndarray = fresh.fit(X, y, given=given, keys=keys).selected_idx_
        return chosen if among is None else among[chosen]

    def _table(self, conformers: ConformerSet, selector: Selector) -> np.ndarray:
        kind = f"X {selector.takes} {conformers is self.pool}"
        if kind not in self._made:
            if selector.takes == "features":
                self._made[kind] = _features(conformers, self.featurizer, selector)
            elif selector.takes == "fingerprints":
                graphs = _known_graphs(conformers)
                packed = fingerprints(graphs, self.reading.fingerprint)
                self._made[kind] = packed[conformers.molecule]
            else:
                self._made[kind] = np.zeros((len(conformers), 1), np.float32)
        return self._made[kind]

    def _target(self, conformers: ConformerSet, selector: Selector) -> Any:
        kind = f"y {selector.target} {conformers is self.pool}"
        if selector.target is not None and kind not in self._made:
            level = self.reading.label_level
            if selector.target == "relative_energy":
                self._made[kind] = self._relative_energies(conformers)
            elif selector.target == "force_norm":
                self._made[kind] = _force_norms(conformers, level)
            elif selector.target == "scaffold":
                self._made[kind] = _scaffolds(conformers)[conformers.molecule]
            else:
                self._made[kind] = _minima(conformers)
        return self._made.get(kind)

    @cached_property
    def _identity(self) -> str:
        return "key" if self.given is None else shared_identity(self.pool, self.given)

    @cached_property
    def _given_of(self) -> dict[str, np.ndarray]:
        """Return the given conformers of each molecule, stereoisomers of one name together."""
        assert self.given is not None
        names = getattr(self.given.molecules, self._identity)
        _, first, which = np.unique(names, return_index=True, return_inverse=True)
        rows = members(which.reshape(-1)[self.given.molecule])
        return {str(names[first[m]]): own for m, own in rows.items()}

    @cached_property
    def _made(self) -> dict[str, np.ndarray]:
        return {}

    def _relative_energies(self, conformers: ConformerSet) -> np.ndarray:
        """Return energies (n,) in eV above the lowest known one of the molecule."""
        lowest: dict[str, float] = {}
        for known in (self.pool, self.given):
            if known is not None:
                energy = _labels(known, self.reading.label_level, "energy").energy
                names = getattr(known.molecules, self._identity)
                for key, e in zip(names[known.molecule], energy, strict=True):
                    lowest[str(key)] = min(lowest.get(str(key), np.inf), float(e))
        energy = _labels(conformers, self.reading.label_level, "energy").energy
        names = getattr(conformers.molecules, self._identity)
        zero = np.array([lowest[key] for key in names.tolist()])
        return energy - zero[conformers.molecule]


def _by_molecule(values: Any, conformers: ConformerSet) -> Any:
    """Return the mean over each molecule's conformers; of fingerprints and names, the first."""
    if values is None:
        return None
    first = np.unique(conformers.molecule, return_index=True)[1]
    if values.dtype.kind not in "f":
        return values[first]
    sums = np.zeros((conformers.n_molecules, *values.shape[1:]))
    np.add.at(sums, conformers.molecule, values)
    counts = np.bincount(conformers.molecule).reshape(-1, *[1] * (values.ndim - 1))
    return (sums / counts).astype(values.dtype)


def _features(
    conformers: ConformerSet, featurizer: Featurizer | None, selector: Selector
) -> np.ndarray:
    if featurizer is None:
        raise ConfigurationError(
            f"{type(selector).__name__} compares geometries by features: name a featurizer."
        )
    return structure_features(conformers, featurizer)


def _known_graphs(conformers: ConformerSet) -> list[MolecularGraph]:
    graphs = molecular_graphs(conformers)
    unknown = [row for row, graph in enumerate(graphs) if graph.mol is None]
    if unknown:
        raise DataError(
            f"Molecule {str(conformers.molecules.key[unknown[0]])!r} has no structure that RDKit "
            f"can tell ({len(unknown)} of {len(graphs)} have none), so it cannot be chosen by "
            "structure. Leave it out, give its SMILES, or choose by geometry."
        )
    return graphs


def _scaffolds(conformers: ConformerSet) -> np.ndarray:
    return np.array([scaffold(Chem.MolToSmiles(g.mol)) for g in _known_graphs(conformers)])


def _minima(conformers: ConformerSet) -> np.ndarray:
    """Return the name of each conformer's minimum: as its file says, else its torsional basin."""
    minimum = conformers.minimum.copy()
    unknown = np.unique(conformers.molecule[minimum < 0])
    if len(unknown):
        graphs, site = molecular_graphs(conformers), sites(conformers)
        for row in unknown.tolist():
            own = np.flatnonzero(conformers.molecule == row)
            mol = graphs[row].mol_with_atoms
            if mol is None:
                raise DataError(
                    f"{_named(conformers, int(own[0]))} does not say which minimum it was "
                    "displaced from, and its molecule has no structure that RDKit can tell, so "
                    "that it has no torsions either. Choose by another selector, such as fps."
                )
            atoms = conformers.offsets[own, None] + np.arange(mol.GetNumAtoms())
            atoms = np.take_along_axis(atoms, np.argsort(site[atoms], axis=1), axis=1)
            known = torsions(mol)
            angles = dihedral_angles(conformers.positions[atoms].astype(np.float64), known.atoms)
            minimum[own] = torsion_basins(angles, known.fold)
    keys = conformers.molecules.key[conformers.molecule]
    return np.array([f"{k}\x1f{m}" for k, m in zip(keys, minimum, strict=True)])


def _force_norms(conformers: ConformerSet, level: str | None) -> np.ndarray:
    forces = _labels(conformers, level, "forces").forces.astype(np.float64)
    norms = np.linalg.norm(forces, axis=1)
    return np.add.reduceat(norms, conformers.offsets[:-1]) / conformers.counts


def _labels(conformers: ConformerSet, level: str | None, what: str) -> Any:
    labels = conformers.labels(level) if conformers.levels else None
    there = np.zeros(len(conformers), bool) if labels is None else getattr(labels, f"has_{what}")
    missing = np.flatnonzero(~there)
    if len(missing):
        raise DataError(
            f"{_named(conformers, int(missing[0]))} has no {what} "
            f"({len(missing)} of {len(conformers)} have none), so it cannot be chosen by it. "
            "Label all candidates and what is given, or leave those without out."
        )
    return labels


def _named(conformers: ConformerSet, row: int) -> str:
    source, record = str(conformers.source[row]), int(conformers.record[row])
    where = f" (record {record} of {source})" if source and record >= 0 else ""
    return f"Conformer {conformers.id[row].decode()}{where}"
