"""The molecular graph behind each molecule of a set, and which of its atoms an atom is.

A file may say its molecules by SMILES, by a bond table or not at all; what measures of structure
and of conformation need is the same: a graph with bond orders, and atoms that correspond between
conformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from .bonds import covalent_bonds
from .conformers import ConformerSet
from .errors import DataError
from .graphs import skeleton

#: Most steps that RDKit may take to place the bond orders of one molecule.
_ORDER_ITERATIONS = 20_000


@dataclass(frozen=True, eq=False)
class MolecularGraph:
    """Atoms and bonds of one molecule.

    Parameters
    ----------
    numbers : array of uint8, shape (N,)
        Atomic numbers in the order of the molecule's first conformer.
    bonds : array of int32, shape (B, 3)
        Atoms i < j and twice the bond order (3 is aromatic); the order is 2 where only the
        connectivity is known.
    smiles : str
        As the set has it; '' unknown.
    charge : int
        Total charge in e.
    origin : {'table', 'smiles', 'geometry', 'none'}
        Where the bonds are from. A periodic structure has none.
    """

    numbers: np.ndarray
    bonds: np.ndarray
    smiles: str
    charge: int
    origin: str

    @cached_property
    def mol_with_atoms(self) -> Chem.Mol | None:
        """The molecule with all N atoms, hydrogens included, in their order.

        None where no assignment of bond orders and formal charges fits graph and total charge.
        """
        if self.origin == "none":
            return None
        with rdBase.BlockLogs():
            template = Chem.MolFromSmiles(self.smiles) if self.smiles else None
            if template is not None:
                mol = _in_order(Chem.AddHs(template), skeleton(self.numbers, self.bonds))
                if mol is not None:
                    return mol
            mol = skeleton(self.numbers, self.bonds)
            try:
                rdDetermineBonds.DetermineBondOrders(
                    mol,
                    charge=self.charge,
                    embedChiral=False,
                    useAtomMap=False,
                    maxIterations=_ORDER_ITERATIONS,
                )
                Chem.SanitizeMol(mol)
            except (ValueError, RuntimeError, Chem.MolSanitizeException):
                return None
            return mol

    @cached_property
    def mol(self) -> Chem.Mol | None:
        """The molecule without explicit hydrogens; None where its structure is not known."""
        with rdBase.BlockLogs():
            if self.smiles:
                mol = Chem.MolFromSmiles(self.smiles)
                if mol is not None:
                    return mol
            if self.mol_with_atoms is None:
                return None
            try:
                return Chem.RemoveHs(self.mol_with_atoms)
            except (ValueError, Chem.MolSanitizeException):
                return None


def molecular_graphs(conformers: ConformerSet) -> list[MolecularGraph]:
    """Return the graph of each molecule of a set.

    Bonds come from the bond table where the set has one, else from the geometry of the molecule's
    conformer of lowest energy (of its first, without energies). Bond orders come from the SMILES
    where it fits the graph, else RDKit places them for the total charge.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    list of MolecularGraph, length M
    """
    molecules = conformers.molecules
    graphs = []
    for row, (first, steady) in enumerate(zip(*_representatives(conformers), strict=True)):
        numbers = conformers.numbers[conformers.atoms_slice(first)]
        bonds = molecules.bond_table(row)
        if conformers.pbc[first].any():
            bonds, origin = np.zeros((0, 3), np.int32), "none"
        elif bonds is not None:
            origin = "table"
        else:
            origin = "smiles" if molecules.smiles[row] else "geometry"
            # The geometry that is least likely to have a stretched bond must have the same order
            # of atoms as the first conformer.
            same = np.array_equal(numbers, conformers.numbers[conformers.atoms_slice(steady)])
            bonds = _perceived(conformers, steady if same and not _shuffled(conformers) else first)
        graphs.append(
            MolecularGraph(
                numbers,
                bonds,
                str(molecules.smiles[row]),
                int(molecules.charge[row]),
                origin,
            )
        )
    return graphs


def sites(conformers: ConformerSet) -> np.ndarray:
    """Return the site of each atom: which atom of its molecule's graph it is.

    Conformers of one molecule whose atoms stand in different orders are matched on its graph. In
    sets joined by different rules of identity the file's order holds where that is not possible.

    Parameters
    ----------
    conformers : ConformerSet

    Returns
    -------
    array of int64, shape (A,)
        Equal for the same atom of the same molecule, different for all others.

    Raises
    ------
    DataError
        If the atoms of two conformers of one molecule cannot be matched.
    """
    firsts, _ = _representatives(conformers)
    sizes = conformers.counts[firsts]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shuffled, rule = _shuffled(conformers), conformers.metadata.get("identity_rule")
    result = np.empty(conformers.n_atoms, dtype=np.int64)
    skeletons: dict[int, tuple[np.ndarray, Chem.Mol]] = {}
    for i, row in enumerate(conformers.molecule.tolist()):
        atoms, first = conformers.atoms_slice(i), int(firsts[row])
        numbers = conformers.numbers[atoms]
        reference = conformers.numbers[conformers.atoms_slice(first)]
        order = np.arange(len(numbers))
        doubtful = shuffled and not conformers.pbc[i].any()
        if i != first and (doubtful or not np.array_equal(numbers, reference)):
            if row not in skeletons:
                bonds = _perceived(conformers, first)
                skeletons[row] = bonds, skeleton(reference, bonds)
            known, graph = skeletons[row]
            bonds = _perceived(conformers, i)
            if not (np.array_equal(numbers, reference) and np.array_equal(bonds, known)):
                match = skeleton(numbers, bonds).GetSubstructMatch(graph)
                if len(match) == len(numbers):
                    # match[k] is the atom of this conformer that is atom k of the graph.
                    order[list(match)] = np.arange(len(numbers))
                elif not (rule == "mixed" and np.array_equal(numbers, reference)):
                    raise DataError(
                        f"Conformer {i} of molecule {conformers.molecules.key[row]!r} has its "
                        "atoms in another order than the first, and the two graphs do not match, "
                        "so that its atoms cannot be told. Bring the atoms into one order."
                    )
        result[atoms] = starts[row] + order
    return result


def _representatives(conformers: ConformerSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the first conformer of each molecule, and the one of lowest energy."""
    present, firsts = np.unique(conformers.molecule, return_index=True)
    if len(present) != conformers.n_molecules:
        raise DataError("A molecule of the set has no conformer. Use `select` to drop it.")
    steadiest = firsts.copy()
    labels = next((v for v in conformers.levels.values() if v.has_energy.any()), None)
    if labels is not None:
        energy = np.where(labels.has_energy, labels.energy, np.inf)
        order = np.lexsort((energy, conformers.molecule))
        starts = np.searchsorted(conformers.molecule[order], present)
        steadiest = order[starts]
    return firsts, steadiest


def _shuffled(conformers: ConformerSet) -> bool:
    """Tell whether some records were joined by graph, which leaves their order of atoms open."""
    return conformers.metadata.get("identity_rule") in ("graph", "mixed")


def _perceived(conformers: ConformerSet, conformer: int) -> np.ndarray:
    atoms = conformers.atoms_slice(conformer)
    pairs = covalent_bonds(conformers.numbers[atoms], conformers.positions[atoms])
    return np.column_stack([pairs, np.full(len(pairs), 2)]).astype(np.int32)


def _in_order(template: Chem.Mol, target: Chem.Mol) -> Chem.Mol | None:
    """Return the template with its atoms in the target's order; None if the graphs differ."""
    if template.GetNumAtoms() != target.GetNumAtoms():
        return None
    if template.GetNumBonds() != target.GetNumBonds():
        return None
    numbers = np.array([a.GetAtomicNum() for a in template.GetAtoms()])
    ends = [[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in template.GetBonds()]
    bare = skeleton(numbers, np.array(ends, dtype=np.int64).reshape(-1, 2))
    match = bare.GetSubstructMatch(target)
    if len(match) != len(numbers):
        return None
    return template if list(match) == sorted(match) else Chem.RenumberAtoms(template, list(match))
