"""SDF and MOL files: molecules, states, bonds and fields; drawings and implicit hydrogens."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from breadth.diversity import ConfigurationError, DataError
from breadth.diversity.formats import read, write
from breadth.diversity.topology import molecular_graphs

WATER = """962
  by hand           3D

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1000 O   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000    0.7600   -0.4800 H   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000   -0.7600   -0.4800 H   0  0  0  0  0  0  0  0  0  0  0  0
  2  1  1  0
  1  3  1  0
M  END
> <PUBCHEM_MMFF94_ENERGY>
-1.5

> <note>
two words

$$$$
"""


def embedded(smiles, seed=1):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=seed) == 0
    return molecule


def block(molecule, **fields):
    values = "".join(f"> <{k}>\n{v}\n\n" for k, v in fields.items())
    return f"{Chem.MolToMolBlock(molecule)}{values}$$$$\n"


def written(folder, text, name="set.sdf"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_record_is_read_with_its_bonds_and_fields(tmp_path):
    made = read(written(tmp_path, WATER))
    assert made.metadata["format"] == "sdf"
    assert made.numbers.tolist() == [8, 1, 1]
    np.testing.assert_array_equal(made.positions[1], [0, 0.76, -0.48])
    assert made.molecules.smiles.tolist() == ["O"]
    assert made.molecules.bond_table(0).tolist() == [[0, 1, 2], [0, 2, 2]]
    assert not made.levels  # the energy's unit is not told
    assert made.frame_extras["PUBCHEM_MMFF94_ENERGY"].values.tolist() == [-1.5]
    assert made.frame_extras["note"].values.tolist() == ["two words"]
    assert made.frame_extras["name"].values.tolist() == ["962"]


def test_a_title_that_is_a_count_makes_no_xyz_of_it(tmp_path):
    assert read(written(tmp_path, WATER, "nameless")).metadata["format"] == "sdf"


@pytest.mark.parametrize(
    ("smiles", "charge", "multiplicity"),
    [("c1ccccc1O", 0, 1), ("CC(=O)[O-]", -1, 1), ("[NH4+]", 1, 1), ("[CH3]", 0, 2)],
)
def test_charge_radicals_and_aromatic_bonds_are_those_of_rdkit(
    tmp_path, smiles, charge, multiplicity
):
    molecule = embedded(smiles)
    made = read(written(tmp_path, block(molecule)))
    assert (made.charge[0], made.multiplicity[0]) == (charge, multiplicity)
    assert made.molecules.smiles.tolist() == [Chem.CanonSmiles(smiles)]
    orders = sorted(round(2 * b.GetBondTypeAsDouble()) for b in molecule.GetBonds())
    assert sorted(made.molecules.bond_table(0)[:, 2]) == orders
    np.testing.assert_allclose(made.positions, molecule.GetConformer().GetPositions(), atol=6e-5)


def test_conformers_join_and_stereoisomers_do_not(tmp_path):
    left, right = "C[C@H](F)O", "C[C@@H](F)O"
    text = "".join(block(embedded(s, k)) for k, s in enumerate([left, right, left], 1))
    made = read(written(tmp_path, text))
    assert made.molecule.tolist() == [0, 1, 0]
    assert sorted(made.molecules.smiles) == sorted([Chem.CanonSmiles(s) for s in (left, right)])
    assert len(set(made.molecules.constitution)) == 1
    assert all(graph.origin == "table" for graph in molecular_graphs(made))


def test_one_table_of_bonds_is_not_lent_to_another_order_of_atoms(tmp_path):
    molecule = embedded("CO")
    order = list(range(molecule.GetNumAtoms()))[::-1]
    other = Chem.RenumberAtoms(molecule, order)
    made = read(written(tmp_path, block(molecule) + block(other)))
    assert made.n_molecules == 1
    assert not made.molecules.has_bonds.any()
    assert made.molecules.smiles.tolist() == ["CO"]


def test_a_mol_file_and_fields_that_some_records_lack(tmp_path):
    text = Chem.MolToMolBlock(embedded("CCO"), forceV3000=True)
    assert read(written(tmp_path, text, "one.mol")).molecules.smiles.tolist() == ["CCO"]
    made = read(written(tmp_path, block(embedded("C"), dft=-1.5) + block(embedded("N"))))
    assert made.frame_extras["dft"].present.tolist() == [True, False]


def flat():
    molecule = Chem.MolFromSmiles("CCO")
    AllChem.Compute2DCoords(molecule)
    return block(Chem.AddHs(molecule))


def bare():
    return block(Chem.RemoveHs(embedded("CCO")))


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (flat, "two dimensions"),
        (bare, "hydrogens are implicit"),
        (lambda: WATER.replace(" O  ", " R# "), "query or dummy atoms"),
        (lambda: WATER.replace("  3  2  0", "  9  2  0"), "RDKit finds no atoms"),
        (lambda: WATER.replace("  2  1  1  0", "  2  1  3  0"), "AtomValenceException"),
    ],
)
def test_a_fault_names_the_record_or_is_skipped(tmp_path, bad, what):
    path = written(tmp_path, WATER + bad())
    with pytest.raises(DataError, match=rf"set\.sdf: record 1: .*{what}"):
        read(path)
    made = read(path, skip_bad=True)
    assert len(made) == 1
    assert what in made.metadata["set_aside"][0]["reason"]


def test_writing_is_refused(tmp_path):
    made = read(written(tmp_path, WATER))
    with pytest.raises(ConfigurationError, match="'sdf' is only read"):
        write(made, tmp_path / "a.sdf")
    write(made, tmp_path / "a.xyz")
    again = read(tmp_path / "a.xyz")
    assert again.molecules.bond_table(0).tolist() == [[0, 1, 2], [0, 2, 2]]


def test_damage_is_an_answer_or_a_clear_error(survives_damage):
    survives_damage(WATER * 2, "sdf", range(500))
