from itertools import pairwise

import pytest

from breadth.diversity.errors import ConfigurationError
from breadth.training import POTENTIALS, build_potential
from breadth.training.refinement import blocks, early, head, late, representation


@pytest.mark.parametrize("name", POTENTIALS)
def test_parts_make_up_the_whole(name):
    potential = build_potential(name, n_layers=2, levels=("main", "cheap"))
    shared, heads = representation(potential), head(potential, "main") + head(potential, "cheap")
    assert shared + heads == potential.depth()
    assert len(head(potential, "main")) == 4
    assert [n for block in blocks(potential) for n in block] == shared
    assert len(blocks(potential)) == 3


@pytest.mark.parametrize("name", POTENTIALS)
def test_early_layers_grow_from_the_input(name):
    potential = build_potential(name, n_layers=4)
    found = [early(potential, share) for share in (0.01, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert all(n.startswith("embedding") for n in found[0])
    assert found[0] == found[1]
    assert [len(found[i]) for i in range(1, 6)] == sorted({len(x) for x in found})
    assert found[-1] == representation(potential)
    for less, more in pairwise(found):
        assert more[: len(less)] == less


@pytest.mark.parametrize("name", POTENTIALS)
def test_late_rounds_are_what_early_ones_are_not(name):
    potential = build_potential(name, n_layers=3)
    for n, share in ((1, 3 / 4), (2, 2 / 4), (3, 1 / 4)):
        assert early(potential, share) + late(potential, n) == representation(potential)
    for n in (0, 4):
        with pytest.raises(ConfigurationError, match="has 3"):
            late(potential, n)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_shares_that_are_none(share):
    with pytest.raises(ConfigurationError, match="share"):
        early(build_potential("schnet"), share)


def test_unknown_levels():
    with pytest.raises(ConfigurationError, match="no level"):
        head(build_potential("schnet", levels=("main",)), "cheap")
