"""Deviation of a quantity from its mean, and disagreement of a committee."""

from __future__ import annotations

import numpy as np

from .base import Detector


class ZScore(Detector):
    """Largest deviation of a column from its fitted mean in standard deviations, negated.

    With one column and a threshold of 1 it is the paper's definition of an out-of-distribution
    structure (arXiv:2503.08674): more than 1 σ from the training mean.

    Parameters
    ----------
    least_scale : float
        Least standard deviation, in units of the columns: a set of one molecule has no spread in
        size, and one atom more is not infinitely far.
    contamination : float
        See `Detector`.
    """

    def __init__(self, *, least_scale: float = 1e-12, contamination: float = 0.05) -> None:
        super().__init__(contamination=contamination)
        self.least_scale = least_scale

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if not self.least_scale > 0:
            raise ValueError(f"least_scale = {self.least_scale}: it must be above 0")
        self.mean_ = X.mean(axis=0)
        self.scale_ = np.maximum(X.std(axis=0), self.least_scale)

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        return -(np.abs(X - self.mean_) / self.scale_).max(axis=1)


class CommitteeVariance(Detector):
    """Standard deviation of the members' predictions, negated; nothing of the rows is learned.

    Parameters
    ----------
    n_components : int
        Components of a prediction: 1 of an energy, 3 of a force. Rows hold member after member,
        each with all its components; the score is the root of the variance summed over components.
    contamination : float
        See `Detector`.
    """

    def __init__(self, *, n_components: int = 1, contamination: float = 0.05) -> None:
        super().__init__(contamination=contamination)
        self.n_components = n_components

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if self.n_components < 1 or X.shape[1] % self.n_components:
            raise ValueError(
                f"{X.shape[1]} columns are no whole number of predictions of "
                f"{self.n_components} components"
            )

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        members = X.reshape(len(X), -1, self.n_components)
        return -np.sqrt(members.var(axis=1).sum(axis=1))
