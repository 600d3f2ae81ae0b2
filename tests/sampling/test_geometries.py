"""Minima, normal modes, and displaced geometries."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import units

from breadth.diversity.conformers import ConformerSet
from breadth.diversity.errors import ConfigurationError, ShortageError
from breadth.diversity.rmsd import symmetry_rmsd
from breadth.sampling.geometries import GeometrySettings, displace, sample_geometries
from breadth.sampling.minima import KCAL_PER_MOL, Minima, UnfitMolecule, find_minima, mmff_field
from breadth.sampling.modes import amplitudes, mmff_hessian, normal_modes, wavenumbers
from breadth.sampling.molecules import Molecule

BUTANOL = Molecule("butanol", "CCCCO")


@pytest.fixture(scope="module")
def minima() -> Minima:
    return find_minima(BUTANOL, seed=0)


def test_minima_are_minima_apart_and_in_order_of_energy(minima: Minima) -> None:
    assert 2 <= len(minima.energies) <= 5
    assert (np.diff(minima.energies) >= 0).all()
    assert minima.energies[-1] - minima.energies[0] <= 0.4
    apart = symmetry_rmsd(BUTANOL.numbers, BUTANOL.bonds, minima.positions)
    assert apart[np.triu_indices(len(apart), 1)].min() >= 0.3
    for positions, energy in zip(minima.positions, minima.energies, strict=True):
        field = mmff_field(BUTANOL, positions)
        x = positions.ravel().tolist()
        assert field.CalcEnergy(x) * KCAL_PER_MOL == pytest.approx(energy, abs=1e-6)
        assert np.abs(field.CalcGrad(x)).max() * KCAL_PER_MOL < 1e-3


def test_a_molecule_that_mmff_does_not_know_is_unfit() -> None:
    with pytest.raises(UnfitMolecule, match="MMFF94 has no parameters"):
        find_minima(Molecule("borane", "CB(C)C"), seed=0)


def test_hessian_predicts_the_energy_of_small_displacements(minima: Minima) -> None:
    rest = minima.positions[0]
    hessian = mmff_hessian(BUTANOL, rest)
    assert np.linalg.norm(hessian @ np.tile([1.0, 0, 0], len(rest))) < 1e-4  # translation is free
    field = mmff_field(BUTANOL, rest)
    move = np.random.default_rng(0).normal(0, 1e-3, rest.size)
    rise = (field.CalcEnergy((rest.ravel() + move).tolist()) * KCAL_PER_MOL) - minima.energies[0]
    assert rise == pytest.approx(0.5 * move @ hessian @ move, rel=0.02)


def test_modes_of_a_linear_and_a_bent_molecule() -> None:
    for smiles, modes in (("C#N", 4), ("O", 3), ("C=O", 6)):
        molecule = Molecule(smiles, smiles)
        rest = find_minima(molecule, seed=0).positions[0]
        constants, _ = normal_modes(molecule.numbers, rest, mmff_hessian(molecule, rest))
        assert len(constants) == modes
        # Stretches and bends of such molecules lie between 500 and 4000 cm⁻¹.
        assert (wavenumbers(constants) > 400).all()
        assert (wavenumbers(constants) < 4500).all()


def test_mean_harmonic_energy_is_half_kt_a_mode(minima: Minima) -> None:
    rest, temperature = minima.positions[0], 300.0
    hessian = mmff_hessian(BUTANOL, rest)
    constants, modes = normal_modes(BUTANOL.numbers, rest, hessian)
    sizes = amplitudes(constants, temperature, softest=1.0)
    # Each displacement by one standard deviation costs k_B T / 2 on the quadratic surface.
    steps = sizes[:, None] * modes.reshape(len(sizes), -1)
    energies = 0.5 * np.einsum("mi,ij,mj->m", steps, hessian, steps)
    np.testing.assert_allclose(energies, units.kB * temperature / 2, rtol=1e-6)
    # And they share no energy: modes are orthogonal on the Hessian.
    cross = steps @ hessian @ steps.T
    assert np.abs(cross - np.diag(np.diag(cross))).max() < 1e-9


def test_sampled_energies_have_the_classical_mean(minima: Minima) -> None:
    settings = GeometrySettings(temperature=100.0, softest=300.0)
    lowest = Minima(minima.positions[:1], minima.energies[:1])
    drawn, aside = displace(BUTANOL, lowest, settings, n_conformers=2000, seed=0)
    assert not aside
    hessian = mmff_hessian(BUTANOL, minima.positions[0])
    constants, _ = normal_modes(BUTANOL.numbers, minima.positions[0], hessian)
    moves = (drawn - minima.positions[0]).reshape(len(drawn), -1)
    energies = 0.5 * np.einsum("ni,ij,nj->n", moves, hessian, moves)
    floor = amplitudes(constants, 100.0, 300.0) ** 2 * constants / (units.kB * 100.0)
    expected = 0.5 * units.kB * 100.0 * floor.sum()  # soft modes carry less, as documented
    spread = units.kB * 100.0 * np.sqrt((floor**2).sum() / 2)
    assert floor.max() <= 1 + 1e-9
    assert energies.mean() == pytest.approx(expected, abs=4 * spread / np.sqrt(len(drawn)))


def test_gaussian_displacements_have_their_width(minima: Minima) -> None:
    settings = GeometrySettings(method="gaussian", sigma=0.03)
    drawn, _ = displace(BUTANOL, minima, settings, n_conformers=400, seed=0)
    rest = minima.positions[np.arange(400) % len(minima.energies)]
    assert (drawn - rest).std() == pytest.approx(0.03, rel=0.03)


def test_conformers_are_round_robin_over_minima_with_provenance(pool: ConformerSet) -> None:
    for row in range(pool.n_molecules):
        members = np.flatnonzero(pool.molecule == row)
        assert len(members) == 16
        k, minimum = pool.record[members], pool.minimum[members]
        np.testing.assert_array_equal(minimum, k % (minimum.max() + 1))
    assert (pool.temperature == 500.0).all()
    assert len(np.unique(pool.id)) == len(pool)
    assert pool.molecules.has_bonds.all()


def test_conformers_depend_on_seed_molecule_and_number_alone(molecules: list[Molecule]) -> None:
    few = molecules[:4]
    whole, _ = sample_geometries(few, n_conformers=9, seed=5)
    with ThreadPoolExecutor(2) as executor:
        backwards, _ = sample_geometries(
            few[::-1], n_conformers=6, seed=5, executor=executor, chunk=1
        )
    assert set(backwards.id) == set(whole.id[whole.record < 6])
    other, _ = sample_geometries(few, n_conformers=6, seed=6)
    assert not set(other.id) & set(whole.id)


def test_geometries_that_break_bonds_are_set_aside_counted_and_replaced() -> None:
    hot = GeometrySettings(temperature=6000.0)
    conformers, aside = sample_geometries([BUTANOL], n_conformers=12, seed=0, settings=hot)
    assert aside
    assert {a.reason.split(":")[0] for a in aside} <= {"bond broken", "bond formed"}
    assert all(a.record.startswith("butanol, conformer") for a in aside)
    assert 0 < len(conformers) <= 12
    mild = GeometrySettings(temperature=2000.0)
    conformers, aside = sample_geometries([BUTANOL], n_conformers=12, seed=0, settings=mild)
    assert aside
    np.testing.assert_array_equal(conformers.record, np.arange(12))


def test_unfit_and_repeated_molecules_are_set_aside() -> None:
    borane = Molecule("borane", "CB(C)C")
    conformers, aside = sample_geometries(
        [borane, BUTANOL, Molecule("again", "OCCCC")], n_conformers=2, seed=0
    )
    assert conformers.n_molecules == 1
    reasons = {a.record: a.reason for a in aside}
    assert reasons["borane"] == "molecule cannot be sampled: MMFF94 has no parameters for it"
    assert reasons["again"] == "duplicate molecule: the same as butanol"
    with pytest.raises(ShortageError, match="None of the 1 molecules"):
        sample_geometries([borane], n_conformers=2, seed=0)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'normal_mode'"):
        GeometrySettings(method="normal_mode")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="temperature"):
        GeometrySettings(temperature=0.0)


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    sample_geometries(
        [BUTANOL, Molecule("w", "O")],
        n_conformers=1,
        seed=0,
        chunk=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
