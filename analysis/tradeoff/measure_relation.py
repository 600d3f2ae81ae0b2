"""Which measure of a training set goes with its error: rank correlations over designs.

Spearman's coefficient between a measure and the force MAE, both means over replicates, over the
distinct designs of a study. Its interval is the wider, at each end, of two: a crossed bootstrap
over replicates and designs, and Fisher's with the variance of Bonett and Wright (Psychometrika 65,
23 (2000)), (1 + ρ²/2)/(n − 3). The bootstrap alone would give four designs in perfect order no
width at all. How often such intervals hold the truth is checked in
``tests/analysis/test_measure_relation.py``.

The best of many measures looks good by chance. Its p-value is that of the greatest |ρ| among all
that compete when errors are shuffled over designs (max-statistic permutation test).

Designs are few and were not drawn at random: a correlation tells what goes with what among them,
not what causes what. At a fixed budget molecules and conformers per molecule move in opposite
directions, so no measure of the one can be told from a measure of the other there.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import stats

from ...diversity.errors import DataError
from ...diversity.randomness import generator
from ..relation.ranks import permutation_p_values
from .predictions import CELL

#: Fewest designs with a correlation, and fewest distinct ones in a resample.
FEWEST, FEWEST_DRAWN = 4, 3
#: Which designs: all of them, or those with the most common number of training conformers.
AMONG = {"": "all designs", "_at_budget": "designs with equally many training conformers"}
_CAVEAT = (
    "designs are few and chosen, replicates share their molecules' source; at a fixed budget "
    "molecules and conformers per molecule move together, so their measures cannot be told apart"
)


@dataclass(frozen=True)
class BestMeasure:
    """The measure that goes best with the force MAE on one test set."""

    test_set: str
    among: str
    measure: str
    correlation: float
    interval: tuple[float, float]
    """95 % interval of this measure's correlation by itself, as if chosen beforehand."""
    p_value: float
    """Probability of so great a correlation of the best measure if errors had nothing to do with
    any of them."""
    n_designs: int
    as_good: tuple[str, ...]
    """Other measures whose correlation is as great."""


def relate_measures(
    results: xr.Dataset,
    measures: xr.DataArray,
    *,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Set measures beside errors, and correlate them.

    Parameters
    ----------
    results : xarray.Dataset
        From `measure_errors`, with ``n_train`` (design, replicate), training conformers.
    measures : xarray.DataArray
        Dimensions (design, replicate, measure), coordinates ``measure`` and ``measure_units``;
        NaN where a set has no such value.
    n_resamples : int
        Of the bootstrap, and shuffles of the permutation test.
    random_state : int

    Returns
    -------
    xarray.Dataset
        `results` with ``measure_value``, ``measure_error_correlation`` (measure, test_set), its
        ``_interval`` (…, bound) and ``measure_error_n_designs``, and by test set
        ``best_measure_p_value``. The same names with ``_at_budget`` are among designs with equally
        many training conformers. NaN with fewer than four designs, or for a measure that is
        constant over them.

    Raises
    ------
    DataError
        If the measures are of other designs or replicates.
    """
    shape = (results.sizes["design"], results.sizes["replicate"])
    if measures.dims != ("design", "replicate", "measure") or measures.shape[:2] != shape:
        raise DataError(
            f"Measures have dimensions {dict(measures.sizes)}; they need design, replicate and "
            f"measure, with {shape[0]} designs and {shape[1]} replicates."
        )
    related = results.assign(measure_value=measures)
    # Equal sets may differ in last bits by the order of their sums; ranks must not.
    table = measures.values.astype(np.float32).astype(np.float64)
    error = results["force_mae"].values
    groups = dict(zip(AMONG, (distinct(results), _equal_labels(results)), strict=True))
    n_measures, n_sets = table.shape[-1], error.shape[-1]
    for suffix, rows in groups.items():
        rho = np.full((n_measures, n_sets), np.nan)
        bounds = np.full((n_measures, n_sets, 2), np.nan)
        n_designs = np.zeros((n_measures, n_sets), dtype=np.int64)
        p_value = np.full(n_sets, np.nan)
        for t in range(n_sets):
            known = rows[np.isfinite(_mean(error[rows, :, t]))]
            x, y = table[known], error[known, :, t]
            finite = np.isfinite(_mean(x))
            n_designs[:, t] = finite.sum(axis=0)
            for pattern in np.unique(finite, axis=1).T:
                of = np.flatnonzero((finite == pattern[:, None]).all(axis=0))
                if pattern.sum() < FEWEST:
                    continue
                part = x[pattern][..., of], y[pattern]
                rho[of, t] = _spearman(_mean(part[0])[None], _mean(part[1])[None])[0]
                bounds[of, t] = _interval(*part, rho[of, t], n_resamples, random_state)
            p_value[t] = _chance(
                _mean(x)[:, finite.all(axis=0)], _mean(y), n_resamples, random_state
            )
        name = f"measure_error_correlation{suffix}"
        among = AMONG[suffix]
        related[name] = (("measure", "test_set"), rho)
        related[f"{name}_interval"] = (("measure", "test_set", "bound"), bounds)
        related[f"measure_error_n_designs{suffix}"] = (("measure", "test_set"), n_designs)
        related[f"best_measure_p_value{suffix}"] = (("test_set",), p_value)
        few = f"NaN: known for fewer than {FEWEST} designs, or constant over them"
        for variable, text, missing in (
            (name, f"Spearman's ρ of measure and force MAE over {among}, {_CAVEAT}", few),
            (
                f"{name}_interval",
                "95 %, the wider of a crossed bootstrap over replicates and designs and Fisher's",
                few,
            ),
            (f"measure_error_n_designs{suffix}", "distinct designs correlated over", "none"),
            (
                f"best_measure_p_value{suffix}",
                "greatest |ρ| of all measures, against errors shuffled over designs",
                f"NaN: no measure is known for all designs, or they are fewer than {FEWEST}",
            ),
        ):
            related[variable].attrs = {"units": "1", "long_name": text, "missing": missing}
    return related


def best_measures(results: xr.Dataset, suffix: str = "") -> list[BestMeasure]:
    """Return the measure with the greatest |ρ| on each test set, of those known for all designs.

    Parameters
    ----------
    results : xarray.Dataset
        From `relate_measures`.
    suffix : str
        Key of `AMONG`.
    """
    name = f"measure_error_correlation{suffix}"
    if name not in results:
        return []
    labels = results["measure"].values.astype(str)
    rows = []
    for t, test_set in enumerate(results["test_set"].values.astype(str)):
        rho = results[name].values[:, t]
        counts = results[f"measure_error_n_designs{suffix}"].values[:, t]
        strength = np.where(np.isfinite(rho) & (counts == counts.max(initial=0)), np.abs(rho), -1)
        if strength.max(initial=-1) < 0:
            continue
        best = int(strength.argmax())
        equal = np.flatnonzero(strength > strength[best] - 1e-9)
        lower, upper = results[f"{name}_interval"].values[best, t]
        rows.append(
            BestMeasure(
                test_set=test_set,
                among=AMONG[suffix],
                measure=labels[best],
                correlation=float(rho[best]),
                interval=(float(lower), float(upper)),
                p_value=float(results[f"best_measure_p_value{suffix}"].values[t]),
                n_designs=int(counts[best]),
                as_good=tuple(labels[equal[equal != best]].tolist()),
            )
        )
    return rows


def short_name(measure: str) -> str:
    """Return a measure's place in its part of a report, as words.

    Examples
    --------
    >>> short_name("structural.fingerprints.morgan.vendi.q1")
    'morgan vendi q1'
    """
    part, _, rest = measure.partition(".")
    kept = [word for word in rest.split(".") if word not in ("fingerprints", "richness")]
    return " ".join(kept if rest else [part]).replace("_", " ")


def distinct(results: xr.Dataset) -> np.ndarray:
    """Return the rows of the designs, each training set once though two experiments have it."""
    cells = np.array([results[name].values.astype(str) for name in CELL])
    return np.sort(np.unique(cells, axis=1, return_index=True)[1])


def _equal_labels(results: xr.Dataset) -> np.ndarray:
    rows = distinct(results)
    counts = results["n_train"].values[rows].max(axis=1)
    values, times = np.unique(counts, return_counts=True)
    # Of numbers that are equally common the greatest: np.unique sorts them.
    commonest = values[len(times) - 1 - times[::-1].argmax()]
    return rows[counts == commonest]


def _mean(table: np.ndarray) -> np.ndarray:
    """Average over replicates, the second axis, among those that are not NaN."""
    present = np.isfinite(table)
    count, total = present.sum(axis=1), np.where(present, table, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ρ (B, K) of x (B, D, K) and y (B, D); NaN where either is constant."""
    a, b = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)[..., None]
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    width = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), width, out=np.full(width.shape, np.nan), where=width > 0)


def _interval(
    x: np.ndarray, y: np.ndarray, rho: np.ndarray, n_resamples: int, random_state: int
) -> np.ndarray:
    """Return bounds (K, 2) for ρ (K,) of measures x (D, R, K) and errors y (D, R)."""
    n_designs, n_replicates = y.shape
    stream = generator(random_state, "measure relation", str(n_designs), str(n_replicates))
    designs = np.sort(stream.integers(n_designs, size=(n_resamples, n_designs)), axis=1)
    replicates = stream.integers(n_replicates, size=(n_resamples, n_replicates))
    enough = (np.diff(designs, axis=1) > 0).sum(axis=1) + 1 >= FEWEST_DRAWN
    designs, replicates = designs[enough], replicates[enough]
    weights = np.stack([np.bincount(r, minlength=n_replicates) for r in replicates])
    means_x, means_y = _weighted(x, weights), _weighted(y[..., None], weights)[..., 0]
    drawn = np.take_along_axis(means_x, designs[..., None], axis=1)
    resampled = _spearman(drawn, np.take_along_axis(means_y, designs, axis=1))
    most = 1.0 - 6.0 / (n_designs * (n_designs**2 - 1))  # half a swap of neighbours below one
    inside = np.clip(rho, -most, most)
    half = stats.norm.isf(0.025) * np.sqrt((1.0 + inside**2 / 2.0) / (n_designs - 3))
    bounds = np.tanh(np.arctanh(inside)[:, None] + np.outer(half, [-1.0, 1.0]))
    for k in np.flatnonzero(np.isfinite(rho)):
        usable = resampled[np.isfinite(resampled[:, k]), k]
        if usable.size:
            lower, upper = np.quantile(usable, [0.025, 0.975])
            bounds[k] = min(bounds[k, 0], lower, rho[k]), max(bounds[k, 1], upper, rho[k])
    return bounds


def _weighted(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return means (B, D, K) of a (D, R, K) table under weights (B, R) of replicates."""
    present = np.isfinite(table)
    count = np.einsum("br,drk->bdk", weights, present.astype(float))
    total = np.einsum("br,drk->bdk", weights, np.where(present, table, 0.0))
    # A design that is unknown in every replicate drawn stands at its mean over all.
    return np.where(count > 0, total / np.maximum(count, 1), _mean(table)[None])


def _chance(x: np.ndarray, y: np.ndarray, n_resamples: int, random_state: int) -> float:
    """Return the p-value of the greatest |ρ| over measures x (D, K) with errors y (D,)."""
    if len(y) < FEWEST or not x.shape[1]:
        return float("nan")
    stream = generator(random_state, "measure relation", "shuffles", str(len(y)))
    of_best = permutation_p_values(x[None], y[None, :, None], stream, n_permutations=n_resamples)[1]
    return float(of_best[0])
