"""Experiment (i): trained on small molecules of few elements, tested on one shift at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from rdkit import Chem

from ...diversity import ConfigurationError, ConformerSet, ShortageError, concat, write
from ...diversity.randomness import ordering
from ...sampling.high_forces import force_norms
from ...sampling.molecules import Molecule
from ...sampling.scans import stretch_bonds
from ...sampling.splits import HoldOuts
from ..executor import run_units
from ..pool import SECONDS, geometry_units, label_unit, read_set, write_aside
from ..pooling import Tell, counter, pool_unit, sample
from ..store import Store
from ..units import Unit
from .question import PoolsSection, RefinementConfiguration
from .systems import (
    FEWEST,
    IN_DISTRIBUTION,
    Experiment,
    System,
    TrainingSet,
    halves,
    prior_unit,
    replicate_seed,
)

#: In the order of tables.
SHIFTS = (IN_DISTRIBUTION, "new_element", "larger", "high_force", "new_scaffold", "stretched")
#: Geometries that are labelled for each one that the shift of high forces needs.
SPARE = 1.5


def choose_molecules(asked: PoolsSection, seed: int) -> dict[str, list[Molecule]]:
    """Return molecules to sample: ``trained`` from, with ``new_element`` and that are ``larger``.

    Those of the first kind are also what the shifts of known elements and sizes are drawn from.

    Raises
    ------
    ShortageError
        If the source has too few of a kind.
    """
    pool = asked.pool
    elements = (*pool.elements, *asked.new_elements) if pool.elements else ()
    source = pool.model_copy(update={"elements": elements}).candidates(seed)
    foreign = [atomic_numbers.get(symbol, 0) for symbol in asked.new_elements]
    if 0 in foreign:
        raise ConfigurationError(f"pools.new_elements: {asked.new_elements} are no elements.")
    spare = round(1.25 * asked.n_tested) + 1
    known = pool.n_molecules + round(1.25 * asked.n_in_distribution) + 3 * spare
    kinds: dict[str, list[Molecule]] = {"trained": [], "new_element": [], "larger": []}
    for molecule in source:
        if np.isin(molecule.numbers, foreign).any():
            kind = "new_element"
        elif Chem.MolFromSmiles(molecule.smiles).GetNumHeavyAtoms() > asked.largest_trained:
            kind = "larger"
        else:
            kind = "trained"
        kinds[kind].append(molecule)
    wanted = {
        "trained": known,
        "new_element": spare if foreign else 0,
        "larger": spare,
    }
    for kind, found in kinds.items():
        if len(found) < wanted[kind] - (spare - asked.n_tested) * (kind != "trained"):
            raise ShortageError(
                f"pools: {wanted[kind]} molecules of kind {kind!r} are asked for and the source "
                f"has {len(found)}. Lower pools.pool.n_molecules or pools.n_tested."
            )
    return {kind: found[: wanted[kind]] for kind, found in kinds.items()}


def prepare_pools(
    asked: RefinementConfiguration, store: Store, executor: Executor, tell: Tell
) -> Experiment:
    """Sample, label and divide; see `PoolsSection`."""
    section = asked.pools
    assert section is not None
    n_tested, n = section.n_tested, section.n_structures
    chosen = choose_molecules(section, asked.seed)
    units = geometry_units(
        [molecule for kind in chosen.values() for molecule in kind],
        n_conformers=n + section.n_conformers,
        settings=section.pool.settings(),
        seed=asked.seed,
    )
    made = sample(store, units, executor, tell)
    home = {i: u for u, s in zip(units, made, strict=True) if s is not None for i in _ids(s)}
    geometries = concat([s for s in made if s is not None])
    partition = HoldOuts(
        n_unseen_molecules=section.n_in_distribution + 2 * n_tested,
        n_unseen_scaffolds=n_tested,
        n_larger=n_tested,
        largest_trained=section.largest_trained,
        unseen_elements=section.new_elements,
        n_unseen_elements=n_tested if section.new_elements else 0,
        n_test_conformers=n,
        n_available=section.n_conformers,
        hold_out_minima=False,
        random_state=asked.seed,
    ).partition(geometries)

    keys = geometries.molecules.key.astype(str)
    by_key = {m.canonical: m for kind in chosen.values() for m in kind}
    unseen = [keys[i] for i in np.flatnonzero(partition.pool == "unseen_molecules")]
    unseen = [unseen[i] for i in ordering(f"{asked.seed} shifts", unseen)]
    hot, torn, same = unseen[:n_tested], unseen[n_tested : 2 * n_tested], unseen[2 * n_tested :]
    tests = {
        IN_DISTRIBUTION: same,
        "new_element": _of(partition.pool == "unseen_elements", keys),
        "larger": _of(partition.pool == "larger_molecules", keys),
        "new_scaffold": _of(partition.pool == "unseen_scaffolds", keys),
    }
    rows = np.concatenate(
        [partition.test_set(f"unseen_{name}") for name in ("molecules", "scaffolds", "elements")]
        + [partition.test_set("larger_molecules")]
    )
    tested = {
        shift: {
            key: _ids(geometries.select(rows[keys[geometries.molecule[rows]] == key]))
            for key in those
        }
        for shift, those in tests.items()
    }
    sets = _training_sets(asked, section, geometries, partition.available)

    heated = section.pool.model_copy(
        update={"temperature": section.high_temperature, "sigma": 1.7 * section.pool.sigma}
    )
    hotter = geometry_units(
        [by_key[key] for key in hot],
        n_conformers=round(SPARE * n),
        settings=heated.settings(),
        seed=asked.seed,
    )
    of_torn = np.flatnonzero(np.isin(keys[geometries.molecule], torn))
    torn_ids = set(_ids(geometries.select(of_torn)))
    stretched = [
        Unit(
            "stretched",
            1,
            {"ids": sorted(torn_ids & set(_ids(s))), "n": n, "range": list(section.stretch)},
            {"geometries": unit.key},
            asked.seed,
        )
        for unit, s in zip(units, made, strict=True)
        if s is not None and torn_ids & set(_ids(s))
    ]
    run_units(store, [*hotter, *stretched], executor)
    for unit in (*hotter, *stretched):
        if (store.folder(unit.key) / "set").exists():
            home |= dict.fromkeys(_ids(read_set(store, unit.key)), unit)
    more = {
        shift: [
            read_set(store, unit.key) for unit in these if (store.folder(unit.key) / "set").exists()
        ]
        for shift, these in (("high_force", hotter), ("stretched", stretched))
    }
    wanted = {i for one in sets for i in one.train}
    wanted |= {i for those in tested.values() for ids in those.values() for i in ids}
    wanted |= {i for these in more.values() for s in these for i in _ids(s)}
    data = _label(section, sorted(wanted), home, store, executor, tell)
    labelled = read_set(store, data.key)
    there = set(_ids(labelled))
    for shift, these in more.items():
        tested[shift] = {}
        for s in these:
            for row in range(s.n_molecules):
                tested[shift][str(s.molecules.key[row])] = _ids(s.select(s.molecule == row))
    train = {i for one in sets for i in one.train} & there
    high = set(_high(labelled, train, section.pool.engine))
    tested["high_force"] = {k: [i for i in v if i in high] for k, v in tested["high_force"].items()}
    systems = _systems(tested, there, by_key, section, asked.seed)
    names = tuple(system.name for system in systems)
    return Experiment(
        name="pools",
        data=data,
        level=section.pool.engine,
        priors=section.priors,
        systems=tuple(systems),
        sets=tuple(
            TrainingSet(one.replicate, tuple(i for i in one.train if i in there), one.seed, names)
            for one in sets
        ),
    )


def run_stretched(unit: Unit, store: Store, folder: Path) -> None:
    """Stretch one bond of each of some conformers, `n` geometries of each molecule."""
    geometries = read_set(store, unit.inputs["geometries"])
    chosen = geometries.select(np.isin(geometries.id.astype("U32"), unit.parameters["ids"]))
    smallest, largest = unit.parameters["range"]
    n = unit.parameters["n"]
    first = np.concatenate(
        [np.flatnonzero(chosen.molecule == row)[:n] for row in range(chosen.n_molecules)]
    )
    made, aside = stretch_bonds(
        chosen.select(first), smallest=smallest, largest=largest, seed=unit.seed
    )
    write(made, folder / "set")
    write_aside(folder, aside)


def _training_sets(
    asked: RefinementConfiguration,
    section: PoolsSection,
    geometries: ConformerSet,
    available: np.ndarray,
) -> list[TrainingSet]:
    """Return each replicate's own molecules and conformers."""
    rows = np.flatnonzero(available)
    keys = geometries.molecules.key.astype(str)
    trainable = np.unique(geometries.molecule[rows])
    if len(trainable) < section.n_trained:
        raise ShortageError(
            f"pools: {section.n_trained} molecules to train on are asked for and {len(trainable)} "
            "are left of the pool. Enlarge pools.pool.n_molecules."
        )
    names = geometries.id.astype("U32")
    sets = []
    for replicate in range(asked.replicates):
        seed = replicate_seed(asked.seed, "pools", replicate)
        order = trainable[ordering(f"{seed} molecules", keys[trainable].tolist())]
        train: list[str] = []
        for molecule in order[: section.n_trained]:
            own = names[rows[geometries.molecule[rows] == molecule]]
            own = own[ordering(f"{seed} conformers", own.tolist())]
            train += own[: section.n_conformers].tolist()
        sets.append(TrainingSet(replicate, tuple(train), seed, ()))
    return sets


def _label(
    section: PoolsSection,
    wanted: Sequence[str],
    home: Mapping[str, Unit],
    store: Store,
    executor: Executor,
    tell: Tell,
) -> Unit:
    """Label conformers by the engine and the priors, and return the unit that joins them."""
    parts: dict[str, list[str]] = {}
    for i in wanted:
        parts.setdefault(home[i].key, []).append(i)
    engine = section.pool.engine
    labels = [label_unit(home[ids[0]], ids, engine=engine, prior=None) for ids in parts.values()]
    cheap = [prior_unit(unit, section.priors) for unit in labels]
    costs = {u.key: SECONDS["label"] * len(u.parameters["ids"]) for u in labels}
    units = [*labels, *cheap]
    run_units(store, units, executor, costs=costs, progress=counter(tell, "labels", len(units)))
    atoms, data = pool_unit(store, cheap, engine)
    run_units(store, [atoms, data], executor)
    return data


def _systems(
    tested: Mapping[str, Mapping[str, Sequence[str]]],
    there: set[str],
    molecules: Mapping[str, Molecule],
    section: PoolsSection,
    seed: int,
) -> list[System]:
    systems: list[System] = []
    names: set[str] = set()
    for shift in SHIFTS:
        found = 0
        for key, ids in tested.get(shift, {}).items():
            usable = [i for i in ids if i in there]
            if len(usable) >= max(FEWEST, section.n_structures // 2):
                name = molecules[key].name
                if name in names:  # a file may name two molecules alike
                    name = f"{name} {key}"
                names.add(name)
                systems.append(
                    halves(name, "pools", shift, usable, n=section.n_structures, seed=seed)
                )
                found += 1
        if not found and tested.get(shift):
            raise ShortageError(
                f"pools: no molecule of the shift {shift!r} has enough labelled structures. Raise "
                "pools.n_structures or pools.high_temperature."
            )
    return systems


def _high(labelled: ConformerSet, train: set[str], level: str) -> list[str]:
    """Return ids whose mean force norm lies over a standard deviation above the training mean."""
    norms, names = force_norms(labelled, level), labelled.id.astype("U32")
    known = norms[np.isin(names, sorted(train))]
    known = known[np.isfinite(known)]
    with np.errstate(invalid="ignore"):
        chosen: list[str] = names[norms > known.mean() + known.std()].tolist()
    return chosen


def _ids(conformers: ConformerSet) -> list[str]:
    names: list[str] = conformers.id.astype("U32").tolist()
    return names


def _of(mask: np.ndarray, keys: np.ndarray) -> list[str]:
    chosen: list[str] = keys[mask].tolist()
    return chosen
