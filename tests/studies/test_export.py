"""Designs for other packages: every number arrives, and the packages train on what they get."""

import ast
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ruamel.yaml import YAML

from breadth.diversity import ConfigurationError, ConformerSet, DataError, read, write
from breadth.studies.export import export_design

SHARED = Path(__file__).parents[3] / "shared" / "data"
CHOLINE = SHARED / "umlip_bias" / "choline_naive" / "10.xyz"
ATOMS = {1: -13.6, 6: -1029.25, 8: -2041.0}  # eV
ROWS = {
    "train": np.array([7, 0, 3, 1]),
    "validation": np.array([4, 8]),
    "own_conformers": np.array([2, 9]),
    "unseen_molecules": np.array([10, 13]),
}


def labelled(names=("CH3CH2OH", "CH3OH", "H2O"), forces=True, references=True):
    """Five shaken frames of each molecule with made-up labels at the level `made`."""
    random = np.random.default_rng(0)
    frames = []
    for name in names:
        for _ in range(5):
            atoms = molecule(name)
            atoms.positions += random.normal(scale=0.05, size=(len(atoms), 3))
            results = {"energy": sum(ATOMS[z] for z in atoms.numbers) + random.normal()}
            if forces:
                results["forces"] = random.normal(size=(len(atoms), 3))
            atoms.calc = SinglePointCalculator(atoms, **results)
            frames.append(atoms)
    for z, energy in ATOMS.items() if references else ():
        atoms = ase.Atoms(numbers=[z], info={"config_type": "IsolatedAtom"})
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    return ConformerSet.from_ase(frames, level="made")


@pytest.fixture(scope="module")
def data():
    return labelled()


@pytest.fixture
def exported(data, tmp_path):
    export_design(data, ROWS, tmp_path / "export")
    return tmp_path / "export"


def configuration(path):
    return YAML(typ="safe").load(path.read_text())


def test_frames_are_read_back_to_the_last_digit(data, exported):
    for file, parts in {
        "train": ["train"],
        "valid": ["validation"],
        "test": ["own_conformers", "unseen_molecules"],
    }.items():
        rows = np.concatenate([ROWS[part] for part in parts])
        original, again = data.select(rows), read(exported / f"{file}.xyz", level="made")
        assert again.id.tolist() == original.id.tolist()
        ours, theirs = original.labels("made"), again.labels("made")
        np.testing.assert_array_equal(ours.energy, theirs.energy)
        np.testing.assert_array_equal(ours.forces, theirs.forces)
        keys = original.molecules.key[original.molecule]
        assert (again.molecules.key[again.molecule] == keys).all()


def test_ase_finds_reference_keys_and_no_calculator(data, exported):
    frames = ase.io.read(exported / "test.xyz", index=":")
    assert [f.info["config_type"] for f in frames] == ["own_conformers"] * 2 + [
        "unseen_molecules"
    ] * 2
    rows = np.concatenate([ROWS["own_conformers"], ROWS["unseen_molecules"]])
    labels = data.labels()
    for i, atoms in zip(rows, frames, strict=True):
        assert atoms.calc is None
        assert atoms.info["REF_energy"] == labels.energy[i]
        np.testing.assert_array_equal(
            atoms.arrays["REF_forces"], labels.forces[data.atoms_slice(i)]
        )
    isolated = ase.io.read(exported / "isolated_atoms.xyz", index=":")
    assert {a.numbers[0]: a.info["REF_energy"] for a in isolated} == ATOMS
    assert {a.info["config_type"] for a in isolated} == {"IsolatedAtom"}


def test_the_database_holds_every_part_with_units(data, exported):
    folder = exported / "schnetpack"
    split, labels = np.load(folder / "split.npz"), data.labels()
    with ase.db.connect(str(folder / "data.db")) as database:
        metadata = database.metadata
        rows = [database.get(k + 1) for k in range(database.count())]
    assert metadata["_property_unit_dict"] == {"energy": "eV", "forces": "eV/Ang"}
    assert metadata["_distance_unit"] == "Ang"
    for z, energy in ATOMS.items():
        assert metadata["atomrefs"]["energy"][z] == energy
    tests = np.unique(np.concatenate([ROWS["own_conformers"], ROWS["unseen_molecules"]]))
    for name, wanted in {"train": ROWS["train"], "val": ROWS["validation"], "test": tests}.items():
        for k, i in zip(split[f"{name}_idx"], wanted, strict=True):
            atoms = data.atoms_slice(i)
            np.testing.assert_array_equal(rows[k].positions, data.positions[atoms])
            np.testing.assert_array_equal(rows[k].data["energy"], labels.energy[i : i + 1])
            np.testing.assert_array_equal(rows[k].data["forces"], labels.forces[atoms])


@pytest.mark.skipif(not CHOLINE.exists(), reason="needs the data sets in ../shared/data")
def test_periodic_structures_keep_cell_and_stress(tmp_path):
    data = read(CHOLINE)
    export_design(data, {"train": np.arange(6), "validation": np.arange(6, 10)}, tmp_path / "out")
    again, original = read(tmp_path / "out" / "train.xyz"), data.select(np.arange(6))
    assert again.id.tolist() == original.id.tolist()
    assert again.pbc.all()
    np.testing.assert_array_equal(again.labels().stress, original.labels().stress)
    for i, atoms in enumerate(ase.io.read(tmp_path / "out" / "train.xyz", index=":")):
        np.testing.assert_array_equal(atoms.cell.array, original.cell[i])


def test_configurations_name_what_is_there(exported):
    mace = configuration(exported / "mace.yaml")
    assert ast.literal_eval(mace["E0s"]) == ATOMS
    assert ast.literal_eval(mace["atomic_numbers"]) == [1, 6, 8]
    nequip = configuration(exported / "nequip.yaml")
    files = [mace[f"{part}_file"] for part in ("train", "valid", "test")]
    assert files == [nequip["data"][f"{part}_file_path"] for part in ("train", "val", "test")]
    assert all((exported / file).exists() for file in files)
    assert nequip["elements"] == ["H", "C", "O"]
    shifts = nequip["training_module"]["model"]["per_type_energy_shifts"]
    assert shifts == {"H": ATOMS[1], "C": ATOMS[6], "O": ATOMS[8]}
    schnetpack = configuration(exported / "schnetpack" / "experiment" / "design.yaml")
    assert [schnetpack["data"][f"num_{part}"] for part in ("train", "val", "test")] == [4, 2, 4]
    assert schnetpack["model"]["postprocessors"][1]["add_atomrefs"] is True


def test_without_reference_energies_or_hold_outs(tmp_path):
    data = labelled(references=False)
    rows = {name: ROWS[name] for name in ("train", "validation")}
    told = export_design(data, rows, tmp_path / "export")
    assert told["without_reference_energy"] == [1, 6, 8]
    assert not (tmp_path / "export" / "isolated_atoms.xyz").exists()
    assert not (tmp_path / "export" / "test.xyz").exists()
    mace = configuration(tmp_path / "export" / "mace.yaml")
    assert mace["E0s"] == "average"
    assert "test_file" not in mace
    nequip = configuration(tmp_path / "export" / "nequip.yaml")
    assert nequip["run"] == ["train"]
    shifts = nequip["training_module"]["model"]["per_type_energy_shifts"]
    assert shifts == "${training_data_stats:per_atom_energy_mean}"


def test_what_packages_cannot_use_is_refused_and_nothing_is_left(data, tmp_path):
    with pytest.raises(DataError, match="4 of 4 structures of train have no forces"):
        export_design(labelled(forces=False), ROWS, tmp_path / "export")
    with pytest.raises(ConfigurationError, match="n-validation"):
        export_design(data, {"train": ROWS["train"]}, tmp_path / "export")
    with pytest.raises(DataError, match="no level of theory 'other'"):
        export_design(data, ROWS, tmp_path / "export", level="other")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("dear")
    with pytest.raises(ConfigurationError, match="exists already"):
        export_design(data, ROWS, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]


def test_the_command_exports_its_design(data, tmp_path, run_breadth):
    write(data, tmp_path / "data.xyz")
    options = ("design", tmp_path / "data.xyz", "--n-molecules", "2", "--n-conformers", "4")
    export = ("--export", tmp_path / "export")
    refused = run_breadth(*options, *export, check=False)
    assert refused.returncode == 1
    assert "--n-validation" in refused.stderr
    result = run_breadth(
        *options, *export, "--n-validation", "2", "--out", tmp_path / "design", "--json"
    )
    assert json.loads(result.stdout)["parts"]["train"]["n_conformers"] == 6
    ids = json.loads((tmp_path / "design" / "design.json").read_text())["ids"]
    told = json.loads((tmp_path / "export" / "export.json").read_text())
    assert told["ids"] == ids
    assert told["level"] == "made"
    again = read(tmp_path / "export" / "train.xyz")
    assert again.id.astype("U32").tolist() == ids["train"]


# -- the packages themselves ---------------------------------------------------------------------

ENVIRONMENTS = Path(__file__).parents[2] / "benchmarks" / ".venvs"

_MACE = """
from mace.cli.run_train import main
main()
"""
_NEQUIP = """
from nequip.scripts.train import main
main()
"""
# SchNetPack 2.2 imports a name that PyTorch has renamed since.
_SCHNETPACK = """
import torch.utils.data.dataloader as loader
loader.T_co = getattr(loader, "T_co", None) or loader._T_co
from schnetpack.cli import train
train()
"""
#: Distribution, folder to run in, script, options that make it short, what it prints at the end.
PACKAGES = {
    "mace": (
        "mace-torch",
        "",
        _MACE,
        ("--config", "mace.yaml", "--max_num_epochs", "1", "--num_channels", "4"),
        "unseen_molecules_Default",
    ),
    "nequip": (
        "nequip",
        "",
        _NEQUIP,
        ("-cp", "{folder}", "-cn", "nequip", "trainer.max_epochs=1"),
        "test0_epoch/forces_mae",
    ),
    "schnetpack": (
        "schnetpack",
        "schnetpack",
        _SCHNETPACK,
        # Its scheduler passes an option that PyTorch has dropped since.
        ("experiment=design", "trainer.max_epochs=1", "task.scheduler_cls=null"),
        "test_forces_mae",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_trains_and_tests(package, exported):
    distribution, folder, script, options, said = PACKAGES[package]
    python = ENVIRONMENTS / package / "bin" / "python"
    if not python.exists():
        if find_spec(package) is None:
            pytest.skip(f"no {package}: pip install {distribution} into {ENVIRONMENTS / package}")
        python = Path(sys.executable)
    where = exported / folder
    (where / "run.py").write_text(script)
    result = subprocess.run(
        [str(python), "run.py", *(option.format(folder=where) for option in options)],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
        # Its checkpoints hold the model's classes, which PyTorch 2.6 reads only when told to.
        env={**os.environ, "PWD": str(where), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert said in result.stdout + result.stderr
