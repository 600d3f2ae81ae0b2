"""SMILES files, the bundled molecules, and what a SMILES becomes."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.rdForceFieldHelpers import MMFFHasAllMoleculeParams

from breadth.diversity.errors import DataError
from breadth.sampling.molecules import Molecule, bundled_molecules, read_smiles


def test_bundled_molecules_are_what_the_recipe_promises() -> None:
    molecules = bundled_molecules()
    parsed = [Chem.MolFromSmiles(m.smiles) for m in molecules]
    assert len(molecules) == 2000
    assert len({Chem.MolToSmiles(p, isomericSmiles=False) for p in parsed}) == 2000
    assert len({m.name for m in molecules}) == 2000
    heavy = np.array([p.GetNumHeavyAtoms() for p in parsed])
    assert heavy.min() == 6
    assert heavy.max() == 9
    assert (heavy <= 8).sum() >= 500
    assert (heavy == 9).sum() >= 150
    rotatable = [rdMolDescriptors.CalcNumRotatableBonds(p, True) for p in parsed]
    assert np.mean(np.array(rotatable) >= 2) >= 0.5
    assert {a.GetSymbol() for p in parsed for a in p.GetAtoms()} <= {"C", "N", "O", "F", "H"}
    assert sum("F" in m.smiles for m in molecules) == 60
    assert not any(Chem.GetFormalCharge(p) for p in parsed)
    assert all(MMFFHasAllMoleculeParams(Chem.AddHs(p)) for p in parsed)


def test_reads_names_comments_and_missing_names(tmp_path: Path) -> None:
    file = tmp_path / "few.smi"
    file.write_text("# a list\nCCO ethanol\n\nCC(=O)O\tacetic acid\nC\n", encoding="utf-8")
    found = read_smiles(file)
    assert [(m.name, m.smiles) for m in found] == [
        ("ethanol", "CCO"),
        ("acetic acid", "CC(=O)O"),
        ("line 5", "C"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("CCO a\nC1CC b\n", r"bad\.smi, line 2: 'C1CC' is no SMILES"),
        ("CC(C)(C)(C)C x\n", "line 1"),
        ("[Na+].[Cl-] salt\n", "several molecules"),
        ("\n# nothing\n", "holds no molecule"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.smi"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_smiles(file)


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.smi"):
        read_smiles(tmp_path / "missing.smi")
    (tmp_path / "binary.smi").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match="UTF-8"):
        read_smiles(tmp_path / "binary.smi")


def test_a_molecule_does_not_depend_on_how_it_is_written() -> None:
    one, other = Molecule("a", "OCC(C)=O"), Molecule("b", "CC(=O)CO")
    assert one.canonical == other.canonical
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.bonds, other.bonds)


def test_open_stereochemistry_is_settled_once_and_stays() -> None:
    for smiles in ("CC(O)C(N)=O", "CC=CC", "OC1CCCC1O", "CC1CC2OC2C1"):
        settled = Molecule("a", smiles).canonical
        assert Molecule("b", settled).canonical == settled
        assert Chem.CanonSmiles(settled, useChiral=0) == Chem.CanonSmiles(smiles)
    assert "@" in Molecule("a", "CC(O)C(N)=O").canonical


def test_stereoisomers_share_a_constitution_and_no_key() -> None:
    left, right = Molecule("l", "C[C@H](O)C(C)=O"), Molecule("r", "C[C@@H](O)C(C)=O")
    assert left.constitution == right.constitution
    assert left.canonical != right.canonical
    assert left.constitution != Molecule("i", "CC(=O)CCO").constitution


def test_charge_multiplicity_and_bond_orders() -> None:
    assert Molecule("a", "C[NH3+]").charge == 1
    assert Molecule("a", "[CH3]").multiplicity == 2
    assert Molecule("a", "[O][O]").multiplicity == 3
    np.testing.assert_array_equal(Molecule("a", "O=C=O").bonds, [[0, 1, 4], [1, 2, 4]])
