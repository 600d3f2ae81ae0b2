"""Exact counts and nested prefixes of designs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from breadth.diversity.conformers import ConformerSet, Molecules
from breadth.diversity.errors import ConfigurationError, ShortageError
from breadth.sampling.designs import Design, FixedBudget, FixedMolecules


def atoms_only(per_molecule: list[int], seed: int = 0) -> ConformerSet:
    """Return molecules of one atom each, told apart by where the atom is."""
    rows = np.repeat(np.arange(len(per_molecule)), per_molecule)
    positions = np.random.default_rng(seed).permutation(len(rows))[:, None] * [1.0, 0.0, 0.0]
    return ConformerSet(
        molecules=Molecules(key=np.array([f"m{i}" for i in range(len(per_molecule))])),
        molecule=rows,
        numbers=np.full(len(rows), 18),
        positions=positions,
        offsets=np.arange(len(rows) + 1),
    )


POOL = atoms_only([12] * 9)


def ids(design: Design) -> tuple[list[bytes], list[bytes]]:
    return POOL.id[design.train].tolist(), POOL.id[design.validation].tolist()


@given(
    st.integers(1, 9),
    st.integers(9, 60),
    st.integers(0, 20),
    st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_budgets_are_met_exactly(m: int, budget: int, validation: int, seed: int) -> None:
    design = FixedBudget(budget=budget, n_molecules=m, n_validation=validation, random_state=seed)
    if -(-budget // m) > 12 or budget - m < validation:
        with pytest.raises(ShortageError):
            design.design(POOL)
        return
    made = design.design(POOL)
    assert made.budget == budget
    assert len(made.validation) == validation
    assert len(set(made.train) | set(made.validation)) == budget
    assert np.ptp(made.n_conformers) <= 1
    assert made.n_conformers.sum() == budget
    assert len(made.molecules) == m
    # Every molecule has something to train on.
    np.testing.assert_array_equal(np.unique(POOL.molecule[made.train]), np.sort(made.molecules))


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 11), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_designs_of_a_replicate_nest(seed: int, m: int, c: int, validation: int) -> None:
    # Validation must leave one frame of each molecule: M (C − 1) ≥ n_validation.
    validation = min(validation, m * (c - 1))
    small = FixedMolecules(
        n_molecules=m, n_conformers=c, n_validation=validation, random_state=seed
    ).design(POOL)
    deeper = FixedMolecules(
        n_molecules=m, n_conformers=c + 1, n_validation=validation, random_state=seed
    ).design(POOL)
    wider = FixedMolecules(n_molecules=m + 1, n_conformers=c, random_state=seed).design(POOL)
    assert set(small.train) <= set(deeper.train)
    np.testing.assert_array_equal(small.molecules, deeper.molecules)
    np.testing.assert_array_equal(small.molecules, wider.molecules[:m])

    narrow = FixedBudget(budget=12, n_molecules=m, random_state=seed)
    broad = FixedBudget(budget=12, n_molecules=m + 1, random_state=seed)
    a, b = narrow.design(POOL), broad.design(POOL)
    np.testing.assert_array_equal(a.molecules, b.molecules[:m])
    shared = np.isin(POOL.molecule[b.train], a.molecules)
    assert set(b.train[shared]) <= set(a.train)


@given(st.integers(0, 2**31), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_order_of_records_does_not_matter(seed: int, shuffle: int) -> None:
    order = np.random.default_rng(shuffle).permutation(len(POOL))
    shuffled = POOL.select(order)
    design = FixedBudget(budget=40, n_molecules=7, n_validation=5, random_state=seed)
    straight, other = design.design(POOL), design.design(shuffled)
    assert ids(straight)[0] == shuffled.id[other.train].tolist()
    assert ids(straight)[1] == shuffled.id[other.validation].tolist()


def test_replicates_differ_in_molecules_and_conformers() -> None:
    designs = [
        FixedMolecules(n_molecules=4, n_conformers=3, random_state=s).design(POOL) for s in range(4)
    ]
    assert len({tuple(d.molecules) for d in designs}) == 4
    assert len({tuple(np.sort(d.train)) for d in designs}) == 4


def test_only_available_conformers_are_used_and_repeats_count_once() -> None:
    available = np.ones(len(POOL), dtype=bool)
    available[::2] = False
    made = FixedMolecules(n_molecules=9, n_conformers=6).design(POOL, available)
    assert available[made.train].all()
    twice = POOL.select(np.concatenate([np.arange(len(POOL))] * 2))
    made = FixedMolecules(n_molecules=9, n_conformers=12).design(twice)
    assert len(set(twice.id[made.train])) == 108


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (FixedBudget(budget=5, n_molecules=7), "short of 2 frames"),
        (FixedBudget(budget=60, n_molecules=12), "12 molecules .* 9 have .* 3 are missing"),
        (FixedMolecules(n_molecules=9, n_conformers=14), "9 molecules have fewer, 18 conformers"),
        (FixedMolecules(n_molecules=4, n_conformers=1, n_validation=2), "0 frames .* 2 too few"),
        (FixedBudget(budget=10, n_molecules=8, n_validation=5), "2 frames can be spared, 3 too"),
    ],
)
def test_what_cannot_be_met_says_what_is_short(
    design: FixedBudget | FixedMolecules, message: str
) -> None:
    with pytest.raises(ShortageError, match=message):
        design.design(POOL)


def test_one_molecule_too_small_is_named() -> None:
    uneven = atoms_only([5, 5, 2, 5])
    with pytest.raises(
        ShortageError, match=r"1 molecules have fewer, 3 conformers short .* m2 has 2"
    ):
        FixedBudget(budget=20, n_molecules=4).design(uneven)


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="n_molecules = 0"):
        FixedBudget(budget=10, n_molecules=0).design(POOL)
    with pytest.raises(ConfigurationError, match="n_validation = -1"):
        FixedBudget(budget=10, n_molecules=2, n_validation=-1).design(POOL)
    with pytest.raises(ConfigurationError, match="available"):
        FixedBudget(budget=10, n_molecules=2).design(POOL, np.arange(5))


def test_designs_are_estimators() -> None:
    design = FixedBudget(budget=10, n_molecules=2, random_state=3)
    assert clone(design).get_params() == design.get_params()
    assert design.set_params(budget=12).design(POOL).budget == 12
