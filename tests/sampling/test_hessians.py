"""Hessians of engines, relaxation, thermal displacements, and surfaces through minima."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.vibrations import Vibrations
from tblite.ase import TBLite

from breadth.diversity.conformers import ConformerSet, Labels
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.sampling.calculators import EngineCalculator, bare_atoms
from breadth.sampling.engines import Gfn2, Mmff94
from breadth.sampling.geometries import GeometrySettings, sample_geometries
from breadth.sampling.hessians import hessian, relax, sample_modes
from breadth.sampling.modes import mmff_hessian, normal_modes, wavenumbers
from breadth.sampling.molecules import Molecule
from breadth.sampling.surfaces import surface

MILD = GeometrySettings(temperature=50.0)


def start_of(smiles: str) -> ConformerSet:
    return sample_geometries([Molecule(smiles, smiles)], n_conformers=1, seed=0, settings=MILD)[0]


@pytest.fixture(scope="module")
def water() -> ConformerSet:
    relaxed, aside = relax(start_of("O"), partial(EngineCalculator, Gfn2()), level="gfn2")
    assert not aside
    return relaxed


@pytest.fixture(scope="module")
def methanol() -> ConformerSet:
    start = start_of("CO")
    return relax(start, partial(EngineCalculator, Mmff94()), level="mmff94", fmax=1e-4)[0]


def test_the_hessian_of_mmff_is_that_of_its_gradient(methanol: ConformerSet) -> None:
    ours = hessian(methanol, Mmff94(), step=1e-3)
    np.testing.assert_allclose(
        ours, mmff_hessian(Molecule("m", "CO"), methanol.positions), atol=1e-5
    )


def test_water_vibrates_by_gfn2_as_ase_finds(water: ConformerSet, tmp_path: Path) -> None:
    np.testing.assert_array_less(np.abs(water.labels("gfn2").forces), 0.005)
    again = Gfn2()(water)
    np.testing.assert_allclose(water.labels("gfn2").energy, again.energy, atol=1e-9)
    constants, _ = normal_modes(water.numbers, water.positions, hessian(water, Gfn2()))
    atoms = bare_atoms(water)
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    theirs = Vibrations(atoms, name=tmp_path / "vibrations", delta=0.005)
    theirs.run()
    found = theirs.get_frequencies().real[-3:]
    np.testing.assert_allclose(wavenumbers(constants), found, atol=2.0)


def test_a_relaxation_that_does_not_end_well_is_set_aside(water: ConformerSet) -> None:
    start = start_of("CCO")
    make = partial(EngineCalculator, Mmff94())
    with pytest.raises(ShortageError, match="did not converge: 1 steps"):
        relax(start, make, level="mmff94", max_steps=1)
    with pytest.raises(ShortageError, match="relaxation failed: CalculationFailed"):
        relax(start, lambda _: make(water), level="mmff94")


def test_a_hessian_without_forces_says_why(methanol: ConformerSet) -> None:
    def faulty(conformers: ConformerSet) -> Labels:
        empty = Labels.empty(len(conformers), conformers.n_atoms)
        return Labels(**{**empty.__dict__, "faults": {0: "the engine is cold"}})

    with pytest.raises(DataError, match="the engine is cold"):
        hessian(methanol, faulty)


def test_thermal_displacements_follow_the_engines_own_surface(water: ConformerSet) -> None:
    drawn, aside = sample_modes(start_of("O"), Gfn2(), n_conformers=300, temperature=300.0, seed=0)
    assert not aside
    at_rest = hessian(water, Gfn2())
    moves = (drawn.positions - np.tile(drawn.positions[:3], (300, 1))).reshape(300, 9)
    moves -= moves.mean(axis=0)
    energies = 0.5 * np.einsum("ni,ij,nj->n", moves, at_rest, moves)
    # Three modes of k_B T / 2 each; the mean of 300 draws strays by √(3/2 / 300) k_B T.
    mean = 1.5 * units.kB * 300.0
    assert energies.mean() == pytest.approx(mean, abs=4 * units.kB * 300.0 * np.sqrt(1.5 / 300))
    assert set(drawn.source) == {"gfn2 normal modes"}
    assert set(drawn.temperature) == {300.0}
    np.testing.assert_array_equal(drawn.record, np.arange(300))


def test_displacements_depend_on_seed_and_start_alone() -> None:
    starts, _ = sample_geometries(
        [Molecule(s, s) for s in ("CO", "C=O")], n_conformers=1, seed=0, settings=MILD
    )
    whole, _ = sample_modes(starts, Mmff94(), n_conformers=4, seed=5)
    with ThreadPoolExecutor(2) as executor:
        backwards, _ = sample_modes(
            starts.select([1, 0]), Mmff94(), n_conformers=3, seed=5, executor=executor
        )
    assert set(backwards.id) == set(whole.id[whole.record < 3])
    other, _ = sample_modes(starts, Mmff94(), n_conformers=4, seed=6)
    assert not set(other.id) & set(whole.id)


def test_starts_that_cannot_be_relaxed_are_set_aside() -> None:
    with pytest.raises(ShortageError, match="start cannot be sampled"):
        sample_modes(start_of("O"), Gfn2(max_iterations=1), n_conformers=1, seed=0)
    with pytest.raises(ConfigurationError, match="above 0"):
        sample_modes(start_of("O"), Gfn2(), n_conformers=1, temperature=0.0, seed=0)


def test_a_surface_is_the_harmonic_one_near_its_middle(methanol: ConformerSet) -> None:
    second = hessian(methanol, Mmff94(), step=1e-3)
    found = surface(methanol, second, eigenvectors=(3, -1), n_points=5, extent=(0.02, 0.01))
    energy = found.grid(Mmff94()(found.conformers).energy)
    x, y = np.meshgrid(found.x, found.y, indexing="ij")
    harmonic = 0.5 * (found.constants[0] * x**2 + found.constants[1] * y**2)
    np.testing.assert_allclose(energy - energy[2, 2], harmonic, atol=0.06 * harmonic.max())
    np.testing.assert_array_equal(found.grid(found.conformers.frame_extras["x"].values), x)
    np.testing.assert_array_equal(found.grid(found.conformers.frame_extras["y"].values), y)
    d = found.directions.reshape(2, -1)
    np.testing.assert_allclose(d @ d.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(
        np.einsum("ki,ij,lj->kl", d, second, d), np.diag(found.constants), atol=1e-4
    )
    middle = found.conformers.positions[12 * 6 : 13 * 6]
    np.testing.assert_allclose(middle, methanol.positions, atol=1e-12)


def test_the_reach_of_a_surface(methanol: ConformerSet) -> None:
    second = hessian(methanol, Mmff94())
    # The softest turns the methyl group, and is cut at the farthest; the stiffest rises by 0.2 eV.
    found = surface(methanol, second, eigenvectors=(0, -1), rise=0.2, farthest=0.3)
    assert found.x[-1] == 0.3
    assert 0.5 * found.constants[1] * found.y[-1] ** 2 == pytest.approx(0.2)
    for bad in ((0, 0), (0, 12), (1, -11)):
        with pytest.raises(ConfigurationError, match="12 vibrations"):
            surface(methanol, second, eigenvectors=bad)
    with pytest.raises(ConfigurationError, match="two points"):
        surface(methanol, second, n_points=1)
