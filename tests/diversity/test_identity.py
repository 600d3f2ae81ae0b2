"""Which records are one molecule, which are isolated atoms, which are set aside."""

from pathlib import Path

import numpy as np
import pytest

from breadth.diversity import DataError
from breadth.diversity.formats import read
from breadth.diversity.identity import build
from breadth.diversity.records import Record, frame_extra

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"

WATER = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]])
METHANE = np.array(
    [
        [0, 0, 0],
        [0.63, 0.63, 0.63],
        [-0.63, -0.63, 0.63],
        [-0.63, 0.63, -0.63],
        [0.63, -0.63, -0.63],
    ]
)


def water(**columns):
    return Record(
        numbers=np.array([8, 1, 1], np.uint8),
        positions=columns.pop("positions", WATER),
        place=columns.pop("place", "file: record 0"),
        **columns,
    )


def atom(z, energy, **columns):
    levels = {"l": {"energy": energy}} if energy is not None else {}
    return Record(
        numbers=np.array([z], np.uint8),
        positions=np.zeros((1, 3)),
        levels=levels,
        place=columns.pop("place", f"atom {z} at {energy}"),
        **columns,
    )


def test_one_order_of_atoms_is_one_molecule_however_far_its_bonds_stretch():
    stretched = WATER.copy()
    stretched[1, 2] = 4.0
    made = build([water(positions=stretched), water(levels={"l": {"energy": -1.0}})])
    assert made.n_molecules == 1
    assert made.metadata["identity_rule"] == "ordered"
    # The constitution is that of the record of lowest energy, not of the broken one.
    assert made.molecules.constitution[0] == build([water()]).molecules.constitution[0]


def test_graph_tells_connectivity_apart_and_forgets_the_order_of_atoms():
    turned = water(positions=WATER)
    turned.numbers, turned.positions = turned.numbers[::-1], WATER[::-1]
    methane = Record(numbers=np.array([6, 1, 1, 1, 1], np.uint8), positions=METHANE)
    made = build([water(), turned, methane])
    assert made.metadata["identity_rule"] == "graph"
    assert made.molecule.tolist() == [0, 0, 1]
    assert build([water(), turned], identity="graph").n_molecules == 1


@pytest.mark.parametrize("key", ["mol_id", "molecule", "inchikey"])
def test_an_identifier_in_the_file_comes_first(key):
    records = [water(frame_extras={key: name}) for name in ("a", "b", "a")]
    made = build(records)
    assert made.metadata["identity_rule"] == "identifier"
    assert made.molecules.key.tolist() == ["a", "b"]
    # Two conformers of one constitution stay together at a hold-out.
    assert len(set(made.molecules.constitution.tolist())) == 1
    assert key in made.frame_extras


def test_smiles_identify_and_equal_ones_are_equal_however_written():
    made = build([water(smiles="O"), water(smiles="[H]O[H]"), water(smiles="[OH2]")])
    assert made.metadata["identity_rule"] == "identifier"
    assert made.n_molecules == 1
    assert made.molecules.smiles[0] == "O"
    perceived = build([water()]).molecules.constitution[0]
    assert made.molecules.constitution[0] == perceived


def test_an_identifier_that_some_records_lack_or_that_mixes_formulas_is_none():
    lacking = build([water(frame_extras={"mol_id": "a"}), water()])
    assert lacking.metadata["identity_rule"] == "ordered"
    methane = Record(
        numbers=np.array([6, 1, 1, 1, 1], np.uint8),
        positions=METHANE,
        frame_extras={"molecule": "train"},
        place="file: record 1",
    )
    mixed = [water(frame_extras={"molecule": "train"}), methane]
    assert build(mixed).metadata["identity_rule"] == "graph"
    with pytest.raises(DataError, match=r"record 0 and file: record 1"):
        build(mixed, identity="identifier")


def test_a_chosen_rule_that_does_not_apply_raises():
    methane = Record(numbers=np.array([6, 1, 1, 1, 1], np.uint8), positions=METHANE)
    with pytest.raises(DataError, match="graph"):
        build([water(), methane], identity="ordered")
    with pytest.raises(DataError, match="identifier"):
        build([water()], identity="identifier")


def test_charge_and_multiplicity_part_molecules():
    made = build([water(), water(charge=1, multiplicity=2)])
    assert made.n_molecules == 2
    assert made.molecules.charge.tolist() == [0, 1]
    assert made.molecules.multiplicity.tolist() == [1, 2]


def test_periodic_records_are_told_apart_by_source_and_formula():
    box = {"cell": 10 * np.eye(3), "pbc": np.ones(3, bool)}
    made = build([water(**box, provenance={"source": s}) for s in ("a", "b", "a")])
    assert made.metadata["identity_rule"] == "formula"
    assert made.molecules.key.tolist() == ["a:H2O", "b:H2O"]
    assert len(set(made.molecules.constitution.tolist())) == 1


def test_isolated_atoms_become_reference_energies_and_are_not_counted():
    boxed = atom(1, -13.6, cell=10 * np.eye(3), pbc=np.ones(3, bool))
    made = build([water(levels={"l": {"energy": -1.0}}), boxed, atom(8, -2000.0)])
    assert made.n_conformers == 1
    assert dict(made.levels["l"].reference_energies) == {1: -13.6, 8: -2000.0}
    alone = build([atom(1, -13.6)])
    assert alone.n_conformers == 0
    assert dict(alone.levels["l"].reference_energies) == {1: -13.6}


def test_one_atom_in_a_small_periodic_cell_is_a_crystal():
    crystal = atom(29, -3.7, cell=2.5 * np.eye(3), pbc=np.ones(3, bool))
    assert build([crystal]).n_conformers == 1


def test_an_element_with_two_energies_names_both_records():
    with pytest.raises(DataError, match=r"atom 1 at -13\.6 and -13\.5 eV in atom 1 at -13\.5"):
        build([atom(1, -13.6), atom(1, -13.5)])
    assert build([atom(1, -13.6), atom(1, -13.6)]).levels["l"].reference_energies == {1: -13.6}


def test_ions_and_unlabelled_atoms_are_set_aside():
    made = build([water(), atom(3, -5.0, charge=1), atom(1, None)])
    reasons = [entry["reason"] for entry in made.metadata["set_aside"]]
    assert reasons == ["an isolated ion", "an isolated atom without an energy"]


def labelled(**labels):
    return {"l": {"energy": -1.0, "forces": np.zeros((3, 3)), **labels}}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"positions": np.where(WATER > 0.95, np.nan, WATER)}, "a position is not finite"),
        ({"levels": labelled(energy=np.nan)}, "a label is not finite: energy"),
        ({"levels": labelled(energy=1e9)}, "an absurd energy"),
        ({"levels": labelled(forces=np.full((3, 3), np.inf))}, "a label is not finite: forces"),
        ({"levels": labelled(forces=np.full((3, 3), 1e3))}, "an absurd force"),
        ({"positions": np.zeros((3, 3))}, "atoms overlap: 0 Å between atoms 0 and 1"),
        (
            {"positions": WATER * [1, 1, 10.4], "cell": 10 * np.eye(3), "pbc": np.ones(3, bool)},
            "atoms overlap",
        ),
        ({"cell": np.eye(3) * [1, 1, 0], "pbc": np.ones(3, bool)}, "the periodic cell is flat"),
    ],
)
def test_bad_values_are_set_aside_with_their_reason(columns, reason):
    made = build([water(), water(**columns, place="file: record 7")])
    assert made.n_conformers == 1
    (entry,) = made.metadata["set_aside"]
    assert entry["record"] == "file: record 7"
    assert entry["reason"].startswith(reason)


def test_nothing_usable_raises_with_the_first_reason():
    with pytest.raises(DataError, match="overlap"):
        build([water(positions=np.zeros((3, 3)))], source="file")


def test_frame_extras_keep_types_and_mixed_ones_become_text():
    assert frame_extra([1, None, 3]).values.tolist() == [1, 0, 3]
    assert frame_extra([1, 2.5]).values.dtype == np.float64
    assert frame_extra([1, "a"]).values.tolist() == ["1", "a"]
    assert frame_extra([np.zeros(2), np.zeros(3)]).values.tolist() == [
        "[0.0, 0.0]",
        "[0.0, 0.0, 0.0]",
    ]


def test_stretched_bonds_do_not_split_acetylacetone():
    """Per-frame perception splits this molecule at 600 K; the order of atoms does not."""
    path = SHARED / "acac/train_600K.xyz"
    if not path.exists():
        pytest.skip("../shared/data is absent")
    assert read(path).n_molecules == 1
    assert read(path, identity="graph").n_molecules > 1
