"""Hill numbers against closed forms, enumeration and SciPy's hypergeometric distribution."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.diversity.measures.hill import hill_number, rarefied_hill

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=12)
ORDERS = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, math.inf]),
    st.floats(0, 20),
    st.floats(-1e-4, 1e-4).map(lambda step: 1.0 + step),
)


@given(st.integers(1, 50), st.integers(1, 1000), ORDERS)
def test_equally_common_kinds_count_as_many_as_they_are(kinds: int, each: int, q: float) -> None:
    assert hill_number(np.full(kinds, each), q) == pytest.approx(kinds, rel=1e-12)


@given(COUNTS, ORDERS, ORDERS, st.randoms(use_true_random=False))
def test_falls_with_order_and_ignores_scale_order_and_absent_kinds(
    counts: list[int], q: float, r: float, random: object
) -> None:
    one = hill_number(counts, q)
    assert 1 - 1e-12 <= hill_number(counts, math.inf) <= one + 1e-12
    assert one <= hill_number(counts, 0) + 1e-12
    assert hill_number(counts, 0) == len(counts)
    assert hill_number(counts, max(q, r)) <= hill_number(counts, min(q, r)) + 1e-9
    changed = [1e-3 * c for c in counts] + [0.0]
    random.shuffle(changed)  # type: ignore[attr-defined]
    assert hill_number(changed, q) == pytest.approx(one, rel=1e-11)


@given(COUNTS, st.integers(1, 4), ORDERS)
def test_sets_that_share_no_kind_add_up(counts: list[int], copies: int, q: float) -> None:
    assert hill_number(counts * copies, q) == pytest.approx(
        copies * hill_number(counts, q), rel=1e-11
    )


def test_closed_forms() -> None:
    share = np.array([0.5, 0.3, 0.2])
    assert hill_number(share, 1) == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert hill_number(share, 2) == pytest.approx(1 / (share**2).sum())
    assert hill_number(share, math.inf) == 2.0
    assert hill_number(share, 3.5) == pytest.approx((share**3.5).sum() ** (1 / -2.5))
    assert hill_number([1, 1e-9, 0], 200) == pytest.approx(1.0)


@given(COUNTS, st.floats(0, 8), st.data())
@settings(deadline=None)
def test_rarefaction_follows_its_definition(
    counts: list[int], q: float, data: st.DataObject
) -> None:
    n = sum(counts)
    size = data.draw(st.integers(1, n))
    k = np.arange(1, size + 1)
    expected = sum(hypergeom(n, count, size).pmf(k) for count in counts)
    if abs(q - 1) < 1e-3:
        wanted = math.exp(-(expected * k / size * np.log(k / size)).sum())
        assert rarefied_hill(counts, size, 1.0) == pytest.approx(wanted, rel=1e-9)
    else:
        wanted = ((k / size) ** q * expected).sum() ** (1 / (1 - q))
        assert rarefied_hill(counts, size, q) == pytest.approx(wanted, rel=1e-8)
    assert rarefied_hill(counts, n, q) == pytest.approx(hill_number(counts, q), rel=1e-8)
    assert rarefied_hill(counts, 1, q) == pytest.approx(1.0, rel=1e-9)
    if size > 1:
        assert rarefied_hill(counts, size, q) >= rarefied_hill(counts, size - 1, q) - 1e-9


def test_rarefied_richness_is_the_mean_over_all_draws() -> None:
    individuals = [0, 0, 0, 1, 1, 2, 3]
    for size in range(1, 8):
        draws = [len(set(draw)) for draw in itertools.combinations(individuals, size)]
        assert rarefied_hill([3, 2, 1, 1], size, 0) == pytest.approx(np.mean(draws), rel=1e-12)


def test_rarefied_incidence_is_the_mean_over_all_draws_of_units() -> None:
    molecules = [{"a", "b"}, {"a"}, set(), {"b", "c"}, {"a", "d"}]
    counts = [sum(kind in one for one in molecules) for kind in "abcd"]
    for size in range(1, 6):
        draws = [len(set().union(*draw)) for draw in itertools.combinations(molecules, size)]
        found = rarefied_hill(counts, size, 0, units=5)
        assert found == pytest.approx(np.mean(draws), rel=1e-12)
    for q in (0, 1, 2):
        assert rarefied_hill(counts, 5, q, units=5) == pytest.approx(hill_number(counts, q))
        assert rarefied_hill(counts, 3, q, units=sum(counts)) == pytest.approx(
            rarefied_hill(counts, 3, q)
        )


def test_large_samples_keep_their_digits() -> None:
    # 10⁶ kinds of one individual: any draw is of as many kinds.
    assert rarefied_hill(np.ones(10**6), 1000, 1) == pytest.approx(1000, rel=1e-6)
    assert rarefied_hill([10**6, 10**6], 10**6, 2) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("bad", [[], [0, 0], [-1, 2], [math.nan], [math.inf, 1]])
def test_no_individuals_is_an_error(bad: list[float]) -> None:
    with pytest.raises(DataError, match="Hill number needs counts"):
        hill_number(bad, 1)


def test_bad_orders_and_sizes_say_so() -> None:
    for q in (-0.1, math.nan):
        with pytest.raises(ConfigurationError, match="order q"):
            hill_number([1, 2], q)
        with pytest.raises(ConfigurationError, match="order q"):
            rarefied_hill([1, 2], 2, q)
    with pytest.raises(ConfigurationError, match="below infinity"):
        rarefied_hill([1, 2], 2, math.inf)
    with pytest.raises(ConfigurationError, match="size"):
        rarefied_hill([1, 2], 0, 1)
    with pytest.raises(ShortageError, match="lower the size to 3"):
        rarefied_hill([1, 2], 4, 1)
    with pytest.raises(ShortageError, match="lower the size to 3"):
        rarefied_hill([1, 2], 4, 1, units=3)
    with pytest.raises(DataError, match="2 of 1 units"):
        rarefied_hill([1, 2], 1, 1, units=1)
    with pytest.raises(DataError, match="nothing to rarefy"):
        rarefied_hill([0], 1, 1)
    with pytest.raises(DataError, match="whole numbers"):
        rarefied_hill([0.5, 2], 1, 1)
