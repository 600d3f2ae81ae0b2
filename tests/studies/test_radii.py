import json

import numpy as np
import pytest

from breadth.diversity import ConfigurationError, DataError, write
from breadth.sampling.engines import Uff
from breadth.sampling.geometries import GeometrySettings, sample_geometries
from breadth.sampling.labels import label
from breadth.sampling.molecules import Molecule
from breadth.studies.radii import RadiusConfiguration, refine_radius
from breadth.studies.single import TrainConfiguration, train_potential
from breadth.training import TrainingConfig, load_potential, predict
from breadth.training.refinement import predict_at_radii


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Geometries of three molecules and UFF, and a model of the two small ones at any radius."""
    settings = GeometrySettings(method="gaussian", sigma=0.05, max_minima=1)
    data, _ = sample_geometries(
        [Molecule(s, s) for s in ("CO", "CC", "CCCCCO")],
        n_conformers=6,
        seed=0,
        settings=settings,
    )
    data = data.with_level("uff", label(data, Uff())[0])
    folder = tmp_path_factory.mktemp("model")
    known = data.select(np.flatnonzero(data.molecule < 2))
    train_potential(known, folder, asked(random_cutoff=(3.0, 5.0)), level="uff")
    return data, known, folder


def asked(**training):
    return TrainConfiguration(
        potential={"name": "schnet", "n_features": 16, "n_layers": 1, "cutoff": 4.0},
        training=TrainingConfig(n_updates=20, relative_energies=True, device="cpu", **training),
    )


def test_tells_what_the_choice_changes(world):
    data, known, folder = world
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    new = data.select(data.molecule == 2)
    told = refine_radius(folder, new, known, path=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (told["cutoff"], told["trained_between"]) == (4.0, [3.0, 5.0])
    assert told["candidates"] == pytest.approx(np.linspace(3.0, 5.0, 10).tolist())
    assert told["shared"] == {"conformers": 0, "molecules": 0}
    assert told["distance"][1] <= told["distance"][0]
    assert told["extrapolated"] == 0.0
    assert told["changed"] == 1.0  # a chain of six heavy atoms is no complete graph at 4 Å
    # One radius for the molecule: no jump. The numbers are those of the two predictions.
    assert told["jumps"]["n_steps"] == 5
    assert told["jumps"]["n_jumps"] == 0
    assert len(set(told["radius"])) == 1
    potential, _ = load_potential(folder)
    plain = predict(potential, new)
    there = predict_at_radii(potential, new, told["radius"][0])
    change = np.linalg.norm(there.forces - plain.forces, axis=1).mean()
    assert told["force_change"] == pytest.approx(change, rel=1e-5)
    truth = new.labels("uff").forces
    gain = np.abs(plain.forces - truth).mean() - np.abs(there.forces - truth).mean()
    assert told["gain"] == pytest.approx(gain, abs=1e-6)
    assert told["molecules"][0]["gain"] == told["gain"]


def test_a_potential_of_one_radius_extrapolates_at_any_other(world, tmp_path):
    data, known, _ = world
    train_potential(known, tmp_path, asked(), level="uff")
    told = refine_radius(tmp_path, data, known)
    assert told["trained_between"] == [4.0, 4.0]
    assert told["extrapolated"] == told["changed"] > 0
    assert told["candidates"][0] == pytest.approx(2.4)


def test_per_structure_exactly_and_without_labels(world):
    data, known, folder = world
    bare = data.without_level("uff")
    each = RadiusConfiguration(per="structure", exact=True, form="wasserstein")
    told = refine_radius(folder, bare, known, path=True, configuration=each)
    assert told["level"] is None
    assert told["gain"] is told["before"] is None
    assert told["candidates"] == "exact"
    assert told["jumps"]["n_jumps"] > 0
    assert told["jumps"]["largest"] >= told["jumps"]["mean"] > 0
    assert [row["n_conformers"] for row in told["molecules"]] == [6, 6, 6]


def test_bad_input(world):
    data, known, folder = world
    with pytest.raises(DataError, match="no structure"):
        refine_radius(folder, data.select([]), known)
    with pytest.raises(DataError, match="empty"):
        refine_radius(folder, data, known.select([]))
    wrong = RadiusConfiguration(between=(5.0, 4.0))
    with pytest.raises(ConfigurationError, match="lower one comes first"):
        refine_radius(folder, data, known, configuration=wrong)
    with pytest.raises(DataError, match="no level of theory 'pbe'"):
        refine_radius(folder, data, known, level="pbe")


def test_on_the_command_line(world, run_breadth, tmp_path):
    data, known, folder = world
    write(data.select(data.molecule == 2), tmp_path / "new.xyz")
    write(known, tmp_path / "known.xyz")
    command = ["refine", "radius", folder, tmp_path / "new.xyz", "--train", tmp_path / "known.xyz"]
    out = run_breadth(*command, "--json", "--set", "form=fraction", "n_radii=5").stdout
    told = json.loads(out)
    assert (told["form"], len(told["candidates"])) == ("fraction", 5)
    assert told["gain"] == pytest.approx(told["before"]["force_mae"] - told["after"]["force_mae"])
    shown = run_breadth(*command[:3], tmp_path / "known.xyz", *command[4:], "--path")
    assert "trained at radii from 3 to 5 Å" in shown.stdout
    assert "jump at 0 of 10 steps" in shown.stdout
    assert "2 molecules and 12 conformers of the data are in the training set" in shown.stderr
