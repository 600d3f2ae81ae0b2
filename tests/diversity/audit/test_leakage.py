"""What files share, and the audit on the public sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from breadth.diversity import ConformerSet, Labels, Molecules, read
from breadth.diversity.audit import audit, leakage

SHARED = Path(__file__).parents[4] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets in ../shared/data")


def water(positions, energies):
    n = len(positions)
    return ConformerSet(
        molecules=Molecules(key=np.array(["water"]), smiles=np.array(["O"])),
        molecule=np.zeros(n, dtype=int),
        numbers=np.tile([8, 1, 1], n),
        positions=np.concatenate(positions),
        offsets=3 * np.arange(n + 1),
        source=np.full(n, "water.xyz"),
        record=np.arange(n),
        levels={"l": Labels(energy=np.array(energies), forces=np.zeros((3 * n, 3)))},
        metadata={"identity_rule": "identifier"},
    )


def test_copies_turned_copies_and_labels_at_odds_between_files():
    rest = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    first = [rest + 0.03 * np.sin(np.arange(9) + 9 * k).reshape(3, 3) for k in range(4)]
    turn = Rotation.from_euler("z", 1.0)
    second = [first[0], turn.apply(first[1]) + 3.0, turn.apply(first[2]), 1.1 * rest]
    a = water(first, [-1.0, -2.0, -3.0, -4.0])
    b = water(second, [-1.0, -2.0, -3.5, -5.0])
    (pair,) = leakage({"a": a, "b": b})
    json.dumps(pair)
    assert pair["files"] == ["a", "b"]
    assert (pair["conformers"], pair["molecules"], pair["scaffolds"]) == (1, 1, 1)
    assert (pair["contained"], pair["near_conformers"], pair["conflicts"]) == ([1, 1], 2, 1)
    assert pair["worst"][0].startswith("water.xyz#2: energy differs by -0.5 eV")
    (back,) = leakage({"b": b, "a": a})
    assert (back["near_conformers"], back["conflicts"]) == (2, 1)
    assert len(leakage({"a": a, "b": b, "c": a})) == 3
    assert leakage({"a": a}) == []


def pair_of(first, second):
    return leakage({"a": read(SHARED / first), "b": read(SHARED / second)})[0]


@shared
def test_rmd17_train_and_test_share_the_molecule_alone():
    pair = pair_of("rmd17/rmd17_aspirin_train_01.npz", "rmd17/rmd17_aspirin_test_01.npz")
    assert (pair["conformers"], pair["molecules"], pair["near_conformers"]) == (0, 1, 0)


@shared
def test_frames_of_choline_that_files_share():
    some = pair_of("umlip_bias/choline_naive/10.xyz", "umlip_bias/choline_naive/21.xyz")
    assert (some["conformers"], some["conflicts"], some["scaffolds"]) == (5, 0, None)
    whole = pair_of("umlip_bias/choline_periodic/ft1.xyz", "umlip_bias/choline_naive/50.xyz")
    assert whole["conformers"] == whole["contained"][0] == 10


@shared
def test_the_dihedral_scan_lacks_forces():
    entry = audit(read(SHARED / "acac/test_dihedral.xyz"))[0]
    assert (entry["check"], entry["passed"], entry["count"]) == ("missing_labels", False, 45)
    assert entry["note"] == "45 of 45 lack forces at level unknown"


@shared
@pytest.mark.parametrize(
    "name",
    [
        "rmd17/rmd17_aspirin_train_01.npz",
        "rmd17/rmd17_malonaldehyde_train_01.npz",
        "3bpa/train_300K.xyz",
        "ethanol/train.xyz",
        "umlip_bias/licl_naive/44.xyz",
        "umlip_bias/choline_periodic/ft5.xyz",
    ],
)
def test_sound_public_sets_pass(name):
    assert [e["check"] for e in audit(read(SHARED / name)) if e["passed"] is False] == []


@shared
@pytest.mark.parametrize("size", [4, 10, 20, 50, 100])
def test_few_frames_far_apart_raise_no_alarm(size):
    conformers = read(SHARED / "rmd17/rmd17_ethanol_train_01.npz")
    random = np.random.default_rng(3)
    for _ in range(5):
        part = conformers.select(random.choice(len(conformers), size, replace=False))
        assert [e["check"] for e in audit(part) if e["passed"] is False] == []


@shared
@pytest.mark.parametrize("name", ["acac/train_600K.xyz", "rmd17/rmd17_aspirin_train_01.npz"])
def test_signs_flipped_in_real_dynamics_are_found(name):
    conformers = read(SHARED / name)
    level, labels = next(iter(conformers.levels.items()))
    rows = np.random.default_rng(0).choice(len(conformers), 20, replace=False)
    sign = np.where(np.isin(conformers.atom_conformer, rows), -1.0, 1.0)[:, None]
    flipped = Labels(energy=labels.energy, forces=labels.forces * sign)
    entry = next(
        e for e in audit(conformers.with_level(level, flipped)) if e["check"] == "energy_forces"
    )
    # Frames without near neighbours are not judged.
    assert 15 <= entry["count"] <= 20
    assert entry["n_checked"] < len(conformers)
    assert {w["row"] for w in entry["worst"]} <= set(rows.tolist())
    assert all("sign is reversed" in w["what"] for w in entry["worst"])
