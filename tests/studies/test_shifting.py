"""`breadth shift`: invariance through the descriptors, forces and potentials, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from breadth.diversity import ConfigurationError, ConformerSet, Labels, Molecules, read, write
from breadth.diversity.graphs import fraction_near_one, normalised_laplacian_spectrum, radius_graph
from breadth.studies.shifting import connectivity, shift_sets, verdict

SHARED = Path(__file__).parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")

WATER = np.array([[0.0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]])


def made_up(n, *, seed, sigma=0.05, numbers=(8, 1, 1)):
    """Waters whose atoms are displaced at random, with a force back to their places."""
    displaced = np.random.default_rng(seed).normal(scale=sigma, size=(n, 3, 3))
    labels = Labels(energy=(displaced**2).sum((1, 2)), forces=-2 * displaced.reshape(-1, 3))
    return ConformerSet(
        molecules=Molecules(key=np.array([f"{numbers}"])),
        molecule=np.zeros(n, dtype=int),
        numbers=np.tile(numbers, n),
        positions=(WATER + displaced).reshape(-1, 3),
        offsets=3 * np.arange(n + 1),
        levels={"springs": labels},
    )


@pytest.fixture(scope="module")
def cold():
    return made_up(60, seed=0)


@pytest.fixture(scope="module")
def warm():
    return made_up(50, seed=1, sigma=0.1)


def test_rotation_translation_and_atom_order_change_nothing(cold, warm):
    rng = np.random.default_rng(2)
    turns = Rotation.random(50, random_state=3).as_matrix()
    positions = np.einsum("kij,kaj->kai", turns, warm.positions.reshape(50, 3, 3))
    positions = positions + rng.normal(scale=20.0, size=(50, 1, 3))
    order = rng.permuted(np.arange(150).reshape(50, 3), axis=1)
    forces = np.einsum("kij,kaj->kai", turns, warm.levels["springs"].forces.reshape(50, 3, 3))
    labels = replace(warm.levels["springs"], forces=forces.reshape(-1, 3)[order.ravel()])
    moved = replace(
        warm,
        numbers=warm.numbers[order.ravel()],
        positions=positions.reshape(-1, 3)[order.ravel()],
        levels={"springs": labels},
    )
    one, two = (shift_sets(cold, b)["measures"] for b in (warm, moved))
    assert one["force_norm"]["distance"] > 0.1
    for name, found in one.items():
        for key in ("distance", "interval", "outside"):
            # Features are float32; 0.02 of the structures may change places with a neighbour.
            slack = {"rel": 2e-3, "abs": 0.02 if key == "outside" else 1e-4}
            assert two[name][key] == pytest.approx(found[key], **slack), name


def test_warm_is_shifted_from_cold_and_halves_of_cold_are_not(cold, warm):
    found = shift_sets(cold, warm)
    for name in ("force_norm", "knn", "mahalanobis", "density"):
        assert found["measures"][name]["interval"][0] > 0, name
    # Twenty blocks of either tell a classifier little: of a separation of 0.4 it is not sure.
    assert found["measures"]["classifier"]["distance"] > 0.3
    assert "second set is shifted" in found["verdict"]
    even = np.arange(60) % 2 == 0
    halves = shift_sets(cold.select(even), cold.select(~even))
    seen = [name for name, one in halves["measures"].items() if one["interval"][0] > 0]
    assert len(seen) <= 1
    assert halves["shared"] == {"conformers": 0, "molecules": 1}


def test_connectivity_is_that_of_the_graphs(cold):
    got = connectivity(cold, 1.5)
    for k in range(60):
        graph = radius_graph(cold.positions[cold.atoms_slice(k)], 1.5)
        assert got[k] == pytest.approx(fraction_near_one(normalised_laplacian_spectrum(graph)))
    assert len(np.unique(got)) > 1
    atom = replace(
        cold.select([0]), numbers=[8], positions=np.zeros((1, 3)), offsets=[0, 1], levels={}
    )
    assert connectivity(atom, 5.0) == 0.0


def test_forces_are_those_of_one_level_that_both_have(cold, warm):
    other = replace(warm, levels={"other": warm.levels["springs"]})
    found = shift_sets(cold, other)
    assert "force_norm" not in found["measures"]
    assert "no level of theory" in found["left_out"]["force_norm"]
    some = replace(warm.levels["springs"], has_forces=np.arange(50) > 2)
    part = replace(warm, levels={"springs": some})
    found = shift_sets(cold, part, level="springs")
    assert found["left_out"]["force_norm"] == "set 2 lacks forces of 3 structures at level springs"


def test_an_unknown_element_stands_out(cold):
    found = shift_sets(cold, made_up(20, seed=4, numbers=(16, 1, 1)))["measures"]
    assert found["elements"]["distance"] == pytest.approx(1 / 3)
    assert all(found[name]["outside"] == 1.0 for name in ("elements", "composition", "knn"))


def test_soap_columns_agree_between_sets(cold):
    found = shift_sets(cold, made_up(20, seed=4, numbers=(16, 1, 1)), features="soap")
    assert found["features"] == "soap"
    assert found["measures"]["knn"]["outside"] == 1.0


def test_a_cutoff_must_be_a_length(cold):
    with pytest.raises(ConfigurationError, match="positive length"):
        shift_sets(cold, cold, cutoff=0.0)


def test_a_verdict_without_shift_says_so(cold):
    found = shift_sets(cold, cold)
    assert found["verdict"].startswith("No shift is seen")
    assert verdict(found["measures"]) == found["verdict"]


def test_one_structure_is_too_little_for_a_verdict(cold):
    """Each of its distances is above 0 by chance alone."""
    rest, one = cold.select(np.arange(1, 60)), cold.select([0])
    found = shift_sets(rest, one)
    assert any(m["distance"] > 0 for m in found["measures"].values())
    assert found["verdict"].startswith("Too little to tell a shift from chance: by 0 of ")
    sulphide = shift_sets(rest, made_up(1, seed=4, numbers=(16, 1, 1)))
    assert [sulphide["measures"][m]["outside"] for m in ("elements", "knn")] == [1.0, 1.0]
    assert "by 0 of" not in sulphide["verdict"]


@pytest.fixture(scope="module")
def files(cold, warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shift")
    write(cold, folder / "cold.xyz")
    write(warm, folder / "warm.xyz")
    write(cold.select(np.arange(30)), folder / "part.xyz")
    return folder


def test_the_command_keeps_its_contract(run_breadth, files):
    found = json.loads(
        run_breadth("shift", files / "cold.xyz", files / "warm.xyz", "--json").stdout
    )
    for one in found["measures"].values():
        assert {"distance", "interval", "quantiles"} <= one.keys()
        assert one["distance"] >= 0
        assert sorted(one["quantiles"].values()) == list(one["quantiles"].values())
    itself = run_breadth("shift", files / "cold.xyz", files / "cold.xyz", "--json")
    assert itself.stderr == ""
    assert all(m["distance"] == 0 for m in json.loads(itself.stdout)["measures"].values())


def test_the_command_speaks_to_people_and_warns_of_overlap(run_breadth, files):
    result = run_breadth("shift", files / "cold.xyz", files / "part.xyz")
    assert "30 conformers are in both sets" in result.stderr
    for word in ("force norm", "knn", "of 1 molecule\n", "drawn independently", "left out"):
        assert word in result.stdout
    assert len(result.stdout.splitlines()) < 40
    missing = run_breadth("shift", files / "cold.xyz", files / "none.xyz", check=False)
    assert missing.returncode == 1
    assert "none.xyz" in missing.stderr


def test_potentials_predict_force_norms_and_disagree(cold, warm, tmp_path):
    import torch

    from breadth.training import save_potential
    from breadth.training.potentials import SchNet

    for seed in (0, 1):
        torch.manual_seed(seed)
        potential = SchNet(levels=("springs",), n_features=8)
        save_potential(tmp_path / f"{seed}", potential, {"level": "springs"})
    found = shift_sets(
        cold,
        warm,
        features=f"model:{tmp_path / '0'}",
        models=[tmp_path / "0", tmp_path / "1"],
    )
    assert found["features"] == "model:0"
    assert found["left_out"] == {}
    for name in ("predicted_force_norm", "committee_variance"):
        assert found["measures"][name]["unit"] == "eV/Å"
        assert found["measures"][name]["interval"] is not None


@shared
def test_acetylacetone_at_600_k_is_shifted_from_300_k():
    a, b = (read(SHARED / "acac" / f"train_{t}K.xyz") for t in (300, 600))
    found = shift_sets(a, b)["measures"]
    for name in ("force_norm", "connectivity", "knn", "mahalanobis_per_element", "classifier"):
        assert found[name]["interval"][0] > 0, name
    assert found["knn"]["outside"] > 0.5
    assert found["composition"]["distance"] == found["elements"]["distance"] == 0
