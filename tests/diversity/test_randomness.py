"""Named streams and content orders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity.errors import ConfigurationError
from breadth.diversity.randomness import generator, ordering


def test_streams_are_named():
    assert generator(0, "a").random() == generator(0, "a").random()
    draws = {generator(*key).random() for key in [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b")]}
    assert len(draws) == 4
    with pytest.raises(ConfigurationError, match="seed of -1"):
        generator(-1, "a")


@given(st.lists(st.text(max_size=8), unique=True, max_size=20), st.randoms())
def test_order_does_not_depend_on_the_order_given(names, random):
    shuffled = random.sample(names, len(names))
    first = [names[i] for i in ordering(3, names)]
    assert first == [shuffled[i] for i in ordering(3, shuffled)]


def test_orders_of_different_seeds_differ_and_are_fair():
    names = [f"m{i}" for i in range(50)]
    places = np.array([np.argsort(ordering(seed, names))[0] for seed in range(400)])
    # The place of one name is uniform on 0 … 49: mean 24.5, standard error 14.4 / 20.
    assert abs(places.mean() - 24.5) < 4 * 14.43 / 20
