"""Priors that are worse than they claim, and force fields of molecules known by geometry alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity import ConfigurationError, DataError, Labels
from breadth.diversity.conformers import Molecules
from breadth.sampling import Mmff94, Molecule, Uff, label_chunk, sample_geometries
from breadth.sampling.priors import inverted, noisy


@pytest.fixture(scope="module")
def labelled():
    drawn, _ = sample_geometries(
        [Molecule("ethanol", "CCO"), Molecule("furan", "c1ccoc1")], n_conformers=30, seed=3
    )
    return drawn.with_level("mmff94", label_chunk(drawn, Mmff94()))


def nameless(conformers):
    """The same conformers as a file without SMILES and bonds holds them."""
    molecules = conformers.molecules
    return replace(
        conformers,
        molecules=Molecules(
            key=molecules.key, charge=molecules.charge, multiplicity=molecules.multiplicity
        ),
        levels={},
    )


def test_turned_round_twice_is_the_prior(labelled):
    own = labelled.labels("mmff94")
    wrong = inverted(own)
    np.testing.assert_array_equal(wrong.forces, -own.forces)
    np.testing.assert_array_equal(inverted(wrong).energy, own.energy)
    np.testing.assert_array_equal(wrong.has_forces, own.has_forces)


def test_noise_has_the_size_that_is_asked_for_and_knows_no_order(labelled):
    own = labelled.labels("mmff94").forces
    found = noisy(labelled, "mmff94", share=0.5, seed=0).forces
    size = 0.5 * np.sqrt(np.mean(own**2))
    # 30 × (9 + 9) × 3 = 1,620 deviates: the standard error of their width is 1.8 %.
    assert np.std(found - own) == pytest.approx(size, rel=0.07)
    turned = labelled.select(np.arange(len(labelled))[::-1])
    back = turned.with_level("noisy", noisy(turned, "mmff94", share=0.5, seed=0))
    back = back.select(np.arange(len(labelled))[::-1]).labels("noisy").forces
    np.testing.assert_allclose(back, found, atol=1e-12)


@given(share=st.floats(0.01, 3.0))
def test_noise_leaves_absent_labels_absent(labelled, share):
    own = labelled.labels("mmff94")
    holes = np.arange(len(labelled)) % 3 > 0
    there = holes[labelled.atom_conformer, None]
    part = Labels(
        energy=np.where(holes, own.energy, 0.0),
        forces=np.where(there, own.forces, 0.0),
        has_energy=holes,
        has_forces=holes,
    )
    found = noisy(labelled.with_level("part", part), "part", share=share, seed=1)
    np.testing.assert_array_equal(found.has_forces, holes)
    assert not found.forces[~there[:, 0]].any()
    assert (found.forces[there[:, 0]] != part.forces[there[:, 0]]).any()


def test_noise_is_no_negative_number(labelled):
    with pytest.raises(ConfigurationError, match="share"):
        noisy(labelled, "mmff94", share=-0.1, seed=0)


@pytest.mark.parametrize("engine", [Mmff94(), Uff()])
def test_a_force_field_needs_no_smiles_where_the_geometry_tells(labelled, engine):
    known, found = (label_chunk(s, engine) for s in (labelled, nameless(labelled)))
    assert found.has_forces.all()
    np.testing.assert_allclose(found.forces, known.forces, atol=1e-6)


@pytest.mark.parametrize("engine", [Mmff94(), Uff()])
def test_a_force_field_of_molecules_takes_no_crystal(labelled, engine):
    pbc = np.zeros((len(labelled), 3), dtype=bool)
    pbc[[0, 30]] = True
    boxed = replace(labelled, cell=np.tile(20 * np.eye(3), (len(labelled), 1, 1)), pbc=pbc)
    found = label_chunk(boxed, engine)
    assert np.flatnonzero(~found.has_forces).tolist() == [0, 30]
    assert found.faults[30] == f"{engine.name} is for molecules: the structure is periodic"
    np.testing.assert_array_equal(found.energy[1:30], label_chunk(labelled, engine).energy[1:30])


def test_a_geometry_that_no_bonds_fit_is_told(labelled):
    start = nameless(labelled.select([0]))
    apart = replace(start, positions=start.positions * 1.6)
    with pytest.raises(DataError, match="no bond orders fit"):
        Mmff94()(apart)


def test_atoms_in_different_orders_without_smiles_are_told(labelled):
    ethanol = nameless(labelled.select(np.flatnonzero(labelled.molecule == 0)[:2]))
    order = np.arange(ethanol.n_atoms)
    order[9:] = order[9:][::-1]
    mixed = replace(ethanol, numbers=ethanol.numbers[order], positions=ethanol.positions[order])
    with pytest.raises(DataError, match="different orders"):
        Mmff94()(mixed)
