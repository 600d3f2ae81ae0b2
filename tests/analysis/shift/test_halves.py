"""Halves of sets: opposite halves share nothing, and intervals hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.analysis.shift.halves import (
    _thinned,
    cuts,
    difference,
    half_rows,
    independent_units,
    numbered_units,
)
from breadth.analysis.shift.set_distances import SlicedWasserstein

N = 200


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=60),
    st.lists(st.integers(0, 12), min_size=2, max_size=60),
)
@settings(deadline=None, max_examples=60)
def test_halves_share_no_unit_and_split_each_set_evenly(a, b):
    units = independent_units(np.array(a), np.array(b))
    for half in cuts(units, n_cuts=4):
        rows = [half_rows(u, half) for u in (units.a, units.b)]
        for u, (first, second) in zip((units.a, units.b), rows, strict=True):
            if len(np.unique(u)) < 2:
                assert first.all()
                assert second.all()
                continue
            assert (first ^ second).all()
            assert first.any()
            assert second.any()
        if all(len(np.unique(u)) > 1 for u in (units.a, units.b)):
            for k in (0, 1):
                ours, theirs = units.a[rows[0][k]], units.b[rows[1][1 - k]]
                assert not np.isin(ours, theirs).any()


def test_molecules_are_units_where_they_are_many_and_new():
    many = np.repeat(np.arange(10), 5)
    units = independent_units(many, many + 10)
    assert units.kind == "molecule"
    assert len(np.unique(units.a)) == 10
    few = independent_units(many, np.repeat([20, 21], 25))
    assert few.kind == "block"  # of two molecules nothing is known but they themselves
    same = independent_units(many, many)
    assert same.kind == "block"


def test_blocks_are_consecutive_and_balanced_within_molecules():
    molecule = np.tile([0, 1], 100)  # records of two molecules, interleaved
    units = independent_units(molecule, molecule)
    for m in (0, 1):
        of = units.a[molecule == m]
        assert (np.diff(np.unique(of, return_index=True)[1]) == 10).all()
        for half in cuts(units, n_cuts=3):
            assert half[of].sum() == 50
    assert not np.isin(units.a, units.b).any()
    same = independent_units(molecule, molecule, same=True)
    np.testing.assert_array_equal(same.a, same.b)


def test_held_out_structures_see_as_much_of_their_molecule_as_new_ones():
    """Random halves of few conformers of many molecules: neither set has more mates to see."""
    rng = np.random.default_rng(0)
    molecule = np.repeat(np.arange(60), 5)
    held, new = [], []
    for k in range(20):
        first = rng.random(300) < 0.5
        a, b = molecule[first], molecule[~first]
        units = independent_units(a, b)
        half = cuts(units, n_cuts=1, random_state=k)[0]
        (a1, a2), (b1, b2) = half_rows(units.a, half), half_rows(units.b, half)
        for fitted, rest, theirs in ((a1, a2, b2), (a2, a1, b1)):
            mates = np.bincount(a[fitted], minlength=60)
            held += mates[a[rest]].tolist()
            new += mates[b[theirs]].tolist()
    assert np.mean(held) == pytest.approx(np.mean(new), abs=0.06)
    assert np.mean(np.equal(held, 0)) == pytest.approx(np.mean(np.equal(new, 0)), abs=0.03)


def grouped(rng, shift, n_groups=20, n_each=5):
    """Rows of one column with variance 0.7 between groups and 0.3 within."""
    between = np.repeat(rng.normal(scale=0.7**0.5, size=n_groups), n_each)
    return (between + rng.normal(scale=0.3**0.5, size=between.size) + shift)[:, None]


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_hold_the_truth(shift):
    """Of a distance and of a difference of means, with groups that scatter more than rows."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 5)
    units = numbered_units(groups, 100 + groups)
    distance = SlicedWasserstein()
    held, means, found = 0, 0, []
    for _ in range(N):
        a, b = grouped(rng, 0.0), grouped(rng, shift)
        estimate = distance.estimate(a, b, units=units)
        held += estimate.interval[0] <= shift <= estimate.interval[1]
        found.append(estimate.distance)
        low, high = difference(a[:, 0], b[:, 0], units=units).interval
        means += low <= shift <= high
    fewest = N * (0.95 - 3 * (0.95 * 0.05 / N) ** 0.5)  # three standard errors below
    assert held >= fewest
    assert means >= fewest
    if shift:
        # Its square is without bias: d² of normal means has the variance 4 · 2 (0.7/20 + 0.3/100).
        assert np.mean(np.square(found)) == pytest.approx(1.0, abs=3 * (4 * 0.076 / N) ** 0.5)
    else:
        # Without debiasing the distance of such samples is near 0.3 on average.
        assert np.mean(found) < 0.15


def test_rows_taken_as_units_would_be_too_sure():
    """The same groups, forgotten: a shift is seen where there is none."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 5)
    seen = {"rows": 0, "groups": 0}
    for _ in range(N):
        a, b = grouped(rng, 0.0)[:, 0], grouped(rng, 0.0)[:, 0]
        for name, of in (("rows", np.arange(100)), ("groups", groups)):
            units = numbered_units(of, 1000 + of)
            seen[name] += difference(a, b, units=units).interval[0] > 0
    assert seen["groups"] <= 0.05 * N < seen["rows"]


def test_shares_differ_by_one_at_most():
    units = numbered_units([0, 1, 2], [3, 4, 5])
    shares = np.zeros(3), np.array([0.0, 1.0, 1.0])
    assert difference(*shares, units=units).interval[1] > 1.0
    assert difference(*shares, units=units, most=1.0).interval == (0.0, 1.0)


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.integers(0, 99),
)
def test_a_thinned_half_is_of_no_more_units_and_rows_than_the_other(units, other, seed):
    units, other = np.array(units), np.array(other)
    half = units % 3 != 1
    if not half.any():
        return
    rows = _thinned(units, half, other, np.random.default_rng(seed))
    assert half[rows].all()
    assert len(np.unique(rows)) == len(rows)
    n_units = min(len(np.unique(units[half])), len(np.unique(other)))
    assert len(np.unique(units[rows])) == min(n_units, len(other))
    counts = np.unique(units[rows], return_counts=True)[1]
    available = [np.count_nonzero(units[half] == u) for u in np.unique(units[rows])]
    assert len(rows) == min(len(other), sum(available))
    # even: a unit has less than another only where it has no more
    assert all(c >= counts.max() - 1 or c == n for c, n in zip(counts, available, strict=True))


def test_one_unit_has_no_interval():
    units = numbered_units([0, 0, 0], [1, 2, 3])
    found = difference(np.zeros(3), np.ones(3), units=units)
    assert found.distance == 1.0
    assert found.interval is None
