"""Conformational measures: known answers, invariances, and what is said where nothing can be."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolTransforms
from scipy.spatial.transform import Rotation

from breadth.diversity import ConformerSet, DataError, Labels, Molecules, concat
from breadth.diversity.measures.conformational import MEASURES, conformational_measures
from breadth.diversity.rmsd import symmetry_rmsd
from breadth.diversity.testing import conformer_sets


def made(smiles: str, positions: np.ndarray, *, bonds: bool = True) -> ConformerSet:
    """Conformers (n, N, 3) of one molecule, atoms as RDKit orders them."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()], dtype=np.uint8)
    table = [
        [b.GetBeginAtomIdx(), b.GetEndAtomIdx(), round(2 * b.GetBondTypeAsDouble())]
        for b in mol.GetBonds()
    ]
    known: dict[str, Any] = {"smiles": np.array([smiles])}
    if bonds:
        known |= {
            "bonds": np.array([[min(i, j), max(i, j), o] for i, j, o in table]),
            "bond_offsets": np.array([0, len(table)]),
            "has_bonds": np.array([True]),
        }
    n = len(positions)
    return ConformerSet(
        molecules=Molecules(key=np.array([smiles]), **known),
        molecule=np.zeros(n, dtype=np.int64),
        numbers=np.tile(numbers, n),
        positions=positions.reshape(-1, 3),
        offsets=np.arange(n + 1) * len(numbers),
    )


@cache
def embedded(smiles: str, n: int = 6, noise: float = 0.0) -> ConformerSet:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMultipleConfs(mol, n, randomSeed=7)
    positions = np.stack([c.GetPositions() for c in mol.GetConformers()])
    return made(smiles, positions + noise * np.random.default_rng(1).normal(size=positions.shape))


def butanes(angles: list[float], n: int, noise: float = 0.02) -> ConformerSet:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCCC"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    frames = []
    for angle in angles:
        rdMolTransforms.SetDihedralDeg(mol.GetConformer(), 0, 1, 2, 3, angle)
        frames.append(np.repeat(mol.GetConformer().GetPositions()[None], n, axis=0))
    positions = np.concatenate(frames)
    random = np.random.default_rng(0)
    return made("CCCC", positions + noise * random.normal(size=positions.shape))


def leaves(report: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for measure in MEASURES:
        place: Any = report
        for part in measure.split("."):
            place = place[part]
        found[measure] = place
    return found


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    for measure, value in leaves(left).items():
        for key, number in value.items():
            other = leaves(right)[measure][key]
            assert other == (number if number is None else pytest.approx(number, abs=1e-6)), measure


def test_vibration_and_torsional_change_are_told_apart() -> None:
    report = conformational_measures(butanes([-65.0, 65.0, 180.0], 12))
    assert [report["basins"][q]["mean"] for q in ("q0", "q1", "q2")] == pytest.approx([3.0] * 3)
    # 3 · C(12, 2) of C(36, 2) pairs.
    assert report["share_of_pairs_within_basin"]["mean"] == pytest.approx(198 / 630)
    within, across = (report["rmsd"][k]["mean"] for k in ("within_basin", "across_basins"))
    assert within < 0.06 < 0.3 < across
    assert report["torsions"]["n_rotatable"]["mean"] == 1
    assert report["torsions"]["coverage"]["mean"] == pytest.approx(3 / 12, abs=1 / 11)
    one = conformational_measures(butanes([180.0], 12))
    assert one["basins"]["q0"]["mean"] == 1
    assert one["rmsd"]["across_basins"] == {
        "mean": None,
        "q25": None,
        "q75": None,
        "n_molecules": 0,
        "reason": "all pairs lie within one torsional basin",
    }


def test_stretches_have_their_closed_form() -> None:
    # A molecule of hydrogen whose length sweeps the whole range evenly.
    lengths = 0.8 + np.linspace(-0.199, 0.199, 400)
    positions = np.zeros((400, 2, 3))
    positions[:, 1, 0] = lengths
    report = conformational_measures(made("[H][H]", positions))
    assert report["bonds"]["sd"]["mean"] == pytest.approx(np.std(lengths, ddof=1))
    assert report["bonds"]["coverage"]["mean"] == 1.0
    assert report["angles"]["sd"]["mean"] is None
    assert report["torsions"]["entropy"]["reason"] == "no molecule with a rotatable bond"
    halves = np.abs(lengths[:50, None] - lengths[None, :50]) / 2
    small = conformational_measures(made("[H][H]", positions[:50]))
    upper = np.triu_indices(50, 1)
    assert small["rmsd"]["all"]["mean"] == pytest.approx(halves[upper].mean(), abs=1e-6)


def test_bends_have_their_closed_form() -> None:
    angles = np.radians(np.linspace(95, 115, 101))
    positions = np.zeros((101, 3, 3))  # O, H, H
    positions[:, 1, 0] = 0.96
    positions[:, 2] = 0.96 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    report = conformational_measures(made("O", positions))
    assert report["angles"]["sd"]["mean"] == pytest.approx(np.degrees(angles).std(ddof=1))
    assert report["angles"]["coverage"]["mean"] == pytest.approx(
        0.5, abs=0.051
    )  # 10 or 11 of 20 bins
    assert report["bonds"]["sd"]["mean"] == pytest.approx(0, abs=1e-12)
    assert report["bonds"]["coverage"]["mean"] <= 2 / 20


def test_energies_forces_and_minima_are_those_of_the_molecule() -> None:
    random = np.random.default_rng(0)
    left, right = embedded("CCO"), embedded("CCN", 5)
    both = concat([left, right])
    labels = Labels(
        energy=random.normal(size=11),
        has_energy=np.arange(11) != 2,
        forces=random.normal(size=(both.n_atoms, 3)),
        has_forces=np.arange(11) < 6,
    )
    both = replace(both, minimum=[0, 0, 3, 3, 1, 0, -1, -1, -1, -1, -1]).with_level("a", labels)
    report = conformational_measures(both, per_molecule=True)
    each = report["per_molecule"]
    first = labels.energy[[0, 1, 3, 4, 5]]
    assert each["energies.sd"] == pytest.approx([first.std(ddof=1), labels.energy[6:].std(ddof=1)])
    assert each["energies.range"][0] == pytest.approx(np.ptp(first))
    norms = np.linalg.norm(labels.forces[: left.n_atoms], axis=1)
    assert each["forces.mean_norm"] == [pytest.approx(norms.mean()), None]
    assert each["forces.sd_norm"] == [pytest.approx(norms.std()), None]
    assert each["n_minima"] == [3.0, None]
    assert report["n_minima"]["n_molecules"] == 1
    mean = np.mean(each["energies.sd"])
    assert report["energies"]["sd"]["mean"] == pytest.approx(mean)
    assert report["level"] == "a"
    with pytest.raises(DataError, match="no level of theory 'b'"):
        conformational_measures(both, level="b")
    bare = conformational_measures(both.without_level("a"))
    assert bare["level"] is None
    assert bare["energies"]["sd"]["reason"] == "no labels"


def test_pairs_are_all_pairs_or_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    conformers = embedded("CCCCO", 12)
    bonds = conformers.molecules.bond_table(0)
    positions = conformers.positions.reshape(12, -1, 3)
    apart = symmetry_rmsd(conformers.numbers[: positions.shape[1]], bonds, positions)
    mean = apart[np.triu_indices(12, 1)].mean()
    report = conformational_measures(conformers)
    assert report["rmsd"]["all"]["mean"] == pytest.approx(mean)
    drawn = [
        conformational_measures(conformers, max_pairs_conformers=5, seed=s)["rmsd"]["all"]["mean"]
        for s in range(60)
    ]
    assert len(set(drawn)) > 30
    assert np.mean(drawn) == pytest.approx(mean, abs=4 * np.std(drawn) / np.sqrt(60))
    monkeypatch.setattr("breadth.diversity.measures.conformational.MAX_CONFORMERS", 4)
    assert conformational_measures(conformers)["basins"]["q0"]["mean"] <= 4
    with pytest.raises(DataError, match="max_pairs_conformers=1"):
        conformational_measures(conformers, max_pairs_conformers=1)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_rotation_and_the_order_of_records_change_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    conformers = concat([embedded("CCCO", 7, 0.05), embedded("c1ccccc1CC(F)(F)F", 5, 0.05)])
    report = conformational_measures(conformers, max_pairs_conformers=50)
    turned = Rotation.random(rng=random).apply(conformers.positions.copy()) + random.normal(size=3)
    same(conformational_measures(replace(conformers, positions=turned)), report)
    sampled = conformational_measures(conformers, max_pairs_conformers=3)
    shuffled = conformers.select(random.permutation(len(conformers)))
    same(conformational_measures(shuffled, max_pairs_conformers=3), sampled)


def test_the_order_of_atoms_changes_nothing_where_the_graph_tells_them() -> None:
    conformers = embedded("CC(O)CC#N", 6, 0.01)
    frames = [Atoms(f.numbers, f.positions) for f in conformers.to_ase()]
    random = np.random.default_rng(3)
    mixed = [f[random.permutation(len(f))] for f in frames]
    plain, other = (ConformerSet.from_ase(part, identity="graph") for part in (frames, mixed))
    # Which of two like atoms is which is open, so only what symmetries leave alone is compared.
    left, right = (leaves(conformational_measures(part)) for part in (plain, other))
    for measure in ("rmsd.all", "torsion_fingerprint_deviation", "torsions.n_rotatable"):
        assert right[measure]["mean"] == pytest.approx(left[measure]["mean"], abs=1e-6)
    assert right["bonds.sd"]["mean"] < 0.2


def test_what_is_left_out_is_said() -> None:
    single = embedded("CCO", 1)
    report = conformational_measures(single, per_molecule=True)
    assert report["left_out"] == {"single conformer": 1}
    assert report["n_molecules_used"] == 0
    assert all(value["mean"] is None and value["reason"] for value in leaves(report).values())
    assert report["per_molecule"]["left_out"] == ["single conformer"]
    crystal = ConformerSet.from_ase(
        [Atoms("Cu", cell=np.eye(3) * a, pbc=True) for a in (2.5, 2.6)], identity="formula"
    )
    assert conformational_measures(crystal)["left_out"] == {"periodic": 1}


def test_a_molecule_of_too_many_symmetries_has_all_but_its_rmsd() -> None:
    smiles = "CC(C)(C)C(C(C)(C)C)C(C)(C)C.CC(C)(C)C(C)(C)C"
    report = conformational_measures(made(smiles, _apart(smiles)))
    assert report["not_told"] == {"rmsd: more than 1000 symmetries": 1}
    assert report["rmsd"]["all"]["mean"] is None
    assert report["bonds"]["sd"]["n_molecules"] == 1


def _apart(smiles: str) -> np.ndarray:
    n = Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()
    return np.random.default_rng(0).normal(size=(3, n, 3))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conformer_sets(max_conformers=5, extras=False))
def test_any_set_has_a_report_without_nan(conformers: ConformerSet) -> None:
    try:
        report = conformational_measures(conformers, per_molecule=True)
    except DataError:
        return  # atoms that cannot be matched
    json.dumps(report, allow_nan=False)
