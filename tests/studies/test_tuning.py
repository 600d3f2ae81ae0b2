import json

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, DataError, Labels, ShortageError, write
from breadth.sampling.engines import Gfn2
from breadth.sampling.geometries import GeometrySettings, sample_geometries
from breadth.sampling.labels import label
from breadth.sampling.molecules import Molecule
from breadth.studies.cli.app import app
from breadth.studies.single import TrainConfiguration, evaluate_potential, train_potential
from breadth.studies.tuning import TuneConfiguration, hold_out, tune
from breadth.training import TrainingConfig, load_potential, predict

QUICK = TuneConfiguration(training={"n_updates": 12, "device": "cpu"})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Make a model of three molecules at GFN2-xTB, and five others at a level like it."""
    smiles = ("CO", "CC", "C=O", "CCO", "COC", "C=C", "CC=O", "C")
    settings = GeometrySettings(method="gaussian", sigma=0.05, max_minima=1)
    data, _ = sample_geometries(
        [Molecule(s, s) for s in smiles], n_conformers=8, seed=0, settings=settings
    )
    gfn2 = label(data, Gfn2())[0]
    atoms = {z: 0.9 * e for z, e in gfn2.reference_energies.items()}
    shift = np.bincount(
        data.atom_conformer, [-0.1 * gfn2.reference_energies[int(z)] for z in data.numbers]
    )
    stiff = Labels(energy=gfn2.energy + shift, forces=1.2 * gfn2.forces, reference_energies=atoms)
    known = data.select(data.molecule < 3).with_level(
        "gfn2", label(data.select(data.molecule < 3), Gfn2())[0]
    )
    folder = tmp_path_factory.mktemp("model")
    asked = TrainConfiguration(
        potential={"name": "painn", "n_features": 16, "n_layers": 2},
        training=TrainingConfig(n_updates=60, device="cpu"),
    )
    train_potential(known, folder, asked, level="gfn2")
    new = data.with_level("stiff", stiff).select(data.molecule >= 3)
    return new, known, folder


def test_molecules_are_held_out_and_errors_are_those_of_what_is_written(world, tmp_path):
    new, known, folder = world
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = tune(str(folder), new, out=tmp_path, replay=known, configuration=QUICK)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (told["level"], told["original_level"], told["held_out_by"]) == (
        "stiff", "gfn2", "molecule",
    )  # fmt: skip
    assert (told["n_train"], told["n_held_out"]) == (32, 8)
    assert told["after"]["force_mae"] < told["before"]["force_mae"]
    assert told["energies_are_absolute"]
    # The references were moved before: levels are more than 1,000 eV apart.
    assert told["before"]["energy_mae_per_atom"] < 1.0

    _, held, _ = hold_out(new, np.arange(len(new)), 0.2, 0)
    again = evaluate_potential(tmp_path, new.select(held), level="stiff")
    assert again["force_mae"] == pytest.approx(told["after"]["force_mae"], rel=1e-6)
    lost = told["forgetting"]
    assert lost["reference"] == "labels"
    # Of each molecule's 8 frames the last two, and a gap of one before them.
    assert (lost["n_conformers"], told["n_replayed"]) == (6, 15)
    tuned, meta = load_potential(tmp_path)
    assert (tuned.levels, meta["level"]) == (("stiff", "gfn2"), "stiff")
    _, left, _ = hold_out(known, np.arange(len(known)), 0.2, 0)
    kept = known.select(left)
    off = np.abs(predict(tuned, kept, level="gfn2").forces - kept.labels("gfn2").forces)
    molecules = [
        off[np.isin(kept.atom_conformer, np.flatnonzero(kept.molecule == m))].mean()
        for m in range(3)
    ]
    assert lost["after"] == pytest.approx(np.mean(molecules), rel=1e-5)


def test_frames_of_few_molecules_are_held_out_at_the_end(world):
    new = world[0].select(world[0].molecule < 2)
    train, held, by = hold_out(new, np.arange(len(new)), 0.25, 3)
    assert by == "block"
    assert held.tolist() == [6, 7, 14, 15]
    assert train.tolist() == [*range(5), *range(8, 13)]
    with pytest.raises(ShortageError, match="--test"):
        hold_out(new, np.array([0, 1]), 0.5, 3)


def test_a_test_set_and_nothing_held_out(world):
    new, _, folder = world
    test, rest = new.select(new.molecule == 4), new.select(new.molecule < 4)
    # No labels of the original level: its own predictions are replayed.
    told = tune(str(folder), rest, test=test, replay=new, configuration=QUICK)
    assert (told["held_out_by"], told["n_train"], told["n_held_out"]) == ("test set", 32, 8)
    assert told["potential"] is None
    lost = told["forgetting"]
    assert lost["reference"] == "untouched"
    assert lost["before"] == 0
    assert lost["after"] > 0
    with pytest.raises(DataError, match="8 of 8 conformers of the test set"):
        tune(str(folder), new, test=test, configuration=QUICK)
    all_of_it = QUICK.model_copy(update={"held_out": 0.0})
    told = tune(str(folder), rest, what="heads", replay=new, configuration=all_of_it)
    assert told["after"] is told["forgetting"] is None
    assert (told["n_train"], told["n_replayed"]) == (len(rest), len(new))


def test_options_that_are_none(world):
    new, _, folder = world
    wrong = TuneConfiguration(training={"n_update": 3})
    with pytest.raises(ConfigurationError, match=r"training\.n_update"):
        tune(str(folder), new, configuration=wrong)
    with pytest.raises(ConfigurationError, match="low_rank"):
        tune(str(folder), new, what="everything", configuration=QUICK)
    with pytest.raises(DataError, match="no level of theory 'pbe'"):
        tune(str(folder), new, level="pbe", configuration=QUICK)


def test_the_command(world, tmp_path, capsys):
    new, _, folder = world
    write(new, tmp_path / "new.xyz")
    command = ["finetune", folder, tmp_path / "new.xyz", "--out", tmp_path / "it"]
    options = ["--set", "training.n_updates=10", "training.device=cpu", "--what", "last:1"]
    app([str(token) for token in (*command, *options, "--json")])
    told = json.loads(capsys.readouterr().out)
    assert told["n_held_out"] == 8
    assert (tmp_path / "it" / "potential.json").exists()
    # Finished: read, not learnt again, and told to a person.
    app([str(token) for token in (*command, *options)])
    text = " ".join(capsys.readouterr().out.split())
    assert "32 structures, 10 updates of last:1" in text
    assert "held out by molecule" in text
    assert f"{1e3 * told['after']['force_mae']:.4g}" in text
