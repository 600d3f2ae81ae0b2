"""Rows of features by atom and by structure, their checks, and the bandwidth of any featurizer."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from breadth.diversity import ConfigurationError, ConformerSet, DataError
from breadth.diversity.descriptors import (
    CompactDescriptor,
    atomic_features,
    bandwidth_for,
    bound,
    displacement_bandwidth,
    structure_features,
)


class Coordinates:
    """Positions as features: what a displacement changes is known."""

    def __init__(self, stop: int | None = None, bad: int | None = None) -> None:
        self.stop, self.bad = stop, bad

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        last = len(conformers) if self.stop is None else self.stop
        for begin in range(0, last, chunk):
            part = conformers.select(np.arange(begin, min(begin + chunk, last)))
            rows = part.positions.copy()
            if self.bad is not None and begin <= self.bad < begin + len(part):
                rows[part.atoms_slice(self.bad - begin)] = np.nan
            yield rows, part.offsets


@pytest.fixture
def conformers() -> ConformerSet:
    return ConformerSet.from_ase([molecule(n) for n in ("H2O", "CH4", "C6H6", "CO", "C2H6")])


def test_rows_by_atom_and_by_structure(conformers: ConformerSet) -> None:
    for chunk in (1, 3, 100):
        rows = atomic_features(conformers, Coordinates(), chunk=chunk)
        np.testing.assert_array_equal(rows, conformers.positions.astype(np.float32))
        means = structure_features(conformers, Coordinates(), chunk=chunk)
        expected = [conformers.positions[conformers.atoms_slice(i)].mean(0) for i in range(5)]
        np.testing.assert_allclose(means, expected, atol=1e-6)
        assert rows.dtype == means.dtype == np.float32


def test_nan_names_the_conformer_and_missing_rows_are_told(conformers: ConformerSet) -> None:
    for take in (atomic_features, structure_features):
        for chunk in (2, 100):
            with pytest.raises(DataError, match=r"conformer 3 .*NaN"):
                take(conformers, Coordinates(bad=3), chunk=chunk)
        with pytest.raises(DataError, match="4 of 5"):
            take(conformers, Coordinates(stop=4))
        with pytest.raises(DataError, match="empty"):
            take(conformers.select([]), Coordinates())


def test_displacement_bandwidth_is_the_noise_where_positions_are_the_features() -> None:
    many = ConformerSet.from_ase([molecule("C60")] * 60)
    found = displacement_bandwidth(many, Coordinates(), sigma=0.1)
    assert found == pytest.approx(0.1 * np.sqrt(3), rel=0.02)
    assert bandwidth_for(Coordinates(), many) == displacement_bandwidth(many, Coordinates())
    assert bandwidth_for(CompactDescriptor(), many) == CompactDescriptor().default_bandwidth


@pytest.mark.parametrize("n", [40, 400])
def test_bandwidth_does_not_depend_on_the_order_of_records(n: int) -> None:
    random = np.random.default_rng(0)
    frames = []
    for _ in range(n):
        frames.append(molecule("CH3CH2OH"))
        frames[-1].positions += random.normal(scale=0.1, size=(9, 3))
    conformers = ConformerSet.from_ase(frames)
    shuffled = conformers.select(random.permutation(n))
    compact = CompactDescriptor()
    assert displacement_bandwidth(shuffled, compact) == displacement_bandwidth(conformers, compact)


def test_no_bandwidth_without_neighbours(
    conformers: ConformerSet, as_set: Callable[[list[Atoms]], ConformerSet]
) -> None:
    lone = as_set([Atoms("H"), Atoms("C")])
    with pytest.raises(DataError, match="alone"):
        displacement_bandwidth(lone, CompactDescriptor())
    with pytest.raises(DataError, match="empty"):
        displacement_bandwidth(lone.select([]), CompactDescriptor())
    with pytest.raises(ConfigurationError, match="positive"):
        displacement_bandwidth(conformers, CompactDescriptor(), sigma=0.0)


def test_bound_leaves_others_alone(conformers: ConformerSet) -> None:
    compact = CompactDescriptor()
    assert bound(compact, conformers) is compact
