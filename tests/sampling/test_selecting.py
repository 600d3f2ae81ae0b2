"""Selections of sets: contents decide, counts are exact, errors say what is missing."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity.conformers import ConformerSet, Labels
from breadth.diversity.errors import ConfigurationError, DataError, ShortageError
from breadth.diversity.scaffolds import scaffold
from breadth.diversity.topology import molecular_graphs
from breadth.diversity.torsions import dihedral_angles, torsion_basins, torsions
from breadth.sampling import FixedBudget, FixedMolecules
from breadth.sampling.selecting import select
from breadth.sampling.selectors import Random
from breadth.studies.registry import SELECTORS, selector


class Distances:
    """Sorted distances from the centre of mass to the four farthest atoms."""

    name = "distances"
    default_bandwidth = 0.1

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in conformers.iter_chunks(chunk):
            rows = []
            for i in range(len(part)):
                x = part.positions[part.atoms_slice(i)].astype(float)
                rows.append(np.sort(np.linalg.norm(x - x.mean(0), axis=1))[-4:])
            yield np.array(rows, np.float32), np.arange(len(part) + 1)


class Broken(Distances):
    """NaN for every third conformer."""

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for X, offsets in super().iter_features(conformers, chunk):
            X[::3] = np.nan
            yield X, offsets


@pytest.fixture(scope="module")
def labelled(pool: ConformerSet) -> ConformerSet:
    """The pool with made-up labels at one level."""
    random = np.random.default_rng(0)
    labels = Labels(
        energy=random.gamma(2.0, 0.1, len(pool)) - 100.0 * pool.counts,
        forces=random.normal(size=(pool.n_atoms, 3)),
    )
    return pool.with_level("cheap", labels)


def levels_of(name: str) -> tuple[str, ...]:
    return selector(name).levels


CASES = [(name, level) for name in SELECTORS for level in levels_of(name)]


@pytest.mark.parametrize(("name", "level"), CASES)
def test_shuffled_and_repeated_records_give_the_same_selection(
    labelled: ConformerSet, name: str, level: str
) -> None:
    budget = 4
    options = {"level": level, "budget": budget, "featurizer": Distances()}
    chosen = select(labelled, selector(name), **options)
    ids = labelled.id[chosen].tolist()
    random = np.random.default_rng(5)
    order = random.permutation(np.concatenate([np.arange(len(labelled)), np.arange(40)]))
    shuffled = labelled.select(order)
    again = shuffled.id[select(shuffled, selector(name), **options)].tolist()
    assert ids == again
    assert len(set(ids)) == len(ids)
    if level == "structures":
        assert len(ids) == budget
    elif level == "molecules":
        of = labelled.molecule[chosen]
        assert len(np.unique(of)) == budget
        np.testing.assert_array_equal(
            np.sort(chosen), np.flatnonzero(np.isin(labelled.molecule, of))
        )
    else:
        assert (np.bincount(labelled.molecule[chosen]) == budget).all()
    # What is given is not taken again, and the counts are those of what is added.
    more = select(labelled, selector(name), given=labelled.select(chosen), **options)
    assert not set(labelled.id[more].tolist()) & set(ids)
    assert len(more) == len(chosen) or level == "molecules"


@given(st.sampled_from(["random", "fps"]), st.integers(1, 30), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_budgets_are_exact_and_replicates_differ(
    pool: ConformerSet, name: str, budget: int, seed: int
) -> None:
    a, b = (
        select(
            pool,
            selector(name, random_state=seed + i),
            level="structures",
            budget=budget,
            featurizer=Distances(),
        ).tolist()
        for i in (0, 1)
    )
    assert len(set(a)) == len(set(b)) == budget
    # Two seeds may begin at one structure, from which the farthest points follow.
    assert budget < 4 or a != b or (name == "fps" and a[0] == b[0])


def test_farthest_structures_spread_wider_than_random_ones(labelled: ConformerSet) -> None:
    def spread(name: str, **options: object) -> float:
        chosen = select(
            labelled,
            selector(name, **options),
            level="structures",
            budget=15,
            featurizer=Distances(),
        )
        ((X, _),) = Distances().iter_features(labelled.select(chosen), 100)
        apart = np.linalg.norm(X[:, None] - X[None], axis=2)
        return float((apart + 1e9 * np.eye(15)).min(1).mean())

    random = [spread("random", random_state=s) for s in range(5)]
    assert spread("fps") > max(random)


def test_molecules_by_scaffold_come_from_different_scaffolds(labelled: ConformerSet) -> None:
    kinds = {scaffold(s) for s in labelled.molecules.smiles.tolist()}
    rows = select(labelled, selector("scaffold"), level="molecules", budget=len(kinds))
    chosen = labelled.select(rows)
    assert {scaffold(s) for s in chosen.molecules.smiles.tolist()} == kinds


def test_minima_of_each_molecule_come_first(pool: ConformerSet) -> None:
    rows = select(pool, selector("minima"), level="conformers", budget=3, featurizer=Distances())
    for molecule in range(pool.n_molecules):
        own = rows[pool.molecule[rows] == molecule]
        there = len(np.unique(pool.minimum[pool.molecule == molecule]))
        assert len(np.unique(pool.minimum[own])) == min(3, there)


def test_torsional_basins_stand_for_minima_that_are_not_known(pool: ConformerSet) -> None:
    unknown = replace(pool, minimum=np.full(len(pool), -1))
    chosen = select(
        unknown, selector("minima"), level="structures", budget=60, featurizer=Distances()
    )
    graphs = molecular_graphs(pool)
    for row in np.unique(pool.molecule[chosen]).tolist():
        mol = graphs[row].mol_with_atoms
        known, members = torsions(mol), np.flatnonzero(pool.molecule == row)
        angles = dihedral_angles(
            pool.positions[pool.offsets[members, None] + np.arange(mol.GetNumAtoms())].astype(
                float
            ),
            known.atoms,
        )
        basin = dict(zip(members.tolist(), torsion_basins(angles, known.fold), strict=True))
        own = [basin[i] for i in chosen.tolist() if i in basin]
        assert len(set(own)) == min(len(own), len(set(basin.values())))


def test_energies_count_from_the_lowest_of_each_molecule(labelled: ConformerSet) -> None:
    # Molecules differ by hundreds of eV, conformers by tenths: the cold draw takes the lowest.
    rows = select(labelled, selector("boltzmann", temperature=1e-3), level="conformers", budget=1)
    energy = labelled.labels().energy
    lowest = [energy[labelled.molecule == m].min() for m in labelled.molecule[rows]]
    np.testing.assert_array_equal(energy[rows], lowest)
    rows = select(
        labelled,
        selector("boltzmann", temperature=1e-3),
        level="structures",
        budget=labelled.n_molecules,
    )
    assert len(np.unique(labelled.molecule[rows])) == labelled.n_molecules


def test_a_labelled_record_of_a_geometry_goes_before_a_bare_one(labelled: ConformerSet) -> None:
    twice = labelled.select(np.repeat(np.arange(len(labelled)), 2))
    mask = np.tile([False, True], len(labelled))
    bare = Labels(
        energy=twice.labels().energy, forces=twice.labels().forces, has_energy=mask, has_forces=mask
    )
    rows = select(
        twice.with_level("cheap", bare), selector("force_strata"), level="structures", budget=9
    )
    assert mask[rows].all()


def test_what_is_missing_is_named(labelled: ConformerSet, pool: ConformerSet) -> None:
    cases: list[tuple[ConformerSet, str, str, int, object, type[Exception], str]] = [
        (pool, "fps", "structures", 4, None, ConfigurationError, "name a featurizer"),
        (pool, "fps", "structures", 4, Broken(), DataError, "NaN or infinite"),
        (pool, "energy_strata", "structures", 4, None, DataError, "none"),
        (pool, "maxmin", "conformers", 4, None, ConfigurationError, "cannot choose conformers"),
        (pool, "random", "atoms", 4, None, ConfigurationError, "no level 'atoms'"),
        (pool, "random", "structures", 0, None, ConfigurationError, "budget of 0"),
        (pool, "random", "structures", len(pool) + 3, None, ShortageError, "3 are missing"),
        (pool, "random", "conformers", 17, None, ShortageError, "has 16"),
        (pool, "random", "molecules", 999, None, ShortageError, "999 molecules are to be"),
    ]
    for conformers, name, level, budget, featurizer, error, message in cases:
        with pytest.raises(error, match=message):
            select(conformers, selector(name), level=level, budget=budget, featurizer=featurizer)
    everything = select(pool, Random(), level="structures", budget=len(pool))
    with pytest.raises(ShortageError, match="0 are distinct and not given"):
        select(pool, Random(), level="structures", budget=1, given=pool.select(everything))
    with pytest.raises(ShortageError, match="0 are distinct and not given"):
        select(pool, Random(), level="conformers", budget=1, given=pool)
    incomplete = Labels(
        energy=np.zeros(len(pool)),
        forces=np.zeros((pool.n_atoms, 3)),
        has_energy=np.arange(len(pool)) != 7,
    )
    with pytest.raises(DataError, match="has no energy"):
        select(
            pool.with_level("x", incomplete), selector("boltzmann"), level="structures", budget=3
        )
    with pytest.raises(DataError, match=f"{len(pool)} of {len(pool)} have none"):
        select(pool, selector("boltzmann"), level="structures", budget=3)


def test_molecules_without_structure_are_named(pool: ConformerSet) -> None:
    n = len(pool)
    solid = replace(
        pool,
        pbc=np.ones((n, 3), bool),
        cell=np.tile(9.0 * np.eye(3), (n, 1, 1)),
        molecules=replace(pool.molecules, smiles=np.full(pool.n_molecules, "")),
    )
    with pytest.raises(DataError, match=r"Molecule '.*' has no structure"):
        select(solid, selector("maxmin"), level="molecules", budget=2)
    with pytest.raises(DataError, match="does not say which minimum"):
        select(
            replace(solid, minimum=np.full(n, -1)),
            selector("minima"),
            level="structures",
            budget=4,
            featurizer=Distances(),
        )


def test_names_and_options_that_do_not_exist_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"no selector 'fsp'. Selectors: random, .*fps"):
        selector("fsp")
    with pytest.raises(ConfigurationError, match=r"no option 'cutof'. Options: cutoff, n_to_sel"):
        selector("butina", cutof=0.3)
    for name, option, value in (
        ("butina", "cutoff", "wide"),
        ("direct", "per_cluster", 1.5),
        ("boltzmann", "temperature", float("nan")),
        ("fps", "n_to_select", True),
    ):
        with pytest.raises(ConfigurationError, match=f"{name}: {option} = .* is no .*number"):
            selector(name, **{option: value})
    made = selector("entropy_greedy", bandwidth=2, random_state=3)
    assert made.get_params() == {"bandwidth": 2, "random_state": 3, "n_to_select": None}
    assert selector("force_fps", exponent=-500).fit([[0.0], [1.0]], [1.0, 2.0]) is not None
    with pytest.raises(ConfigurationError, match="random_state = -1"):
        selector("fps", random_state=-1).fit([[0.0], [1.0]])


# -- designs along each axis -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FixedBudget, FixedMolecules])
def test_random_selectors_are_the_designs_own_order(pool: ConformerSet, kind: type) -> None:
    size = {"budget": 31} if kind is FixedBudget else {"n_conformers": 5}
    plain = kind(n_molecules=6, n_validation=4, random_state=3, **size)
    by_name = kind(
        n_molecules=6,
        n_validation=4,
        random_state=3,
        molecule_selector=Random(random_state=99),
        conformer_selector=Random(),
        **size,
    )
    a, b = plain.design(pool), by_name.design(pool)
    for name in ("train", "validation", "molecules", "n_conformers"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize(("outer", "inner"), [("maxmin", "fps"), ("butina", "kmedoids")])
def test_designs_take_a_selector_along_each_axis(
    pool: ConformerSet, outer: str, inner: str
) -> None:
    available = np.arange(len(pool)) % 8 != 0

    def design(m: int) -> FixedBudget:
        return FixedBudget(
            budget=45,
            n_molecules=m,
            n_validation=6,
            molecule_selector=selector(outer),
            conformer_selector=selector(inner),
            featurizer=Distances(),
        )

    made = design(7).design(pool, available)
    assert made.budget == 45
    assert len(made.validation) == 6
    assert available[made.train].all()
    assert len(set(made.train) | set(made.validation)) == 45
    np.testing.assert_array_equal(
        np.bincount(pool.molecule[np.concatenate([made.train, made.validation])])[made.molecules],
        made.n_conformers,
    )
    assert made.n_labels_read == 0
    # Prefixes nest, whatever the order of records.
    wider = design(9).design(pool, available)
    np.testing.assert_array_equal(made.molecules, wider.molecules[:7])
    order = np.random.default_rng(0).permutation(len(pool))
    shuffled = pool.select(order)
    other = design(7).design(shuffled, available[order])
    assert pool.id[made.train].tolist() == shuffled.id[other.train].tolist()


def test_reference_labels_are_charged_or_refused(labelled: ConformerSet) -> None:
    options = {"n_molecules": 5, "n_conformers": 4, "conformer_selector": selector("energy_strata")}
    with pytest.raises(ConfigurationError, match=r"EnergyStrata reads labels .* not free"):
        FixedMolecules(**options).design(labelled)
    charged = FixedMolecules(charge_labels=True, **options).design(labelled)
    # All conformers of the chosen molecules were labelled to choose twenty of them.
    assert charged.n_labels_read == 5 * 16
    free = FixedMolecules(prior_level="cheap", **options).design(labelled)
    assert free.n_labels_read == 0
    np.testing.assert_array_equal(free.train, charged.train)


def test_selectors_that_fit_no_axis_are_refused(pool: ConformerSet) -> None:
    with pytest.raises(ConfigurationError, match="MaxMin cannot choose conformers"):
        FixedMolecules(n_molecules=2, n_conformers=2, conformer_selector=selector("maxmin")).design(
            pool
        )
    with pytest.raises(ShortageError, match="are missing"):
        FixedMolecules(
            n_molecules=999, n_conformers=2, molecule_selector=selector("maxmin")
        ).design(pool)
