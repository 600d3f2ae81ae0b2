"""DIRECT: rows from clusters of principal components, at an exact budget."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import AgglomerativeClustering, Birch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ...diversity.errors import ConfigurationError
from .base import Selector, round_robin

#: BIRCH's threshold falls by this factor until there are clusters enough, at most so often.
SHRINKING, ROUNDS = 0.7, 60


class Direct(Selector):
    """Standardise, reduce by PCA, cluster by BIRCH, take k rows of each cluster.

    Components of variance above 1 (Kaiser's rule; at least one) are kept, each weighted by its
    share of the variance. Within a cluster the row nearest its centre comes first. Small clusters
    leave their share to the others, so that the budget is met exactly; clusters that hold some of
    what is given come later. Replicates are equal.

    Parameters
    ----------
    n_to_select, random_state
        See `Selector`.
    per_cluster : int
        k: there are ⌈n_to_select / k⌉ clusters, what is given counted in.

    Notes
    -----
    Qi et al., npj Comput. Mater. 10, 43 (2024), arXiv:2307.13710; there the budget follows from
    clusters and k. Cost near n log n, and quadratic in the number of clusters.
    """

    prefix = False

    def __init__(
        self, *, n_to_select: int | None = None, random_state: int = 0, per_cluster: int = 1
    ) -> None:
        super().__init__(n_to_select=n_to_select, random_state=random_state)
        self.per_cluster = per_cluster

    def _choose(
        self, X: np.ndarray, y: Any, given: np.ndarray | None, wanted: int, shuffled: np.ndarray
    ) -> np.ndarray:
        if self.per_cluster < 1:
            raise ConfigurationError(f"per_cluster = {self.per_cluster}: it must be at least 1.")
        rows = X if given is None else np.concatenate([X, given])
        reduced = weighted_components(rows)
        # Rows that coincide cannot be told apart: no more clusters than distinct rows.
        distinct = len(np.unique(reduced, axis=0))
        total = wanted + len(rows) - len(X)
        labels = birch_clusters(reduced, min(-(-total // self.per_cluster), distinct))
        centres = np.zeros((labels.max() + 1, reduced.shape[1]))
        np.add.at(centres, labels, reduced)
        centres /= np.bincount(labels)[:, None]
        apart = np.linalg.norm(reduced - centres[labels], axis=1)[: len(X)].round(9)
        sizes = np.bincount(labels)
        # The larger cluster and the more central row first.
        order = np.lexsort((apart, -sizes[labels[: len(X)]]))
        taken = np.bincount(labels[len(X) :], minlength=len(centres))
        return round_robin(labels[: len(X)], order, taken)[:wanted]


def weighted_components(X: np.ndarray) -> np.ndarray:
    """Return the principal components (n, c) that DIRECT clusters, weighted by their variance."""
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    if len(scaled) < 2 or not scaled.any():
        return np.zeros((len(scaled), 1))
    pca = PCA(svd_solver="full" if scaled.shape[1] < 500 else "auto", random_state=0).fit(scaled)
    kept = max(1, int(np.count_nonzero(pca.explained_variance_ > 1.0)))
    return pca.transform(scaled)[:, :kept] * pca.explained_variance_ratio_[:kept]


def birch_clusters(X: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return the cluster of each row of (n, c), from 0, in as many clusters as BIRCH can tell."""
    threshold = float(np.sqrt(X.var(axis=0).sum())) or 1.0
    for _ in range(ROUNDS):
        tree = Birch(threshold=threshold, n_clusters=None).fit(X)
        found = len(tree.subcluster_centers_)
        if found >= n_clusters:
            break
        threshold *= SHRINKING
    labels = tree.labels_
    if found > n_clusters:
        merged = AgglomerativeClustering(n_clusters).fit_predict(tree.subcluster_centers_)
        labels = merged[labels]
    # A subcluster whose rows are all nearer to others has none.
    return np.unique(labels, return_inverse=True)[1]
