"""The partition of real sets: its identity, its limits, and what it must not depend on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from breadth.diversity import (
    ConfigurationError,
    ConformerSet,
    DataError,
    concat,
    read,
)
from breadth.diversity.descriptors import CompactDescriptor, SoapDescriptor
from breadth.diversity.kernel_density import kernel_sums
from breadth.diversity.measures import chain_rule
from breadth.diversity.measures.chain_rule import TERMS
from breadth.diversity.measures.partition import (
    Partition,
    bandwidth_curve,
    partition,
)
from breadth.sampling import GeometrySettings, bundled_molecules, sample_geometries

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared reference data are absent"
)


@pytest.fixture(scope="module")
def pool() -> ConformerSet:
    conformers, _ = sample_geometries(
        bundled_molecules()[::170], n_conformers=12, settings=GeometrySettings(), seed=1
    )
    return conformers


def _values(found: Partition) -> list[float]:
    return [getattr(found, name).value for name in TERMS]


def test_terms_add_up_and_carry_their_bandwidth(pool: ConformerSet) -> None:
    found = partition(pool)
    assert found.identity_error < 1e-6
    assert found.total.value == pytest.approx(sum(_values(found)[:3]), abs=1e-6)
    assert found.bandwidth == CompactDescriptor().default_bandwidth
    assert (found.n_molecules, found.n_conformers) == (12, 144)
    assert found.n_points == found.n_queries == pool.n_atoms
    assert found.jackknife == "molecules"
    for name in TERMS:
        term = getattr(found, name)
        assert term.interval[0] < term.value < term.interval[1]
        assert 0 < term.value < term.ceiling
    assert found.as_dict()["structural"]["value"] == found.structural.value


def test_intervals_hold_nothing_that_no_set_could_have(pool: ConformerSet) -> None:
    few = np.flatnonzero((pool.molecule == 0) | (pool.molecule == 1))
    uneven = pool.select(np.append(few, np.flatnonzero(pool.molecule == 2)[0]))
    found = partition(uneven)
    for name in TERMS:
        term = getattr(found, name)
        assert 0 <= term.interval[0] <= term.value <= term.interval[1] <= term.ceiling


def test_one_molecule_and_lone_conformers_are_the_limits(pool: ConformerSet) -> None:
    one = partition(pool.select(np.flatnonzero(pool.molecule == 0)))
    assert one.structural.value == 0.0
    assert one.jackknife == "blocks"
    assert one.conformational.value > 0
    firsts = np.unique(pool.molecule, return_index=True)[1]
    alone = partition(pool.select(firsts))
    assert alone.conformational.value == 0.0
    assert alone.structural.value > 0
    two = partition(pool.select(np.flatnonzero(pool.molecule < 2)))
    assert two.jackknife == "none"  # each alone is without structural diversity
    assert two.structural.value > 0
    assert two.structural.interval is None
    single = partition(pool.select([0]))
    assert _values(single)[0] == 0.0
    assert single.jackknife == "none"
    assert single.total.interval is None


def test_order_of_records_changes_nothing(pool: ConformerSet) -> None:
    order = np.random.default_rng(0).permutation(len(pool))
    for exact in (True, False):
        options = {"exact": exact, "n_queries": 300}
        one, other = partition(pool, **options), partition(pool.select(order), **options)
        np.testing.assert_allclose(_values(other), _values(one), atol=1e-5)
        assert other.total.interval == pytest.approx(one.total.interval, abs=1e-4)


def test_chunks_change_nothing(pool: ConformerSet) -> None:
    np.testing.assert_allclose(
        _values(partition(pool, chunk=7)), _values(partition(pool)), atol=1e-6
    )


def test_shuffled_records_cost_no_more_kernels(
    pool: ConformerSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(
        chain_rule,
        "kernel_sums",
        lambda *args, **options: calls.append(1) or kernel_sums(*args, **options),
    )
    shuffled = pool.select(np.random.default_rng(0).permutation(len(pool)))
    partition(pool, chunk=12)
    in_order = len(calls)
    partition(shuffled, chunk=12)
    assert len(calls) - in_order == in_order


def test_a_curve_holds_what_is_known_of_points_once(pool: ConformerSet) -> None:
    class Flat:
        name = "flat"
        default_bandwidth = 1.0

        def iter_features(
            self, conformers: ConformerSet, chunk: int
        ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for part in conformers.iter_chunks(chunk):
                yield np.ones((part.n_atoms, 1), np.float32), part.offsets

    peaks = []
    large = pool.select(np.repeat(np.arange(len(pool)), 100))
    for widths in ([1.0], [1.0] * 9):
        tracemalloc.start()
        bandwidth_curve(large, featurizer=Flat(), bandwidths=widths, n_queries=10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_more_vibration_is_more_conformational_and_not_more_structural(pool: ConformerSet) -> None:
    cold, hot = (
        sample_geometries(
            bundled_molecules()[::170],
            n_conformers=12,
            settings=GeometrySettings(temperature=t, max_minima=1),
            seed=1,
        )[0]
        for t in (100, 1000)
    )
    a, b = partition(cold), partition(hot)
    assert b.conformational.value > 1.5 * a.conformational.value
    assert b.structural.value < a.structural.value + 0.1


def test_structures_have_no_sites(pool: ConformerSet) -> None:
    found = partition(pool, level="structures")
    assert found.intramolecular.value == 0.0
    assert found.n_points == len(pool)
    assert found.identity_error < 1e-6
    assert found.bandwidth < partition(pool).bandwidth


def test_sampling_agrees_with_all_queries(pool: ConformerSet) -> None:
    whole = partition(pool)
    for seed in range(3):
        some = partition(pool, exact=False, n_queries=600, seed=seed)
        assert some.n_queries == 600
        for name in TERMS:
            assert getattr(some, name).value == pytest.approx(getattr(whole, name).value, abs=0.12)


def test_other_descriptors_find_a_bandwidth_of_their_own(pool: ConformerSet) -> None:
    part = pool.select(np.flatnonzero(pool.molecule < 3))
    found = partition(part, featurizer=SoapDescriptor(n_max=3, l_max=2))
    assert found.bandwidth > 0
    assert found.identity_error < 1e-6
    assert 0 < found.conformational.value < found.conformational.ceiling


def test_curve_falls_with_the_bandwidth_and_meets_the_ceiling(pool: ConformerSet) -> None:
    curve = bandwidth_curve(pool, bandwidths=[1e-3, 0.25, 0.5, 1.0, 100.0])
    total = np.array(curve["total"])
    assert (np.diff(total) < 0).all()
    assert total[0] == pytest.approx(np.log(pool.n_atoms), rel=0.05)
    # Between elements nothing overlaps at any bandwidth: what is left is that of composition.
    share = np.unique(pool.numbers, return_counts=True)[1] / pool.n_atoms
    assert total[-1] == pytest.approx(-(share * np.log(share)).sum(), abs=0.06)


@needs_shared
def test_real_trajectories() -> None:
    aspirin = read(SHARED / "rmd17" / "rmd17_aspirin_train_01.npz")
    benzene = read(SHARED / "rmd17" / "rmd17_benzene_train_01.npz")
    both = concat([aspirin.select(np.arange(200)), benzene.select(np.arange(200))])
    found = partition(both)
    assert found.identity_error < 1e-6
    assert found.structural.ceiling == pytest.approx(0.65, abs=0.02)  # 21 and 12 atoms
    stiff, soft = (partition(s.select(np.arange(200))) for s in (benzene, aspirin))
    assert stiff.conformational.value < soft.conformational.value
    # All carbons of benzene are alike, and so are its hydrogens.
    assert stiff.intramolecular.value == pytest.approx(np.log(2), abs=0.02)


@needs_shared
def test_few_frames_at_a_narrow_bandwidth_are_flagged_at_their_ceiling() -> None:
    frames = read(SHARED / "rmd17" / "rmd17_aspirin_train_01.npz").select(np.arange(50))
    narrow = partition(frames, bandwidth=0.05)
    assert narrow.conformational.at_ceiling
    assert narrow.conformational.ceiling == pytest.approx(np.log(50))
    assert not partition(frames, bandwidth=1.0).conformational.at_ceiling


@needs_shared
def test_periodic_structures() -> None:
    found = partition(read(SHARED / "umlip_bias" / "choline_naive" / "10.xyz"))
    assert found.structural.value == 0.0
    assert found.conformational.value > 0


def test_bad_input_is_told(pool: ConformerSet) -> None:
    with pytest.raises(ConfigurationError, match="level"):
        partition(pool, level="bonds")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="bandwidth"):
        partition(pool, bandwidth=-1.0)
    with pytest.raises(DataError, match="empty"):
        partition(pool.select([]))
