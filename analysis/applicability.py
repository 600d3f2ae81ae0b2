"""The applicability domain: which systems to leave to a model, and how wrong it may be there.

Adds to a relation table the failures found and the risk by coverage (:mod:`.risk`), and bounds
calibrated in distribution with the coverage that they had under each shift (:mod:`.conformal`).
"""

import numpy as np
import xarray as xr

from .conformal import ConformalBound, realised_coverage
from .correlation import FEWEST_SYSTEMS, known_together
from .risk import FAILURE_QUANTILE, detect_failures, failure_threshold, risk_by_coverage

ALPHAS = (0.05, 0.1, 0.2)
"""Shares of systems that a bound leaves above it."""


def put(
    table: xr.Dataset,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    text: str,
    units: str = "1",
) -> None:
    """Set a variable with what it is and its units."""
    table[name] = (dims, values)
    table[name].attrs = {
        "long_name": text,
        "units": units,
        "missing": f"NaN: known for fewer than {FEWEST_SYSTEMS} systems, or constant over them",
    }


def add_risk(
    table: xr.Dataset,
    ranked: np.ndarray,
    error: np.ndarray,
    hold_out_error: np.ndarray | None,
    units: str,
    drawn: dict[str, int],
) -> None:
    n_measures = ranked.shape[2]
    kept = np.arange(1, 21) / 20
    threshold = np.full(len(error), np.nan)
    if hold_out_error is not None:
        threshold = failure_threshold(hold_out_error)
    failed = error > threshold[:, None]
    auroc, auroc_interval = np.full(n_measures, np.nan), np.full((n_measures, 2), np.nan)
    risk, areas = np.full((n_measures, len(kept)), np.nan), np.full((n_measures, 4), np.nan)
    interval = auroc_interval.copy()
    oracle = np.full((n_measures, len(kept)), np.nan)
    for m in range(n_measures):
        rows, systems = known_together(ranked[..., [m]], error)
        if len(systems) < FEWEST_SYSTEMS:
            continue
        at = np.ix_(rows, systems)
        curve = risk_by_coverage(ranked[at][..., [m]], error[at], kept=kept, **drawn)
        risk[m], oracle[m], interval[m] = curve.risk[0], curve.oracle, curve.won_interval[0]
        areas[m] = curve.area[0], curve.oracle_area, curve.random_area, curve.won[0]
        usable = rows[np.isfinite(threshold[rows])]
        if usable.size:
            at = np.ix_(usable, systems)
            found = detect_failures(ranked[at][..., [m]], failed[at], **drawn)
            auroc[m], auroc_interval[m] = found.auroc[0], found.interval[0]
    table.coords["kept"] = kept
    one, few = ("measure",), "; NaN: fewer than 5 failures, or 5 that are none"
    text = f"AUROC of failures: errors above the hold-out's quantile {FAILURE_QUANTILE}"
    put(table, "relation_auroc", one, auroc, text + few)
    put(table, "relation_auroc_interval", ("measure", "bound"), auroc_interval, "95 %")
    text = f"quantile {FAILURE_QUANTILE} of in-distribution errors; NaN: fewer than 20 systems"
    put(table, "relation_failure_threshold", ("replicate",), threshold, text, units)
    table["relation_n_failures"] = ("replicate", failed.sum(axis=1))
    by_kept = ("measure", "kept")
    put(table, "relation_risk", by_kept, risk, "mean error of the systems kept", units)
    text = "the same, ordered by the error itself"
    put(table, "relation_risk_oracle", by_kept, oracle, text, units)
    for k, (name, text, unit) in enumerate(
        [
            ("aurc", "area under the risk–coverage curve", units),
            ("aurc_oracle", "that of an order by the error itself", units),
            ("aurc_random", "that of a random order: the mean error", units),
            ("aurc_won", "(random − area)/(random − oracle): 1 oracle, 0 random", "1"),
        ]
    ):
        put(table, f"relation_{name}", one, areas[:, k], text, unit)
    put(table, "relation_aurc_won_interval", ("measure", "bound"), interval, "95 %")


def add_bounds(
    table: xr.Dataset,
    ranked: np.ndarray,
    error: np.ndarray,
    hold_out_error: np.ndarray,
    hold_out_score: np.ndarray | None,
    labels: list[str],
    units: str,
    drawn: dict[str, int],
) -> None:
    scalings: list[tuple[str, np.ndarray | None, np.ndarray | None]] = [("none", None, None)]
    names = table["measure"].values.tolist()
    if hold_out_score is not None:
        scalings += [(n, ranked[..., m], hold_out_score[..., m]) for m, n in enumerate(names)]
    groups = list(dict.fromkeys(labels))
    shape = len(scalings), len(ALPHAS), len(groups)
    bound, coverage = np.full(shape, np.nan), np.full(shape, np.nan)
    interval, calibrating = np.full((*shape, 2), np.nan), np.zeros(len(scalings), dtype=int)
    for s, (_, score, held_score) in enumerate(scalings):
        for a, alpha in enumerate(ALPHAS):
            limit, counts = _limits(
                error, score, hold_out_error, held_score, alpha, drawn["random_state"]
            )
            calibrating[s] = counts
            known = np.isfinite(error) & ~np.isnan(limit)
            within = np.where(known, error <= limit, np.nan)
            for g, found in enumerate(realised_coverage(within, labels, **drawn)):
                coverage[s, a, g], interval[s, a, g] = found.coverage, found.interval
                of_group = limit[:, np.array(labels) == groups[g]]
                if not np.isnan(of_group).all():
                    bound[s, a, g] = np.nanmedian(of_group)
    table.coords["alpha"], table.coords["group"] = list(ALPHAS), groups
    table.coords["scaling"] = [name for name, *_ in scalings]
    dims = ("scaling", "alpha", "group")
    text = "median upper bound on a system's error; infinite: too few calibrate it"
    put(table, "relation_bound", dims, bound, text, units)
    text = "share of systems within their bound; promised: 1 − alpha in distribution"
    put(table, "relation_coverage", dims, coverage, text)
    put(table, "relation_coverage_interval", (*dims, "bound"), interval, "95 %")
    table["relation_n_calibration"] = ("scaling", calibrating)


def _limits(
    error: np.ndarray,
    score: np.ndarray | None,
    hold_out_error: np.ndarray,
    hold_out_score: np.ndarray | None,
    alpha: float,
    random_state: int,
) -> tuple[np.ndarray, int]:
    """Return each system's bound, (R, S), and the fewest systems that calibrate it."""
    limit = np.full(error.shape, np.nan)
    fewest = []
    for r, held in enumerate(hold_out_error):
        known = np.isfinite(held)
        shift = None
        if hold_out_score is not None:
            known &= np.isfinite(hold_out_score[r])
            shift = hold_out_score[r, known]
        bound = ConformalBound(alpha=alpha, random_state=random_state)
        bound.fit(held[known], shift=shift)
        fewest.append(bound.n_molecules_)
        limit[r] = bound.predict(error.shape[1] if score is None else score[r])
    return limit, min(fewest)
