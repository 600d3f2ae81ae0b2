"""SDF and MOL files with three-dimensional structures, by RDKit; read, never written.

A record's SMILES, with the stereochemistry of its geometry, names its molecule; charge, unpaired
electrons and bonds are those of the record, and its data fields are kept as extras. There are no
labels: a field such as ``PUBCHEM_MMFF94_ENERGY`` stays an extra, since its unit is not told.
Drawings in two dimensions and records whose hydrogens are implicit are faults: they are no
geometry to calculate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..identity import build
from ..records import Record, plain_value
from .program_outputs import Broken, gathered, refuse_writing

_COUNTS = re.compile(rb"V[23]000\s*$")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a text's fourth line is the counts line of a MOL block."""
    lines = head.splitlines()
    return len(lines) > 3 and _COUNTS.search(lines[3]) is not None


def read(
    path: Path, *, level: str | None = None, identity: str = "auto", skip_bad: bool = False
) -> ConformerSet:
    """Read a file; it has no labels, so that `level` names nothing here."""
    records, aside = gathered(path, _blocks(path), _record, skip_bad=skip_bad)
    _keep_common_bonds(records)
    return build(records, identity=identity, source=str(path), set_aside=aside)


def write(conformers: ConformerSet, path: Path, *, level: str | None = None) -> None:
    """Refuse: the format is only read."""
    refuse_writing("sdf", path)


def _blocks(path: Path) -> Iterator[str]:
    lines: list[str] = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            lines.append(line)
            if line.startswith("$$$$"):
                yield "".join(lines)
                lines = []
    if any(line.strip() for line in lines):
        yield "".join(lines)


def _record(block: str) -> Record:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        supplier = Chem.SDMolSupplier()
        supplier.SetData(block, sanitize=False, removeHs=False)
        molecule = supplier[0] if len(supplier) else None
        if molecule is None or not molecule.GetNumAtoms():
            raise Broken("RDKit finds no atoms in it: it is damaged, or no MOL block")
        numbers = np.array([a.GetAtomicNum() for a in molecule.GetAtoms()])
        if not ((numbers > 0) & (numbers < 119)).all():
            raise Broken("it has query or dummy atoms")
        Chem.SanitizeMol(molecule)
        if not molecule.GetNumConformers() or not molecule.GetConformer().Is3D():
            raise Broken("it is a drawing in two dimensions; embed it first")
        if any(a.GetNumImplicitHs() + a.GetNumExplicitHs() for a in molecule.GetAtoms()):
            raise Broken("some of its hydrogens are implicit; add them with coordinates first")
        Chem.AssignStereochemistryFrom3D(molecule)
        smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    bonds = [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), 2 * b.GetBondTypeAsDouble())
        for b in molecule.GetBonds()
    ]
    table = np.array(bonds).reshape(-1, 3).astype(np.int32)
    table[:, :2].sort(axis=1)
    extras: dict[str, Any] = molecule.GetPropsAsDict()
    title = molecule.GetProp("_Name").strip() if molecule.HasProp("_Name") else ""
    return Record(
        numbers=numbers.astype(np.uint8),
        positions=np.array(molecule.GetConformer().GetPositions()),
        charge=Chem.GetFormalCharge(molecule),
        multiplicity=1 + sum(a.GetNumRadicalElectrons() for a in molecule.GetAtoms()),
        smiles=smiles,
        bonds=table[np.lexsort(table.T[1::-1])],
        frame_extras={
            **({"name": title} if title else {}),
            **{k: plain_value(v) for k, v in extras.items()},
        },
        is_conformer=True,
    )


def _keep_common_bonds(records: list[Record]) -> None:
    """Leave the bonds out where one molecule's atoms stand in several orders.

    A set has one table for each molecule; its SMILES tells the rest.
    """
    tables: dict[str, set[tuple[bytes, bytes]]] = {}
    for record in records:
        known = (record.numbers.tobytes(), np.asarray(record.bonds).tobytes())
        tables.setdefault(record.smiles, set()).add(known)
    for record in records:
        if len(tables[record.smiles]) > 1:
            record.bonds = None
