"""Distances between two samples of rows: plug-in estimates, squared, before debiasing.

Each is zero for equal samples and positive otherwise, so that two samples of one population look
apart; `breadth.analysis.shift.halves` takes that bias out. The score of a single row is its own
distance from the reference, as a sample of one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator

from ...diversity.randomness import generator
from ..detectors.base import evenly_taken
from .halves import Estimate, debiased


class SetDistance(BaseEstimator, ABC):
    """A distance between samples; the same for every order of their rows."""

    @abstractmethod
    def squared(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the plug-in estimate, squared, ≥ 0, of samples (n, d) and (m, d)."""

    @abstractmethod
    def score(self, reference: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return the squared distance of each row alone from the reference, shape (len(X),)."""

    def prepared(self, a: np.ndarray, b: np.ndarray) -> SetDistance:
        """Return the distance with what it takes from both whole samples settled."""
        return self

    def estimate(self, a: Any, b: Any, *, units: Any = None, **options: Any) -> Estimate:
        """Return the debiased distance and its interval; see `debiased`.

        Parameters
        ----------
        a, b : array, shape (n, d) and (m, d)
        units : pair of arrays, shape (n,) and (m,), optional
            What was drawn independently: the molecule of each row. Each row by default.
        **options
            Of `debiased`.
        """
        a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
        settled = self.prepared(a, b)
        if units is None:
            units = tuple(np.arange(len(x)) for x in (a, b))
        return debiased(lambda i, j: settled.squared(i, j), a, b, units=units, **options)

    def distance(self, a: Any, b: Any, *, units: Any = None, **options: Any) -> float:
        """Return the debiased distance, ≥ 0 and 0 for equal samples; see `estimate`."""
        return self.estimate(a, b, units=units, **options).distance


class Frechet(SetDistance):
    """Fréchet distance between the Gaussians of equal means and covariances.

    d² = ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½) (Dowson and Landau, doi
    10.1016/0047-259X(82)90077-X). The last trace is the nuclear norm of A Bᵀ for centred rows
    A and B over √n and √m, so that many columns cost no more than few rows.
    """

    def squared(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return d²."""
        shift = a.mean(0) - b.mean(0)
        left, right = (_covariance_root(x) for x in (a, b))
        cross = np.linalg.norm(left @ right.T, ord="nuc")
        return max(0.0, float(shift @ shift + (left**2).sum() + (right**2).sum() - 2 * cross))

    def score(self, reference: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return ‖x − μ‖² + tr Σ."""
        centre = reference.mean(0)
        return ((X - centre) ** 2).sum(1) + ((reference - centre) ** 2).sum(1).mean()


class Mmd(SetDistance):
    """Maximum mean discrepancy under a Gaussian kernel (Gretton et al., JMLR 13, 723 (2012)).

    Debiased, its square is the unbiased statistic's estimand, with whole units in place of rows.

    Parameters
    ----------
    bandwidth : float, optional
        Of exp(−r²/2h²), in units of the rows; by default the median distance in both samples
        together.
    """

    def __init__(self, *, bandwidth: float | None = None) -> None:
        self.bandwidth = bandwidth

    def prepared(self, a: np.ndarray, b: np.ndarray) -> Mmd:
        """Return it with a bandwidth."""
        if self.bandwidth is not None:
            return self
        return Mmd(bandwidth=median_distance(np.concatenate([a, b])))

    def squared(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the mean kernel within a and within b less twice that between."""
        if self.bandwidth is None:
            return self.prepared(a, b).squared(a, b)
        within = self._kernel(a, a).mean() + self._kernel(b, b).mean()
        return max(0.0, float(within - 2 * self._kernel(a, b).mean()))

    def score(self, reference: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return 1 + mean kernel within the reference − twice that of each row to it."""
        if self.bandwidth is None:
            return self.prepared(reference, X).score(reference, X)
        within = self._kernel(reference, reference).mean()
        return 1 + within - 2 * self._kernel(X, reference).mean(1)

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        assert self.bandwidth is not None
        return np.exp(_squares(a, b) / (-2 * self.bandwidth**2))


class EnergyDistance(SetDistance):
    """Energy distance of Székely and Rizzo (doi 10.1016/j.jspi.2013.03.018).

    d² = 2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, in units of the rows.
    """

    def squared(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return d² over all pairs of rows, each with itself too."""
        return max(
            0.0, float(2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b))
        )

    def score(self, reference: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return twice each row's mean distance to the reference, less that within it."""
        return 2 * np.sqrt(_squares(X, reference)).mean(1) - _mean_distance(reference, reference)


class SlicedWasserstein(SetDistance):
    """Root mean square, over random directions, of the 2-Wasserstein distance of projections.

    For one column it is the 2-Wasserstein distance itself. After Bonneel et al. (doi
    10.1007/s10851-014-0506-3).

    Parameters
    ----------
    n_projections : int
        Random directions; as many for samples of any size.
    random_state : int
    """

    def __init__(self, *, n_projections: int = 100, random_state: int = 0) -> None:
        self.n_projections = n_projections
        self.random_state = random_state

    def squared(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the mean over directions of ∫ (F_a⁻¹ − F_b⁻¹)² du."""
        left, right = (np.sort(x @ self._directions(x.shape[1]), axis=0) for x in (a, b))
        # Between these shares both quantile functions are constant.
        ends = np.union1d(np.arange(1, len(a) + 1) / len(a), np.arange(1, len(b) + 1) / len(b))
        ends = ends[np.append(np.diff(ends) > 1e-12, True)]
        widths = np.diff(ends, prepend=0.0)
        middle = ends - widths / 2
        gap = left[(middle * len(a)).astype(int)] - right[(middle * len(b)).astype(int)]
        return float((widths @ gap**2).mean())

    def score(self, reference: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return the mean over directions of (x − μ)² + σ² of the projections."""
        directions = self._directions(X.shape[1])
        points = reference @ directions
        return ((X @ directions - points.mean(0)) ** 2 + points.var(0)).mean(1)

    def _directions(self, d: int) -> np.ndarray:
        if d == 1:
            return np.ones((1, 1))
        drawn = generator(self.random_state, "directions", d).normal(size=(d, self.n_projections))
        return drawn / np.linalg.norm(drawn, axis=0)


def median_distance(X: np.ndarray, *, most: int = 500) -> float:
    """Return the median distance between different rows, at most so many of them, evenly taken.

    1 where all rows are the same, since any scale then tells them apart from others.
    """
    apart = pdist(X[evenly_taken(len(X), most)])
    apart = apart[apart > 1e-9 * (1.0 + np.abs(X).max())]
    return float(np.median(apart)) if len(apart) else 1.0


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """Return R with RᵀR the covariance and no more rows than columns, by a QR decomposition."""
    centred = (x - x.mean(0)) / np.sqrt(len(x))
    if len(x) <= x.shape[1]:
        return centred
    root: np.ndarray = np.asarray(np.linalg.qr(centred, mode="r"))
    return root


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Centred, since the squares come from products.
    centre = a.mean(axis=0)
    left, right = a - centre, b - centre
    squares = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    squares -= 2 * (left @ right.T)
    return np.maximum(squares, 0.0, out=squares)


def _mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(_squares(a, b)).mean())


DISTANCES: dict[str, type[SetDistance]] = {
    "frechet": Frechet,
    "mmd": Mmd,
    "sliced_wasserstein": SlicedWasserstein,
    "energy_distance": EnergyDistance,
}
