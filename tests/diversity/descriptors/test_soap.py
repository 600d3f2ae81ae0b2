"""SOAP: DScribe's numbers for molecules and crystals, and columns that agree between sets."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from dscribe.descriptors import SOAP

from breadth.diversity import ConfigurationError, ConformerSet, DataError, Featurizer
from breadth.diversity.descriptors import SoapDescriptor, atomic_features, bandwidth_for, bound

SMALL = {"r_cut": 4.0, "n_max": 3, "l_max": 2, "sigma": 0.5}


def test_equals_dscribe_for_molecules_and_crystals(
    as_set: Callable[[list[Atoms]], ConformerSet],
) -> None:
    frames = [molecule("H2O"), molecule("CO"), bulk("C", a=3.57), Atoms("H")]
    frames[2].pbc = [True, True, False]
    conformers = as_set(frames)
    rows = atomic_features(conformers, SoapDescriptor(**SMALL), chunk=3)
    parts = [
        SOAP(species=[1, 6, 8], periodic=bool(a.pbc.any()), average="off", **SMALL).create(a)
        for a in frames
    ]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, np.concatenate(parts), rtol=1e-5, atol=1e-6)
    assert np.abs(rows[-1]).sum() > 0  # DScribe counts the atom itself


def test_sets_that_are_compared_share_their_columns() -> None:
    water, methane = (ConformerSet.from_ase([molecule(n)]) for n in ("H2O", "CH4"))
    soap = bound(SoapDescriptor(**SMALL), water, methane)
    assert soap.elements == (1, 6, 8)
    assert bound(soap, water) is soap
    shapes = {atomic_features(s, soap).shape[1] for s in (water, methane)}
    assert len(shapes) == 1
    assert bandwidth_for(soap, water) > 0
    with pytest.raises(DataError, match=r"\[8\]"):
        atomic_features(water, SoapDescriptor(elements=(1, 6), **SMALL))


def test_atoms_that_left_their_cell_keep_their_neighbours() -> None:
    crystal = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    crystal.rattle(0.1)
    left = crystal.copy()
    left.positions[3] += 50.0 * crystal.cell[0] - 7.0 * crystal.cell[1]
    soap = SoapDescriptor(elements=(11, 17), **SMALL)
    ours, theirs = (atomic_features(ConformerSet.from_ase([a]), soap) for a in (left, crystal))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_atoms_that_explode_are_described_by_what_is_left_near_them(
    as_set: Callable[[list[Atoms]], ConformerSet],
) -> None:
    soap = SoapDescriptor(elements=(1, 8), **SMALL)
    apart = molecule("H2O") + molecule("H2O")
    apart.positions[3:] += 1e7
    apart.positions[2] -= 1e7
    water, left, atom = (
        atomic_features(as_set([a]), soap)
        for a in (molecule("H2O"), molecule("H2O")[:2], Atoms("H"))
    )
    rows = atomic_features(as_set([apart]), soap)
    np.testing.assert_allclose(rows, np.concatenate([left, atom, water]), rtol=1e-3, atol=1e-5)


def test_options() -> None:
    assert isinstance(SoapDescriptor(), Featurizer)
    water = ConformerSet.from_ase([molecule("H2O")])
    with pytest.raises(ConfigurationError, match="SOAP"):
        atomic_features(water, SoapDescriptor(sigma=-1.0))
