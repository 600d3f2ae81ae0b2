"""Choose the bundled molecules from QM9's SMILES; the recipe that README.md describes.

    python select_molecules.py qm9_part1.csv qm9_part2.csv qm9_part3.csv > molecules.smi

The tables are those of the package `qm9pack` 1.0.3 (columns ``Index`` and ``SMILES`` are read).
"""

import csv
import hashlib
import sys
from collections import Counter
from itertools import islice

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolDescriptors
from rdkit.Chem.rdForceFieldHelpers import MMFFHasAllMoleculeParams
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

from breadth.sampling.molecules import Molecule

# heavy atoms -> (with two or more rotatable bonds, with fewer)
QUOTA = {6: (100, 80), 7: (310, 184), 8: (450, 280), 9: (350, 200)}
FLUORINATED = 60  # chosen after the others, from 7 to 9 heavy atoms, flexible ones first
LARGEST_PER_FORMULA, LARGEST_PER_SCAFFOLD = 40, 30
PEROXIDE_OR_CHAIN = Chem.MolFromSmarts("[$([OX2][OX2]),$(N~N~N~N),$(C#CC#C),$(C=C=[C,N,O])]")


def draw(smiles: str) -> bytes:
    """Order in which molecules are considered: fixed, and unrelated to QM9's own order."""
    return hashlib.blake2b(smiles.encode(), digest_size=16).digest()


def acceptable(molecule: Chem.Mol) -> bool:
    """Whether the molecule is ordinary: closed shell, neutral, not a strained cage."""
    atoms = list(molecule.GetAtoms())
    if any(a.GetFormalCharge() or a.GetNumRadicalElectrons() for a in atoms):
        return False
    if not {a.GetAtomicNum() for a in atoms} <= {6, 7, 8, 9} or 6 not in {
        a.GetAtomicNum() for a in atoms
    }:
        return False
    rings = molecule.GetRingInfo().AtomRings()
    if len(rings) > 2 or sum(len(ring) < 5 for ring in rings) > 1:
        return False
    triple_in_ring = any(
        b.GetBondType() == Chem.BondType.TRIPLE and b.IsInRing() for b in molecule.GetBonds()
    )
    if triple_in_ring or molecule.HasSubstructMatch(PEROXIDE_OR_CHAIN):
        return False
    return bool(MMFFHasAllMoleculeParams(Chem.AddHs(molecule)))


def candidates(paths: list[str]) -> list[tuple[bytes, str, str, Chem.Mol]]:
    """Acceptable molecules of the tables in the fixed order, one for each constitution."""
    csv.field_size_limit(10**9)
    seen: set[str] = set()
    found = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as table:
            for row in csv.DictReader(table):
                molecule = Chem.MolFromSmiles(row["SMILES"])
                if molecule is None or molecule.GetNumHeavyAtoms() not in QUOTA:
                    continue
                constitution = Chem.MolToSmiles(molecule, isomericSmiles=False)
                if constitution in seen or not acceptable(molecule):
                    continue
                seen.add(constitution)
                name = f"qm9-{int(row['Index']):06d}"
                found.append((draw(constitution), Chem.MolToSmiles(molecule), name, molecule))
    return sorted(found, key=lambda entry: entry[0])


def settled(name: str, smiles: str) -> str | None:
    """SMILES of one stereoisomer, or None where RDKit finds no geometry for it."""
    canonical = Molecule(name, smiles).canonical
    found = rdDistGeom.EmbedMolecule(Chem.AddHs(Chem.MolFromSmiles(canonical)), randomSeed=1)
    return canonical if found >= 0 else None


def select(paths: list[str]) -> list[tuple[str, str]]:
    """Fill the quotas in the fixed order, a capped number from each formula and scaffold."""
    ordered = candidates(paths)
    filled: Counter[tuple[int, bool]] = Counter()
    formulas: Counter[str] = Counter()
    scaffolds: Counter[str] = Counter()
    fluorinated: list[tuple[bool, bytes, str, str]] = []
    chosen = []
    for order, smiles, name, molecule in ordered:
        heavy = molecule.GetNumHeavyAtoms()
        flexible = rdMolDescriptors.CalcNumRotatableBonds(molecule, True) >= 2
        if "F" in smiles:
            fluorinated.append((not flexible, order, smiles, name))
            continue
        formula = rdMolDescriptors.CalcMolFormula(molecule)
        scaffold = MurckoScaffoldSmiles(mol=molecule)
        if (
            filled[heavy, flexible] >= QUOTA[heavy][0 if flexible else 1]
            or formulas[formula] >= LARGEST_PER_FORMULA
            or (scaffold and scaffolds[scaffold] >= LARGEST_PER_SCAFFOLD)
            or (settled_smiles := settled(name, smiles)) is None
        ):
            continue
        filled[heavy, flexible] += 1
        formulas[formula] += 1
        scaffolds[scaffold] += 1
        chosen.append((settled_smiles, name))
    isomers = ((settled(name, smiles), name) for _, _, smiles, name in sorted(fluorinated))
    embedded = ((smiles, name) for smiles, name in isomers if smiles is not None)
    chosen += islice(embedded, FLUORINATED)
    return sorted(chosen, key=lambda entry: entry[1])


if __name__ == "__main__":
    for smiles, name in select(sys.argv[1:]):
        print(smiles, name)
