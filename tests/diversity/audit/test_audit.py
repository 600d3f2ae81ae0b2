"""The audit finds planted faults, blames no clean record, and says so in JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree, kcal, mol
from hypothesis import HealthCheck, given, settings
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.transform import Rotation

from breadth.diversity import ConformerSet, Labels, Molecules, read
from breadth.diversity.audit import audit
from breadth.diversity.testing import conformer_sets

KCAL = kcal / mol  # eV
# Of all-electron atoms, so that energies are of the size that density functionals give.
ATOMS = {1: -16.0, 6: -1036.0, 7: -1489.0, 8: -2045.0}
SMILES = ("CCO", "Oc1ccccc1", "CC(N)=O", "CC=C")
N_FRAMES = 30
PLANTED = {"units": 3, "sign": 41, "bond": 62, "spin": 95, "duplicate": 120}


class Field:
    """MMFF94 of one molecule: energies in eV, forces in eV/Å, and geometries near its minimum."""

    def __init__(self, smiles):
        self.mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(self.mol, randomSeed=7)
        AllChem.MMFFOptimizeMolecule(self.mol)
        self.numbers = np.array([a.GetAtomicNum() for a in self.mol.GetAtoms()])
        self.rest = self.mol.GetConformer().GetPositions()
        self.field = AllChem.MMFFGetMoleculeForceField(
            self.mol, AllChem.MMFFGetMoleculeProperties(self.mol)
        )

    def frame(self, positions):
        flat = [float(x) for x in positions.ravel()]
        energy = self.field.CalcEnergy(flat) * KCAL + sum(ATOMS[z] for z in self.numbers.tolist())
        forces = -np.array(self.field.CalcGrad(flat)).reshape(-1, 3) * KCAL
        return {
            "numbers": self.numbers,
            "positions": positions,
            "energy": energy,
            "forces": forces,
            "multiplicity": 1,
        }


@pytest.fixture(scope="module")
def fields():
    return [Field(smiles) for smiles in SMILES]


@pytest.fixture
def frames(fields):
    """Thirty vibrating frames of each of four molecules, turned at random."""
    random = np.random.default_rng(1)
    made = []
    for field in fields:
        for turn in Rotation.random(N_FRAMES, random_state=random):
            noise = random.normal(0.0, 0.04, field.rest.shape)
            made.append(field.frame(turn.apply(field.rest + noise)))
    return made


def planted(frames, fields):
    frames = [dict(f) for f in frames]
    frames[PLANTED["units"]]["energy"] /= KCAL
    frames[PLANTED["units"]]["forces"] = frames[PLANTED["units"]]["forces"] / KCAL
    frames[PLANTED["sign"]]["forces"] = -frames[PLANTED["sign"]]["forces"]
    positions = frames[PLANTED["bond"]]["positions"].copy()
    positions[-1] += 1.2 * (positions[-1] - positions.mean(axis=0)) / 2.0
    frames[PLANTED["bond"]] = fields[2].frame(positions)
    frames[PLANTED["spin"]]["multiplicity"] = 2
    frames.append(frames[50])
    assert len(frames) - 1 == PLANTED["duplicate"]
    return frames


def as_file(frames, path):
    with path.open("w") as file:
        for f in frames:
            file.write(f"{len(f['numbers'])}\nenergy={f['energy']:.10f} ")
            file.write(f"multiplicity={f['multiplicity']} ")
            file.write('Properties=species:S:1:pos:R:3:forces:R:3 pbc="F F F"\n')
            for z, x, g in zip(f["numbers"], f["positions"], f["forces"], strict=True):
                row = " ".join(f"{v:.9f}" for v in (*x, *g))
                file.write(f"{chemical_symbols[z]} {row}\n")
    return path


def as_set(frames):
    """Return the set with molecules named, as a file with identifiers gives it."""
    names = [f"{bytes(f['numbers'])!r} {f['multiplicity']}" for f in frames]
    keys, first, molecule = np.unique(names, return_index=True, return_inverse=True)
    return ConformerSet(
        molecules=Molecules(
            key=keys, multiplicity=np.array([frames[i]["multiplicity"] for i in first])
        ),
        molecule=molecule,
        numbers=np.concatenate([f["numbers"] for f in frames]),
        positions=np.concatenate([f["positions"] for f in frames]),
        offsets=np.cumsum([0] + [len(f["numbers"]) for f in frames]),
        source=np.full(len(frames), "mine.xyz"),
        record=np.arange(len(frames)),
        levels={
            "mmff94": Labels(
                energy=np.array([f["energy"] for f in frames]),
                forces=np.concatenate([f["forces"] for f in frames]),
            )
        },
        metadata={"identity_rule": "identifier"},
    )


def blamed(conformers):
    """Return the rows that each check blames."""
    entries = audit(conformers)
    json.dumps(entries)
    assert all(e["count"] == len(e["worst"]) or e["count"] > 5 for e in entries)
    return {
        e["check"]: {w["row"] for w in e["worst"]} if e["count"] <= 5 else e["count"]
        for e in entries
        if e["passed"] is False
    }


@pytest.mark.parametrize("form", ["file", "set"])
def test_every_planted_fault_is_found_and_no_clean_record_blamed(form, frames, fields, tmp_path):
    made = planted(frames, fields)
    conformers = as_set(made) if form == "set" else read(as_file(made, tmp_path / "mine.xyz"))
    assert len(conformers) == len(made)
    found = blamed(conformers)
    assert found["units"] == {PLANTED["units"]}
    assert PLANTED["sign"] in found["energy_forces"]
    assert found["changed_bonds"] == {PLANTED["bond"]}
    assert found["spin_parity"] == {PLANTED["spin"]}
    assert found["exact_duplicates"] == {PLANTED["duplicate"]}
    assert set().union(*found.values()) == set(PLANTED.values())
    worst = {e["check"]: e["worst"] for e in audit(conformers) if e["worst"]}
    assert worst["energy_forces"][-1]["record"].endswith("mine.xyz#41") or any(
        w["record"].endswith("mine.xyz#41") and "sign" in w["what"] for w in worst["energy_forces"]
    )
    assert "kcal/mol" in worst["units"][0]["what"]
    assert worst["exact_duplicates"][0]["what"].endswith("mine.xyz#50")


def test_a_clean_set_passes_every_check(frames, tmp_path):
    assert blamed(as_set(frames)) == {}
    assert blamed(read(as_file(frames, tmp_path / "clean.xyz"))) == {}


@pytest.mark.parametrize("seed", range(3))
def test_flipped_signs_are_found_wherever_they_stand(seed, frames):
    random = np.random.default_rng(seed)
    rows = set(random.choice(len(frames), 5, replace=False).tolist())
    for row in rows:
        frames[row] = {**frames[row], "forces": -frames[row]["forces"]}
    assert blamed(as_set(frames)) == {"energy_forces": rows}


@pytest.mark.parametrize(
    ("energy", "forces", "check", "what"),
    [
        (1.0, -1.0, "energy_forces", "the sign is reversed"),
        (1.0, 1 / Hartree, "energy_forces", "in hartree/Å"),
        (1.0, -Bohr / Hartree, "energy_forces", "gradients in hartree/bohr"),
        (1 / KCAL, 1.0, "units", "all electrons in kcal/mol"),
        (1 / Hartree, 1.0, "energy_forces", "energies were in hartree"),
    ],
)
def test_a_whole_level_in_another_unit(energy, forces, check, what, frames):
    made = [{**f, "energy": f["energy"] * energy, "forces": f["forces"] * forces} for f in frames]
    entry = next(e for e in audit(as_set(made)) if e["check"] == check)
    assert (entry["passed"], entry["count"]) == (False, len(frames))
    assert what in entry["worst"][0]["what"]
    assert what in entry["note"]


def test_energies_are_held_against_isolated_atoms(frames):
    clean = as_set(frames)
    labels = clean.labels()
    near = Labels(energy=labels.energy, forces=labels.forces, reference_energies=ATOMS)
    far = Labels(energy=labels.energy / KCAL, forces=labels.forces, reference_energies=ATOMS)
    assert "units" not in blamed(clean.with_level("mmff94", near))
    entry = next(e for e in audit(clean.with_level("mmff94", far)) if e["check"] == "units")
    assert entry["count"] == len(frames)
    assert "energies in kcal/mol?" in entry["note"]


def test_net_force_and_torque(frames):
    push = frames[10]["forces"] + 0.01
    arm = frames[20]["positions"] - frames[20]["positions"].mean(axis=0)
    turn = frames[20]["forces"] + 0.1 * np.cross([0.0, 0.0, 1.0], arm)
    frames[10] = {**frames[10], "forces": push}
    frames[20] = {**frames[20], "forces": turn}
    found = blamed(as_set(frames))
    assert (found["net_force"], found["net_torque"]) == ({10}, {20})
    entry = next(e for e in audit(as_set(frames)) if e["check"] == "net_force")
    # √3 × 0.01 eV/Å on each atom.
    assert "17.3 meV/Å" in entry["worst"][0]["what"]


def test_turned_copies_and_labels_at_odds(frames):
    turn = Rotation.from_euler("xyz", [0.3, 1.0, -2.0])

    def turned(frame, **other):
        positions = turn.apply(frame["positions"]) + 5.0
        return {**frame, "positions": positions, "forces": turn.apply(frame["forces"]), **other}

    n = len(frames)
    frames += [
        turned(frames[0]),
        turned(frames[1], energy=frames[1]["energy"] + 0.05),
        turned(frames[2], forces=frames[2]["forces"]),
        {**frames[3], "energy": frames[3]["energy"] - 0.05},
    ]
    found = blamed(as_set(frames))
    assert found["near_duplicates"] == {n, n + 1, n + 2}
    assert found["exact_duplicates"] == {n + 3}
    assert found["conflicting_labels"] == {n + 1, n + 2, n + 3}


def test_missing_labels_are_counted_by_level(frames):
    clean = as_set(frames)
    labels = clean.labels()
    there = np.arange(len(frames)) >= 4
    zeroed = np.where(there[clean.atom_conformer, None], labels.forces, 0.0)
    partial = Labels(energy=labels.energy, forces=zeroed, has_forces=there)
    entry = audit(clean.with_level("mmff94", partial))[0]
    assert (entry["check"], entry["passed"], entry["count"]) == ("missing_labels", False, 4)
    assert entry["note"] == "4 of 120 lack forces at level mmff94"
    # A level of a part of the records is no fault where another covers the rest.
    some = Labels(
        energy=np.where(there, labels.energy, 0.0),
        forces=zeroed,
        has_energy=there,
        has_forces=there,
    )
    assert audit(clean.with_level("dft", some))[0]["passed"]
    bare = audit(clean.without_level("mmff94"))[0]
    assert (bare["passed"], bare["note"]) == (None, "the set has no labels")


def test_an_energy_far_from_its_molecule_and_from_its_composition(frames):
    frames[5] = {**frames[5], "energy": frames[5]["energy"] + 30.0}
    assert 5 in blamed(as_set(frames))["energy_outliers"]
    # Twelve hydrocarbons of one frame each, one energy off by 1 eV for each atom.
    random = np.random.default_rng(0)
    chains = []
    for n in range(1, 13):
        numbers = np.array([6] * n + [1] * (2 * n + 2))
        energy = -1036.0 * n - 16.0 * (2 * n + 2) + random.normal(0, 0.01)
        x = np.arange(len(numbers))[:, None] * [1.1, 0.0, 0.0] + random.normal(
            0, 0.1, (len(numbers), 3)
        )
        chains.append(
            {
                "numbers": numbers,
                "positions": x,
                "energy": energy + (len(numbers) if n == 7 else 0),
                "forces": np.zeros((len(numbers), 3)),
                "multiplicity": 1,
            }
        )
    found = blamed(as_set(chains))
    row = next(i for i, c in enumerate(chains) if len(c["numbers"]) == 23)
    assert found["energy_outliers"] == {row}


def test_bonds_are_held_against_table_and_smiles(frames, fields):
    ethanol = fields[0]
    torn = ethanol.rest.copy()
    torn[-1] += 1.5 * (torn[-1] - torn[2])
    lone = as_set([ethanol.frame(torn)])
    for smiles, count in (("CCO", 1), ("C[O]", 0), ("", 0)):
        named = replace(lone, molecules=replace(lone.molecules, smiles=np.array([smiles])))
        entry = next(e for e in audit(named) if e["check"] == "changed_bonds")
        assert entry["count"] == count, smiles
    # A torn record of lowest energy is no reference where the bonds are known.
    made = [*frames[:N_FRAMES], {**ethanol.frame(torn), "energy": -5000.0}]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), 2) for b in ethanol.mol.GetBonds()]
    table = np.sort(np.array(bonds)[:, :2], axis=1)
    known = Molecules(
        key=np.array(["ethanol"]),
        bonds=np.column_stack([table, np.full(len(table), 2)]),
        bond_offsets=np.array([0, len(table)]),
        has_bonds=np.array([True]),
    )
    assert blamed(replace(as_set(made), molecules=known))["changed_bonds"] == {N_FRAMES}
    told = replace(as_set(made), molecules=Molecules(key=np.array(["e"]), smiles=np.array(["CCO"])))
    assert blamed(told)["changed_bonds"] == {N_FRAMES}


def test_unstated_spins_are_not_blamed():
    atoms = [{"numbers": np.array([8, 1]), "positions": np.array([[0.0, 0, 0], [0, 0, 0.97]])}]
    radical = as_set([{**a, "energy": -75.0, "forces": np.zeros((2, 3)), "multiplicity": 1}
                      for a in atoms])  # fmt: skip
    entry = next(e for e in audit(radical) if e["check"] == "spin_parity")
    assert entry["passed"] is None
    assert "1 records have an odd number" in entry["note"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=conformer_sets())
def test_any_set_has_an_answer(drawn):
    entries = audit(drawn)
    json.dumps(entries, allow_nan=False)
    for entry in entries:
        assert entry["passed"] is (None if not entry["n_checked"] and not entry["count"]
                                   else entry["count"] == 0)  # fmt: skip
        assert len(entry["worst"]) == min(entry["count"], 5)
    json.dumps(audit(drawn.select([])))
