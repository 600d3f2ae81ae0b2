"""Stretched bonds and turned torsions."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from breadth.diversity.bonds import covalent_bonds
from breadth.diversity.concat import concat
from breadth.diversity.conformers import ConformerSet
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.diversity.torsions import dihedral_angles
from breadth.sampling.calculators import EngineCalculator
from breadth.sampling.engines import Gfn2, Mmff94
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import Molecule
from breadth.sampling.scans import side, stretch_bonds, stretch_scan
from breadth.sampling.torsion_scans import scan_torsions, torsion_drive, torsion_scan

CARBONS = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def some() -> ConformerSet:
    """Two conformers each of butanol, of benzene, and of cyclobutanone, which has no free bond."""
    molecules = [Molecule(s, s) for s in ("CCCCO", "c1ccccc1", "O=C1CCC1")]
    return sample_geometries(molecules, n_conformers=2, seed=0)[0]


@pytest.fixture(scope="module")
def butanol(some: ConformerSet) -> ConformerSet:
    return some.select([0])


def test_sides_of_a_bond(butanol: ConformerSet) -> None:
    bonds = butanol.molecules.bond_table(0)
    assert bonds is not None
    moving = side(bonds, 15, 3, 4)
    assert moving is not None
    assert butanol.numbers[moving].tolist() == [8, 1]
    np.testing.assert_array_equal(moving, ~side(bonds, 15, 4, 3))
    assert side(np.array([[0, 1], [1, 2], [0, 2]]), 3, 0, 1) is None
    with pytest.raises(DataError, match="0 and 4 are not bonded"):
        side(bonds, 15, 0, 4)


@settings(max_examples=30, deadline=None)
@given(change=st.floats(-0.5, 1.5), bond=st.integers(0, 13))
def test_a_stretch_changes_one_length_and_no_other_within_either_side(
    butanol: ConformerSet, change: float, bond: int
) -> None:
    bonds = butanol.molecules.bond_table(0)
    assert bonds is not None
    i, j = bonds[bond, :2].tolist()
    moved = stretch_scan(butanol, (i, j), [0.0, change])
    np.testing.assert_allclose(moved.positions[:15], butanol.positions)
    before, after = (squareform(pdist(x)) for x in moved.positions.reshape(2, 15, 3))
    assert after[i, j] - before[i, j] == pytest.approx(change, abs=1e-9)
    moving = side(bonds, 15, i, j)
    within = moving[:, None] == moving[None]
    np.testing.assert_allclose(after[within], before[within], atol=1e-9)
    rest = bonds[np.arange(14) != bond]
    assert within[rest[:, 0], rest[:, 1]].all()  # so that every other bond kept its length


def test_random_stretches_are_those_told_and_know_their_parents(some: ConformerSet) -> None:
    made, aside = stretch_bonds(some, n_per_conformer=5, smallest=0.2, largest=0.3, seed=1)
    assert not aside
    assert len(made) == 30
    assert not made.levels
    parents = {name.decode(): i for i, name in enumerate(some.id)}
    for k in range(len(made)):
        i = parents[str(made.frame_extras["parent"].values[k])]
        bond = made.frame_extras["stretched_bond"].values[k]
        apart = [
            np.linalg.norm(np.diff(s.positions[s.atoms_slice(m)][bond], axis=0))
            for s, m in ((made, k), (some, i))
        ]
        stretch = float(made.frame_extras["stretch"].values[k])
        assert apart[0] - apart[1] == pytest.approx(stretch)
        assert 0.2 <= stretch <= 0.3
        assert made.minimum[k] == some.minimum[i]
    backwards, _ = stretch_bonds(
        some.select(np.arange(6)[::-1]), n_per_conformer=2, smallest=0.2, largest=0.3, seed=1
    )
    assert set(backwards.id) == set(made.id[made.record < 2])
    squeezed, _ = stretch_bonds(some, n_per_conformer=20, compressed=True)
    stretches = squeezed.frame_extras["stretch"].values
    assert 0.3 < (stretches < 0).mean() < 0.7
    assert -0.1 <= stretches.min() < 0 < 0.1 <= stretches.max() <= 0.4


def test_a_ring_without_side_chains_is_set_aside() -> None:
    ring = ConformerSet.from_ase([Atoms("S3", [[0, 0, 0], [2.1, 0, 0], [1.05, 1.8, 0]])])
    with pytest.raises(ShortageError, match="no bond outside rings"):
        stretch_bonds(ring)
    with pytest.raises(DataError, match="in a ring"):
        stretch_scan(ring, (0, 1), [0.1])


def test_bad_stretches_are_refused(some: ConformerSet, butanol: ConformerSet) -> None:
    with pytest.raises(DataError, match="one conformer, and the set holds 6"):
        stretch_scan(some, (0, 1), [0.1])
    with pytest.raises(ConfigurationError, match="cannot be shortened by 1"):
        stretch_scan(butanol, (0, 1), [-1.5])
    with pytest.raises(ConfigurationError, match="smallest"):
        stretch_bonds(some, smallest=0.5, largest=0.4)


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(-720, 720))
def test_a_turned_torsion_has_its_angle_and_keeps_all_lengths(
    butanol: ConformerSet, angle: float
) -> None:
    moved = torsion_scan(butanol, CARBONS, [angle]).positions
    found = dihedral_angles(moved[None], np.array([CARBONS]))[0, 0]
    assert np.cos(np.radians(found - angle)) == pytest.approx(1, abs=1e-9)
    bonds = butanol.molecules.bond_table(0)[:, :2]
    lengths = [
        np.linalg.norm(x[bonds[:, 0]] - x[bonds[:, 1]], axis=1) for x in (moved, butanol.positions)
    ]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-9)


def test_every_rotatable_torsion_of_a_set_is_turned_around(some: ConformerSet) -> None:
    turned, aside = scan_torsions(some, n_angles=6)
    # Butanol has two torsions of heavy atoms; benzene and cyclobutanone have none.
    assert [a.reason for a in aside if a.reason == "no rotatable torsion"] == [
        "no rotatable torsion"
    ] * 4
    clashes = [a for a in aside if a.reason != "no rotatable torsion"]
    assert len(turned) + len(clashes) == 2 * 2 * 5
    assert {a.reason.split(":")[0] for a in clashes} <= {"bond formed"}
    extras = turned.frame_extras
    assert {tuple(t) for t in extras["torsion"].values.tolist()} == {(0, 1, 2, 3), (1, 2, 3, 4)}
    parents = {name.decode(): i for i, name in enumerate(some.id)}
    for k in range(len(turned)):
        torsion = extras["torsion"].values[k][None]
        i = parents[str(extras["parent"].values[k])]
        now, was = (
            dihedral_angles(s.positions[s.atoms_slice(m)][None], torsion)[0, 0]
            for s, m in ((turned, k), (some, i))
        )
        assert np.cos(np.radians(now - extras["angle"].values[k])) == pytest.approx(1)
        sixth = (now - was) / 60
        assert sixth == pytest.approx(round(sixth), abs=1e-6)
    with pytest.raises(ShortageError, match="no rotatable torsion"):
        scan_torsions(some.select([2, 3]))


def test_a_drive_relaxes_below_the_rigid_scan_at_the_same_angles(butanol: ConformerSet) -> None:
    angles = [180.0, 120.0, 60.0]
    rigid = torsion_scan(butanol, CARBONS, angles)
    calculator = EngineCalculator(Mmff94(), butanol)
    driven, aside = torsion_drive(butanol, CARBONS, angles, calculator, level="mmff94")
    assert not aside
    x = driven.positions.reshape(3, 15, 3)
    found = dihedral_angles(x, np.array([CARBONS]))[:, 0]
    np.testing.assert_allclose(np.cos(np.radians(found - angles)), 1, atol=1e-9)
    labels, again = driven.labels("mmff94"), Mmff94()(driven)
    np.testing.assert_allclose(labels.energy, again.energy, atol=1e-9)
    np.testing.assert_allclose(labels.forces, again.forces, atol=1e-9)
    assert (labels.energy < Mmff94()(rigid).energy - 0.05).all()
    # The forces that are left act along the torsion alone: turning it by a little costs what
    # they say, and at 120°, on the slope, that is not nothing.
    step = 0.01
    near = torsion_scan(driven.select([1]), CARBONS, [120 - step, 120 + step])
    slope = np.diff(Mmff94()(near).energy)[0] / (2 * step)
    arc = (near.positions[15:] - near.positions[:15]) / (2 * step)
    assert slope == pytest.approx(-(arc * labels.forces[15:30]).sum(), rel=1e-3)
    assert abs(slope) > 1e-4


def test_a_gfn2_drive_of_ethane_has_its_barrier() -> None:
    ethane, _ = sample_geometries([Molecule("ethane", "CC")], n_conformers=1, seed=0)
    first = covalent_bonds(ethane.numbers, ethane.positions)
    hydrogen = [int(first[first[:, 0] == c][-1, 1]) for c in (0, 1)]
    atoms = [hydrogen[0], 0, 1, hydrogen[1]]
    driven, _ = torsion_drive(
        ethane, atoms, [60.0, 0.0], EngineCalculator(Gfn2(), ethane), level="gfn2"
    )
    staggered, eclipsed = driven.labels("gfn2").energy
    # 2.9 kcal/mol by experiment (Weiss and Leroi, J. Chem. Phys. 48, 962 (1968)).
    assert eclipsed - staggered == pytest.approx(2.9 / 23.06, rel=0.2)


def test_bad_torsions_are_refused(some: ConformerSet, butanol: ConformerSet) -> None:
    benzene = some.select([2])
    with pytest.raises(DataError, match="cannot be turned"):
        torsion_scan(benzene, CARBONS, [0.0])
    with pytest.raises(DataError, match="not bonded"):
        torsion_scan(butanol, [0, 1, 3, 4], [0.0])
    acetylene, _ = sample_geometries([Molecule("butyne", "CC#CC")], n_conformers=1, seed=0)
    straight = acetylene.select([0]).positions.copy()
    straight[:4] = np.arange(4)[:, None] * [[1.3, 0, 0]]
    with pytest.raises(DataError, match="in line"):
        torsion_scan(replace(acetylene, positions=straight), CARBONS, [0.0])


def test_a_failing_relaxation_is_set_aside(butanol: ConformerSet) -> None:
    with pytest.raises(ShortageError, match="did not converge: 2 steps"):
        torsion_drive(butanol, CARBONS, [0.0], EMT(), level="emt", max_steps=2)
    water, _ = sample_geometries([Molecule("water", "O")], n_conformers=1, seed=0)
    other = EngineCalculator(Mmff94(), water)
    with pytest.raises(ShortageError, match="made for another molecule"):
        torsion_drive(butanol, CARBONS, [0.0], other, level="mmff94")


def test_joined_scans_keep_their_extras(butanol: ConformerSet) -> None:
    joined = concat(
        [torsion_scan(butanol, CARBONS, [0.0]), stretch_scan(butanol, (0, 1), [0.1, 0.2])]
    )
    assert joined.n_molecules == 1
    assert joined.frame_extras["angle"].present.tolist() == [True, False, False]
    assert joined.frame_extras["stretch"].values[1:].tolist() == [0.1, 0.2]
