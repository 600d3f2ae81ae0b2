import json
from dataclasses import replace

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, DataError, Labels, write
from breadth.sampling.engines import Gfn2, Uff
from breadth.sampling.geometries import GeometrySettings, sample_geometries
from breadth.sampling.labels import label
from breadth.sampling.molecules import Molecule
from breadth.studies.adapting import AdaptConfiguration, adapt_to_molecules, with_prior_labels
from breadth.studies.single import TrainConfiguration, train_potential
from breadth.training import TrainingConfig, load_potential, predict
from breadth.training.refinement import TestTimeConfig

QUICK = AdaptConfiguration(
    test_time=TestTimeConfig(n_steps=10, check_every=5, patience=None, batch_size=4)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Geometries of three molecules, GFN2 their truth, and a model that learnt two, UFF beside."""
    settings = GeometrySettings(method="gaussian", sigma=0.05, max_minima=1)
    data, _ = sample_geometries(
        [Molecule(s, s) for s in ("CO", "CC", "C=O")], n_conformers=8, seed=0, settings=settings
    )
    data = data.with_level("gfn2", label(data, Gfn2())[0])
    folder = tmp_path_factory.mktemp("model")
    asked = TrainConfiguration(
        potential={"name": "schnet", "n_features": 16, "n_layers": 1},
        training=TrainingConfig(n_updates=30, device="cpu"),
        prior="uff",
    )
    known = data.select(np.flatnonzero(data.molecule < 2))
    told = train_potential(known, folder, asked, level="gfn2")
    assert told["without_prior_label"] == 0
    return data, known, folder


def test_every_molecule_on_its_own_and_the_stored_model_untouched(world, tmp_path):
    data, known, folder = world
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    told = adapt_to_molecules(folder, data, train=known, out=tmp_path, configuration=QUICK)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (told["prior"], told["level"]) == ("uff", "gfn2")
    assert told["shared"] == {"conformers": 16, "molecules": 2}
    assert told["prior_loss_in_training"] > 0
    assert [row["molecule"] for row in told["molecules"]] == data.molecules.smiles.tolist()
    alone = adapt_to_molecules(folder, data.select(data.molecule == 2), configuration=QUICK)
    assert alone["shared"] is None
    row = told["molecules"][2]
    assert {**alone["molecules"][0], "potential": row["potential"]} == row
    assert (row["n_adapted"], row["left_out"]) == (4, 0)

    # The errors are those of the potentials that were written, on the whole molecule.
    part = data.select(data.molecule == 2)
    adapted, meta = load_potential(row["potential"])
    assert meta["adapted_to"] == "C=O"
    truth, prior = part.labels("gfn2").forces, label(part, Uff())[0].forces
    original, _ = load_potential(folder)
    for key, forces in (
        ("before", predict(original, part).forces),
        ("after", predict(adapted, part).forces),
        ("prior", prior),
    ):
        mean = (row["adapted"][key] + row["held"][key]) / 2
        assert mean == pytest.approx(np.abs(forces - truth).mean(), rel=1e-5)
    assert row["adapted"]["before"] != row["adapted"]["after"]


def test_a_molecule_that_the_prior_cannot_treat_is_left_out_and_told(world, tmp_path):
    data, _, folder = world
    labels = data.with_level("uff", label(data, Uff())[0]).labels("uff")
    there = data.molecule != 1
    lame = data.with_level("uff", replace(labels, has_energy=there, has_forces=there))
    told = adapt_to_molecules(folder, lame, out=tmp_path, configuration=QUICK)
    whole = adapt_to_molecules(folder, data, configuration=QUICK)["molecules"]
    found = [{k: v for k, v in row.items() if k != "potential"} for row in told["molecules"]]
    assert found == [whole[0], whole[2]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000", "002"]
    assert [left["molecule"] for left in told["aside"]] == ["CC"]
    assert "prior 'uff'" in told["aside"][0]["reason"]


def test_elements_that_the_potential_never_saw_are_told(world):
    _, _, folder = world
    new, _ = sample_geometries([Molecule("CF", "CF")], n_conformers=4, seed=0)
    assert adapt_to_molecules(folder, new, configuration=QUICK)["unseen_elements"] == ["F"]


def test_steps_that_diverge_leave_numbers(world):
    data, _, folder = world
    wild = QUICK.test_time.model_copy(update={"learning_rate": 1e20, "clip": 1e20})
    asked = QUICK.model_copy(update={"test_time": wild})
    (row,) = adapt_to_molecules(folder, data.select(data.molecule == 2), configuration=asked)[
        "molecules"
    ]
    assert row["stopped"] == "diverged"
    assert row["prior_loss"][0] == row["prior_loss"][1] > 0


def test_without_reference_labels_and_with_all_structures(world):
    data, _, folder = world
    bare = data.select(data.molecule == 2).without_level("gfn2")
    told = adapt_to_molecules(folder, bare, configuration=QUICK)
    assert told["level"] is None
    assert told["molecules"][0]["held"] is None
    whole = QUICK.model_copy(update={"share": 1.0})
    told = adapt_to_molecules(folder, data.select(data.molecule == 2), configuration=whole)
    assert told["molecules"][0]["n_adapted"] == 8
    assert told["molecules"][0]["held"] is None
    assert told["molecules"][0]["adapted"]["after"] > 0


def test_what_is_missing_is_told(world, tmp_path):
    data, known, folder = world
    plain = TrainConfiguration(
        potential={"name": "schnet", "n_features": 8, "n_layers": 1},
        training=TrainingConfig(n_updates=1, device="cpu"),
    )
    train_potential(known, tmp_path, plain, level="gfn2")
    with pytest.raises(ConfigurationError, match="--set prior="):
        adapt_to_molecules(tmp_path, data)
    with pytest.raises(ConfigurationError, match=r"'mmff94'.*uff"):
        adapt_to_molecules(folder, data, prior="mmff94")
    with pytest.raises(DataError, match="no level of theory 'pbe'"):
        adapt_to_molecules(folder, data, level="pbe")
    with pytest.raises(DataError, match="no engine"):
        with_prior_labels(data, "sgdml")
    failed = data.with_level("uff", Labels.empty(len(data), data.n_atoms))
    with pytest.raises(DataError, match="prior 'uff'"):
        adapt_to_molecules(folder, failed, configuration=QUICK)


def test_on_the_command_line(world, run_breadth, tmp_path):
    data, known, folder = world
    write(data.select(data.molecule == 2), tmp_path / "new.xyz")
    write(known, tmp_path / "known.xyz")
    steps = ("test_time.n_steps=10", "test_time.batch_size=4")
    command = ["refine", "test-time", folder, tmp_path / "new.xyz", "--level", "gfn2"]
    result = run_breadth(*command, "--json", "--set", *steps, "--train", tmp_path / "known.xyz")
    (row,) = json.loads(result.stdout)["molecules"]
    assert row["steps"] == 10
    assert row["held"]["after"] > 0
    assert "warning" not in result.stderr
    assert json.loads(result.stdout)["unseen_elements"] == []
    lame, _ = sample_geometries([Molecule(s, s) for s in ("CF", "N#N")], n_conformers=2, seed=0)
    there = np.arange(4) < 2
    labels = replace(label(lame, Uff())[0], has_energy=there, has_forces=there)
    write(lame.with_level("uff", labels), tmp_path / "lame.xyz")
    told = run_breadth("refine", "test-time", folder, tmp_path / "lame.xyz", "--set", *steps)
    assert "left out: N#N: None of 1 conformers" in told.stderr
    assert "the potential never saw N, F:" in told.stderr
    seen = run_breadth(
        "refine", "test-time", folder, tmp_path / "known.xyz", "--train", tmp_path / "known.xyz",
        "--out", tmp_path / "out", "--set", *steps,
    )  # fmt: skip
    assert "2 molecules and 16 conformers" in seen.stderr
    assert "Test-time training by uff" in seen.stdout
    assert (tmp_path / "out/001/potential.json").exists()
