"""The compact descriptor: its symmetries, its definition written again, cells, and odd inputs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit.Chem import GetPeriodicTable
from scipy.spatial.transform import Rotation

from breadth.diversity import ConfigurationError, ConformerSet, Featurizer
from breadth.diversity.descriptors import (
    CompactDescriptor,
    atomic_features,
    displacement_bandwidth,
)
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import bundled_molecules

Features = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def features(as_set: Callable[[Sequence[Atoms]], ConformerSet]) -> Features:
    """Return what computes the features of structures."""

    def compute(*structures: Atoms, cutoff: float = 5.0) -> np.ndarray:
        return atomic_features(as_set(structures), CompactDescriptor(cutoff=cutoff))

    return compute


def written_again(atoms: Atoms, cutoff: float) -> np.ndarray:
    """Return the features of a molecule from the definition, by tensors of all pairs."""
    table = GetPeriodicTable()
    kinds = np.array(
        [
            [1.0, table.GetRcovalent(int(z)) / 0.76, table.GetNOuterElecs(int(z)) / 4]
            for z in atoms.numbers
        ]
    )
    vectors = atoms.positions[None] - atoms.positions[:, None]
    r = np.linalg.norm(vectors, axis=2)
    np.fill_diagonal(r, 2 * cutoff)
    units = vectors / r[..., None]
    smooth = np.where(r < cutoff, (1 + np.cos(np.pi * r / cutoff)) / 2, 0)
    centres = cutoff * np.array([0.20, 0.34, 0.48, 0.62, 0.76, 0.90])
    radial = np.exp(-((r[..., None] - centres) ** 2) / (2 * (0.14 * cutoff) ** 2))
    g = np.einsum("ij,ijn,jc->ijcn", smooth, radial, kinds).reshape(*r.shape, 18)
    tensors = np.einsum("ijx,ijy->ijxy", units, units) - np.eye(3) / 3
    l1 = np.einsum("ijk,ijx->ikx", g, units)
    l2 = np.einsum("ijk,ijxy->ikxy", g, tensors)
    return np.hstack(
        [
            g.sum(1),
            np.linalg.norm(l1, axis=2),
            np.sqrt(1.5 * (l2**2).sum((2, 3))),
            kinds[:, 1:],
        ]
    )


@pytest.mark.parametrize("name", ["CH3CH2OH", "SiF4", "C60", "H2", "bicyclobutane"])
@pytest.mark.parametrize("cutoff", [5.0, 3.1])
def test_equals_its_definition(features: Features, name: str, cutoff: float) -> None:
    atoms = molecule(name)
    expected = written_again(atoms, cutoff)
    found = features(atoms, cutoff=cutoff)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), mirrored=st.booleans())
def test_invariant_to_motions_and_order(
    features: Features, seed: int, n: int, mirrored: bool
) -> None:
    random = np.random.default_rng(seed)
    atoms = Atoms(random.choice([1, 6, 7, 8, 17], n), positions=random.uniform(0, 5, (n, 3)))
    rotation = Rotation.random(random_state=seed % 2**31).as_matrix() * (-1 if mirrored else 1)
    order = random.permutation(n)
    moved = Atoms(
        atoms.numbers[order],
        positions=(atoms.positions @ rotation.T + random.normal(scale=20, size=3))[order],
    )
    before, after = features(atoms), features(moved)
    np.testing.assert_allclose(after, before[order], rtol=1e-5, atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_changes_smoothly_through_the_cutoff(features: Features, seed: int) -> None:
    direction = np.random.default_rng(seed).normal(size=3)
    direction /= np.linalg.norm(direction)
    inside, outside = (
        features(Atoms("CO", positions=[[0, 0, 0], reach * direction])) for reach in (4.999, 5.001)
    )
    np.testing.assert_allclose(inside, outside, atol=1e-5)
    np.testing.assert_array_equal(outside[:, :54], 0)


def test_supercell_and_empty_box_change_nothing(features: Features) -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.64)
    one, many = features(crystal), features(crystal.repeat((2, 1, 3)))
    np.testing.assert_allclose(many, np.tile(one, (6, 1)), rtol=1e-5, atol=3e-4)
    free = molecule("CH3CH2OH")
    boxed = molecule("CH3CH2OH", cell=[30, 30, 30], pbc=True)
    boxed.positions += 14  # reaches over the edge
    boxed.wrap()
    np.testing.assert_allclose(features(boxed), features(free), rtol=1e-5, atol=2e-5)
    # Directions that are not periodic have no images.
    slab = Atoms("H", positions=[[0, 0, 0]], cell=[2, 2, 2], pbc=[True, False, False])
    row = Atoms("H5", positions=np.arange(-4, 6, 2)[:, None] * np.eye(3)[0])
    np.testing.assert_allclose(features(slab)[0], features(row)[2], rtol=1e-5, atol=2e-5)


def test_large_and_small_molecules_take_the_same_values(features: Features) -> None:
    random = np.random.default_rng(0)
    positions = random.uniform(0, 25, (520, 3))
    numbers = random.choice([1, 6, 8], 520)
    large = Atoms(numbers, positions=positions)
    small = Atoms(numbers[:300], positions=positions[:300])
    far = Atoms(numbers[300:], positions=positions[300:] + 1e3)
    both = small + far
    np.testing.assert_allclose(features(both)[:300], features(small), rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(features(large), written_again(large, 5.0), rtol=1e-5, atol=5e-5)


def test_lone_and_coinciding_atoms_have_finite_features(features: Features) -> None:
    lone = features(Atoms("C"), Atoms("H"))
    np.testing.assert_array_equal(lone[:, :54], 0)
    np.testing.assert_array_equal(lone[0, 54:], 1)
    same = features(Atoms("H2", positions=np.zeros((2, 3))))
    assert np.isfinite(same).all()
    np.testing.assert_array_equal(same[:, 18:54], 0)  # no direction
    apart = features(Atoms("CH", positions=[[0, 0, 0], [0, 0, 80]]))
    np.testing.assert_array_equal(apart, lone)


def test_rows_do_not_depend_on_the_chunk() -> None:
    frames = [molecule(name) for name in ("H2O", "CH4", "C6H6", "CO", "C2H6")]
    conformers = ConformerSet.from_ase([*frames, bulk("Cu")])
    whole = atomic_features(conformers, CompactDescriptor())
    for chunk in (1, 2, 4):
        blocks = list(CompactDescriptor().iter_features(conformers, chunk))
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in blocks]), whole)
        assert [len(offsets) - 1 for _, offsets in blocks] == [
            min(chunk, 6 - begin) for begin in range(0, 6, chunk)
        ]
        assert all(o[0] == 0 and o[-1] == len(x) for x, o in blocks)


def test_default_bandwidth_is_what_a_vibration_changes() -> None:
    conformers, _ = sample_geometries(bundled_molecules()[5::60], n_conformers=1, seed=0)
    compact = CompactDescriptor()
    assert compact.default_bandwidth == pytest.approx(
        displacement_bandwidth(conformers, compact), rel=0.06
    )
    assert CompactDescriptor(cutoff=4.0).default_bandwidth is None


def test_options() -> None:
    assert isinstance(CompactDescriptor(), Featurizer)
    for cutoff in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigurationError, match="cutoff"):
            CompactDescriptor(cutoff=cutoff)
