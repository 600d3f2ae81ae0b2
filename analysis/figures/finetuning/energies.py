"""Which energies the runs visit, and how models err there."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..style import (
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
from ..table import tell, tell_histogram
from .look import arm_handles, arm_look, arms_in_order, legend_below, say, test_run_label


def energy_histograms(
    bins: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw histograms of reference energies with the residuals of each bin below them.

    Left: each model's own run; right: the independent set, the same frames for all (grey). Below:
    mean residuals of the last model of each arm, and of the universal model, in bins of equal
    numbers of frames, with 95 % intervals over replicates; those that are far wider than the
    residuals are cut.

    Parameters
    ----------
    bins : xarray.Dataset
        From :func:`breadth.analysis.finetuning.energy_bins`.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    series = arms_in_order(bins["series"].values.astype(str).tolist())
    kinds = bins["test_run"].values.astype(str).tolist()
    edges = bins["edge"].values * MILLI
    width = np.ptp(bins["centre"].values) * MILLI
    with styled():
        figure = new_figure(column, 3.0 if stacked(column) else 3.4, figure)
        panels = figure.subplots(
            2, len(kinds), squeeze=False, sharex=True, sharey="row", height_ratios=(1, 1.5)
        )
        for (upper, lower), kind in zip(panels.T, kinds, strict=True):
            upper.set_title(test_run_label(kind), fontsize=type_size(7.5))
            lower.axhline(0, color=GREY, lw=pt(0.6), zorder=1)
            of = bins.sel(test_run=kind)
            density = of["density"].values / MILLI
            known = np.isfinite(density).all(axis=1)
            alike = kind != kinds[0] and np.allclose(density[known], density[known][:1])
            if alike:
                tell_histogram(upper, "all models", density[known][0], edges)
                upper.stairs(density[known][0], edges, fill=True, color="#BBBBBB", lw=0)
            for k, name in enumerate(series):
                label, colour, marker = arm_look(name)
                part = of.sel(series=name)
                if not alike:
                    upper.stairs(part["density"].values / MILLI, edges, color=colour, lw=pt(0.9))
                    tell_histogram(upper, label, part["density"].values / MILLI, edges)
                x = of["centre"].values * MILLI + 0.02 * width * (k - (len(series) - 1) / 2)
                residual = part["residual"].values * MILLI
                ends = part["residual_interval"].values * MILLI
                title = f"residuals, {test_run_label(kind)}"
                tell(
                    lower, label, part["centre"].values * MILLI, residual, bounds=ends, panel=title
                )
                lower.vlines(x, *ends.T, color=colour, lw=pt(0.7), zorder=2)
                lower.plot(
                    x, residual, color=colour, marker=marker, ms=pt(2.4), lw=pt(0.8), zorder=3
                )
            if not of["residual"].notnull().any():
                say(lower, "too few frames")
            lower.set_xlabel("Energy (meV/atom)")
        values = bins["residual"].values * MILLI
        most = 1.6 * np.nanmax(np.abs(values))
        panels[1, 0].set_ylim(-most, most)
        panels[0, 0].set(ylabel="Density\n(atom/meV)", ylim=(0, None))
        panels[1, 0].set_ylabel("Mean residual (meV/atom)")
        panel_letters(panels.ravel().tolist())
        legend_below(figure, arm_handles(series), column)
    return figure
