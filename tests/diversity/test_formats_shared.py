"""Every real set under ../shared/data, each by a number that its source states."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from breadth.diversity import concat
from breadth.diversity.describe import describe
from breadth.diversity.formats import read, write
from breadth.diversity.testing import assert_equal_sets

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the reference data of ../shared/data are absent"
)

# Molecule: formula and atoms, of the ten of rMD17 (arXiv:2007.09593, table 1).
RMD17 = {
    "aspirin": "C9H8O4",
    "azobenzene": "C12H10N2",
    "benzene": "C6H6",
    "ethanol": "C2H6O",
    "malonaldehyde": "C3H4O2",
    "naphthalene": "C10H8",
    "paracetamol": "C8H9NO2",
    "salicylic": "C7H6O3",
    "toluene": "C7H8",
    "uracil": "C4H4N2O2",
}
CHOLINE = {"H": -1.1172191, "Li": -0.29785809, "C": -1.2816075, "N": -3.1239612, "O": -1.5667284}


def umlip(name):
    return read(SHARED / "umlip_bias" / f"{name}.xyz")


@pytest.mark.parametrize("name", RMD17)
def test_rmd17_split_01_has_1000_frames_of_one_molecule_on_each_side(name):
    train, test = (read(SHARED / f"rmd17/rmd17_{name}_{side}_01.npz") for side in ("train", "test"))
    for made in (train, test):
        assert (made.n_conformers, made.n_molecules) == (1000, 1)
        assert set(made.levels) == {"pbe-def2svp"}
        assert "set_aside" not in made.metadata
    assert train.formula(0) == RMD17[name]
    assert train.molecules.key.tolist() == test.molecules.key.tolist()
    assert not set(train.id.tolist()) & set(test.id.tolist())


def test_aspirin_is_described_as_its_source_does():
    told = describe(read(SHARED / "rmd17/rmd17_aspirin_train_01.npz"))
    assert (told["n_conformers"], told["n_molecules"], told["n_atoms"]) == (1000, 1, 21000)
    assert told["identity_rule"] == "ordered"
    assert told["elements"] == ["H", "C", "O"]
    # The first energy of the file, -406273.74559918 kcal/mol, is -17617.697 eV.
    low, high = told["energy_range"]
    assert low < -17617.697 < high
    assert high - low < 2.0
    assert told["force_norm_range"][1] < 10.0


def test_ethanol_of_rmd17_and_of_botnet_agree_where_they_share_frames():
    """BOTNet's ethanol is rMD17's in eV: eight frames of its 1,000 are in our training frames."""
    ours = read(SHARED / "rmd17/rmd17_ethanol_train_01.npz")
    theirs = read(SHARED / "ethanol/train.xyz")
    assert theirs.n_conformers == 1000
    assert ours.molecules.constitution.tolist() == theirs.molecules.constitution.tolist()
    common, i, j = np.intersect1d(ours.id, theirs.id, return_indices=True)
    assert len(common) == 8
    np.testing.assert_allclose(
        ours.labels().energy[i], theirs.labels().energy[j], rtol=0, atol=1e-8
    )
    for a, b in zip(i, j, strict=True):
        np.testing.assert_allclose(
            ours.labels().forces[ours.atoms_slice(a)],
            theirs.labels().forces[theirs.atoms_slice(b)],
            atol=1e-7,
        )


@pytest.mark.parametrize(
    ("name", "frames", "forces"),
    [
        ("acac/train_300K", 500, True),
        ("acac/train_600K", 500, True),
        ("acac/test_MD_300K", 650, True),
        ("acac/test_MD_600K", 650, True),
        ("acac/test_dihedral", None, False),
        ("acac/test_H_transfer", None, False),
        ("ethanol/train", 1000, True),
        ("ethanol/test_MD", 1000, True),
        ("ethanol/test_H_removal", None, False),
        ("3bpa/train_300K", 500, True),
    ],
)
def test_botnet_sets_are_one_molecule_each(name, frames, forces):
    made = read(SHARED / f"{name}.xyz", level="dft")
    labels = made.labels("dft")
    assert made.n_conformers == (frames or made.n_conformers)
    assert made.n_molecules == 1
    assert labels.has_energy.all()
    assert labels.has_forces.all() == forces == labels.has_forces.any()
    assert not made.pbc.any()


def test_botnet_sets_of_one_molecule_join():
    names = ("acac/train_300K", "acac/train_600K", "acac/test_H_transfer", "acac/isolated_atoms")
    joined = concat([read(SHARED / f"{name}.xyz", level="pbe-d3") for name in names])
    assert joined.n_molecules == 1
    assert len(joined.labels().reference_energies) == 3


def test_dimers_hold_six_pairs_of_elements_and_energies_alone():
    made = read(SHARED / "ethanol/test_dimers.xyz")
    assert made.n_conformers == 429
    assert len({made.formula(i) for i in range(len(made))}) == 6
    assert set(made.counts.tolist()) == {2}
    assert made.frame_extras["distance"].values.min() == 0.35


@pytest.mark.parametrize(
    ("name", "energies"),
    [
        ("ethanol/isolated_atoms", {1: -13.57, 6: -1025.28, 7: -1479.07, 8: -2035.57}),
        ("acac/isolated_atoms", {1: -13.57, 6: -1026.85, 8: -2037.80}),
        ("3bpa/iso_atoms", {1: -13.59, 6: -1029.49, 7: -1484.98, 8: -2041.98}),
    ],
)
def test_isolated_atoms_are_reference_energies_marked_or_not(name, energies):
    made = read(SHARED / f"{name}.xyz")
    assert made.n_conformers == 0
    found = {z: round(e, 2) for z, e in made.labels().reference_energies.items()}
    assert found == energies


@pytest.mark.parametrize("count", [10, 21, 31, 40, 50])
@pytest.mark.parametrize("arm", ["naive", "nonperiodic"])
def test_choline_sets_have_the_frames_of_their_names(arm, count):
    made = umlip(f"choline_{arm}/{count}")
    told = describe(made)
    assert (told["n_conformers"], told["n_reference_atoms"], told["n_molecules"]) == (count, 7, 1)
    assert set(made.counts.tolist()) == {197}
    assert told["identity_rule"] == "formula"
    assert made.pbc.all()
    references = told["levels"]["REF"]["reference_energies"]
    assert {k: references[k] for k in CHOLINE} == CHOLINE
    labels = made.labels("REF")
    assert labels.has_forces.all()
    assert labels.has_stress.all()


@pytest.mark.parametrize("count", [11, 22, 33, 44])
def test_lithium_chloride_sets_have_the_frames_of_their_names(count):
    told = describe(umlip(f"licl_naive/{count}"))
    assert (told["n_conformers"], told["n_reference_atoms"]) == (count, 6)
    assert told["atoms_per_conformer"] == {"min": 170, "median": 170.0, "max": 170}


@pytest.mark.parametrize(("system", "last"), [("choline", 5), ("licl", 4)])
def test_periodic_sets_are_cumulative(system, last):
    sets = [set(umlip(f"{system}_periodic/ft{i}").id.tolist()) for i in range(1, last + 1)]
    assert all(a < b for a, b in pairwise(sets))


def test_naive_sets_overlap_as_their_readme_says():
    ids = {n: set(umlip(f"choline_{n}").id.tolist()) for n in ("naive/10", "naive/21", "naive/50")}
    assert len(ids["naive/10"] & ids["naive/21"]) == 5
    assert set(umlip("choline_periodic/ft1").id.tolist()) <= ids["naive/50"]


def test_stress_is_as_the_file_states():
    made = umlip("choline_periodic/ft1")
    stress = made.labels("REF").stress
    assert stress[0, 0, 0] == -0.003664158010911852
    assert stress[0, 2, 2] == -0.006805207408753621
    np.testing.assert_allclose(stress, stress.transpose(0, 2, 1), atol=2e-5)


@pytest.mark.parametrize(
    "name", ["3bpa/train_300K", "acac/test_dihedral", "umlip_bias/choline_periodic/ft1"]
)
@pytest.mark.parametrize("suffix", [".xyz", ""])
def test_reading_writing_and_reading_again_is_exact(tmp_path, name, suffix):
    made = read(SHARED / f"{name}.xyz")
    write(made, tmp_path / f"again{suffix}")
    assert_equal_sets(made, read(tmp_path / f"again{suffix}"))


def test_rmd17_read_written_and_read_again_is_exact(tmp_path):
    made = read(SHARED / "rmd17/rmd17_uracil_test_01.npz")
    write(made, tmp_path / "again.npz")
    assert_equal_sets(made, read(tmp_path / "again.npz"))
