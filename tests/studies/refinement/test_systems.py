"""Halves of systems, triples, overlaps, and what each method is built on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.diversity import ConfigurationError, ShortageError
from breadth.sampling import Molecule, sample_geometries
from breadth.studies.refinement.fits import arm_of
from breadth.studies.refinement.gathering import base_of
from breadth.studies.refinement.question import ALL_METHODS, BASES, METHODS, Rmd17Section
from breadth.studies.refinement.systems import (
    Experiment,
    System,
    TrainingSet,
    halves,
    overlap_warnings,
)
from breadth.studies.refinement.trajectories import MOLECULES, training_triples
from breadth.studies.units import Unit

NAMES = st.lists(st.text("abcdef0123456789", min_size=4), min_size=4, max_size=40, unique=True)


@given(names=NAMES, n=st.integers(4, 30), seed=st.integers(0, 5), data=st.data())
def test_halves_share_nothing_and_know_no_order(names, n, seed, data):
    one = halves("x", "pools", "larger", names, n=n, seed=seed)
    shuffled = data.draw(st.permutations(names))
    assert halves("x", "pools", "larger", shuffled, n=n, seed=seed) == one
    assert not set(one.adapted) & set(one.held)
    assert len(one.ids) == min(n, len(names))
    assert 0 <= len(one.held) - len(one.adapted) <= 1


def test_a_system_of_three_structures_is_no_system():
    with pytest.raises(ShortageError, match="both halves"):
        halves("x", "pools", "larger", ["a", "b", "c"], n=10, seed=0)


def test_triples_are_different_and_begin_with_the_one_that_is_named():
    section = Rmd17Section(n_triples=120)
    triples = training_triples(section, 0)
    assert set(triples[0]) == {"benzene", "uracil", "aspirin"}
    assert len({frozenset(t) for t in triples}) == 120
    assert training_triples(Rmd17Section(n_triples=12), 0) == triples[:12]
    assert training_triples(Rmd17Section(n_triples=12), 1)[1:] != triples[1:12]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trained": ("benzene", "water")}, "water"),
        ({"tested": ("toluene", "uracil")}, "uracil"),
        ({"n_triples": 121}, "120"),
    ],
)
def test_triples_that_cannot_be_are_told(options, words):
    with pytest.raises(ConfigurationError, match=words):
        training_triples(Rmd17Section(**options), 0)


def test_tested_by_default_is_what_the_paper_tested():
    assert set(Rmd17Section().tested) == {"naphthalene", "toluene", "salicylic"} < set(MOLECULES)


def test_every_method_has_a_fit_or_is_the_prior():
    arms = {method: arm_of(method) for method in METHODS}
    assert arms.pop("prior") is None
    assert {arm for arm in arms.values() if arm is not None} < set(ALL_METHODS)
    for method in METHODS:
        assert base_of(method) == BASES.get(method, "")


@pytest.fixture(scope="module")
def drawn():
    return sample_geometries(
        [Molecule("ethanol", "CCO"), Molecule("propane", "CCC")], n_conformers=8, seed=0
    )[0]


def experiment(train, adapted, held, shift):
    unit = Unit("joined", 1)
    system = System("ethanol", "pools", shift, adapted, held)
    one = TrainingSet(0, train, 0, ("ethanol",))
    return Experiment("pools", unit, "gfn2", ("mmff94",), (system,), (one,))


def test_an_overlap_is_warned_of(drawn):
    ids = drawn.id.astype("U32")
    ethanol, propane = (tuple(ids[drawn.molecule == m].tolist()) for m in (0, 1))
    apart = experiment(propane, ethanol[:4], ethanol[4:], "new_molecule")
    assert overlap_warnings(apart, drawn) == ()
    leaks = experiment((*propane, ethanol[5]), ethanol[:4], ethanol[4:], "in_distribution")
    (told,) = overlap_warnings(leaks, drawn)
    assert "1 conformers of 'ethanol' are trained on" in told
    other = experiment((*propane, ethanol[0]), ethanol[1:4], ethanol[4:], "new_molecule")
    (told,) = overlap_warnings(other, drawn)
    assert "no new molecule" in told
    hot = experiment((*propane, ethanol[0]), ethanol[1:4], ethanol[4:], "in_distribution")
    assert overlap_warnings(hot, drawn) == ()
    assert np.unique(ids).size == 16
