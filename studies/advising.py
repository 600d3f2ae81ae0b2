"""Advice from a study's folder: what labels of its molecules cost, and what to label next."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from ..analysis.advice import Cost, Growth, advise_growth
from ..diversity import ConfigurationError, ConformerSet, DataError, ShortageError
from ..sampling.candidates import Reading
from ..sampling.given import known_molecules, shared_identity
from ..sampling.selecting import check_level, choose_conformers, choose_molecules, distinct
from .comparing import read_set
from .costs import seconds
from .pool import SECONDS
from .registry import featurizer, selector
from .results import load
from .specs import RANDOM


def read_results(path: Path) -> xr.Dataset:
    """Read ``results.nc``, or that of a study's folder.

    Raises
    ------
    DataError
        If there is none, or it cannot be read.
    """
    file = path / "results.nc" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} is not there: name results.nc of a study, or its folder.")
    return load(file)


def core_hours(level: str, conformers: ConformerSet, *, per_molecule: float | None = None) -> Cost:
    """Return what labels and molecules like those of a set cost, in hours of one core.

    By the measured law of the level's engine (`breadth.studies.costs`), mean over molecules: those
    that a design draws are not known yet.

    Parameters
    ----------
    level : str
    conformers : ConformerSet
    per_molecule : float, optional
        Hours of one more molecule; what its conformer search takes by default.
    """
    first = np.unique(conformers.molecule, return_index=True)[1].tolist()
    each = [seconds(level, conformers.numbers[conformers.atoms_slice(i)]) / 3600 for i in first]
    search = SECONDS["molecule"] / 3600 if per_molecule is None else per_molecule
    return Cost(float(np.mean(each)), search, "core hours")


def pool_of(results: Path) -> Path:
    """Return the labelled pool of the study that results are of.

    Raises
    ------
    ConfigurationError
        If it does not stand beside them.
    """
    folder = results if results.is_dir() else results.parent
    if not (folder / "pool").exists():
        raise ConfigurationError(
            f"There is no pool beside {results}, whose molecules would tell what labels cost. "
            "Name a set of such molecules by --from."
        )
    return folder / "pool"


def next_labels(
    results: xr.Dataset,
    have: Path,
    candidates: Path,
    *,
    add: int,
    weights: Mapping[str, float] | None = None,
    molecules_by: str = RANDOM,
    conformers_by: str = RANDOM,
    descriptor: str = "compact",
    random_state: int = 0,
) -> tuple[Growth, ConformerSet, dict[str, int]]:
    """Choose what to label next: new molecules, and more conformers of those that have fewest.

    Parameters
    ----------
    results : xarray.Dataset
    have, candidates : Path
        The labelled set, and geometries to choose from, which need no labels.
    add : int
        How many.
    weights : mapping of str to float, optional
    molecules_by, conformers_by, descriptor : str
        Selectors along each axis, which complement what is there.
    random_state : int

    Returns
    -------
    Growth
    ConformerSet
        Exactly `add` conformers, none of which is there.
    dict of str to int
        What was chosen: ``n_conformers``, ``new_molecules``, ``new_conformers`` (of these) and
        ``more_conformers`` (of molecules that are there). Where molecules run short, it differs
        from what was advised.

    Raises
    ------
    ShortageError
        If there are too few candidates.
    """
    given, offered = read_set(have), read_set(candidates)
    by = {"molecules": selector(molecules_by), "conformers": selector(conformers_by)}
    for level, chooser in by.items():
        check_level(chooser, level)
        if chooser.reads & {"prior_labels", "reference_labels"}:
            raise ConfigurationError(
                f"--{level}-by: {type(chooser).__name__} reads labels, and these have none yet."
            )
        chooser.set_params(random_state=random_state)
    needs = any(chooser.takes == "features" for chooser in by.values())
    reading = Reading(featurizer=featurizer(descriptor) if needs else None)
    rows = distinct(offered, reading, ~np.isin(offered.id, given.id))
    if len(rows) < add:
        raise ShortageError(
            f"{add} conformers are to be labelled and {candidates} has {len(rows)} that {have} "
            f"lacks: {add - len(rows)} are missing. Add fewer, or offer more."
        )
    present = given.select(distinct(given, reading))
    available = np.bincount(offered.molecule[rows], minlength=offered.n_molecules)
    known = known_molecules(offered, given)
    fresh = np.flatnonzero(~known & (available > 0))
    growth = advise_growth(
        results,
        n_molecules=present.n_molecules,
        n_conformers=len(present),
        add=add,
        weights=weights,
        most_new=len(fresh),
    )
    old = np.flatnonzero(known & (available > 0))
    of_new = rows[~known[offered.molecule[rows]]]
    new, wanted = np.array([], dtype=np.int64), growth.n_new_molecules
    if not wanted and available[old].sum() < add:
        wanted = min(1, len(fresh))
    while wanted:
        new = choose_molecules(offered, of_new, by["molecules"], wanted, reading, present)
        short = add - int(available[new].sum() + available[old].sum())
        if short <= 0 or wanted == len(fresh):
            break
        # The chosen ones have too few conformers to take all labels: more molecules then.
        wanted = min(len(fresh), wanted + -(-short // int(available.max())))
    taken = _level(have=np.zeros(len(new), int), room=available[new], total=growth.new_conformers)
    left = add - int(taken.sum())
    more = _level(have=_counts(offered, present)[old], room=available[old], total=left)
    # Where molecules that are there have no candidates left, new ones have more each.
    taken += _level(have=taken, room=available[new] - taken, total=left - int(more.sum()))
    budgets = dict(
        zip([*new.tolist(), *old.tolist()], [*taken.tolist(), *more.tolist()], strict=True)
    )
    budgets = {molecule: n for molecule, n in budgets.items() if n}
    if (chosen := sum(budgets.values())) < add:
        raise ShortageError(
            f"{add} conformers are to be labelled, and the molecules chosen have {chosen} that "
            f"{have} lacks. Offer more conformers of each molecule, or add fewer."
        )
    found = choose_conformers(offered, rows, by["conformers"], budgets, reading, present)
    counts = {
        "n_conformers": add,
        "new_molecules": int((taken > 0).sum()),
        "new_conformers": int(taken.sum()),
        "more_conformers": int(more.sum()),
    }
    return growth, offered.select(np.concatenate(list(found.values()))), counts


def _counts(offered: ConformerSet, given: ConformerSet) -> np.ndarray:
    """Return how many conformers of each offered molecule are there, shape (M,)."""
    of = shared_identity(offered, given)
    names, counts = np.unique(getattr(given.molecules, of)[given.molecule], return_counts=True)
    there = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return np.array([there.get(name, 0) for name in getattr(offered.molecules, of).tolist()])


def _level(*, have: np.ndarray, room: np.ndarray, total: int) -> np.ndarray:
    """Return how many to add to each, one by one to what has least, the first of equals.

    Examples
    --------
    >>> _level(have=np.array([1, 4, 2]), room=np.array([9, 9, 1]), total=5).tolist()
    [4, 0, 1]
    """
    added = np.zeros(len(have), dtype=int)
    heap = [(int(n), i) for i, n in enumerate(have) if room[i] > 0]
    heapq.heapify(heap)
    while total > 0 and heap:
        n, i = heapq.heappop(heap)
        added[i] += 1
        total -= 1
        if added[i] < room[i]:
            heapq.heappush(heap, (n + 1, i))
    return added
