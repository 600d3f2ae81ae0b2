"""Uncertainty of a last, linear layer: how little the fitted features pin down a new one."""

from __future__ import annotations

import numpy as np

from .base import Detector


class LastLayer(Detector):
    r"""Root of the leverage of last-layer features, negated.

    .. math:: \sigma^2(\phi) \propto \phi^T (\Phi^T\Phi + \lambda)^{-1} \phi

    with the fitted rows as Φ: the prediction rigidity of Bigi, Chong, Ceriotti and Grasselli
    (arXiv:2403.02251), and the posterior variance of a Bayesian linear regression up to the noise.
    Rows are the features from which a potential reads its atomic energies
    (:class:`breadth.training.features.PotentialFeaturizer`). What the root is in eV/Å,
    :class:`breadth.analysis.calibration.Calibration` learns.

    Parameters
    ----------
    ridge : float
        λ, in units of the mean of the eigenvalues of ΦᵀΦ.
    contamination : float
        See `Detector`.
    """

    def __init__(self, *, ridge: float = 1e-6, contamination: float = 0.05) -> None:
        super().__init__(contamination=contamination)
        self.ridge = ridge

    def _learn(self, X: np.ndarray, elements: np.ndarray | None) -> None:
        if not self.ridge > 0:
            raise ValueError(f"ridge = {self.ridge}: it must be above 0")
        values, vectors = np.linalg.eigh(X.T @ X)
        level = values.mean()
        # Features that are all 0 pin nothing down.
        regular = np.maximum(values, 0.0) + (self.ridge * level if level > 0 else 1.0)
        self.whitening_ = vectors / np.sqrt(regular)

    def _score(self, X: np.ndarray, elements: np.ndarray | None) -> np.ndarray:
        return -np.linalg.norm(X @ self.whitening_, axis=1)
