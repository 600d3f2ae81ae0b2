"""Shift between sets of structures, on made-up arrays whose shift is known."""

import numpy as np
import pytest

from breadth.analysis.detectors.base import evenly_taken
from breadth.analysis.shift.between import (
    DETECTORS,
    MEASURES,
    available,
    hold_out_quantile,
    shift,
    structure_shift,
    system_scores,
)
from breadth.analysis.shift.composition import (
    composition_score,
    element_shares,
    unknown_elements,
)
from breadth.analysis.shift.structure_rows import (
    StructureRows,
    leading_components,
)
from breadth.diversity import ConfigurationError, DataError

SCALARS = ("force_norm", "predicted_force_norm", "connectivity", "committee_variance")


def made_up(n, *, seed, numbers=(6, 1, 1, 8), molecules=1, moved=0.0, hot=1.0):
    """Structures of a few atoms whose features scatter about those of their element."""
    rng = np.random.default_rng(seed)
    z = np.tile(numbers, n)
    features = np.stack([np.sin(z), np.cos(z), z / 8.0], axis=1) + moved
    features = features + 0.1 * hot * rng.normal(size=features.shape)
    return StructureRows(
        numbers=z,
        offsets=np.arange(n + 1) * len(numbers),
        molecule=np.array([f"m{seed % 2}-{k % molecules}" for k in range(n)]),
        features=features,
        scalars={name: hot * rng.gamma(9.0, 0.1, n) for name in SCALARS},
    )


@pytest.fixture(scope="module")
def reference():
    return made_up(60, seed=0)


def test_a_set_is_at_no_distance_from_itself(reference):
    found = shift(reference, reference)["measures"]
    assert tuple(found) == MEASURES
    for name, one in found.items():
        assert one["distance"] == 0.0, name
        assert one["interval"][0] == 0.0, name
        assert 0.3 <= one["quantiles"]["0.5"] <= 0.7, name


@pytest.mark.parametrize("seed", range(4))
def test_random_halves_of_one_set_cover_zero(seed):
    whole = made_up(120, seed=2 * seed, molecules=3)
    order = np.random.default_rng(seed).permutation(120)
    found = shift(*(whole.select(np.sort(part)) for part in np.split(order, 2)))["measures"]
    seen = [name for name, one in found.items() if one["interval"][0] > 0]
    assert len(seen) <= 2  # of 15 intervals of 95 %, four times
    assert all(one["outside"] < 0.3 for one in found.values())


def test_every_measure_sees_what_it_is_for(reference):
    same = shift(reference, made_up(60, seed=2))["measures"]
    hotter = shift(reference, made_up(60, seed=4, hot=2.0))["measures"]
    moved = shift(reference, made_up(60, seed=6, moved=0.3))["measures"]
    larger = shift(reference, made_up(60, seed=8, numbers=(6, 1, 1, 8, 6, 6)))["measures"]

    def seen(one):
        return {name for name, m in one.items() if m["interval"][0] > 0}

    assert len(seen(same)) <= 1
    assert {*SCALARS, "knn", "mahalanobis", "density"} <= seen(hotter)
    on_features = set(MEASURES) - {*SCALARS, "composition", "elements", "size"}
    assert on_features <= seen(moved)
    assert {"composition", "size"} <= seen(larger)
    assert larger["size"]["distance"] == pytest.approx(2.0)
    assert larger["composition"]["outside"] == 1.0
    assert moved["frechet"]["distance"] == pytest.approx(0.3 * 3**0.5, rel=0.1)


def test_an_unknown_element_is_far_out_and_finite(reference):
    fluorine = made_up(20, seed=2, numbers=(6, 1, 9, 8))
    known = made_up(20, seed=4)
    far, near = (structure_shift(reference, one) for one in (fluorine, known))
    for name in ("elements", "composition", "knn", "mahalanobis_per_element", "density"):
        assert np.isfinite(far[name]).all()
        assert far[name].min() > near[name].max(), name
    np.testing.assert_allclose(far["elements"], 0.25)
    found = shift(reference, fluorine)["measures"]["elements"]
    assert found["distance"] == 0.25
    assert found["quantiles"]["0.05"] == 1.0


def test_an_element_that_is_rare_in_a_large_reference_is_known():
    """Thinning keeps one structure of each element, wherever it is."""
    common, rare = made_up(2000, seed=0), made_up(1, seed=2, numbers=(6, 1, 9, 8))
    parts = common.select(np.arange(1001)), rare, common.select(np.arange(1001, 2000))
    reference = StructureRows(
        numbers=np.concatenate([p.numbers for p in parts]),
        offsets=np.arange(2002) * 4,
        molecule=np.concatenate([p.molecule for p in parts]),
        features=np.concatenate([p.features for p in parts]),
    )
    for most in (10, 250, 1000):
        thinned = reference.evenly(most)
        assert len(thinned) in (most, most - 1)  # one of the firsts may be among the even ones
        assert 9 in thinned.numbers
    np.testing.assert_array_equal(
        common.evenly(10).scalars["connectivity"],
        common.scalars["connectivity"][evenly_taken(2000, 10)],
    )
    name = "mahalanobis_per_element"
    found = structure_shift(reference, rare, measures=["elements", name])
    far = structure_shift(common, rare, measures=["elements", name])
    assert (found["elements"], far["elements"]) == (0.0, 0.25)
    assert found[name] < 0.5 * far[name]


def test_detectors_of_the_table_are_never_fitted(reference):
    structure_shift(reference, reference)
    assert not any(hasattr(one, "offset_") for one in DETECTORS.values())


def test_composition_is_the_distance_to_the_nearest_known_one(reference):
    new = StructureRows(
        numbers=[6, 1, 1, 8, 6, 1, 1, 8, 6, 6, 9, 9],
        offsets=[0, 4, 8, 10, 12],
        molecule=["a", "a", "b", "c"],
    )
    # Twice formaldehyde; two carbons share a quarter with it; two fluorines nothing.
    np.testing.assert_allclose(composition_score(reference, new), [0, 0, 0.75, 1])
    np.testing.assert_allclose(unknown_elements(reference, new), [0, 0, 0, 1])
    np.testing.assert_allclose(element_shares(new).sum(1), 1.0)


def test_single_and_isolated_atoms_are_defined(reference):
    atoms = StructureRows(
        numbers=[1, 6, 8],
        offsets=[0, 1, 2, 3],
        molecule=["H", "C", "O"],
        features=np.zeros((3, 3)),
        scalars=dict.fromkeys(SCALARS, np.zeros(3)),
    )
    scores = structure_shift(reference, atoms)
    assert all(np.isfinite(values).all() for values in scores.values())
    found = shift(reference, atoms)["measures"]
    assert found["size"]["distance"] == pytest.approx(3.0)
    assert found["knn"]["outside"] == 1.0


def test_one_structure_has_a_distance_but_no_interval(reference):
    found = shift(reference, made_up(1, seed=2, moved=1.0))
    assert "classifier" not in found["measures"]
    for one in found["measures"].values():
        assert one["interval"] is None
        assert "one block only" in one["reason"]
    assert found["measures"]["frechet"]["distance"] > 1.0
    with pytest.raises(DataError, match="two structures"):
        shift(made_up(1, seed=2), reference)


def test_the_order_of_atoms_does_not_matter(reference):
    """Nor that of sets' molecules by name."""
    other = made_up(40, seed=2, moved=0.1)
    order = np.random.default_rng(0).permuted(np.arange(4 * 40).reshape(40, 4), axis=1).ravel()
    shuffled = StructureRows(
        numbers=other.numbers[order],
        offsets=other.offsets,
        molecule=other.molecule,
        features=other.features[order],
        scalars=other.scalars,
    )
    one, two = (shift(reference, rows)["measures"] for rows in (other, shuffled))
    for name in MEASURES:
        assert one[name]["distance"] == pytest.approx(two[name]["distance"], rel=1e-6, abs=1e-9)
        assert one[name]["interval"] == pytest.approx(two[name]["interval"], rel=1e-5, abs=1e-9)


def test_system_scores_are_means_of_their_structures(reference):
    systems = made_up(30, seed=2, hot=1.5)
    of = np.repeat([1, 0, 2], 10)
    found = system_scores(reference, systems, of)
    assert set(found) == set(MEASURES)
    by_structure = structure_shift(reference, systems)
    for name in ("composition", "size", "force_norm", "knn", "density", "committee_variance"):
        want = [by_structure[name][of == k].mean() for k in range(3)]
        np.testing.assert_allclose(found[name], want)
    from breadth.analysis.shift.set_distances import EnergyDistance

    means = [x.features.reshape(-1, 4, 3).mean(1) for x in (reference, systems)]
    want = EnergyDistance().squared(means[0], means[1][of == 2]) ** 0.5
    assert found["energy_distance"][2] == pytest.approx(want)


def test_system_scores_rank_systems_by_their_shift(reference):
    moved = np.linspace(0.0, 0.5, 8)
    parts = [made_up(10, seed=2 * k, moved=step) for k, step in enumerate(moved)]
    systems = StructureRows(
        numbers=np.concatenate([p.numbers for p in parts]),
        offsets=np.arange(81) * 4,
        molecule=np.repeat(np.arange(8), 10),
        features=np.concatenate([p.features for p in parts]),
    )
    names = ["knn", "mahalanobis", "density", "frechet", "mmd", "classifier"]
    plain = StructureRows(**{**vars(reference), "scalars": {}})
    found = system_scores(plain, systems, np.repeat(np.arange(8), 10), measures=names)
    for name, values in found.items():
        place = hold_out_quantile(values, values[:2])
        # Kernels and ranks saturate, so that the farthest systems may be equally far.
        assert values[0] < values[1] < values[3:].min(), name
        assert place[-1] == 1.0


def test_many_columns_are_brought_to_their_principal_components():
    """Distances between rows of few dimensions, written in 300 columns, are as they were."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(300, 3)))[0].T
    narrow = made_up(30, seed=0), made_up(20, seed=2, moved=0.2)
    wide = tuple(StructureRows(**{**vars(r), "features": r.features @ turn}) for r in narrow)
    names = ["knn", "density", "frechet", "energy_distance"]
    found = [shift(*pair, measures=names)["measures"] for pair in (narrow, wide)]
    for name in names:
        assert found[1][name]["distance"] == pytest.approx(found[0][name]["distance"], rel=1e-6)
    assert leading_components(*wide)[0].features.shape == (120, 100)
    assert leading_components(*narrow) == narrow


def test_systems_of_one_structure_leave_out_the_classifier(reference):
    rows = made_up(3, seed=2)
    assert "classifier" not in system_scores(reference, rows, np.arange(3))
    with pytest.raises(DataError, match="numbered from 0"):
        system_scores(reference, rows, np.array([0, 2, 2]))


def test_measures_need_their_arrays(reference):
    bare = StructureRows(
        numbers=reference.numbers, offsets=reference.offsets, molecule=reference.molecule
    )
    assert available(bare, reference) == ["composition", "elements", "size"]
    with pytest.raises(ConfigurationError, match="lack what the measure knn"):
        shift(bare, reference, measures=["knn"])
    with pytest.raises(ConfigurationError, match="no measure of shift 'nearest'"):
        shift(reference, reference, measures=["nearest"])
    with pytest.raises(ConfigurationError, match="tells sets apart"):
        structure_shift(reference, reference, measures=["classifier"])


def test_arrays_must_fit(reference):
    whole = vars(reference)
    for bad, message in (
        ({"offsets": np.array([0, 4])}, "offsets do not fit"),
        ({"molecule": np.array(["a"])}, "Molecules of shape"),
        ({"features": np.full((240, 3), np.nan)}, "finite rows"),
        ({"scalars": {"force_norm": np.full(60, np.nan)}}, "finite number"),
    ):
        with pytest.raises(DataError, match=message):
            StructureRows(**{**whole, **bad})


def test_quantiles_refuse_what_is_no_number():
    with pytest.raises(DataError, match="numbers"):
        hold_out_quantile([1.0], [])
    with pytest.raises(DataError, match="numbers"):
        hold_out_quantile([np.nan], [1.0])
