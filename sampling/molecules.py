"""Molecules to sample: SMILES files, the bundled list, and how a SMILES becomes a molecule.

SMILES of a file are standardised by the rules of `standardization`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from ..diversity.errors import DataError
from ..diversity.graphs import connectivity_key
from .standardization import parse, standardize

_SETTLING_SEED = 61


@dataclass(frozen=True)
class Molecule:
    """One molecule to sample.

    Parameters
    ----------
    name : str
        What messages call it.
    smiles : str
        Any SMILES of one connected molecule.
    written : str
        What a file said where `smiles` is another or leaves something open, else empty.
    changes : tuple of str
        What was done to it; see :func:`breadth.sampling.standardization.standardize`.

    Raises
    ------
    DataError
        On first use, if the SMILES cannot be read or holds several fragments.
    """

    name: str
    smiles: str
    written: str = field(default="", compare=False)
    changes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def canonical(self) -> str:
        """Canonical SMILES with stereochemistry, which is what `key` and random streams use.

        Stereocentres and double bonds that the SMILES leaves open are settled as one embedding
        with a fixed seed has them, so that the stereoisomer can exist (a strained ring cannot hold
        every one). Geometries drawn from several stereoisomers would be of several molecules.
        """
        molecule = _parse(self.name, self.smiles)
        if any(
            center.specified == Chem.StereoSpecified.Unspecified
            for center in Chem.FindPotentialStereo(molecule)
        ):
            whole = Chem.AddHs(Chem.MolFromSmiles(Chem.MolToSmiles(molecule)))
            with rdBase.BlockLogs():
                embedded = rdDistGeom.EmbedMolecule(whole, randomSeed=_SETTLING_SEED)
            if embedded >= 0:
                Chem.AssignStereochemistryFrom3D(whole, replaceExistingTags=False)
                molecule = Chem.RemoveHs(whole)
        # Twice: the first canonical form still remembers some of the order that was written.
        return str(Chem.CanonSmiles(Chem.MolToSmiles(molecule)))

    @cached_property
    def rdkit(self) -> Chem.Mol:
        """RDKit molecule with hydrogens, no conformers; atoms in the order of all geometries."""
        return rdkit_molecule(self.canonical)

    @property
    def numbers(self) -> np.ndarray:
        """Atomic numbers, array of uint8, shape (N,)."""
        return np.array([a.GetAtomicNum() for a in self.rdkit.GetAtoms()], dtype=np.uint8)

    @property
    def bonds(self) -> np.ndarray:
        """Atoms i < j and twice the bond order, array of int32, shape (B, 3)."""
        return bond_table(self.rdkit)

    @property
    def charge(self) -> int:
        """Total charge in e."""
        return int(Chem.GetFormalCharge(self.rdkit))

    @property
    def multiplicity(self) -> int:
        """Spin multiplicity: unpaired electrons of the SMILES, all parallel, plus one."""
        return 1 + sum(a.GetNumRadicalElectrons() for a in self.rdkit.GetAtoms())

    @cached_property
    def constitution(self) -> str:
        """Hold-out key, shared by stereoisomers; see `diversity.graphs.connectivity_key`."""
        return connectivity_key(self.numbers, self.bonds, self.charge, self.multiplicity)


def _parse(name: str, smiles: str) -> Chem.Mol:
    molecule = parse(name, smiles)
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise DataError(
            f"{name}: {smiles!r} holds several molecules or ions. Give one connected molecule a "
            "line; embedding places fragments at random, which is no sample of a complex."
        )
    return molecule


def rdkit_molecule(smiles: str) -> Chem.Mol:
    """Return the molecule of a canonical SMILES with hydrogens after the heavy atoms.

    Every geometry of the suite that was made from a SMILES has its atoms in this order.
    """
    return Chem.AddHs(_parse(smiles, smiles))


def bond_table(molecule: Chem.Mol) -> np.ndarray:
    """Return atoms i < j and twice the bond order (3 is aromatic), int32, shape (B, 3)."""
    rows = [
        (
            *sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())),
            round(2 * bond.GetBondTypeAsDouble()),
        )
        for bond in molecule.GetBonds()
    ]
    return np.array(sorted(rows), dtype=np.int32).reshape(-1, 3)


def read_smiles(path: str | os.PathLike[str]) -> list[Molecule]:
    """Read a file with one ``SMILES name`` a line; the name may be missing.

    Parameters
    ----------
    path : path
        Text in UTF-8; empty lines and lines that begin with ``#`` are passed over.

    Returns
    -------
    list of Molecule
        In the file's order, repeats included, standardised. A molecule without a name is called
        ``line N``.

    Raises
    ------
    DataError
        If the file cannot be read, holds no molecule, or a line holds no valid SMILES or no
        molecule that the rules of `standardization` can tell; the message names file and line.
    """
    source = Path(path)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read the SMILES file {source}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{source} is no text in UTF-8, so no SMILES file.") from None
    molecules = []
    for number, line in enumerate(lines, 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        smiles, *rest = entry.split(maxsplit=1)
        standard, changes = standardize(f"{source}, line {number}", smiles)
        name = rest[0] if rest else f"line {number}"
        molecules.append(Molecule(name, standard, smiles if changes else "", changes))
    if not molecules:
        raise DataError(f"{source} holds no molecule: one 'SMILES name' a line is needed.")
    return molecules


def bundled_molecules() -> list[Molecule]:
    """Return the 2,000 small organic molecules that come with the suite.

    They are from QM9 (Ramakrishnan et al., Sci. Data 1, 140022 (2014), CC0): C, H, N, O and some
    F, 6 to 9 heavy atoms, three in five with two or more rotatable bonds. How they were chosen is
    told in ``data/README.md``.

    Examples
    --------
    >>> len(bundled_molecules())
    2000
    """
    with as_file(files(__package__) / "data" / "molecules.smi") as path:
        return read_smiles(path)
