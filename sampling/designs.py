"""Designs: training sets that trade molecules for conformers at exact counts.

One `random_state` is one replicate: it fixes an order of the molecules, by blake2b of seed and
molecule key, and an order of each molecule's conformers, by blake2b of seed and conformer id. A
design takes a prefix of the one and of the others, so designs of one replicate nest: the molecules
of a smaller M are among those of a larger, the conformers of a smaller C among those of a larger.
The order of records does not matter.

A selector along an axis takes the place of that axis's random order; nesting then holds where the
selector has the prefix property.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, ShortageError
from ..diversity.html import facts
from ..diversity.protocols import Featurizer
from ..diversity.randomness import ordering
from .candidates import Reading
from .given import may_grow
from .selecting import check_level, choose_conformers, choose_molecules, distinct
from .selectors import Selector


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
    n_labels_read : int
        Conformers whose reference labels were read to choose these; the budget is charged for
        them, the chosen ones included.
    """

    train: np.ndarray
    validation: np.ndarray
    molecules: np.ndarray
    n_conformers: np.ndarray
    n_labels_read: int = 0

    @property
    def budget(self) -> int:
        """Frames in all, validation included."""
        return len(self.train) + len(self.validation)

    def __repr__(self) -> str:
        return (
            f"<Design: {len(self.molecules)} molecules, {len(self.train)} frames to train on and "
            f"{len(self.validation)} to validate>"
        )

    def _repr_html_(self) -> str:
        low, high = self.n_conformers.min(), self.n_conformers.max()
        known = {
            "conformers of each": f"{low}" if low == high else f"{low} or {high}",
            "frames to train on": len(self.train),
            "frames to validate on": len(self.validation),
        }
        if self.n_labels_read:
            known["labels read to choose"] = self.n_labels_read
        return facts(known, caption=f"{len(self.molecules):,} molecules, budget {self.budget:,}")


class _Designs(BaseEstimator):
    """Designs of any counts; `_counts` tells the conformers of each molecule."""

    def design(
        self,
        conformers: ConformerSet,
        available: np.ndarray | None = None,
        *,
        given: ConformerSet | None = None,
        grow: str = "both",
    ) -> Design:
        """Choose the frames.

        Parameters
        ----------
        conformers : ConformerSet
        available : array of bool, shape (n,), optional
            Conformers that may be used; all by default. A geometry that occurs twice counts once.
        given : ConformerSet, optional
            A set that the design adds to: its conformers are no candidates and count in no
            budget, and selectors complement it.
        grow : {'both', 'molecules', 'conformers'}
            Add molecules that are not given, conformers of molecules that are, or either.

        Returns
        -------
        Design

        Raises
        ------
        ShortageError
            If there are too few molecules, a molecule has too few conformers, or validation would
            take a molecule's last training frame.
        ConfigurationError
            If a selector reads reference labels without leave to be charged for them.
        """
        return _fill(conformers, available, self._counts(), self, given, grow)

    def _counts(self) -> np.ndarray:
        raise NotImplementedError


class FixedBudget(_Designs):
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
    molecule_selector, conformer_selector : Selector, optional
        Choose the molecules, and the conformers of each; at random by default. Their own
        `random_state` and `n_to_select` are not looked at.
    featurizer : Featurizer, optional
        For selectors that take features.
    reference_level, prior_level : str, optional
        Levels of theory. A selector that reads labels reads those of `prior_level` where one is
        named, else those of `reference_level` (the only one of the set by default).
    charge_labels : bool
        Whether a selector may read reference labels of conformers that are not chosen: their cost
        is the design's `n_labels_read`.
    """

    def __init__(
        self,
        *,
        budget: int,
        n_molecules: int,
        n_validation: int = 0,
        random_state: int = 0,
        molecule_selector: Selector | None = None,
        conformer_selector: Selector | None = None,
        featurizer: Featurizer | None = None,
        reference_level: str | None = None,
        prior_level: str | None = None,
        charge_labels: bool = False,
    ) -> None:
        self.budget = budget
        self.n_molecules = n_molecules
        self.n_validation = n_validation
        self.random_state = random_state
        self.molecule_selector = molecule_selector
        self.conformer_selector = conformer_selector
        self.featurizer = featurizer
        self.reference_level = reference_level
        self.prior_level = prior_level
        self.charge_labels = charge_labels

    def _counts(self) -> np.ndarray:
        _positive(budget=self.budget, n_molecules=self.n_molecules)
        if self.budget < self.n_molecules:
            raise ShortageError(
                f"A budget of {self.budget} frames cannot hold {self.n_molecules} molecules: it is "
                f"short of {self.n_molecules - self.budget} frames for one conformer of each."
            )
        share, extra = divmod(self.budget, self.n_molecules)
        counts = np.full(self.n_molecules, share)
        counts[:extra] += 1
        return counts


class FixedMolecules(_Designs):
    """M molecules with C conformers each.

    Parameters
    ----------
    n_molecules, n_conformers : int
        M and C, validation included.
    n_validation : int
        Frames of the M·C that are set apart for validation.
    random_state, molecule_selector, conformer_selector, featurizer
        See `FixedBudget`.
    reference_level, prior_level, charge_labels
        See `FixedBudget`.
    """

    def __init__(
        self,
        *,
        n_molecules: int,
        n_conformers: int,
        n_validation: int = 0,
        random_state: int = 0,
        molecule_selector: Selector | None = None,
        conformer_selector: Selector | None = None,
        featurizer: Featurizer | None = None,
        reference_level: str | None = None,
        prior_level: str | None = None,
        charge_labels: bool = False,
    ) -> None:
        self.n_molecules = n_molecules
        self.n_conformers = n_conformers
        self.n_validation = n_validation
        self.random_state = random_state
        self.molecule_selector = molecule_selector
        self.conformer_selector = conformer_selector
        self.featurizer = featurizer
        self.reference_level = reference_level
        self.prior_level = prior_level
        self.charge_labels = charge_labels

    def _counts(self) -> np.ndarray:
        _positive(n_molecules=self.n_molecules, n_conformers=self.n_conformers)
        return np.full(self.n_molecules, self.n_conformers)


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
    candidates = np.flatnonzero(_usable(conformers, available))
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


def _usable(conformers: ConformerSet, available: np.ndarray | None) -> np.ndarray:
    usable = np.ones(len(conformers), dtype=bool) if available is None else np.asarray(available)
    if usable.shape != (len(conformers),) or usable.dtype != bool:
        raise ConfigurationError(
            f"`available` must be one True or False for each of {len(conformers)} conformers."
        )
    return usable


def _fill(
    conformers: ConformerSet,
    available: np.ndarray | None,
    counts: np.ndarray,
    chooser: Any,
    given: ConformerSet | None,
    grow: str,
) -> Design:
    if given is not None:
        available = _usable(conformers, available) & may_grow(conformers, given, grow)
    molecules, members = conformer_orders(conformers, available, chooser.random_state)
    wanted = len(counts)
    if len(molecules) < wanted:
        raise ShortageError(
            f"{wanted} molecules are asked for and {len(molecules)} have conformers that may be "
            f"trained on: {wanted - len(molecules)} are missing. Enlarge the pool or "
            "ask for fewer."
        )
    choice = _Choice(conformers, available, chooser, given, grow)
    order = choice.of_molecules(molecules, wanted)
    molecules, members = molecules[order], [members[i] for i in order]
    short = np.array([max(0, c - len(m)) for c, m in zip(counts, members, strict=True)])
    if short.any():
        worst = int(short.argmax())
        raise ShortageError(
            f"{int(counts.max())} conformers of each of {wanted} molecules are asked for, and "
            f"{np.count_nonzero(short)} molecules have fewer, {short.sum()} conformers short in "
            f"all: {conformers.molecules.key[molecules[worst]]} has {len(members[worst])}. Sample "
            "more conformers, hold fewer out, or ask for fewer."
        )
    members = choice.of_conformers(molecules, members, counts)
    held = _validation_counts(counts, chooser.n_validation)
    train = [m[: c - v] for m, c, v in zip(members, counts, held, strict=True)]
    validation = [m[c - v : c] for m, c, v in zip(members, counts, held, strict=True)]
    return Design(
        train=np.concatenate(train),
        validation=np.concatenate(validation).astype(np.int64),
        molecules=molecules,
        n_conformers=counts,
        n_labels_read=choice.n_labels_read,
    )


class _Choice:
    """What the selectors of a design take of a set's usable conformers."""

    def __init__(
        self,
        conformers: ConformerSet,
        available: np.ndarray | None,
        chooser: Any,
        given: ConformerSet | None,
        grow: str,
    ) -> None:
        self.conformers, self.chooser, self.grow = conformers, chooser, grow
        self.reading = Reading(
            featurizer=chooser.featurizer,
            label_level=chooser.prior_level or chooser.reference_level,
        )
        self.n_labels_read = 0
        self.selectors: dict[str, Selector] = {}
        for level, selector in (
            ("molecules", chooser.molecule_selector),
            ("conformers", chooser.conformer_selector),
        ):
            if selector is not None:
                check_level(selector, level)
                self._check_labels(selector)
                self.selectors[level] = copy(selector).set_params(random_state=chooser.random_state)
        self.rows = np.array([], dtype=np.int64)
        if self.selectors:
            self.rows = distinct(conformers, self.reading, _usable(conformers, available))
            given = None if given is None else given.select(distinct(given, self.reading))
        self.given = given

    def of_molecules(self, molecules: np.ndarray, wanted: int) -> np.ndarray:
        """Return the places of the chosen among the molecules of a random order."""
        if "molecules" not in self.selectors:
            return np.arange(wanted)
        selector = self.selectors["molecules"]
        # Where every candidate is given, none complements what is given better than another.
        given = None if self.grow == "conformers" else self.given
        chosen = choose_molecules(self.conformers, self.rows, selector, wanted, self.reading, given)
        self._charge(selector, self.rows)
        return np.array([int(np.flatnonzero(molecules == m)[0]) for m in chosen])

    def of_conformers(
        self, molecules: np.ndarray, members: list[np.ndarray], counts: np.ndarray
    ) -> list[np.ndarray]:
        """Return the chosen conformers of each molecule instead of a random order of them."""
        if "conformers" not in self.selectors:
            return members
        selector = self.selectors["conformers"]
        budgets = dict(zip(molecules.tolist(), counts.tolist(), strict=True))
        chosen = choose_conformers(
            self.conformers, self.rows, selector, budgets, self.reading, self.given
        )
        self._charge(selector, np.concatenate(members))
        return [chosen[m] for m in molecules.tolist()]

    def _check_labels(self, selector: Selector) -> None:
        if self._reads_reference(selector) and not self.chooser.charge_labels:
            raise ConfigurationError(
                f"{type(selector).__name__} reads labels of conformers that it does not choose, "
                "and they are not free: name a cheap prior for it to read (prior_level, "
                "--prior-level), or let it read them (charge_labels=True, --charge-labels) and "
                "count `n_labels_read` as the budget."
            )

    def _charge(self, selector: Selector, rows: np.ndarray) -> None:
        if self._reads_reference(selector):
            self.n_labels_read = max(self.n_labels_read, len(rows))

    def _reads_reference(self, selector: Selector) -> bool:
        return "reference_labels" in selector.reads and self.chooser.prior_level is None


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
