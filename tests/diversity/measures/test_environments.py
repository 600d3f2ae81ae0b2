"""Entropy, diversity and novelty of environments: closed forms, a double loop, and coverage."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity import ConfigurationError, ConformerSet, DataError, concat, read
from breadth.diversity.descriptors import CompactDescriptor, SoapDescriptor, atomic_features
from breadth.diversity.kernel_density import SINGLE_PRECISION_ERROR
from breadth.diversity.measures.environments import (
    NOVELTY_CAP,
    compare_environments,
    environment_measures,
    environment_pairs,
)
from breadth.sampling.geometries import sample_geometries
from breadth.sampling.molecules import bundled_molecules

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"

AsSet = Callable[[list[Atoms]], ConformerSet]


class Coordinates:
    """Positions as features, so that distances between environments are what a test says."""

    name = "coordinates"
    default_bandwidth = 1.0

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in conformers.iter_chunks(chunk):
            yield part.positions.astype(np.float32), part.offsets


class Broken(Coordinates):
    """NaN for one atom."""

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows, offsets in super().iter_features(conformers, chunk):
            rows[-1] = np.nan
            yield rows, offsets


def points(as_set: AsSet, *clouds: tuple[int, np.ndarray]) -> ConformerSet:
    """Return lone atoms at given places: (element, positions)."""
    return as_set([Atoms([z], positions=[place]) for z, cloud in clouds for place in cloud])


def double_loop(conformers: ConformerSet, h: float, z: int | None = None) -> tuple[float, float]:
    """Return entropy and diversity from all pairs, one at a time in float64."""
    x = atomic_features(conformers, CompactDescriptor()).astype(np.float64)
    chosen = [i for i, a in enumerate(conformers.numbers) if z in (None, a)]
    sums = [
        sum(
            np.exp(-((x[i] - x[j]) ** 2).sum() / (2 * h**2))
            for j in chosen
            if conformers.numbers[i] == conformers.numbers[j]
        )
        for i in chosen
    ]
    n = len(chosen)
    return -sum(np.log(s / n) for s in sums) / n, float(np.log(sum(1 / s for s in sums)))


@pytest.fixture(scope="module")
def drugs() -> ConformerSet:
    return sample_geometries(bundled_molecules()[::250], n_conformers=4, seed=0)[0]


def test_equals_a_double_loop(drugs: ConformerSet) -> None:
    few = drugs.select(np.arange(0, len(drugs), 4))
    found = environment_measures(few, bandwidth=0.8)
    assert found["exact"]
    assert found["n_environments"] == found["n_queries"] == few.n_atoms
    expected = double_loop(few, 0.8)
    assert found["entropy"] == {"value": pytest.approx(expected[0], abs=2e-5), "standard_error": 0}
    assert found["diversity"]["value"] == pytest.approx(expected[1], abs=2e-5)
    assert found["ceiling"] == pytest.approx(np.log(few.n_atoms))
    carbon = double_loop(few, 0.8, z=6)
    assert found["by_element"]["C"]["entropy"]["value"] == pytest.approx(carbon[0], abs=2e-5)
    assert found["by_element"]["C"]["diversity"]["value"] == pytest.approx(carbon[1], abs=2e-5)


def test_closed_forms(as_set: AsSet) -> None:
    same = np.zeros((12, 3))
    apart = 100.0 * np.arange(12)[:, None] * np.ones(3)
    coordinates = Coordinates()

    def measured(*clouds: tuple[int, np.ndarray]) -> tuple[float, float, bool]:
        found = environment_measures(points(as_set, *clouds), featurizer=coordinates)
        return found["entropy"]["value"], found["diversity"]["value"], found["at_ceiling"]

    assert measured((6, same)) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6), False)
    n = np.log(12)
    assert measured((6, apart)) == (pytest.approx(n), pytest.approx(n), True)
    # Two clusters of 9 and 3 places: entropy is that of their shares, diversity ln 2.
    two = np.repeat([[0.0, 0, 0], [500.0, 0, 0]], [9, 3], axis=0)
    shares = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert measured((6, two))[:2] == pytest.approx((shares, np.log(2)))
    # Elements at one place share nothing either.
    assert measured((6, same[:9]), (1, same[:3]))[:2] == pytest.approx((shares, np.log(2)))
    # Two environments at distance d: H = −ln((1 + K)/2), D = −ln((1 + K)/2).
    k = np.exp(-0.5 * 1.3**2)
    pair = np.array([[0.0, 0, 0], [1.3, 0, 0]])
    assert measured((8, pair))[:2] == pytest.approx([-np.log((1 + k) / 2)] * 2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), h=st.floats(0.05, 20))
def test_bounds_order_and_copies(as_set: AsSet, seed: int, n: int, h: float) -> None:
    off = SINGLE_PRECISION_ERROR  # what the sums of kernels promise
    random = np.random.default_rng(seed)
    cloud = points(as_set, (6, random.normal(size=(n, 3))), (1, random.normal(size=(2, 3))))
    options = {"featurizer": Coordinates(), "bandwidth": h}
    found = environment_measures(cloud, **options)
    entropy, diversity = found["entropy"]["value"], found["diversity"]["value"]
    assert -off <= entropy <= found["ceiling"] + off
    # By Jensen's inequality the mean of 1/s is no less than the exponential of the mean logarithm.
    assert entropy - off <= diversity <= found["ceiling"] + off
    shuffled = environment_measures(cloud.select(random.permutation(n + 2)), **options)
    assert shuffled["entropy"]["value"] == pytest.approx(entropy, abs=off)
    curve = found["bandwidth_curve"]
    assert curve["bandwidth"][3] == pytest.approx(h)
    assert curve["entropy"][3] == entropy
    assert (np.diff(curve["entropy"]) <= off).all()  # wider kernels tell fewer apart
    # The same set twice holds the same: shares do not change.
    twice = as_set(
        [
            Atoms([int(z)], positions=[p])
            for z, p in zip(
                np.tile(cloud.numbers, 2), np.tile(cloud.positions, (2, 1)), strict=True
            )
        ]
    )
    assert environment_measures(twice, **options)["entropy"]["value"] == pytest.approx(
        entropy, abs=off
    )


def test_sampled_values_lie_within_their_errors(as_set: AsSet) -> None:
    random = np.random.default_rng(0)
    clouds = [
        (z, random.normal(scale=spread, size=(n, 3)))
        for z, n, spread in ((1, 2000, 2.0), (6, 900, 4.0), (17, 40, 1.0))
    ]
    cloud = points(as_set, *clouds)
    other = points(as_set, *[(z, 1.2 * c[::2] + 0.5) for z, c in clouds])
    options = {"featurizer": Coordinates(), "bandwidth": 0.5}
    true = environment_measures(cloud, **options)
    compared = compare_environments(other, cloud, **options)["b_in_a"]
    inside = dict.fromkeys(("entropy", "diversity", "C", "overlap", "novelty"), 0)
    errors, seeds = [], 60
    for seed in range(seeds):
        found = environment_measures(cloud, exact=False, n_queries=300, seed=seed, **options)
        assert not found["exact"]
        assert found["n_queries"] == pytest.approx(300, abs=30)
        known = compare_environments(
            other, cloud, exact=False, n_queries=300, seed=seed, **options
        )["b_in_a"]
        for name, got, expected in (
            ("entropy", found["entropy"], true["entropy"]),
            ("diversity", found["diversity"], true["diversity"]),
            ("C", found["by_element"]["C"]["entropy"], true["by_element"]["C"]["entropy"]),
            ("overlap", known["pooled"]["overlap"], compared["pooled"]["overlap"]),
            ("novelty", known["pooled"]["novelty"], compared["pooled"]["novelty"]),
        ):
            assert got["standard_error"] > 0
            inside[name] += abs(got["value"] - expected["value"]) < 2 * got["standard_error"]
        errors.append(found["entropy"]["value"] - true["entropy"]["value"])
    # Nominally 95.4 %; fewer than 86 % of 60 have a probability below 0.1 %.
    assert min(inside.values()) >= 0.86 * seeds, inside
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(seeds)


def test_sample_does_not_depend_on_the_order_of_records(drugs: ConformerSet) -> None:
    options = {"exact": False, "n_queries": 100, "seed": 3}
    shuffled = drugs.select(np.random.default_rng(1).permutation(len(drugs)))
    first, second = (environment_measures(s, **options) for s in (drugs, shuffled))
    assert first["entropy"]["value"] == pytest.approx(second["entropy"]["value"], abs=1e-6)
    other = environment_measures(drugs, exact=False, n_queries=100, seed=4)
    assert other["entropy"]["value"] != first["entropy"]["value"]
    whole = environment_measures(drugs)["entropy"]["value"]
    assert whole == pytest.approx(
        first["entropy"]["value"], abs=5 * first["entropy"]["standard_error"]
    )


def test_all_sampled_is_exact(drugs: ConformerSet) -> None:
    exact = environment_measures(drugs)
    sampled = environment_measures(drugs, exact=False, n_queries=10**6)
    assert sampled["entropy"]["standard_error"] == 0
    assert sampled["entropy"]["value"] == pytest.approx(exact["entropy"]["value"], abs=1e-4)
    assert sampled["diversity"]["value"] == pytest.approx(exact["diversity"]["value"], abs=1e-4)


def test_what_is_known_and_what_is_new(drugs: ConformerSet, as_set: AsSet) -> None:
    half = drugs.select(np.arange(len(drugs) // 2))
    found = compare_environments(drugs, half)
    assert found["exact"]
    assert found["b_in_a"]["pooled"]["overlap"]["value"] == 1
    assert found["b_in_a"]["pooled"]["novelty"]["value"] <= 1e-4
    back = found["a_in_b"]["pooled"]
    assert 0 < back["novel"]["value"] < 1
    assert back["novelty"]["value"] > 0
    assert back["overlap"]["value"] + back["novel"]["value"] == 1
    # An element that the other set lacks is new; so is what is far away.
    salt = as_set([Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]])])
    found = compare_environments(half, salt)
    assert found["b_in_a"]["by_element"]["Na"]["novelty"]["value"] == NOVELTY_CAP
    assert found["b_in_a"]["by_element"]["Na"]["overlap"]["value"] == 0


def test_novelty_of_one_environment(as_set: AsSet) -> None:
    known = points(as_set, (6, np.array([[0.0, 0, 0], [2.0, 0, 0]])))
    new = points(as_set, (6, np.array([[1.0, 0, 0]])))
    found = compare_environments(known, new, featurizer=Coordinates(), bandwidth=1.0)["b_in_a"]
    assert found["pooled"]["novelty"]["value"] == pytest.approx(-np.log(2 * np.exp(-0.5)))
    assert found["pooled"]["overlap"]["value"] == 1


def test_soap_of_two_sets_shares_its_elements(as_set: AsSet) -> None:
    soap = SoapDescriptor(n_max=2, l_max=1)
    found = compare_environments(
        as_set([molecule("H2O")]), as_set([molecule("CH4")]), featurizer=soap
    )
    assert found["descriptor"] == "soap"
    assert found["b_in_a"]["by_element"]["C"]["overlap"]["value"] == 0


def test_lone_and_isolated_atoms(as_set: AsSet) -> None:
    one = environment_measures(as_set([Atoms("He")]))
    assert one["entropy"]["value"] == one["ceiling"] == 0
    assert not one["at_ceiling"]
    far = environment_measures(as_set([Atoms("H3", positions=np.diag([0, 90, 900]))]))
    assert far["entropy"]["value"] == pytest.approx(0, abs=1e-6)  # nothing tells them apart


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data are not here")
def test_periodic_sets_are_measured() -> None:
    choline = read(SHARED / "umlip_bias/choline_naive/50.xyz")
    few = choline.select(np.arange(4))
    assert few.pbc.all()
    found = environment_measures(few)
    assert 0 < found["entropy"]["value"] < found["ceiling"]
    assert set(found["by_element"]) >= {"C", "H", "N", "O", "Cl"}
    both = compare_environments(few, concat([few, choline.select([9])]))
    assert both["a_in_b"]["pooled"]["overlap"]["value"] == 1


def test_cost_can_be_asked(drugs: ConformerSet) -> None:
    counts = np.unique(drugs.numbers, return_counts=True)[1]
    assert environment_pairs(drugs) == (counts * (counts + 1) // 2).sum()
    assert environment_pairs(drugs, exact=False, n_queries=60) < environment_pairs(drugs)


def test_bad_input_is_told(drugs: ConformerSet) -> None:
    with pytest.raises(DataError, match="empty"):
        environment_measures(drugs.select([]))
    with pytest.raises(DataError, match="empty"):
        compare_environments(drugs, drugs.select([]))
    for exact in (True, False):
        with pytest.raises(DataError, match="NaN"):
            environment_measures(drugs, featurizer=Broken(), exact=exact, n_queries=100)
    for h in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigurationError, match="positive"):
            environment_measures(drugs, bandwidth=h)
    with pytest.raises(ConfigurationError, match="At least one"):
        environment_measures(drugs, exact=False, n_queries=0)
