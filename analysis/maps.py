"""Maps of features on a plane: PCA, which keeps distances, and UMAP, which keeps neighbours."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..diversity.errors import ConfigurationError, DataError

Method = Literal["umap", "pca"]
N_NEIGHBORS = 15
"""Neighbours of a point that UMAP keeps together; its own default."""
MINIMUM_FOR_UMAP = 10
"""Distinct points below which a graph of neighbours says nothing that a list would not."""
REDUCED = 100
"""Principal components that UMAP is given of longer features."""


@dataclass(frozen=True, eq=False)
class Map:
    """Where features stand on a plane.

    Parameters
    ----------
    coordinates : array of float64, shape (n, 2)
        Of PCA in the features' own units; of UMAP in none.
    method : {'umap', 'pca'}
    explained_variance : array of float64, shape (2,), or None
        Share of the features' variance along each axis of PCA; None for UMAP, whose axes have
        none.
    """

    coordinates: np.ndarray
    method: str
    explained_variance: np.ndarray | None


def embed(features: np.ndarray, *, method: Method = "umap", seed: int = 0) -> Map:
    """Put features on a plane; equal features at equal places, whatever the order of the rows.

    Features are not scaled, so that a map shows the distances that measures and selectors use.
    PCA is scikit-learn's. UMAP (McInnes, Healy and Melville, arXiv:1802.03426) is umap-learn's
    with 15 neighbours and Euclidean distances; features of more than 100 columns are first brought
    to 100 principal components, and copies of a row are embedded once.

    Parameters
    ----------
    features : array, shape (n, d)
        n ≥ 1, d ≥ 1. Where rows do not differ measurably, all points are at the origin.
    method : {'umap', 'pca'}
    seed : int
        Of UMAP, and of PCA where it is randomised. Equal seeds give equal maps.

    Returns
    -------
    Map

    Raises
    ------
    DataError
        If a feature is NaN or infinite, or there are none.
    ConfigurationError
        If the method is unknown, or UMAP is given fewer than 10 distinct points.

    Examples
    --------
    >>> line = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> embed(line, method="pca").coordinates[:, 0].round(6).tolist()
    [-5.0, 0.0, 5.0]
    """
    x = np.asarray(features)
    if x.ndim != 2 or not x.size:
        raise DataError(f"A map needs a table of features (n, d); this one has shape {x.shape}.")
    x = x.astype(np.float64 if x.dtype == np.float64 else np.float32, copy=False)
    if not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        raise DataError(
            f"{len(bad)} of {len(x)} rows of features are NaN or infinite, the first is row "
            f"{bad[0]}. Leave these records out."
        )
    if method not in ("umap", "pca"):
        raise ConfigurationError(f"There is no map {str(method)!r}; choose umap or pca.")
    # Sorted rows make the result one of the features, not of the order that they came in.
    distinct, inverse = np.unique(x, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    with np.errstate(under="ignore"):
        spread = distinct.var(axis=0).sum()
    if len(distinct) == 1 or spread == 0:  # or apart by less than a number's square can hold
        nothing = np.zeros(2) if method == "pca" else None
        return Map(np.zeros((len(x), 2)), method, nothing)
    if method == "pca":
        coordinates, shares = _pca(distinct, inverse, 2, seed)
        return Map(coordinates[inverse], method, shares)
    if len(distinct) < MINIMUM_FOR_UMAP:
        raise ConfigurationError(
            f"UMAP needs at least {MINIMUM_FOR_UMAP} distinct points, and here are "
            f"{len(distinct)}. Use PCA (--method pca), or a finer level."
        )
    if distinct.shape[1] > REDUCED:
        distinct, _ = _pca(distinct, np.arange(len(distinct)), REDUCED, seed)
    return Map(_umap(distinct, seed)[inverse], method, None)


def _pca(
    distinct: np.ndarray, rows: np.ndarray, n_components: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the components of distinct features, and shares of the variance of all rows."""
    from sklearn.decomposition import PCA

    every = distinct[np.sort(rows)]
    fitted = PCA(min(n_components, *every.shape), random_state=seed).fit(every)
    found = fitted.transform(distinct).astype(np.float64)
    missing = n_components - found.shape[1]  # features of one column, or two rows
    shares = np.pad(fitted.explained_variance_ratio_.astype(np.float64), (0, missing))
    return np.pad(found, ((0, 0), (0, missing))), shares


def _umap(distinct: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP

    model: Any = UMAP(
        n_neighbors=min(N_NEIGHBORS, len(distinct) - 1),
        random_state=seed,
        n_jobs=1,  # more threads are faster, and end elsewhere each time
    )
    return np.asarray(model.fit_transform(distinct), dtype=np.float64)
