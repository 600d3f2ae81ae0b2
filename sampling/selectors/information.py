"""Selectors by leverage and by entropy: how much a row adds to what the taken rows span or fill."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from ...diversity.errors import ConfigurationError
from .base import Selector


class Cur(Selector):
    """The row of greatest leverage given the rows taken: CUR with re-orthogonalisation.

    The leverage of a row x over the taken rows T is xᵀ (TᵀT + λ)⁻¹ x. For small λ the first d rows
    are those of QR with pivots, as in CUR selection with re-orthogonalisation at rank one; λ lets
    the choice go on past the rank, where it is greedy D-optimal design. Replicates are equal.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    regularisation : float
        λ in units of the rows' mean squared norm, above 0.

    Notes
    -----
    Mahoney and Drineas, PNAS 106, 697 (2009); Imbalzano et al., J. Chem. Phys. 148, 241730 (2018).
    Cost n · d · n_to_select, memory n · d.
    """

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, regularisation: float = 1e-6
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.regularisation = regularisation

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if not self.regularisation > 0:
            raise ConfigurationError(
                f"regularisation = {self.regularisation}: it must be greater than 0."
            )
        rows = X.astype(np.float64)
        size = np.einsum("ij,ij->", rows, rows) / len(rows) or 1.0
        taken = np.zeros((0, rows.shape[1])) if given is None else given.astype(np.float64)
        gram = taken.T @ taken + self.regularisation * size * np.eye(rows.shape[1])
        inverse = np.linalg.inv(gram)
        leverage = np.einsum("ij,jk,ik->i", rows, inverse, rows, optimize=True)
        picks = np.empty(wanted, dtype=np.int64)
        for m in range(wanted):
            p = picks[m] = _first_of_largest(leverage)
            along = inverse @ rows[p]
            gain = 1.0 + max(float(rows[p] @ along), 0.0)
            leverage -= (rows @ along) ** 2 / gain
            inverse -= np.outer(along, along) / gain
            leverage[picks[: m + 1]] = -np.inf
        return picks


class EntropyGreedy(Selector):
    """The row of greatest novelty: farthest below in the kernel density of all taken.

    The novelty −log Σ_j exp(−‖x − x_j‖² / 2h²) of a row is what it adds to the information of a
    set (QUESTS; Schwalbe-Koda et al., arXiv:2404.12367). For small h it is the farthest point;
    for larger h crowds weigh more than single neighbours.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    bandwidth : float, optional
        h in the units of the features. By default Scott's rule, n^(−1/(d + 4)) times the root mean
        variance of a feature.

    Attributes
    ----------
    bandwidth_ : float
        The one used.

    Notes
    -----
    Sums are kept as logarithms: nothing vanishes far from all that is taken. Cost
    n · d · n_to_select, memory n · d.
    """

    def __init__(
        self,
        *,
        n_to_select: int | None = None,
        random_state: int = 0,
        bandwidth: float | None = None,
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.bandwidth = bandwidth

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        rows = X.astype(np.float64)
        centre = rows.mean(0)
        rows -= centre  # distances of points far from the origin would lose digits
        norms = np.einsum("ij,ij->i", rows, rows)
        self.bandwidth_ = self._bandwidth(norms, rows.shape)
        scale = -0.5 / self.bandwidth_**2
        density = np.full(len(rows), -np.inf)
        if given is not None:
            others = given.astype(np.float64) - centre
            their = np.einsum("ij,ij->i", others, others)
            for begin in range(0, len(rows), 1024):
                part = slice(begin, begin + 1024)
                squares = norms[part, None] + their - 2.0 * rows[part] @ others.T
                density[part] = logsumexp(scale * np.maximum(squares, 0.0), axis=1)
        picks = np.empty(wanted, dtype=np.int64)
        for m in range(wanted):
            p = int(shuffled[0]) if m == 0 and given is None else _first_of_largest(-density)
            picks[m] = p
            squares = np.maximum(norms + norms[p] - 2.0 * (rows @ rows[p]), 0.0)
            np.logaddexp(density, scale * squares, out=density)
            density[picks[: m + 1]] = np.inf
        return picks

    def _bandwidth(self, norms: np.ndarray, shape: tuple[int, ...]) -> float:
        if self.bandwidth is not None:
            if not self.bandwidth > 0:
                raise ConfigurationError(f"bandwidth = {self.bandwidth}: it must be above 0.")
            return float(self.bandwidth)
        n, d = shape
        # Of constant features any bandwidth gives the same answer.
        return float(np.sqrt(norms.mean() / d) * n ** (-1 / (d + 4))) or 1.0


def _first_of_largest(values: np.ndarray) -> int:
    """Return the lowest of the rows whose values differ from the largest by rounding alone."""
    best = values.max()
    slack = 1e-10 * abs(best) if np.isfinite(best) else 0.0
    return int(np.argmax(values >= best - slack))
