"""Designs: training sets that trade molecules for conformers at exact counts.

One `random_state` is one replicate: it fixes an order of the molecules, by blake2b of seed and
molecule key, and an order of each molecule's conformers, by blake2b of seed and conformer id. A
design takes a prefix of the one and of the others, so designs of one replicate nest: the molecules
of a smaller M are among those of a larger, the conformers of a smaller C among those of a larger.
The order of records does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.randomness import ordering


@dataclass(frozen=True, eq=False)
class Design:
    """The conformers of one training set.

    Parameters
    ----------
    train, validation : array of int64
        Indices into the set that the design was made for; molecule by molecule in the order of
        the replicate, each molecule's conformers in theirs.
    molecules : array of int64, shape (M,)
        Rows of `set.molecules`, in the order of the replicate.
    n_conformers : array of int64, shape (M,)
        Conformers of each molecule, validation included.
    """

    train: np.ndarray
    validation: np.ndarray
    molecules: np.ndarray
    n_conformers: np.ndarray

    @property
    def budget(self) -> int:
        """Frames in all, validation included."""
        return len(self.train) + len(self.validation)


class FixedBudget(BaseEstimator):
    """M molecules that share a budget of N frames as evenly as whole numbers allow.

    Parameters
    ----------
    budget : int
        N: training and validation frames together.
    n_molecules : int
        M. Where it does not divide N, the first N mod M molecules have one conformer more.
    n_validation : int
        Frames of the budget that are set apart for validation.
    random_state : int
        The replicate.
    """

    def __init__(
        self, *, budget: int, n_molecules: int, n_validation: int = 0, random_state: int = 0
    ) -> None:
        self.budget = budget
        self.n_molecules = n_molecules
        self.n_validation = n_validation
        self.random_state = random_state

    def design(self, conformers: ConformerSet, available: np.ndarray | None = None) -> Design:
        """Choose the frames.

        Parameters
        ----------
        conformers : ConformerSet
        available : array of bool, shape (n,), optional
            Conformers that may be used; all by default. A geometry that occurs twice counts once.

        Returns
        -------
        Design

        Raises
        ------
        ShortageError
            If there are too few molecules, a molecule has too few conformers, or validation would
            take a molecule's last training frame.
        """
        _positive(budget=self.budget, n_molecules=self.n_molecules)
        if self.budget < self.n_molecules:
            raise ShortageError(
                f"A budget of {self.budget} frames cannot hold {self.n_molecules} molecules: it is "
                f"short of {self.n_molecules - self.budget} frames for one conformer of each."
            )
        share, extra = divmod(self.budget, self.n_molecules)
        counts = np.full(self.n_molecules, share)
        counts[:extra] += 1
        return _fill(conformers, available, counts, self.n_validation, self.random_state)


class FixedMolecules(BaseEstimator):
    """M molecules with C conformers each.

    Parameters
    ----------
    n_molecules, n_conformers : int
        M and C, validation included.
    n_validation : int
        Frames of the M·C that are set apart for validation.
    random_state : int
        The replicate.
    """

    def __init__(
        self, *, n_molecules: int, n_conformers: int, n_validation: int = 0, random_state: int = 0
    ) -> None:
        self.n_molecules = n_molecules
        self.n_conformers = n_conformers
        self.n_validation = n_validation
        self.random_state = random_state

    def design(self, conformers: ConformerSet, available: np.ndarray | None = None) -> Design:
        """Choose the frames; see `FixedBudget.design`."""
        _positive(n_molecules=self.n_molecules, n_conformers=self.n_conformers)
        counts = np.full(self.n_molecules, self.n_conformers)
        return _fill(conformers, available, counts, self.n_validation, self.random_state)


def conformer_orders(
    conformers: ConformerSet, available: np.ndarray | None, random_state: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a replicate's order of the molecules and of each molecule's conformers.

    Parameters
    ----------
    conformers : ConformerSet
    available : array of bool, shape (n,), or None
    random_state : int

    Returns
    -------
    molecules : array of int64
        Rows of the molecules that have an available conformer.
    members : list of array of int64
        Available conformers of each of them, every geometry once.
    """
    usable = np.ones(len(conformers), dtype=bool) if available is None else np.asarray(available)
    if usable.shape != (len(conformers),) or usable.dtype != bool:
        raise ConfigurationError(
            f"`available` must be one True or False for each of {len(conformers)} conformers."
        )
    candidates = np.flatnonzero(usable)
    ids = conformers.id[candidates]
    # Of a geometry that occurs twice, the first stays.
    candidates = candidates[np.sort(np.unique(ids, return_index=True)[1])]
    ordered = candidates[ordering(random_state, conformers.id[candidates].tolist())]
    rows = conformers.molecule[ordered]
    by_molecule = np.argsort(rows, kind="stable")
    present, starts = np.unique(rows[by_molecule], return_index=True)
    groups = np.split(ordered[by_molecule], starts[1:])
    first = ordering(random_state, conformers.molecules.key[present].tolist())
    return present[first], [groups[i] for i in first]


def _fill(
    conformers: ConformerSet,
    available: np.ndarray | None,
    counts: np.ndarray,
    n_validation: int,
    random_state: int,
) -> Design:
    molecules, members = conformer_orders(conformers, available, random_state)
    wanted = len(counts)
    if len(molecules) < wanted:
        raise ShortageError(
            f"{wanted} molecules are asked for and {len(molecules)} have conformers that may be "
            f"trained on: {wanted - len(molecules)} are missing. Enlarge the pool or "
            "ask for fewer."
        )
    molecules, members = molecules[:wanted], members[:wanted]
    short = np.array([max(0, c - len(m)) for c, m in zip(counts, members, strict=True)])
    if short.any():
        worst = int(short.argmax())
        raise ShortageError(
            f"{int(counts.max())} conformers of each of {wanted} molecules are asked for, and "
            f"{np.count_nonzero(short)} molecules have fewer, {short.sum()} conformers short in "
            f"all: {conformers.molecules.key[molecules[worst]]} has {len(members[worst])}. Sample "
            "more conformers, hold fewer out, or ask for fewer."
        )
    held = _validation_counts(counts, n_validation)
    train = [m[: c - v] for m, c, v in zip(members, counts, held, strict=True)]
    validation = [m[c - v : c] for m, c, v in zip(members, counts, held, strict=True)]
    return Design(
        train=np.concatenate(train),
        validation=np.concatenate(validation).astype(np.int64),
        molecules=molecules,
        n_conformers=counts,
    )


def _validation_counts(counts: np.ndarray, n_validation: int) -> np.ndarray:
    """Take validation frames one by one from the molecule that has most left, the first of equals.

    So no molecule loses its last training frame unless all would.
    """
    if n_validation < 0:
        raise ConfigurationError(f"n_validation = {n_validation}: it must not be negative.")
    spare = int(counts.sum()) - len(counts)
    if n_validation > spare:
        raise ShortageError(
            f"{n_validation} validation frames out of {int(counts.sum())} would leave molecules "
            f"without a training frame: {spare} frames can be spared, {n_validation - spare} too "
            "few. Ask for fewer validation frames or more conformers."
        )
    left = counts.copy()
    for _ in range(n_validation):
        left[left.argmax()] -= 1
    return counts - left


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigurationError(f"{name} = {value}: it must be at least 1.")
