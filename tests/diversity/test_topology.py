"""Molecular graphs and the correspondence of atoms between conformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule as ase_molecule
from rdkit import Chem

from breadth.diversity import ConformerSet, DataError, concat, read
from breadth.diversity.topology import molecular_graphs, sites
from breadth.sampling import GeometrySettings, bundled_molecules, sample_geometries

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def sampled() -> ConformerSet:
    conformers, _ = sample_geometries(
        bundled_molecules()[::200], n_conformers=4, settings=GeometrySettings(), seed=0
    )
    return conformers


def _bare(conformers: ConformerSet) -> ConformerSet:
    """Take away all that the set says of its molecules."""
    frames = [Atoms(f.numbers, f.positions) for f in conformers.to_ase()]
    return ConformerSet.from_ase(frames, identity="graph")


def test_bond_table_smiles_and_geometry_tell_the_same_molecule(sampled: ConformerSet) -> None:
    told = molecular_graphs(sampled)
    assert {g.origin for g in told} == {"table"}
    found = molecular_graphs(_bare(sampled))
    assert {g.origin for g in found} == {"geometry"}

    def plain(mol: Chem.Mol) -> str:
        return Chem.MolToSmiles(mol, isomericSmiles=False)

    assert [plain(g.mol) for g in told] == [
        plain(Chem.MolFromSmiles(s)) for s in sampled.molecules.smiles
    ]
    assert [plain(g.mol) for g in found] == [plain(g.mol) for g in told]
    for graph in told:
        assert [a.GetAtomicNum() for a in graph.mol_with_atoms.GetAtoms()] == graph.numbers.tolist()


@pytest.mark.parametrize(
    ("name", "smiles"),
    [
        ("aspirin", "CC(=O)Oc1ccccc1C(=O)O"),
        ("uracil", "O=c1cc[nH]c(=O)[nH]1"),
        ("azobenzene", "c1ccc(N=Nc2ccccc2)cc1"),
    ],
)
@pytest.mark.skipif(not SHARED.exists(), reason="the shared reference data are not here")
def test_rmd17_molecules_are_told_from_their_geometry(name: str, smiles: str) -> None:
    graph = molecular_graphs(read(SHARED / "rmd17" / f"rmd17_{name}_train_01.npz"))[0]
    assert Chem.MolToSmiles(graph.mol) == Chem.CanonSmiles(smiles)


def test_site_follows_the_atom_when_its_order_changes(sampled: ConformerSet) -> None:
    frames = [Atoms(f.numbers, f.positions) for f in sampled.select([0, 1, 2, 3]).to_ase()]
    turned = []
    rng = np.random.default_rng(0)
    orders = []
    for frame in frames:
        orders.append(rng.permutation(len(frame)))
        turned.append(frame[orders[-1]])
    mixed = ConformerSet.from_ase(turned, identity="graph")
    assert mixed.n_molecules == 1
    found = sites(mixed).reshape(4, -1)
    for row in found:
        assert sorted(row) == list(range(len(row)))
    # Elements and bonds must agree site by site, whatever the order in the file.
    graph = molecular_graphs(mixed)[0]
    wanted = {frozenset(map(int, found[0][pair])) for pair in graph.bonds[:, :2]}
    for row, order in zip(found, orders, strict=True):
        back = np.argsort(order)
        bonds = molecular_graphs(sampled.select([0]))[0].bonds[:, :2]
        assert {frozenset(map(int, row[back[pair]])) for pair in bonds} == wanted


def test_sites_of_a_plain_set_are_the_places_in_the_file(sampled: ConformerSet) -> None:
    found = sites(sampled)
    for row in range(sampled.n_molecules):
        members = np.flatnonzero(sampled.molecule == row)
        first = found[sampled.atoms_slice(members[0])]
        assert len(set(first.tolist())) == len(first)
        for other in members[1:]:
            np.testing.assert_array_equal(found[sampled.atoms_slice(other)], first)
    assert len(set(found.tolist())) == found.max() + 1


def test_charged_and_zwitterionic_molecules_have_bond_orders() -> None:
    frames = [ase_molecule("CH3NO2")]
    graph = molecular_graphs(ConformerSet.from_ase(frames))[0]
    assert Chem.MolToSmiles(graph.mol) == "C[N+](=O)[O-]"


def test_what_has_no_structure_says_so() -> None:
    cell = Atoms("H2O", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[5, 5, 5], pbc=True)
    graph = molecular_graphs(ConformerSet.from_ase([cell]))[0]
    assert graph.origin == "none"
    assert graph.mol is None
    assert graph.mol_with_atoms is None
    # Five hydrogens on a carbon: a graph, and no molecule.
    odd = molecular_graphs(
        ConformerSet.from_ase(
            [Atoms("CH5", [[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])]
        )
    )[0]
    assert odd.mol_with_atoms is None


def test_atoms_that_cannot_be_matched_are_an_error() -> None:
    water = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    torn = Atoms("HOH", [[3.0, 0, 0], [0, 0, 0], [0.96, 0, 0]])
    joined = ConformerSet.from_ase([water, torn], identity="formula")
    with pytest.raises(DataError, match="another order"):
        sites(joined)


def test_a_molecule_without_conformers_is_an_error(sampled: ConformerSet) -> None:
    empty = replace(sampled, molecule=np.zeros(len(sampled), dtype=np.int64))
    with pytest.raises(DataError, match="no conformer"):
        molecular_graphs(empty)


def test_joined_files_with_different_orders_of_atoms_are_matched() -> None:
    random = np.random.default_rng(0)
    swapped = [1, 0, *range(2, 9)]  # the two carbons of ethanol

    def frames(order: list[int]) -> list[Atoms]:
        found = [ase_molecule("CH3CH2OH")[order] for _ in range(3)]
        for frame in found:
            frame.positions += random.normal(scale=0.02, size=(9, 3))
        return found

    one, other = (ConformerSet.from_ase(frames(order)) for order in (list(range(9)), swapped))
    water = ConformerSet.from_ase([ase_molecule("H2O"), *frames(swapped)])
    for joined in (concat([one, other]), concat([one, water])):
        ethanol = joined.select(np.flatnonzero(joined.counts == 9))
        found = sites(ethanol).reshape(6, 9)
        assert (found[:3] == np.arange(9)).all()
        assert (found[3:] == swapped).all()


def test_stretched_bonds_do_not_hide_the_order_of_joined_files() -> None:
    frame = ase_molecule("CH3CH2OH")
    torn = frame.copy()
    torn.positions[3] += 3.0
    sets = [ConformerSet.from_ase([a, b]) for a, b in ((frame, torn), (torn, frame))]
    sets[1] = replace(sets[1], molecules=sets[0].molecules)
    joined = concat(sets)
    assert joined.metadata["identity_rule"] == "ordered"
    assert (sites(joined).reshape(4, 9) == np.arange(9)).all()
    mixed = replace(joined, metadata={"identity_rule": "mixed"})
    assert (sites(mixed).reshape(4, 9) == np.arange(9)).all()
