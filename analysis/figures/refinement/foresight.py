"""What shift could foresee: error, gain and failures, by measure; risk, and bounds that held."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ..style import (
    CYCLE,
    GREY,
    MILLI,
    Canvas,
    Column,
    new_figure,
    panel_letters,
    pt,
    stacked,
    styled,
    type_size,
)
from ..table import tell
from .look import BLACK, BLUE, legend_below, measure_label, method_look, nothing, wrapped

_LEVEL = 0.05
"""Holm's p-value below which a mark is filled."""
_MOST = 4
"""Measures whose risk is drawn, the best first."""


def foresight(
    relation: xr.Dataset,
    *,
    method: str | None = None,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw how each measure of shift goes with the error, with a method's gain, and with failures.

    Spearman's ρ over systems with its 95 % interval, filled where Holm's correction over measures
    and targets leaves p < 0.05; squares: with covariates held fixed. Double column: R² of a
    regression on systems left out, and the AUROC of failures, too. Measures stand in the order of
    their ρ with the error.

    Parameters
    ----------
    relation : xarray.Dataset
        From :func:`breadth.analysis.relation.relation_table`.
    method : str, optional
        Whose gain; by default test-time training's, or that of the first method related.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    rho = relation["relation_rho"].sel(target="error").values
    order = np.argsort(-np.where(np.isfinite(rho), rho, -2.0), kind="stable")
    relation = relation.isel(measure=order)
    if np.isfinite(rho).any():  # of another experiment, where there are several
        relation = relation.isel(measure=relation["relation_rho"].notnull().any("target").values)
    measures = relation["measure"].values.astype(str).tolist()
    gains = [t for t in relation["target"].values.astype(str).tolist() if t != "error"]
    gain = f"gain {method or 'test_time'}"
    targets = ["error", *([gain] if gain in gains else gains[: method is None])]
    with styled():
        n = len(targets) + (2 if column == "double" else 0)
        figure = new_figure(column, 0.16 * max(len(measures), 6) + 1.15, figure)
        panels = figure.subplots(1, n, squeeze=False, sharey=True)[0].tolist()
        for axes, target in zip(panels, targets, strict=False):
            _correlations(axes, relation, target)
            title = target
            if target != "error":
                title = f"gain, {method_look(target.removeprefix('gain '))[0]}"
            axes.set_title(wrapped(title, column, 14), fontsize=type_size(7))
            axes.set_xlabel("Spearman’s ρ")
        if column == "double":
            of_error = relation.sel(target="error")
            _forest(panels[-2], of_error, "relation_r2", none=0.0)
            panels[-2].set_title("error, foretold", fontsize=type_size(7))
            panels[-2].set_xlabel("R² on systems left out")
            panels[-2].set_xlim(max(-1.05, panels[-2].get_xlim()[0]), 1.05)
            _forest(panels[-1], relation, "relation_auroc", none=0.5)
            panels[-1].set_title("failures, detected", fontsize=type_size(7))
            panels[-1].set_xlabel("AUROC")
            panels[-1].set_xlim(-0.02, 1.02)
        labels = [measure_label(m) for m in measures]
        panels[0].set_yticks(range(len(measures)), labels, size=type_size(6))
        panels[0].set_ylim(len(measures) - 0.4, -0.6)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
        partial = str(relation.attrs.get("relation_covariates", ""))
        handles = [
            Line2D([], [], color=BLACK, marker="o", ms=pt(3), label="ρ, p < 0.05 after Holm"),
            Line2D([], [], color=BLACK, marker="o", ms=pt(3), mfc="white", label="ρ, p ≥ 0.05"),
        ]
        if partial:
            held = words(partial)
            handles.append(
                Line2D([], [], color=BLUE, marker="s", ms=pt(2.6), label=f"given {held}")
            )
        legend_below(figure, handles, column)
    return figure


def _correlations(axes: Axes, relation: xr.Dataset, target: str) -> None:
    of = relation.sel(target=target)
    rho = of["relation_rho"].values
    if not np.isfinite(rho).any():
        reasons = [r for r in of["relation_reason"].values.astype(str) if r not in ("", "nan")]
        nothing(axes, wrapped(f"not supported: {reasons[0]}" if reasons else "unknown", "single"))
        return
    axes.axvline(0, color=GREY, lw=pt(0.6), zorder=1)
    axes.set_xlim(-1.05, 1.05)
    axes.set_xticks([-1, 0, 1], ["−1", "0", "1"])
    both = "relation_partial_rho" in of
    _bars(axes, rho, of["relation_rho_interval"].values, BLACK, -0.16 if both else 0.0)
    names = [measure_label(m) for m in of["measure"].values.astype(str)]
    tell(axes, "ρ", rho, names, x_bounds=of["relation_rho_interval"].values)
    certain = of["relation_p_holm"].values < _LEVEL
    for row, value in enumerate(rho):
        axes.plot(
            value,
            row - (0.16 if both else 0.0),
            "o",
            ms=pt(3),
            color=BLACK,
            mfc=BLACK if certain[row] else "white",
            zorder=4,
        )
    if both:
        partial = of["relation_partial_rho"].values
        _bars(axes, partial, of["relation_partial_rho_interval"].values, BLUE, 0.16)
        ends = of["relation_partial_rho_interval"].values
        tell(axes, "ρ, covariates held fixed", partial, names, x_bounds=ends)
        axes.plot(partial, np.arange(len(rho)) + 0.16, "s", ms=pt(2.4), color=BLUE, zorder=4)


def _forest(axes: Axes, relation: xr.Dataset, name: str, none: float) -> None:
    """Draw a number per measure with its interval, about the value of no skill."""
    values = relation[name].values
    if not np.isfinite(values).any():
        nothing(axes, wrapped("too few systems or failures", "single"))
        return
    names = [measure_label(m) for m in relation["measure"].values.astype(str)]
    tell(axes, name.removeprefix("relation_"), values, names, x_bounds=relation[f"{name}_interval"])
    axes.axvline(none, color=GREY, lw=pt(0.6), zorder=1)
    _bars(axes, values, relation[f"{name}_interval"].values, BLACK, 0.0)
    axes.plot(values, np.arange(len(values)), "o", ms=pt(3), color=BLACK, zorder=4)


def _bars(axes: Axes, at: np.ndarray, bounds: np.ndarray, colour: str, shift: float) -> None:
    rows = np.arange(len(at)) + shift
    known = np.isfinite(bounds).all(axis=1)
    axes.hlines(rows[known], *bounds[known].T, color=colour, lw=pt(0.8), zorder=3)


def applicability(
    relation: xr.Dataset,
    *,
    alpha: float = 0.1,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the error of systems kept by their shift, and how often promised bounds held.

    (a) Mean error of the share of systems with the least shift, for the measures with the least
    area below the curve, against an order by the error itself and none at all. (b) The share of
    systems whose error stayed below its conformal bound, by kind of shift, unscaled and scaled by
    the best measure, chosen on these same systems, with 95 % intervals; the line is what was
    promised.

    Parameters
    ----------
    relation : xarray.Dataset
        From :func:`breadth.analysis.relation.relation_table`; (b) needs a hold-out.
    alpha : float
        Of those computed, the nearest is shown.
    column : {'single', 'double'}
        Panels below each other or side by side.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    bounded = "relation_coverage" in relation and bool(
        relation["relation_coverage"].notnull().any()
    )
    with styled():
        rows, beside = (1 + bounded, 1) if stacked(column) else (1, 1 + bounded)
        figure = new_figure(column, 2.2 * rows if stacked(column) else 2.6, figure)
        panels = figure.subplots(rows, beside, squeeze=False).ravel().tolist()
        best = _risk(panels[0], relation)
        if bounded:
            _coverage(panels[1], relation, alpha, best)
            panel_letters(panels)
    return figure


def _risk(axes: Axes, relation: xr.Dataset) -> str:
    """Draw risk over coverage; return the measure with the least area."""
    area = relation["relation_aurc"].values
    known = np.flatnonzero(np.isfinite(area))
    axes.set(xlabel="Share of systems kept, least shift first", xlim=(0, 1))
    axes.set_ylabel("Their force MAE (meV/Å)")
    if not known.size:
        nothing(axes, "fewer than 20 systems:\nnot supported")
        return ""
    best = known[np.argsort(area[known], kind="stable")]
    kept = relation["kept"].values
    for i, row in enumerate(best[:_MOST]):
        label = measure_label(str(relation["measure"].values[row]))
        risk = relation["relation_risk"].values[row] * MILLI
        axes.plot(kept, risk, color=CYCLE[i], label=label)
        tell(axes, label, kept, risk)
    oracle = relation["relation_risk_oracle"].values[best[0]] * MILLI
    axes.plot(kept, oracle, color=GREY, ls=":", label="by the error itself")
    tell(axes, "by the error itself", kept, oracle)
    level = float(relation["relation_aurc_random"].values[best[0]]) * MILLI
    axes.axhline(level, color=GREY, lw=pt(0.8), ls=(0, (5, 2)), label="no order")
    tell(axes, "no order", None, level, kind="baseline")
    axes.set_ylim(0, None)
    axes.legend(frameon=False, fontsize=type_size(6), loc="lower right", labelspacing=0.2)
    return str(relation["measure"].values[best[0]])


def _coverage(axes: Axes, relation: xr.Dataset, alpha: float, best: str) -> None:
    alphas = relation["alpha"].values
    at = int(np.abs(alphas - alpha).argmin())
    promised = 1.0 - float(alphas[at])
    scalings = [s for s in ("none", best) if s in relation["scaling"].values.astype(str)]
    known_groups = relation["relation_coverage"].notnull().any(["scaling", "alpha"]).values
    relation = relation.isel(group=known_groups)
    groups = relation["group"].values.astype(str)
    colours = (BLACK, CYCLE[0])
    for i, (scaling, colour) in enumerate(zip(scalings, colours, strict=False)):
        of = relation.sel(scaling=scaling).isel(alpha=at)
        rows = np.arange(len(groups)) + 0.22 * (i - (len(scalings) - 1) / 2)
        bounds = of["relation_coverage_interval"].values
        known = np.isfinite(bounds).all(axis=1)
        axes.hlines(rows[known], *bounds[known].T, color=colour, lw=pt(0.8))
        label = "one bound for all" if scaling == "none" else "scaled by the best measure of (a)"
        covered = of["relation_coverage"].values
        axes.plot(covered, rows, "o", ms=pt(3), color=colour, label=label)
        tell(axes, label, covered, [words(g) for g in groups], x_bounds=bounds)
    axes.axvline(promised, color=GREY, lw=pt(0.8), ls=(0, (5, 2)))
    axes.set_yticks(range(len(groups)), [words(g) for g in groups])
    axes.set(
        ylim=(len(groups) - 0.4, -0.6),
        xlim=(-0.02, 1.02),
        xlabel=f"Systems within their bound (promised: {promised:g})",
    )
    axes.legend(
        frameon=False,
        fontsize=type_size(6),
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        labelspacing=0.1,
        handletextpad=0.1,
    )
