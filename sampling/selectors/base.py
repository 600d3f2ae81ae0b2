"""What every selector is: an estimator that puts the rows it would take in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from ...diversity.errors import ConfigurationError, ShortageError
from ...diversity.randomness import generator, ordering

#: What a set can be chosen by: whole molecules, conformers of each molecule, or any structures.
LEVELS = ("molecules", "conformers", "structures")


class Selector(BaseEstimator, ABC):
    """Chooses rows of a table.

    Parameters
    ----------
    n_to_select : int, optional
        Rows to take; all by default, which is an order of the rows.
    random_state : int
        The replicate, ≥ 0.

    Attributes
    ----------
    selected_idx_ : array of int64, shape (n_to_select,)
        Rows in the order in which they were taken.

    Notes
    -----
    Class attributes tell what a selector is. ``reads`` names all it may look at: ``geometry``,
    ``structure`` (the molecular graph), ``prior_labels`` or ``reference_labels``, both where it
    takes whichever labels it is given. ``takes`` is what `X` holds: ``features``, ``fingerprints``
    (packed bits), or nothing but its length for a selector by ``labels``, ``groups`` or ``keys``.
    ``target`` is what `y` holds, if anything. ``prefix`` tells whether the first k of a selection
    are the selection of k. ``levels`` are those at which it means something. ``quadratic`` tells
    whether the time grows with the square of the rows.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"geometry"})
    takes: ClassVar[str] = "features"
    target: ClassVar[str | None] = None
    prefix: ClassVar[bool] = True
    levels: ClassVar[tuple[str, ...]] = LEVELS
    quadratic: ClassVar[bool] = False

    def __init__(self, *, n_to_select: int | None = None, random_state: int = 0) -> None:
        self.n_to_select = n_to_select
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        given: Any = None,
        keys: Sequence[str | bytes] | np.ndarray | None = None,
    ) -> Self:
        """Choose rows.

        Parameters
        ----------
        X : array, shape (n, d)
            See ``takes``.
        y : array, shape (n,), optional
            See ``target``.
        given : array, shape (m, d) or (m,), optional
            What is there already, as rows of `X` (of `y` where only `y` is read): the choice
            complements it.
        keys : sequence of str or bytes, length n, optional
            Unique names of the rows. With them the choice does not depend on the order of rows:
            ties fall to the lower key, and a method that starts somewhere starts with the first
            key in the order of blake2b(random_state ‖ key). Without them, with rows for keys,
            it starts with a random row.

        Returns
        -------
        Selector
            Itself.

        Raises
        ------
        ShortageError
            If more rows are asked for than there are.
        ValueError
            As scikit-learn's estimators: for NaN, infinities and shapes that do not fit.
        """
        if self.random_state < 0:
            raise ConfigurationError(
                f"random_state = {self.random_state}: it must not be negative."
            )
        X = self._table(X, reset=True)
        if self.target is not None:
            X, y = validate_data(self, X, y, skip_check_array=True)
            y = self._target(y, len(X))
        wanted = self._wanted(len(X))
        if given is not None and len(given):
            given = self._given(given, X)
        else:
            given = None
        order = None
        if keys is not None:
            names = np.asarray(keys)
            if names.shape != (len(X),) or len(np.unique(names)) != len(X):
                raise ValueError(f"keys must be {len(X)} names, each of them once")
            if (names[:-1] > names[1:]).any():
                order = np.argsort(names)
                X, names = X[order], names[order]
                y = y if self.target is None else y[order]
            shuffled = ordering(self.random_state, names.tolist())
        else:
            shuffled = generator(self.random_state, "selector").permutation(len(X))
        chosen = np.asarray(self._choose(X, y, given, wanted, shuffled), dtype=np.int64)
        self.selected_idx_ = chosen if order is None else order[chosen]
        return self

    @abstractmethod
    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        """Return `wanted` rows of a checked table in canonical order.

        Parameters
        ----------
        X, y, given
            As in `fit`; `given` is None without rows.
        wanted : int
            From 1 to n.
        shuffled : array of int64, shape (n,)
            The replicate's order of the rows; a method that starts somewhere starts with its first.
        """

    def _table(self, X: Any, *, reset: bool) -> np.ndarray:
        return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], order="C")

    def _target(self, y: np.ndarray, n: int) -> np.ndarray:
        checked = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        if checked.shape != (n,):
            raise ValueError(f"y of shape {checked.shape} for {n} rows")
        return checked.astype(np.float64)

    def _given(self, given: Any, X: np.ndarray) -> np.ndarray:
        return self._table(given, reset=False).astype(X.dtype)

    def _wanted(self, n: int) -> int:
        wanted = n if self.n_to_select is None else self.n_to_select
        if wanted < 1:
            raise ConfigurationError(f"n_to_select = {wanted}: it must be at least 1.")
        if wanted > n:
            raise ShortageError(
                f"{wanted} are to be selected and there are {n}: {wanted - n} are missing."
            )
        return int(wanted)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.target is not None
        tags.non_deterministic = False
        return tags


class Random(Selector):
    """Rows in random order: of keys, the order of blake2b(random_state ‖ key)."""

    reads = frozenset()
    takes = "keys"

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        return shuffled[:wanted]


def round_robin(groups: np.ndarray, order: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Order rows so that groups fill evenly: always from the group that has fewest so far.

    Parameters
    ----------
    groups : array of int, shape (n,)
        Group of each row, from 0.
    order : array of int, shape (n,)
        Order of preference of the rows: within a group, and between groups that have equally many.
    taken : array of int, shape (n_groups,)
        What each group has already.

    Returns
    -------
    array of int64, shape (n,)

    Examples
    --------
    >>> round_robin(np.array([0, 0, 0, 1, 1]), np.arange(5), np.array([1, 0]))
    array([3, 0, 4, 1, 2])
    """
    of = np.asarray(groups)[order]
    by_group = np.argsort(of, kind="stable")
    counts = np.bincount(of, minlength=len(taken))
    rank = np.empty(len(of), dtype=np.int64)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank[by_group] = np.arange(len(of)) - starts
    return np.asarray(order)[np.argsort(rank + np.asarray(taken)[of], kind="stable")]
