"""What detectors foresee: the errors of atoms by element, of frames, and the risk of those kept."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...finetuning.layout import INDEPENDENT
from ..style import CYCLE, GREY, Column, new_figure, paper
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
    found: xr.Dataset, *, test_run: str = INDEPENDENT, column: Column = "single"
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
    with paper():
        # Where there are two lines of elements, rows stand closer: the figure is to fit a page.
        height = (0.3 if lines == 1 else 0.22) * len(detectors) + 0.45
        figure = new_figure(column, 2 * lines * height + 0.55)
        for block, (name, part, none, limits, label) in zip(
            figure.subfigures(2, 1, squeeze=False)[:, 0], measures, strict=True
        ):
            panels = block.subplots(lines, across, squeeze=False, sharex=True, sharey=True).ravel()
            for axes in panels[len(elements) :]:
                axes.set_visible(False)
            for axes, element in zip(panels, elements, strict=False):
                _forest(axes, part.sel(element=element), name, arms, none, limits)
                axes.set_title(element, fontsize=7.5)
            for axes in panels[max(0, len(elements) - across) : len(elements)]:
                axes.tick_params(labelbottom=True)
            _name_rows(panels.tolist(), detectors)
            block.supxlabel(label, fontsize=7)
        figure.suptitle(f"Errors of atoms, {test_run_label(test_run)}", fontsize=7.5)
        legend_below(figure, arm_handles(arms), column)
    return figure


def frame_foresight(
    found: xr.Dataset, *, test_run: str = INDEPENDENT, column: Column = "single"
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
    """
    of = found.sel(test_run=test_run)
    arms = arms_in_order(of["arm"].values.astype(str).tolist())
    detectors = of["detector"].values.astype(str).tolist()
    summaries = of["summary"].values.astype(str).tolist()
    with paper():
        figure = new_figure(column, 0.3 * len(detectors) + 1.1)
        panels = figure.subplots(1, len(summaries), squeeze=False, sharex=True, sharey=True)[0]
        for axes, summary in zip(panels, summaries, strict=True):
            _forest(axes, of.sel(summary=summary), "frame_spearman", arms, 0.0, (-1.0, 1.0))
            axes.set_title(_SUMMARIES.get(summary, summary), fontsize=7)
        panels[len(panels) // 2].set_xlabel("Spearman’s ρ with the energy’s error", fontsize=7)
        _name_rows(panels.tolist(), detectors)
        figure.suptitle(f"Errors of frames, {test_run_label(test_run)}", fontsize=7.5)
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
    axes.axvline(none, color=GREY, lw=0.6, zorder=1)
    for k, arm in enumerate(arms):
        _, colour, marker = arm_look(arm)
        of = part.sel(arm=arm)
        rows = np.arange(of.sizes["detector"]) + 0.18 * (k - (len(arms) - 1) / 2)
        ends = np.clip(of[f"{name}_interval"].values, low, high)
        axes.hlines(rows, *ends.T, color=colour, lw=0.7, zorder=2)
        axes.plot(of[name].values, rows, marker, ms=2.2, mew=0, color=colour, zorder=3)


def _name_rows(panels: Sequence[Axes], detectors: list[str]) -> None:
    for axes in panels:
        labels = [detector_label(d) for d in detectors]
        axes.set_yticks(range(len(detectors)), labels, size=6)
        axes.set_ylim(len(detectors) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)


def risk_coverage(
    found: xr.Dataset, *, test_run: str = INDEPENDENT, column: Column = "single"
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
    """
    of = found.sel(test_run=test_run)
    elements = of["element"].values.astype(str).tolist()
    detectors = of["detector"].values.astype(str).tolist()
    risk = (of["risk"] / of["risk_random"]).mean("arm")
    oracle = (of["risk_oracle"] / of["risk_random"]).mean("arm")
    kept = of["kept"].values
    with paper():
        across = min(len(elements), 2 if column == "single" else 4)
        rows = -(-len(elements) // across)
        figure = new_figure(column, 1.45 * rows + 0.7)
        panels = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(elements) :]:
            axes.set_visible(False)
        for axes, element in zip(panels, elements, strict=False):
            axes.axhline(1.0, color=GREY, lw=0.6, zorder=1)
            axes.plot(kept, oracle.sel(element=element), color=GREY, ls=":", lw=1.0)
            for k, detector in enumerate(detectors):
                curve = risk.sel(element=element, detector=detector)
                axes.plot(kept, curve, color=CYCLE[k % len(CYCLE)], ls=_STYLES[k % len(_STYLES)])
            axes.set_title(element, fontsize=7.5)
            if not np.isfinite(risk.sel(element=element)).any():
                say(axes, "too few")
        for i in range(len(elements)):
            if i + across >= len(elements):
                panels[i].tick_params(labelbottom=True)
                panels[i].set_xlabel("Share of atoms kept")
        panels[0].set(xlim=(0, 1), ylim=(0, None), xticks=[0, 0.5, 1])
        panels[0].set_xticklabels(["0", "0.5", "1"])
        figure.supylabel("Their force error ÷ that of all", fontsize=7)
        text = f"Atoms of lowest score kept, {test_run_label(test_run)}"
        figure.suptitle(text, fontsize=7.5)
        handles = [
            Line2D([], [], color=CYCLE[k % len(CYCLE)], ls=_STYLES[k % len(_STYLES)], label=label)
            for k, label in enumerate(map(detector_label, detectors))
        ]
        handles.append(Line2D([], [], color=GREY, ls=":", label="by the error itself"))
        legend_below(figure, handles, column)
    return figure
