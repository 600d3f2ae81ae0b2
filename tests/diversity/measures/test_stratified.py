"""Samples by element, and the error of their means against all samples that there are."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity import ConfigurationError, ConformerSet
from breadth.diversity.measures.stratified import (
    FEWEST,
    allotted,
    stratified_mean,
    stratified_sample,
)


@given(counts=st.lists(st.integers(1, 10**5), min_size=1, max_size=6), size=st.integers(1, 10**5))
def test_each_element_gets_its_share(counts: list[int], size: int) -> None:
    many = np.array(counts)
    shares = allotted(many, size)
    assert (shares <= many).all()
    assert (shares >= np.minimum(many, FEWEST)).all()
    exact = size * many / many.sum()
    beyond = (exact > FEWEST) & (exact < many)
    assert (np.abs(shares - exact)[beyond] <= 0.5).all()


def test_nothing_cannot_be_sampled() -> None:
    with pytest.raises(ConfigurationError, match="not 0"):
        allotted(np.array([5]), 0)


def test_sample_is_of_the_records_and_not_of_their_order(
    as_set: Callable[[list[Atoms]], ConformerSet],
) -> None:
    random = np.random.default_rng(0)
    frames = [Atoms("CH4O", positions=random.normal(scale=9, size=(6, 3))) for _ in range(300)]
    conformers = as_set(frames)
    order = random.permutation(300)
    shuffled = conformers.select(order)
    first, second = (stratified_sample(s, 200, 1, "test") for s in (conformers, shuffled))
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(
        np.unique(conformers.positions[first], axis=0),
        np.unique(shuffled.positions[second], axis=0),
    )
    counts = np.unique(conformers.numbers[first], return_counts=True)
    np.testing.assert_array_equal(counts, [[1, 6, 8], [133, 33, 33]])
    assert not np.array_equal(first, stratified_sample(conformers, 200, 2, "test"))
    everything = stratified_sample(conformers, 10**4, 1, "test")
    np.testing.assert_array_equal(everything, np.arange(1800))


def test_mean_and_error_over_all_samples() -> None:
    """Every sample of 3 of 7 and 2 of 4: the mean is unbiased, and so is the squared error."""
    values = np.array([0.3, 1.0, -2.0, 5.0, 4.0, 0.0, 2.5, 10.0, 11.0, 9.0, 14.0])
    population = np.repeat([1, 6], [7, 4])
    found = [
        stratified_mean(values[[*light, *heavy]], population[[*light, *heavy]], population)
        for light in combinations(range(7), 3)
        for heavy in combinations(range(7, 11), 2)
    ]
    means, errors = np.array(found).T
    assert means.mean() == pytest.approx(values.mean())
    assert (errors**2).mean() == pytest.approx(means.var())
