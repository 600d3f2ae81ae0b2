"""Selections of a set: what a selector takes is read off conformers, and its rows lead back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.protocols import Featurizer
from .candidates import Candidates, Reading, members
from .given import known_molecules
from .selectors import LEVELS, Selector


def select(
    conformers: ConformerSet,
    selector: Selector,
    *,
    level: str,
    budget: int,
    given: ConformerSet | None = None,
    featurizer: Featurizer | None = None,
    label_level: str | None = None,
    fingerprint: str = "morgan",
) -> np.ndarray:
    """Choose conformers of a set.

    The choice depends on the contents alone: neither on the order of records nor on how often a
    geometry occurs.

    Parameters
    ----------
    conformers : ConformerSet
    selector : Selector
        Its `n_to_select` is not looked at.
    level : {'molecules', 'conformers', 'structures'}
        Whether to choose whole molecules, conformers of each molecule, or structures of the set.
    budget : int
        Molecules, each with all its conformers; conformers of each molecule; or structures. What
        is given does not count.
    given : ConformerSet, optional
        What there is already. Its structures (its molecules, where molecules are chosen) are no
        candidates, and the choice complements them.
    featurizer, label_level, fingerprint
        See `Reading`.

    Returns
    -------
    array of int64
        Conformers in the order of their choice; of a geometry that occurs twice, one of them.

    Raises
    ------
    ConfigurationError
        If the selector means nothing at this level, or lacks a featurizer.
    ShortageError
        If the budget exceeds the candidates.
    DataError
        If a candidate lacks what the selector reads: a structure, a label, a minimum, or finite
        features.
    """
    reading = Reading(featurizer=featurizer, label_level=label_level, fingerprint=fingerprint)
    check_level(selector, level)
    rows = distinct(conformers, reading)
    if given is not None:
        if level == "molecules":
            known = known_molecules(conformers, given)[conformers.molecule]
        else:
            known = np.isin(conformers.id, given.id)
        rows = rows[~known[rows]]
        given = given.select(distinct(given, reading))
    if level == "structures":
        _enough(budget, len(rows), level)
        candidates = Candidates(conformers, rows, reading, given)
        return rows[candidates.choose(selector, budget)]
    if level == "molecules":
        molecules = choose_molecules(conformers, rows, selector, budget, reading, given)
        own = members(conformers.molecule[rows])
        return np.concatenate([rows[own[molecule]] for molecule in molecules.tolist()])
    present = np.unique(conformers.molecule[rows])
    present = present[np.argsort(conformers.molecules.key[present])]
    budgets = dict.fromkeys(present.tolist(), budget)
    chosen = choose_conformers(conformers, rows, selector, budgets, reading, given)
    if not chosen:
        _enough(budget, 0, level)
    return np.concatenate(list(chosen.values()))


def choose_molecules(
    conformers: ConformerSet,
    rows: np.ndarray,
    selector: Selector,
    budget: int,
    reading: Reading,
    given: ConformerSet | None = None,
) -> np.ndarray:
    """Return rows of the table of molecules, in the order of their choice.

    Parameters
    ----------
    conformers : ConformerSet
    rows : array of int64
        Candidates, from `distinct`; a molecule is judged by these conformers.
    selector : Selector
    budget : int
    reading : Reading
    given : ConformerSet, optional
    """
    _enough(budget, len(np.unique(conformers.molecule[rows])), "molecules")
    candidates = Candidates(conformers, rows, reading, given)
    chosen = candidates.choose(selector, budget, whole_molecules=True)
    # The table's molecules are in the order of the candidates, those of the set in another.
    place = {key: row for row, key in enumerate(conformers.molecules.key.tolist())}
    keys = candidates.pool.molecules.key[chosen]
    return np.array([place[key] for key in keys.tolist()], dtype=np.int64)


def choose_conformers(
    conformers: ConformerSet,
    rows: np.ndarray,
    selector: Selector,
    budgets: Mapping[int, int],
    reading: Reading,
    given: ConformerSet | None = None,
) -> dict[int, np.ndarray]:
    """Return conformers of each molecule, in the order of their choice.

    Parameters
    ----------
    conformers : ConformerSet
    rows : array of int64
        Candidates, from `distinct`.
    selector : Selector
    budgets : mapping of int to int
        How many to choose by the molecule's row.
    reading : Reading
    given : ConformerSet, optional
    """
    rows = rows[np.isin(conformers.molecule[rows], list(budgets))]
    counts = np.bincount(conformers.molecule[rows], minlength=conformers.n_molecules)
    short = {m: n - int(counts[m]) for m, n in budgets.items() if n > counts[m]}
    if short:
        worst = max(short, key=lambda m: short[m])
        raise ShortageError(
            f"{max(budgets.values())} conformers of each of {len(budgets)} molecules are to be "
            f"selected, and {len(short)} molecules have fewer that are distinct and not given, "
            f"{sum(short.values())} conformers short in all: "
            f"{str(conformers.molecules.key[worst])!r} has {int(counts[worst])}."
        )
    if not len(rows):
        return {}
    candidates = Candidates(conformers, rows, reading, given)
    own = members(conformers.molecule[rows])
    return {
        m: rows[candidates.choose(selector, budget, among=own[m])] for m, budget in budgets.items()
    }


def check_level(selector: Selector, level: str) -> None:
    """Raise `ConfigurationError` unless a selector means something at a level."""
    if level not in LEVELS:
        raise ConfigurationError(f"There is no level {level!r}. Levels: {', '.join(LEVELS)}.")
    if level not in selector.levels:
        raise ConfigurationError(
            f"{type(selector).__name__} cannot choose {level}: it tells "
            f"{' and '.join(selector.levels)} apart. Choose another selector or level."
        )


def distinct(
    conformers: ConformerSet, reading: Reading, usable: np.ndarray | None = None
) -> np.ndarray:
    """Return one conformer of each geometry in canonical order: by molecule's key, then by id.

    Of a geometry that occurs twice a labelled record is taken, then the first by source and record.

    Parameters
    ----------
    conformers : ConformerSet
    reading : Reading
    usable : array of bool, shape (n,), optional
    """
    labels = conformers.levels.get(reading.label_level or next(iter(conformers.levels), ""))
    bare = np.zeros(len(conformers), bool) if labels is None else ~labels.has_energy
    keys = conformers.molecules.key[conformers.molecule]
    order = np.lexsort((conformers.record, conformers.source, bare, conformers.id, keys))
    if usable is not None:
        order = order[usable[order]]
    ids = conformers.id[order]
    return order[np.concatenate([[True], ids[1:] != ids[:-1]])[: len(order)]]


def _enough(budget: int, n: int, what: str) -> None:
    if budget < 1:
        raise ConfigurationError(f"A budget of {budget}: it must be at least 1.")
    if budget > n:
        raise ShortageError(
            f"{budget} {what} are to be selected and {n} are distinct and not given: "
            f"{budget - n} are missing. Ask for fewer, or give more to choose from."
        )
