"""Predictions of other packages: put to the right structures, and measured as ours are."""

import json
import shutil

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from breadth.diversity import ConformerSet, DataError, read, write
from breadth.studies.evaluating import evaluate_predictions
from breadth.studies.single import TrainConfiguration, evaluate_potential, train_potential
from breadth.training import load_potential, predict


@pytest.fixture(scope="module")
def data():
    """Twelve shaken frames of ethanol and ten of water, labelled; two of them are the same."""
    random = np.random.default_rng(1)
    frames = []
    for name, count in (("CH3CH2OH", 12), ("H2O", 10)):
        for _ in range(count):
            atoms = molecule(name)
            atoms.positions += random.normal(scale=0.05, size=(len(atoms), 3))
            forces = random.normal(size=(len(atoms), 3))
            atoms.calc = SinglePointCalculator(atoms, energy=random.normal(), forces=forces)
            frames.append(atoms)
    for symbol in "HCO":
        atoms = Atoms(symbol)
        atoms.calc = SinglePointCalculator(atoms, energy=0.0)
        frames.append(atoms)
    return ConformerSet.from_ase([*frames, frames[3]], level="made")


def predictions(data, energy, forces, keys=("energy", "forces"), **info):
    """Atoms as a package hands them back, with its predictions under its keys."""
    made = []
    for i in range(len(data)):
        atoms = data.select([i]).to_ase()[0]
        atoms.calc = None
        atoms.info = {keys[0]: energy[i], **{k: v[i] for k, v in info.items()}}
        atoms.set_array(keys[1], forces[data.atoms_slice(i)])
        made.append(atoms)
    return made


def shifted(data, keys=("m_energy", "m_forces"), **info):
    """Predictions that are 0.09 eV an ethanol, 0.06 a water, and 0.5 eV/Å off."""
    labels = data.labels()
    off = np.where(data.counts == 9, 0.09, 0.06)
    return predictions(data, labels.energy + off, labels.forces + 0.5, keys, **info)


KEYS = {"energy_key": "m_energy", "forces_key": "m_forces"}


def test_errors_are_those_put_in_whatever_the_order(data, tmp_path):
    frames = shifted(data)
    order = np.random.default_rng(2).permutation(len(frames))
    ase.io.write(tmp_path / "p.xyz", [frames[i] for i in order])  # rounds to 8 decimals
    found = evaluate_predictions(tmp_path / "p.xyz", data, **KEYS)
    assert found["force_mae"] == pytest.approx(0.5, abs=1e-7)
    assert found["energy_mae_per_atom"] == pytest.approx((0.01 + 0.02) / 2, abs=1e-7)
    assert found["conformational_energy_mae"] == pytest.approx(0.0, abs=1e-7)
    assert (found["n_conformers"], found["n_without_prediction"]) == (len(data), 0)
    assert found["n_unmatched_predictions"] == 0


def test_a_potential_of_ours_measures_the_same_from_a_file(data, tmp_path):
    asked = TrainConfiguration(
        potential={"name": "painn", "n_features": 8}, training={"n_updates": 3, "device": "cpu"}
    )
    train_potential(data, tmp_path / "model", asked)
    ours = evaluate_potential(tmp_path / "model", data)
    made = predict(load_potential(tmp_path / "model")[0], data, level="made")
    frames = predictions(data, np.asarray(made.energy), np.asarray(made.forces, dtype=float))
    ase.io.write(tmp_path / "p.xyz", frames, format="extxyz")
    theirs = evaluate_predictions(tmp_path / "p.xyz", data)
    errors = ("force_mae", "zero_force_mae", "energy_mae_per_atom", "conformational_energy_mae")
    for name in errors:
        assert theirs[name] == pytest.approx(ours[name], rel=1e-6), name


def test_what_is_lacking_on_either_side_is_counted(data, tmp_path):
    frames = shifted(data)
    other = molecule("CH4")
    other.info["m_energy"] = 1.0
    ase.io.write(tmp_path / "p.xyz", [*frames[:5], other])
    found = evaluate_predictions(tmp_path / "p.xyz", data, energy_key="m_energy")
    # The last frame is the fourth again: a prediction of one is of both.
    assert found["n_conformers"] == 6
    assert found["n_without_prediction"] == len(data) - 6
    assert found["n_unmatched_predictions"] == 1
    assert "force_mae" not in found
    ase.io.write(tmp_path / "none.xyz", [other])
    assert evaluate_predictions(tmp_path / "none.xyz", data, energy_key="m_energy") is None


def test_ids_find_structures_that_a_package_has_centred(data, tmp_path):
    ids = [f"id-{name.decode()}" for name in data.id]
    frames = shifted(data, conformer_id=ids)
    for atoms in frames:
        atoms.positions -= atoms.get_center_of_mass() + 3.0
    ase.io.write(tmp_path / "p.xyz", frames)
    assert evaluate_predictions(tmp_path / "p.xyz", data, **KEYS)["force_mae"] == pytest.approx(0.5)
    frames[2].positions[0] += 0.01
    ase.io.write(tmp_path / "p.xyz", frames)
    with pytest.raises(DataError, match=r"record 2 .*not where those of conformer"):
        evaluate_predictions(tmp_path / "p.xyz", data, **KEYS)


def test_charge_states_of_one_geometry_are_told_apart(tmp_path):
    states = []
    for charge, multiplicity in ((0, 1), (1, 2)):
        atoms = molecule("H2O")
        atoms.info = {"charge": charge, "multiplicity": multiplicity}
        atoms.calc = SinglePointCalculator(atoms, energy=float(charge), forces=np.zeros((3, 3)))
        states.append(atoms)
    data = ConformerSet.from_ase(states, level="made")
    named = predictions(
        data, np.array([0.3, 1.6]), np.ones((6, 3)), charge=[0, 1], multiplicity=[1, 2]
    )
    ase.io.write(tmp_path / "p.xyz", named[::-1], format="extxyz")
    found = evaluate_predictions(tmp_path / "p.xyz", data)
    assert found["energy_mae_per_atom"] == pytest.approx((0.1 + 0.2) / 2)
    unnamed = predictions(data, np.array([0.3, 1.6]), np.ones((6, 3)))
    ase.io.write(tmp_path / "p.xyz", unnamed, format="extxyz")
    with pytest.raises(DataError, match="several charge or spin states"):
        evaluate_predictions(tmp_path / "p.xyz", data)


def test_files_that_mislead_are_refused(data, tmp_path):
    path, labels = tmp_path / "p.xyz", data.labels()
    # A package's output beside the references, with no key named: these are the labels.
    write(data, path)
    with pytest.raises(DataError, match="they are the labels"):
        evaluate_predictions(path, data)
    frames = shifted(data)
    ase.io.write(path, frames)
    with pytest.raises(DataError, match=r"No frame .* has energy.*m_energy, m_forces"):
        evaluate_predictions(path, data)
    with pytest.raises(DataError, match="has MACE_forces"):
        evaluate_predictions(path, data, energy_key="m_energy", forces_key="MACE_forces")
    other = predictions(data, labels.energy + 1, labels.forces, ("m_energy", "m_forces"))
    ase.io.write(path, [*frames, *other])
    with pytest.raises(DataError, match="Give each model a file"):
        evaluate_predictions(path, data, **KEYS)
    frames[1].info["m_energy"] = np.nan
    ase.io.write(path, frames)
    with pytest.raises(DataError, match=r"record 1 .*no energy"):
        evaluate_predictions(path, data, **KEYS)
    path.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"p\.xyz"):
        evaluate_predictions(path, data)
    with pytest.raises(DataError, match="Cannot read"):
        evaluate_predictions(tmp_path / "absent.xyz", data)


def test_damaged_files_give_an_answer_or_an_error_in_words(data, tmp_path):
    ase.io.write(tmp_path / "p.xyz", shifted(data)[:3])
    whole, random = (tmp_path / "p.xyz").read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=random.integers(1, 4)):
            damaged[place] = random.integers(256)
        (tmp_path / "d.xyz").write_bytes(damaged[: random.integers(1, len(whole) + 1)])
        try:
            evaluate_predictions(tmp_path / "d.xyz", data, **KEYS)
        except DataError:
            refused += 1
    assert refused > 30


def test_the_command_puts_models_side_by_side(data, tmp_path, run_breadth):
    write(data, tmp_path / "data.xyz")
    ase.io.write(tmp_path / "first.xyz", shifted(data))
    arguments = (tmp_path / "data.xyz", "--predictions", tmp_path / "first.xyz")
    keys = ("--energy-key", "m_energy", "--forces-key", "m_forces")
    content = json.loads(run_breadth("evaluate", *arguments, *keys, "--json").stdout)
    assert content["force_mae"] == pytest.approx(0.5)
    assert content["predictions"].endswith("first.xyz")
    strange = molecule("CH4")
    strange.info["m_energy"] = 1.0
    strange.set_array("m_forces", np.zeros((5, 3)))
    ase.io.write(tmp_path / "second.xyz", strange)
    result = run_breadth("evaluate", *arguments, tmp_path / "second.xyz", *keys, check=False)
    assert result.returncode == 1
    assert "No structure of" in result.stderr


@pytest.fixture(scope="module")
def told(data, tmp_path_factory):
    """The text of a file of predictions."""
    path = tmp_path_factory.mktemp("told") / "model.xyz"
    ase.io.write(path, shifted(data.select([0, 1, 12, 13])), format="extxyz")
    return path.read_bytes()


def damaged(content, random):
    """Change a file as disks, editors and people do."""
    lines = content.split(b"\n")
    kind, line = random.integers(8), random.integers(len(lines))
    at, stop = np.sort(random.integers(len(content), size=2))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[stop:]
    if kind == 2:
        return content[:at] + random.bytes(1 + int(random.integers(20))) + content[at:]
    if kind == 3:
        return content[:at] + bytes([content[at] ^ (1 << random.integers(8))]) + content[at + 1 :]
    if kind == 4:
        return b"\n".join(lines[:line] + lines[line + 1 :])
    if kind == 5:
        return b"\n".join([*lines[:line], lines[random.integers(len(lines))], *lines[line:]])
    word = [b"nan", b"1e999", b"-", b"9999999999", b"T", b'"', b"{", b"m_forces:R:3", b""]
    words = lines[line].split() or [b""]
    words[random.integers(len(words))] = word[random.integers(len(word))]
    return b"\n".join([*lines[:line], b" ".join(words), *lines[line + 1 :]])


def test_damaged_files_give_an_answer_or_a_clear_error(told, data, tmp_path):
    """500 mutations: finite errors, nothing to compare, or a message that names the file."""
    random = np.random.default_rng(0)
    path, answers, refusals = tmp_path / "model.xyz", 0, []
    for _ in range(500):
        path.write_bytes(damaged(told, random))
        try:
            found = evaluate_predictions(path, data, **KEYS)
        except DataError as error:
            refusals.append(str(error))
            continue
        answers += 1
        if found is not None:
            assert np.isfinite([v for v in found.values() if isinstance(v, float)]).all()
    assert answers > 20
    assert len(refusals) > 100
    assert all("model.xyz" in why or "No conformer of the data" in why for why in refusals)


@pytest.mark.slow
def test_another_model_stands_in_the_figures_of_a_study(smoke, run_breadth, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(smoke[0], run, symlinks=False, ignore=shutil.ignore_patterns("units"))
    pool = read(run / "pool")
    labels = pool.labels("gfn2")
    frames = predictions(pool, labels.energy + 0.01, labels.forces + 0.03, ("e", "f"))
    ase.io.write(tmp_path / "mace.xyz", frames, format="extxyz")
    keys = ("--energy-key", "e", "--forces-key", "f")
    done = run_breadth(
        "figures", run, "--predictions", tmp_path / "mace.xyz", "--name", "MACE", *keys
    )
    row = next(line for line in done.stdout.splitlines() if "unseen molecules" in line)
    assert row.split()[-1] == "30"
    again = json.loads(run_breadth("figures", run, "--json").stdout)  # it stays
    assert (run / "outside" / "MACE.nc").exists()
    assert again["figures"]
    for arguments, why in (
        (("--name", "MACE"), "--predictions"),
        (("--predictions", tmp_path / "mace.xyz", "--name", "../x", *keys), "--name"),
        (("--predictions", tmp_path / "mace.xyz"), "--energy-key"),
    ):
        refused = run_breadth("figures", run, *arguments, check=False)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert "Traceback" not in refused.stderr
