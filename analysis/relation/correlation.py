"""Does shift foresee error, and what refinement wins back? Rank correlations over systems.

The unit is the system (molecule), never the frame; fewer than twenty support no correlation.
Spearman's ρ is that within one model, between the systems that it meets, averaged over replicates
(training sets): what someone with one model and a shift score can expect. Ranks of scores are those
of their quantiles, so no scale is shared between models.

The partial ρ is what is left once the ranks of covariates (size, composition, force norm) are
accounted for: larger systems are farther out and harder at once. Ranks are not linear in ranks, so
something of a strong confounder stays: a partial ρ of 0.04 where three covariates explain half of
both, 0.16 where they explain four fifths (normal variables), and less for one covariate.

Intervals are of the crossed bootstrap over replicates and systems on Fisher's scale, at least as
wide as independent replicates would leave them (variance of Bonett and Wright, Psychometrika 65, 23
(2000)). How often they hold the truth is checked in ``tests/analysis/test_correlation.py``.

Systems are chosen, and many share a kind of shift: a correlation tells what goes with what among
them, not what causes what.
"""

from dataclasses import dataclass

import numpy as np

from ...diversity.errors import DataError
from ...diversity.randomness import generator
from ..bootstrap import CrossedBootstrap, fisher
from .ranks import permutation_p_values, rank_correlation

FEWEST_SYSTEMS = 20
"""Systems without which no relation of shift and error is supported."""


@dataclass(frozen=True)
class Relation:
    """Rank correlations of M shift scores with T targets.

    Arrays are (M, T) unless said otherwise; NaN where the relation is not supported, or where a
    score or target is constant or wholly explained by the covariates.
    """

    rho: np.ndarray
    interval: np.ndarray
    """(M, T, 2), 95 %."""
    p_value: np.ndarray
    """Two-sided, by shuffled systems."""
    best_p_value: np.ndarray
    """(T,), of the greatest |ρ| among the scores known for as many systems as any; times the number
    of their groups where these are known for different systems, which cannot be shuffled alike."""
    n_systems: np.ndarray
    """Systems known in every replicate used."""
    n_replicates: np.ndarray
    """Replicates used: those that know twenty systems. With one, the interval is its own."""
    supported: np.ndarray
    reason: np.ndarray
    """Why a relation is not supported; empty where it is."""


def relate(
    shift: np.ndarray,
    target: np.ndarray,
    *,
    given: np.ndarray | None = None,
    n_resamples: int = 1000,
    n_permutations: int = 10_000,
    random_state: int = 0,
) -> Relation:
    """Correlate shift scores with errors or gains over systems.

    Parameters
    ----------
    shift : ndarray, shape (R, S, M) or (R, S)
        Scores of S systems in R replicates; NaN where unknown.
    target : ndarray, shape (R, S, T) or (R, S)
        Errors or gains.
    given : ndarray, shape (S, C) or (R, S, C), optional
        Covariates to hold fixed: partial correlations.
    n_resamples : int
        Of the bootstrap.
    n_permutations : int
        Shuffles. A p-value is at least 1/(n_permutations + 1): corrected for hundreds of tests, a
        thousand shuffles could show nothing.
    random_state : int

    Raises
    ------
    DataError
        If the shapes do not fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shift = rng.random((3, 40))
    >>> found = relate(shift, np.exp(shift), n_resamples=100)
    >>> float(found.rho[0, 0]), bool(found.supported[0, 0])
    (1.0, True)
    >>> str(relate(shift[:, :8], shift[:, :8]).reason[0, 0])
    'known for 8 systems; fewer than 20 support no relation'
    """
    x, y = as_columns(shift, "shift"), as_columns(target, "target")
    if x.shape[:2] != y.shape[:2]:
        raise DataError(
            f"Shift scores are of {x.shape[0]} replicates × {x.shape[1]} systems, errors or gains "
            f"of {y.shape[0]} × {y.shape[1]}: give both for the same replicates and systems."
        )
    z = None
    if given is not None and given.shape[-1]:
        z = np.broadcast_to(given, (*x.shape[:2], given.shape[-1]))
    shape = x.shape[2], y.shape[2]
    found = Relation(
        rho=np.full(shape, np.nan),
        interval=np.full((*shape, 2), np.nan),
        p_value=np.full(shape, np.nan),
        best_p_value=np.full(shape[1], np.nan),
        n_systems=np.zeros(shape, dtype=np.int64),
        n_replicates=np.zeros(shape, dtype=np.int64),
        supported=np.zeros(shape, dtype=bool),
        reason=np.full(shape, "", dtype=object),
    )
    widest: list[list[float]] = [[] for _ in range(shape[1])]
    most_known = np.zeros(shape[1], dtype=np.int64)
    for of_x in _alike(x):
        for of_y in _alike(y):
            at = np.ix_(of_x, of_y)
            rows, systems = known_together(x[..., of_x], y[..., of_y], z)
            found.n_systems[at], found.n_replicates[at] = len(systems), len(rows)
            if len(systems) < FEWEST_SYSTEMS:
                found.reason[at] = unsupported(len(systems))
                continue
            found.supported[at] = True
            chosen = np.ix_(rows, systems)
            part = x[chosen][..., of_x], y[chosen][..., of_y], None if z is None else z[chosen]
            found.rho[at], found.interval[at] = _correlate(*part, n_resamples, random_state)
            stream = generator(random_state, "relation", "shuffles", str(len(systems)))
            found.p_value[at], best = permutation_p_values(
                part[0], part[1], stream, given=part[2], n_permutations=n_permutations
            )
            for t, p_value in zip(of_y, best, strict=True):
                if len(systems) > most_known[t]:
                    widest[t], most_known[t] = [], len(systems)
                if len(systems) == most_known[t] and np.isfinite(p_value):
                    widest[t].append(p_value)
    for t, p_values in enumerate(widest):
        if p_values:
            found.best_p_value[t] = min(1.0, len(p_values) * min(p_values))
    return found


def as_columns(values: np.ndarray, name: str) -> np.ndarray:
    """Return (R, S) or (R, S, K) as finite-or-NaN floats (R, S, K)."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (2, 3):
        raise DataError(
            f"{name} has {values.ndim} dimensions; it needs replicates and systems, and may have "
            "a third of several scores."
        )
    values = values[..., None] if values.ndim == 2 else values
    return np.where(np.isfinite(values), values, np.nan)


def known_together(*tables: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the replicates that know enough systems, and the systems that all of these know.

    Tables are (R, S) or (R, S, K); a system is known where all of them are finite.
    """
    columns = [as_columns(table, "table") for table in tables if table is not None]
    known = np.isfinite(np.concatenate(columns, axis=-1)).all(axis=-1)
    count = known.sum(axis=1)
    rows = np.flatnonzero(count >= FEWEST_SYSTEMS)
    if not rows.size:  # how many there are is told, though they are too few
        rows = count.argmax(keepdims=True)
    return rows, np.flatnonzero(known[rows].all(axis=0))


def unsupported(n_systems: int) -> str:
    """Return why so few systems support no relation."""
    return f"known for {n_systems} systems; fewer than {FEWEST_SYSTEMS} support no relation"


def _alike(values: np.ndarray) -> list[np.ndarray]:
    """Return groups of columns of (R, S, K) that are known in the same places."""
    known = np.isfinite(values).reshape(-1, values.shape[2])
    of = np.unique(known, axis=1, return_inverse=True)[1] if values.shape[2] else np.empty(0)
    return [np.flatnonzero(of == k) for k in np.unique(of)]


def _correlate(
    x: np.ndarray, y: np.ndarray, given: np.ndarray | None, n_resamples: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ρ (M, T) and bounds (M, T, 2) of complete columns (R, S, ·)."""
    n_replicates, n, n_x = x.shape

    def statistic(weights: np.ndarray) -> np.ndarray:
        rho = [
            rank_correlation(x[r], y[r], weights, None if given is None else given[r])
            for r in range(n_replicates)
        ]
        return np.stack(rho, axis=1).reshape(len(weights), n_replicates, -1)

    rho = statistic(np.ones((1, n)))[0].mean(axis=0)
    most = 1.0 - 6.0 / (n * (n**2 - 1))  # half a swap of neighbours below one
    freedom = max(n - 3 - (0 if given is None else given.shape[2]), 1)
    least = (1.0 + rho**2 / 2.0) / (freedom * n_replicates)
    bootstrap = CrossedBootstrap(n_resamples=n_resamples, random_state=random_state)
    bounds = bootstrap.bounds(statistic, n, link=fisher(most), least_variance=least)
    shape = n_x, y.shape[2]
    return rho.reshape(shape), bounds.reshape(*shape, 2)
