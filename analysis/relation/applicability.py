"""The applicability domain: which systems to leave to a model, and how wrong it may be there.

Adds to a relation table the failures found and the risk by coverage (:mod:`.risk`), and bounds
calibrated in distribution with the coverage that they had under each shift (:mod:`.conformal`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..errors import mean_by_molecule
from .conformal import ConformalBound, hierarchical_bound, realised_coverage
from .correlation import FEWEST_SYSTEMS, as_columns, known_together
from .risk import FAILURE_QUANTILE, detect_failures, failure_threshold, risk_by_coverage

ALPHAS = (0.05, 0.1, 0.2)
"""Shares of systems that a bound leaves above it."""
_FEW = f"NaN: known for fewer than {FEWEST_SYSTEMS} systems, or constant over them"
_UNKNOWN = "NaN: no system of the group has an error and a score that are known"


def put(
    table: xr.Dataset,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    text: str,
    units: str = "1",
    *,
    missing: str = _FEW,
) -> None:
    """Set a variable with what it is and its units."""
    table[name] = (dims, values)
    table[name].attrs = {
        "long_name": text,
        "units": units,
        "missing": missing,
    }


def add_risk(
    table: xr.Dataset,
    ranked: np.ndarray,
    error: np.ndarray,
    hold_out_error: np.ndarray | None,
    units: str,
    drawn: dict[str, Any],
) -> None:
    """Add failures found and risk by coverage to a relation table.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`breadth.analysis.relation.relation_table`, with ``measure``.
    ranked : ndarray, shape (R, S, M)
        Scores of shift; NaN where unknown.
    error : ndarray, shape (R, S)
    hold_out_error : ndarray, shape (R, H), or None
        In distribution: what a failure is. None: no AUROC.
    units : str
        Of the errors.
    drawn : dict
        ``n_resamples`` and ``random_state`` of the bootstrap.
    """
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
    one, few = ("measure",), "NaN: fewer than 5 failures, or 5 that are none"
    text = f"AUROC of failures: errors above the hold-out's quantile {FAILURE_QUANTILE}"
    put(table, "relation_auroc", one, auroc, text, missing=few)
    put(table, "relation_auroc_interval", ("measure", "bound"), auroc_interval, "95 %", missing=few)
    text = f"quantile {FAILURE_QUANTILE} of in-distribution errors"
    few = "NaN: fewer than 20 in-distribution systems are known"
    put(table, "relation_failure_threshold", ("replicate",), threshold, text, units, missing=few)
    n_failures = np.where(np.isfinite(threshold), failed.sum(axis=1), np.nan)
    text = "systems whose error is above it"
    put(table, "relation_n_failures", ("replicate",), n_failures, text, missing=few)
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
    drawn: dict[str, Any],
) -> None:
    """Add conformal bounds on a system's error, and how often they held, to a relation table.

    Parameters
    ----------
    table, ranked, error, units, drawn
        As of :func:`add_risk`.
    hold_out_error : ndarray, shape (R, H)
        Of the systems that calibrate.
    hold_out_score : ndarray, shape (R, H, M), or None
        On the scale of `ranked`; bounds are scaled by them, too.
    labels : list of str, length S
        Kind of shift of each system.
    """
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
    put(table, "relation_bound", dims, bound, text, units, missing=_UNKNOWN)
    text = "share of systems within their bound; promised: 1 − alpha in distribution"
    put(table, "relation_coverage", dims, coverage, text, missing=_UNKNOWN)
    put(table, "relation_coverage_interval", (*dims, "bound"), interval, "95 %", missing=_UNKNOWN)
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


def structure_bounds(
    error: np.ndarray,
    system: np.ndarray,
    group: Sequence[str],
    calibrates: np.ndarray,
    *,
    units: str = "eV/Å",
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Bound the errors of structures of new systems, and tell how often the bounds held.

    Parameters
    ----------
    error : ndarray, shape (R, N)
        Errors of N structures under each of R replicates' models; NaN where unknown.
    system : ndarray of int, shape (N,)
        Row of each structure's system.
    group : sequence of str, length S
        Kind of shift of each system.
    calibrates : ndarray of bool, shape (S,)
        Systems of the in-distribution hold-out, which calibrate and are judged in no group.

    Returns
    -------
    xarray.Dataset
        ``relation_structure_bound`` (alpha, replicate), ``relation_structure_coverage`` (alpha,
        group), the share of a system's structures within the bound averaged over its systems, its
        ``_interval``, and ``relation_structure_n_calibration`` (replicate), systems.

    Raises
    ------
    DataError
        If shapes do not fit.
    """
    error = as_columns(error, "error")[..., 0]
    labels, calibrates = np.asarray(group, dtype=str), np.asarray(calibrates, dtype=bool)
    if error.shape[1] != len(system) or len(labels) != len(calibrates):
        raise DataError(
            f"Errors of {error.shape[1]} structures with {len(system)} systems' rows, and "
            f"{len(labels)} groups for {len(calibrates)} systems."
        )
    held, known = calibrates[system], np.isfinite(error)
    names = list(dict.fromkeys(labels[~calibrates].tolist()))
    limit = np.full((len(ALPHAS), len(error)), np.nan)
    n_systems = np.zeros(len(error), dtype=int)
    for r, row in enumerate(error):
        of = held & known[r]
        n_systems[r] = len(np.unique(system[of]))
        for a, alpha in enumerate(ALPHAS):
            limit[a, r] = hierarchical_bound(row[of], system[of], alpha=alpha)
    coverage = np.full((len(ALPHAS), len(names)), np.nan)
    interval = np.full((*coverage.shape, 2), np.nan)
    for a, bounds in enumerate(limit):
        within = np.stack(
            [
                mean_by_molecule(row[ok] <= bound, system[ok], len(labels))
                for row, ok, bound in zip(error, known, bounds, strict=True)
            ]
        )[:, ~calibrates]
        found = realised_coverage(
            within, labels[~calibrates].tolist(), n_resamples=n_resamples, random_state=random_state
        )
        for g, one in enumerate(found):
            coverage[a, g], interval[a, g] = one.coverage, one.interval
    table = xr.Dataset(
        coords={"alpha": list(ALPHAS), "group": names, "bound": ["lower", "upper"]},
        attrs={"relation_unit": "system"},
    )
    text = "upper bound on a structure's error; infinite: too few systems calibrate it"
    put(
        table,
        "relation_structure_bound",
        ("alpha", "replicate"),
        limit,
        text,
        units,
        missing="none",
    )
    text = "share of a new system's structures within the bound; promised: 1 − alpha"
    put(table, "relation_structure_coverage", ("alpha", "group"), coverage, text, missing=_UNKNOWN)
    put(
        table, "relation_structure_coverage_interval", ("alpha", "group", "bound"), interval, "95 %"
    )
    table["relation_structure_n_calibration"] = ("replicate", n_systems)
    return table
