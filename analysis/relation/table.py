"""The relation of shift, error and gain, as one table: what the shift measures could foresee.

Every measure of shift is set against the error of the models and against what each method of
refinement won: correlations (:mod:`.correlation`), regressions (:mod:`.regression`), failures
found and risk by coverage (:mod:`.risk`), and the applicability domain: bounds calibrated in
distribution, and how often they held under each shift (:mod:`.conformal`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from .applicability import add_bounds, add_risk, put
from .correlation import FEWEST_SYSTEMS, as_columns, known_together, relate
from .ranks import correct
from .regression import foretell

_CAVEAT = "systems are chosen: what goes with what among them, not what causes what"
_CORRELATIONS = {
    "": "between systems, within a model",
    "_partial": "covariates held fixed",
    "_within": "within groups of systems (groups held fixed)",
}


@dataclass(frozen=True)
class Foresight:
    """The measure of shift that goes best with the error, or with what a method won."""

    target: str
    measure: str
    rho: float
    interval: tuple[float, float]
    """95 % interval of this measure's ρ by itself, as if chosen beforehand."""
    p_value: float
    """Probability of so great a ρ of the best measure if none had to do with the target."""
    n_systems: int
    reason: str
    """Why nothing is known of the target; empty where something is."""


def relation_table(
    error: np.ndarray,
    shift: Mapping[str, np.ndarray],
    *,
    gain: Mapping[str, np.ndarray] | None = None,
    covariates: Mapping[str, np.ndarray] | None = None,
    group: Sequence[str] | None = None,
    score: Mapping[str, np.ndarray] | None = None,
    hold_out_error: np.ndarray | None = None,
    hold_out_score: Mapping[str, np.ndarray] | None = None,
    units: str = "eV/Å",
    n_resamples: int = 1000,
    random_state: int = 0,
) -> xr.Dataset:
    """Relate shift to error and gain over systems.

    Parameters
    ----------
    error : ndarray, shape (R, S)
        Error of S systems under each of R replicates' models; NaN where unknown.
    shift : mapping of str to ndarray, (R, S) or (S,)
        By measure: quantiles among the model's own in-distribution hold-out.
    gain : mapping of str to ndarray, (R, S), optional
        By method: what it won.
    covariates : mapping of str to ndarray, (R, S) or (S,), optional
        Held fixed in partial correlations: size, composition, force norm.
    group : sequence of str, length S, optional
        Kind of shift of each system.
    score : mapping of str to ndarray, (R, S) or (S,), optional
        By measure, all of `shift`'s: what the quantiles are of. Ranks within a model are the
        same, save that quantiles of systems beyond all of the hold-out tie at 1; scores do not.
    hold_out_error : ndarray, shape (R, H), optional
        Errors of in-distribution systems that are none of the S: what a failure is, and bounds.
    hold_out_score : mapping of str to ndarray, (R, H) or (H,), optional
        By measure: scores on the scale of `score` (or of `shift`, without), for bounds that grow
        with them.
    units : str
        Of error and gain.

    Returns
    -------
    xarray.Dataset
        Dimensions ``measure``, ``target`` (``error``, then ``gain METHOD``; coordinates
        ``target_kind`` and ``target_method``), ``replicate``, ``bound``, ``kept``, ``scaling``
        (``none``, then measures), ``alpha``, ``group``. See ``long_name`` of each variable:

        - ``relation_rho``, ``_partial_rho``, ``_within_rho`` (measure, target), each with
          ``_interval``, ``_p_value``, ``_p_holm``, ``_p_benjamini_hochberg``, and by target
          ``_best_p_value``; ``relation_n_systems`` (``_partial_n_systems``, …: covariates may be
          known for fewer), ``_n_replicates``, ``_supported``, ``_reason``;
        - ``relation_r2``, ``_mae``, ``_mae_of_mean``, ``_mae_won`` (measure, target), and ``_all``
          (target) from all measures at once;
        - ``relation_auroc`` (measure), ``_failure_threshold``, ``_n_failures`` (replicate),
          ``relation_risk`` (measure, kept), ``_risk_oracle``, ``_aurc``, ``_aurc_won``, …;
        - ``relation_bound`` and ``relation_coverage`` (scaling, alpha, group).

    Raises
    ------
    DataError
        If shapes or names do not fit.
    """
    error = as_columns(error, "error")[..., 0]
    shape = error.shape[0], error.shape[1]
    measures, quantile = _stacked(shift, shape, "shift")
    ranked = quantile if score is None else _stacked(_named(score, measures), shape, "score")[1]
    methods, won = _stacked(gain or {}, shape, "gain")
    given = _stacked(covariates or {}, shape, "covariate")[1]
    target = np.concatenate([error[..., None], won], axis=-1)
    table = xr.Dataset(
        coords={
            "measure": measures,
            "target": ["error", *(f"gain {method}" for method in methods)],
            "target_kind": ("target", ["error"] + ["gain"] * len(methods)),
            "target_method": ("target", ["", *methods]),
            "bound": ["lower", "upper"],
        },
        attrs={"relation_unit": "system", "relation_covariates": ", ".join(covariates or {})},
    )
    drawn = {"n_resamples": n_resamples, "random_state": random_state}
    fixed: dict[str, np.ndarray | None] = {"": None}
    if given.shape[-1]:
        fixed["_partial"] = given
    if group is not None and len(set(group)) > 1:
        fixed["_within"] = _indicators(group, shape)
    for name, held in fixed.items():
        _add_correlation(table, name, ranked, target, held, drawn)
    _add_regression(table, quantile, target, units, drawn)
    held = None if hold_out_error is None else as_columns(hold_out_error, "hold-out error")[..., 0]
    if held is not None and len(held) != shape[0]:
        raise DataError(f"Hold-out errors are of {len(held)} replicates, errors of {shape[0]}.")
    add_risk(table, ranked, error, held, units, drawn)
    if held is not None:
        labels = ["all"] * shape[1] if group is None else list(group)
        scores = None
        if hold_out_score is not None:
            named = _named(hold_out_score, measures)
            scores = _stacked(named, (held.shape[0], held.shape[1]), "hold-out score")[1]
        add_bounds(table, ranked, error, held, scores, labels, units, drawn)
    return table


def best_foresight(table: xr.Dataset) -> list[Foresight]:
    """Return the measure with the greatest |ρ| for each target, of those known for most systems.

    Parameters
    ----------
    table : xarray.Dataset
        From :func:`relation_table`, of one experiment and design. A target that it lacks, as one of
        several joined tables may, is passed over.
    """
    found = []
    for target in table["target"].values.astype(str).tolist():
        of = table.sel(target=target)
        rho = of["relation_rho"].values
        n_systems = np.nan_to_num(of["relation_n_systems"].values).astype(np.int64)
        if not n_systems.any():
            continue
        strength = np.where(np.isfinite(rho) & (n_systems == n_systems.max()), np.abs(rho), -1.0)
        best = int(strength.argmax())
        lower, upper = of["relation_rho_interval"].values[best]
        known = strength[best] >= 0.0
        reason = str(of["relation_reason"].values[n_systems.argmax()]) or "constant over systems"
        found.append(
            Foresight(
                target=target,
                measure=str(table["measure"].values[best]) if known else "",
                rho=float(rho[best]),
                interval=(float(lower), float(upper)),
                p_value=float(of["relation_best_p_value"].values),
                n_systems=int(n_systems.max()),
                reason="" if known else reason,
            )
        )
    return found


def _add_correlation(
    table: xr.Dataset,
    name: str,
    ranked: np.ndarray,
    target: np.ndarray,
    given: np.ndarray | None,
    drawn: dict[str, int],
) -> None:
    found = relate(ranked, target, given=given, **drawn)
    both, key = ("measure", "target"), f"relation{name}"
    text = f"Spearman's ρ, {_CORRELATIONS[name]}, mean over replicates; {_CAVEAT}"
    put(table, f"{key}_rho", both, found.rho, text)
    put(
        table,
        f"{key}_rho_interval",
        (*both, "bound"),
        found.interval,
        "95 %, crossed bootstrap over replicates and systems",
    )
    for method in ("holm", "benjamini_hochberg"):
        text = f"p-value corrected over measures and targets, {method}"
        put(table, f"{key}_p_{method}", both, correct(found.p_value, method), text)
    put(table, f"{key}_p_value", both, found.p_value, "systems shuffled, two-sided")
    text = "greatest |ρ| of all measures, systems shuffled"
    put(table, f"{key}_best_p_value", ("target",), found.best_p_value, text)
    table[f"{key}_n_systems"] = (both, found.n_systems)
    if name:
        return
    table["relation_n_replicates"] = (both, found.n_replicates)
    table["relation_supported"] = (both, found.supported)
    table["relation_reason"] = (both, found.reason.astype(str))
    most = ranked == np.nanmax(ranked, axis=1, keepdims=True, initial=-np.inf)
    share = most.sum(axis=(0, 1)) / np.maximum(np.isfinite(ranked).sum(axis=(0, 1)), 1)
    text = "share of systems that tie at the greatest score, which no rank can tell apart"
    put(table, "relation_tied_share", ("measure",), share, text)


def _add_regression(
    table: xr.Dataset,
    quantile: np.ndarray,
    target: np.ndarray,
    units: str,
    drawn: dict[str, int],
) -> None:
    n_measures, n_targets = quantile.shape[2], target.shape[2]
    skills = np.full((n_measures + 1, n_targets, 8), np.nan)
    for t in range(n_targets):
        known = [known_together(quantile[..., [m]], target[..., t]) for m in range(n_measures)]
        sizes = [len(systems) for _, systems in known]
        widest = [m for m in range(n_measures) if sizes[m] == max(sizes)]
        for m, columns in enumerate([*([m] for m in range(n_measures)), widest]):
            rows, systems = known_together(quantile[..., columns], target[..., t])
            if len(systems) < FEWEST_SYSTEMS or not columns:
                continue
            at = np.ix_(rows, systems)
            skill = foretell(quantile[at][..., columns], target[at][..., t], **drawn)
            skills[m, t] = (
                *(skill.r2, *skill.r2_interval, skill.mae, skill.mae_of_mean),
                *(skill.won, *skill.won_interval),
            )
    text = "of a regression on the shift quantile, on systems left out"
    for end, part, dims in (
        ("", skills[:-1], ("measure", "target")),
        ("_all", skills[-1], ("target",)),
    ):
        of = text if not end else "of a ridge regression on all quantiles, on systems left out"
        put(table, f"relation_r2{end}", dims, part[..., 0], f"R² {of}")
        put(table, f"relation_r2{end}_interval", (*dims, "bound"), part[..., 1:3], "95 %")
        put(table, f"relation_mae{end}", dims, part[..., 3], f"MAE {of}", units)
        put(table, f"relation_mae_of_mean{end}", dims, part[..., 4], "MAE of the mean", units)
        of = "MAE of the mean less that of the regression"
        put(table, f"relation_mae_won{end}", dims, part[..., 5], of, units)
        put(table, f"relation_mae_won{end}_interval", (*dims, "bound"), part[..., 6:], "95 %")


def _stacked(
    columns: Mapping[str, np.ndarray], shape: tuple[int, int], name: str
) -> tuple[list[str], np.ndarray]:
    """Return names and (R, S, K) of columns by name that are (S,) or (R, S) each."""
    for label, column in columns.items():
        if np.shape(column) not in (shape, shape[1:]):
            raise DataError(
                f"{name} '{label}' has shape {np.shape(column)}; it is of {shape[0]} replicates × "
                f"{shape[1]} systems, or of the systems alone."
            )
    arrays = [np.broadcast_to(np.asarray(x, dtype=float), shape) for x in columns.values()]
    stack = np.stack(arrays, axis=-1) if arrays else np.empty((*shape, 0))
    return list(columns), np.where(np.isfinite(stack), stack, np.nan)


def _named(columns: Mapping[str, np.ndarray], measures: list[str]) -> dict[str, np.ndarray]:
    """Return the columns in the order of the measures, all of which they have."""
    missing = [name for name in measures if name not in columns]
    if missing:
        raise DataError(f"Scores lack {', '.join(missing)}: give them for every shift measure.")
    return {name: columns[name] for name in measures}


def _indicators(group: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """Return 0 or 1 for membership in each group but the first, (R, S, G − 1)."""
    if len(group) != shape[1]:
        raise DataError(f"{len(group)} groups of systems for {shape[1]} systems.")
    labels = np.asarray(group, dtype=str)
    members = labels[:, None] == np.unique(labels)[1:]
    return np.broadcast_to(members.astype(float), (*shape, members.shape[1]))
