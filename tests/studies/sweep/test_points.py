"""Points of a sweep: every combination once, named, along labelled dimensions."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from breadth.studies.sweep.joining import joined
from breadth.studies.sweep.points import dimensions, sweep_points
from breadth.studies.sweep.question import SweepPlan


def plan(**keys):
    return SweepPlan(study="tradeoff", **keys)


def test_combinations_pairs_and_lists(study):
    both = plan(over={"terms": [1, 2]}, zip={"seed": [5, 6, 7], "inner.rate": [1.0, 2.0, 3.0]})
    points = sweep_points(both)
    assert list(dimensions(both)) == ["terms", "zipped"]
    assert [p.place for p in points] == [(i, j) for i in range(2) for j in range(3)]
    assert [(p.asked.terms, p.asked.seed, p.asked.inner.rate) for p in points] == [
        (terms, seed, seed - 4.0) for terms in (1, 2) for seed in (5, 6, 7)
    ]
    listed = plan(set={"inner": {"rate": 9}}, points=[{"seed": 3}, {"seed": 1}])
    assert list(dimensions(listed)) == ["point"]
    assert [(p.name, p.asked.inner.rate) for p in sweep_points(listed)] == [
        ("seed=3", 9.0),
        ("seed=1", 9.0),
    ]


def test_names_are_folders(study):
    names = [p.name for p in sweep_points(plan(over={"fails": ["", "../../x", "plain", "a/b"]}))]
    assert names == ["fails=no0", "fails=no1", "fails=plain", "fails=no3"]
    sections = [p.name for p in sweep_points(plan(over={"inner": [{"rate": 1}, {"rate": 2}]}))]
    assert sections == ["inner=no0", "inner=no1"]
    # Two texts may look like one: numbers tell them apart.
    twins = [p.name for p in sweep_points(plan(over={"fails": ["no1", "x y"]}))]
    assert twins == ["point-0000", "point-0001"]


def test_the_preset_and_the_keys_that_all_points_have():
    """Of a real study: dotted and nested keys over a preset's."""
    points = sweep_points(
        SweepPlan(
            study="tradeoff",
            preset="smoke",
            set={"training": {"n_updates": 3}, "pool.n_molecules": 20, "fixed_molecules": None},
            over={"training.learning_rate": [1e-5, 0.003]},
        )
    )
    assert [p.name for p in points] == ["learning_rate=1e-05", "learning_rate=0.003"]
    first = points[0].asked
    assert (first.training.n_updates, first.training.learning_rate) == (3, 1e-5)
    assert (first.pool.n_molecules, first.pool.n_conformers) == (20, 24)
    assert first.fixed_molecules is None


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    inner=st.integers(1, 3),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_joined_results_are_those_of_the_points(sizes, inner, seed):
    values = np.random.default_rng(seed).normal(size=(*sizes, inner))
    along = {f"k{i}": {f"k{i}": list(range(10, 10 + n))} for i, n in enumerate(sizes)}
    places = list(np.ndindex(*sizes))
    results = [
        xr.Dataset(
            {"value": ("row", values[place]), "flag": ("row", values[place] > 0)},
            coords={"row": np.arange(inner), "place": ("row", np.full(inner, place[0]))},
            attrs={"level": "gfn2", "own": str(place)},
        )
        for place in places
    ]
    made = joined(results, places, along)
    assert math.prod(sizes) == len(places)
    for place, one in zip(places, results, strict=True):
        there = made.sel({f"k{i}": 10 + k for i, k in enumerate(place)})
        np.testing.assert_array_equal(there["value"], one["value"])
        np.testing.assert_array_equal(there["flag"], one["flag"])
        np.testing.assert_array_equal(there["place"], one["place"])
    assert made["flag"].dtype == bool
    assert made.attrs["level"] == "gfn2"
    assert ("own" in made.attrs) == (len(places) == 1)
    assert ("k0" in made["place"].dims) == (sizes[0] > 1)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 2.5], [1.0, 2.5]),
        (["a", "b"], ["a", "b"]),
        ([None, 2], ["null", "2"]),
        ([[1, 2], {"x": 1}], ["[1,2]", '{"x":1}']),
    ],
)
def test_values_label_the_coordinate(values, labels):
    results = [xr.Dataset({"value": float(i)}) for i in range(2)]
    made = joined(results, [(0,), (1,)], {"key": {"key": values}})
    assert made["key"].values.tolist() == labels
    assert made["value"].values.tolist() == [0.0, 1.0]


def test_what_some_points_lack_is_left_out_and_named():
    results = [xr.Dataset({"value": 1.0}), xr.Dataset({"value": 2.0, "more": 3.0})]
    made = joined(results, [(0,), (1,)], {"seed": {"seed": [0, 1]}})
    assert "more" not in made
    assert made.attrs["left_out"] == '["more"]'
