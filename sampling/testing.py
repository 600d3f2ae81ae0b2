"""What outsiders inherit: the contract of selectors.

Needs `pytest` and scikit-learn's own checks. A new selector is tested by a class of two lines::

    class TestMine(SelectorContract):
        selector = Mine
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from ..diversity.errors import ConfigurationError, ShortageError
from .selectors import LEVELS, Selector

KNOWN_READS = {"geometry", "structure", "prior_labels", "reference_labels"}


class SelectorContract:
    """What every selector keeps; inherit it and name the selector.

    Attributes
    ----------
    selector : subclass of Selector
    options : dict
        Of its constructor.
    """

    selector: type[Selector]
    options: dict[str, Any]  # none by default

    def make(self, **options: Any) -> Selector:
        """Return a new selector."""
        return self.selector(**{**getattr(self, "options", {}), **options})

    def table(self, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what the selector takes: `X`, and `y` where it has a target."""
        random = np.random.default_rng(seed)
        if self.selector.takes == "fingerprints":
            X = np.packbits(random.random((n, 64)) < 0.3, axis=1)
        else:
            X = random.normal(size=(n, 3)).astype(np.float32)
        targets = {
            None: None,
            "scaffold": np.array([f"s{k}" for k in random.integers(0, 7, n)]),
            "minimum": random.integers(0, 5, n),
        }
        return X, targets.get(self.selector.target, random.gamma(2.0, 0.1, n))

    def given(self, m: int = 8) -> np.ndarray:
        """Return some rows that are there already."""
        X, y = self.table(m, seed=1)
        of_target = self.selector.takes in ("labels", "groups")
        return y if of_target and y is not None else X

    def test_it_says_what_it_is(self) -> None:
        """Its class attributes have values that designs and commands understand."""
        kind = self.selector
        assert kind.reads <= KNOWN_READS
        assert kind.takes in {"features", "fingerprints", "labels", "groups", "keys"}
        assert set(kind.levels) <= set(LEVELS)
        assert kind.levels

    def test_budgets_are_met_exactly(self) -> None:
        """As many rows as asked for, each once, with and without given ones."""
        X, y = self.table()
        for n in (1, 2, 7, 59, 60, None):
            for given in (None, self.given()):
                chosen = self.make(n_to_select=n).fit(X, y, given=given).selected_idx_
                assert chosen.dtype == np.int64
                assert len(chosen) == (n or len(X)) == len(set(chosen.tolist()))
                assert 0 <= chosen.min() <= chosen.max() < len(X)

    def test_a_prefix_is_a_selection(self) -> None:
        """Where it says so, the first k of a selection are the selection of k."""
        X, y = self.table()
        if self.selector.prefix:
            for given in (None, self.given()):
                whole = self.make().fit(X, y, given=given).selected_idx_
                for k in (1, 2, 10, 31):
                    part = self.make(n_to_select=k).fit(X, y, given=given).selected_idx_
                    np.testing.assert_array_equal(part, whole[:k])

    def test_the_order_of_rows_does_not_matter(self) -> None:
        """With keys, shuffled rows give the same keys in the same order; ties included."""
        X, y = self.table()
        X[40:50] = X[:10]
        keys = np.array([f"k{i:03d}" for i in range(len(X))])
        shuffle = np.random.default_rng(3).permutation(len(X))
        for seed in (0, 1):
            selector = self.make(n_to_select=25, random_state=seed)
            straight = keys[selector.fit(X, y, keys=keys).selected_idx_]
            again = keys[clone(selector).fit(X, y, keys=keys).selected_idx_]
            y_shuffled = None if y is None else y[shuffle]
            other = selector.fit(X[shuffle], y_shuffled, keys=keys[shuffle]).selected_idx_
            assert straight.tolist() == again.tolist() == keys[shuffle][other].tolist()

    def test_rows_that_are_all_alike_are_taken_in_some_order(self) -> None:
        """Constant features, fingerprints and targets have a defined answer."""
        X, y = self.table(12)
        X[:] = X[0]
        if y is not None:
            y[:] = y[0]
        for n in (1, 5, 12):
            chosen = self.make(n_to_select=n).fit(X, y).selected_idx_
            assert len(set(chosen.tolist())) == n

    def test_one_row_is_enough(self) -> None:
        """A table of one row gives this row."""
        X, y = self.table(1)
        assert self.make(n_to_select=1).fit(X, y).selected_idx_.tolist() == [0]

    def test_what_cannot_be_met_is_told(self) -> None:
        """Budgets beyond the rows, budgets of nothing, repeated keys, and given of other shape."""
        X, y = self.table(10)
        with pytest.raises(ShortageError, match="12 are to be selected and there are 10: 2 are"):
            self.make(n_to_select=12).fit(X, y)
        with pytest.raises(ConfigurationError, match="n_to_select = 0"):
            self.make(n_to_select=0).fit(X, y)
        with pytest.raises(ValueError, match="each of them once"):
            self.make(n_to_select=2).fit(X, y, keys=["a"] * 10)
        if self.selector.takes == "features":
            with pytest.raises(ValueError, match="features"):
                self.make(n_to_select=2).fit(X, y, given=np.zeros((2, 9)))
            with pytest.raises(ValueError, match="NaN"):
                self.make(n_to_select=2).fit(np.where(X == X[3], np.nan, X), y)

    def test_it_is_an_estimator(self) -> None:
        """It passes scikit-learn's checks; fingerprints have their own type, so these cannot."""
        if self.selector.takes == "fingerprints":
            made = self.make(n_to_select=3)
            assert clone(made).get_params() == made.get_params()
            with pytest.raises(ValueError, match="packed bits"):
                made.fit(np.zeros((4, 3)))
            return
        check_estimator(self.make())
