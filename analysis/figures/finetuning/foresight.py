"""What detectors foresee: the errors of atoms by element, of frames, and the risk of those kept."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ...finetuning.layout import INDEPENDENT
from ..style import CYCLE, GREY, Canvas, Column, new_figure, pt, stacked, styled, type_size
from ..table import tell
from .look import (
    arm_handles,
    arm_look,
    arms_in_order,
    detector_label,
    legend_below,
    say,
    test_run_label,
)

_SUMMARIES = {"mean": "mean of atoms", "max": "worst atom", "top_5_percent": "top 5 % of atoms"}
#: Most panels of elements beside each other.
_ACROSS = {"single": 4, "double": 8}
_STYLES = ("-", "-", "-", "-", "-", "-", (0, (4, 1.5)))


def foresight(
    found: xr.Dataset,
    *,
    test_run: str = INDEPENDENT,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw how each detector's scores go with the errors of atoms, within each element.

    Above: Spearman's ρ of score and force error; below: AUROC of the tenth of an element's atoms
    with the greatest errors. A mark per arm, its last model: mean over replicates, 95 % intervals;
    grey lines: no skill.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`breadth.analysis.finetuning.foresee_arms`.
    test_run : str
        On whose frames.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    of = found.sel(test_run=test_run)
    arms = arms_in_order(of["arm"].values.astype(str).tolist())
    elements = of["element"].values.astype(str).tolist()
    detectors = of["detector"].values.astype(str).tolist()
    worst = of["worst"].values[-1]
    measures = (
        ("spearman", of, 0.0, (-1.0, 1.0), "Spearman’s ρ"),
        ("auroc", of.sel(worst=worst), 0.5, (0.0, 1.0), f"AUROC, worst {100 * worst:g} %"),
    )
    lines = -(-len(elements) // _ACROSS[column])
    across = -(-len(elements) // lines)
    with styled():
        # Where there are two lines of elements, rows stand closer: the figure is to fit a page.
        height = (0.3 if lines == 1 else 0.22) * len(detectors) + 0.45
        figure = new_figure(column, 2 * lines * height + 0.55, figure)
        for block, (name, part, none, limits, label) in zip(
            figure.subfigures(2, 1, squeeze=False)[:, 0], measures, strict=True
        ):
            panels = block.subplots(lines, across, squeeze=False, sharex=True, sharey=True).ravel()
            for axes in panels[len(elements) :]:
                axes.set_visible(False)
            for axes, element in zip(panels, elements, strict=False):
                _forest(axes, part.sel(element=element), name, arms, none, limits)
                axes.set_title(element, fontsize=type_size(7.5))
            for axes in panels[max(0, len(elements) - across) : len(elements)]:
                axes.tick_params(labelbottom=True)
            _name_rows(panels.tolist(), detectors)
            block.supxlabel(label, fontsize=type_size(7))
        figure.suptitle(f"Errors of atoms, {test_run_label(test_run)}", fontsize=type_size(7.5))
        legend_below(figure, arm_handles(arms), column)
    return figure


def frame_foresight(
    found: xr.Dataset,
    *,
    test_run: str = INDEPENDENT,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw how scores of a frame's atoms go with the error of its energy.

    Spearman's ρ with |ΔE − mean ΔE|, where a frame's score is the mean over its atoms, the greatest
    or the mean of the greatest twentieth, each atom's in units of its element's limit.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`breadth.analysis.finetuning.foresee_arms`.
    test_run : str
        On whose frames.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    of = found.sel(test_run=test_run)
    arms = arms_in_order(of["arm"].values.astype(str).tolist())
    detectors = of["detector"].values.astype(str).tolist()
    summaries = of["summary"].values.astype(str).tolist()
    with styled():
        figure = new_figure(column, 0.3 * len(detectors) + 1.1, figure)
        panels = figure.subplots(1, len(summaries), squeeze=False, sharex=True, sharey=True)[0]
        for axes, summary in zip(panels, summaries, strict=True):
            _forest(axes, of.sel(summary=summary), "frame_spearman", arms, 0.0, (-1.0, 1.0))
            axes.set_title(_SUMMARIES.get(summary, summary), fontsize=type_size(7))
        panels[len(panels) // 2].set_xlabel(
            "Spearman’s ρ with the energy’s error", fontsize=type_size(7)
        )
        _name_rows(panels.tolist(), detectors)
        figure.suptitle(f"Errors of frames, {test_run_label(test_run)}", fontsize=type_size(7.5))
        legend_below(figure, arm_handles(arms), column)
    return figure


def _forest(
    axes: Axes,
    part: xr.Dataset,
    name: str,
    arms: Sequence[str],
    none: float,
    limits: tuple[float, float],
) -> None:
    """Draw a number per detector and arm with its interval, about the value of no skill."""
    low, high = limits
    axes.set_xlim(low - 0.03, high + 0.03)
    axes.set_xticks([none, high], [f"{none:g}", f"{high:g}"])
    if not np.isfinite(part[name].values).any():
        say(axes, "too few")
        return
    axes.axvline(none, color=GREY, lw=pt(0.6), zorder=1)
    for k, arm in enumerate(arms):
        label, colour, marker = arm_look(arm)
        of = part.sel(arm=arm)
        rows = np.arange(of.sizes["detector"]) + 0.18 * (k - (len(arms) - 1) / 2)
        ends = np.clip(of[f"{name}_interval"].values, low, high)
        axes.hlines(rows, *ends.T, color=colour, lw=pt(0.7), zorder=2)
        axes.plot(of[name].values, rows, marker, ms=pt(2.2), mew=0, color=colour, zorder=3)
        names = [detector_label(d) for d in of["detector"].values.astype(str)]
        bounds = of[f"{name}_interval"].values
        tell(axes, label, of[name].values, names, x_bounds=bounds, kind=words(name))


def _name_rows(panels: Sequence[Axes], detectors: list[str]) -> None:
    for axes in panels:
        labels = [detector_label(d) for d in detectors]
        axes.set_yticks(range(len(detectors)), labels, size=type_size(6))
        axes.set_ylim(len(detectors) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)


def risk_coverage(
    found: xr.Dataset,
    *,
    test_run: str = INDEPENDENT,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the error of the atoms that are kept if those of high scores are left out.

    A panel per element: mean force error of the share kept, lowest scores first, over that of all
    its atoms; means over arms and replicates. Dotted: by the error itself, as good as can be; at
    one: no order.

    Parameters
    ----------
    found : xarray.Dataset
        From :func:`breadth.analysis.finetuning.foresee_arms`.
    test_run : str
        On whose frames.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    of = found.sel(test_run=test_run)
    elements = of["element"].values.astype(str).tolist()
    detectors = of["detector"].values.astype(str).tolist()
    risk = (of["risk"] / of["risk_random"]).mean("arm")
    oracle = (of["risk_oracle"] / of["risk_random"]).mean("arm")
    kept = of["kept"].values
    with styled():
        across = min(len(elements), 2 if stacked(column) else 4)
        rows = -(-len(elements) // across)
        figure = new_figure(column, 1.45 * rows + 0.7, figure)
        panels = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(elements) :]:
            axes.set_visible(False)
        for axes, element in zip(panels, elements, strict=False):
            axes.axhline(1.0, color=GREY, lw=pt(0.6), zorder=1)
            axes.plot(kept, oracle.sel(element=element), color=GREY, ls=":", lw=pt(1.0))
            tell(axes, "by the error itself", kept, oracle.sel(element=element))
            for k, detector in enumerate(detectors):
                curve = risk.sel(element=element, detector=detector)
                tell(axes, detector_label(detector), kept, curve)
                axes.plot(kept, curve, color=CYCLE[k % len(CYCLE)], ls=_STYLES[k % len(_STYLES)])
            axes.set_title(element, fontsize=type_size(7.5))
            if not np.isfinite(risk.sel(element=element)).any():
                say(axes, "too few")
        for i in range(len(elements)):
            if i + across >= len(elements):
                panels[i].tick_params(labelbottom=True)
                panels[i].set_xlabel("Share of atoms kept")
        panels[0].set(xlim=(0, 1), ylim=(0, None), xticks=[0, 0.5, 1])
        panels[0].set_xticklabels(["0", "0.5", "1"])
        figure.supylabel("Their force error ÷ that of all", fontsize=type_size(7))
        text = f"Atoms of lowest score kept, {test_run_label(test_run)}"
        figure.suptitle(text, fontsize=type_size(7.5))
        handles = [
            Line2D([], [], color=CYCLE[k % len(CYCLE)], ls=_STYLES[k % len(_STYLES)], label=label)
            for k, label in enumerate(map(detector_label, detectors))
        ]
        handles.append(Line2D([], [], color=GREY, ls=":", label="by the error itself"))
        legend_below(figure, handles, column)
    return figure
