"""How fits went: monitored error and loss over updates."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...diversity.html import words
from ..tradeoff.predictions import CELL
from ..tradeoff.summary import SELECTOR_AXES, grid
from .style import (
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    end_labels,
    log_axis,
    new_figure,
    pt,
    stacked,
    styled,
    type_size,
)
from .table import tell

_TITLES = {
    "fixed_budget": "Fixed budget",
    "fixed_molecules": "Fixed molecules",
    "grid": "Grid",
    "molecule_selectors": "Molecules by",
    "conformer_selectors": "Conformers by",
}


def training_curves(
    results: xr.Dataset,
    curves: xr.Dataset,
    *,
    column: Column = "single",
    figure: Canvas | None = None,
) -> Figure:
    """Draw the monitored force MAE of each fit over its updates, one panel per experiment.

    Single column: the monitored error. Double: the training loss below it as well. One line per
    replicate; dashed: the fits with a quarter of the updates.

    Parameters
    ----------
    results : xarray.Dataset
        Names the designs of each experiment; from :func:`breadth.analysis.measure_errors`.
    curves : xarray.Dataset
        ``curves.nc``, with dimensions ``model`` and ``checkpoint`` and the variables

        - ``updates`` (model, checkpoint): updates done; NaN after the fit's end;
        - ``monitor_force_mae`` (model, checkpoint): eV/Å, on a fixed part of a hold-out;
        - ``train_loss`` (model, checkpoint): mean since the checkpoint before;

        coordinates on ``model``: ``n_molecules``, ``n_conformers``, ``molecule_selector``,
        ``conformer_selector``, ``replicate``, ``updates_fraction`` (1.0 or 0.25); attribute
        ``monitor`` names the hold-out. A model is drawn in each experiment that has its design.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    monitor = words(curves.attrs.get("monitor", "monitored structures"))
    rows = [("monitor_force_mae", f"Force MAE on\n{monitor} (meV/Å)", MILLI)]
    if column == "double":
        rows.append(("train_loss", "Training loss", 1.0))
    experiments = [e for e in _TITLES if grid(results, e).size]
    with styled():
        if stacked(column):
            figure = new_figure(column, 2.2 * len(experiments), figure)
            panels = figure.subplots(len(experiments), 1, squeeze=False).T
        else:
            figure = new_figure(column, 2.2 * len(rows), figure)
            panels = figure.subplots(len(rows), len(experiments), squeeze=False)
        for row, (name, title, scale) in enumerate(rows):
            for axes, experiment in zip(panels[row], experiments, strict=True):
                _panel(axes, results, curves, experiment, name, scale)
                axes.set_ylabel(title)
                if row == 0:
                    axes.set_title(_TITLES[experiment], loc="left")
        figure.supxlabel("Updates (dashed: fits with a quarter of them)", fontsize=type_size(7.5))
    return figure


def _panel(
    axes: Axes,
    results: xr.Dataset,
    curves: xr.Dataset,
    experiment: str,
    name: str,
    scale: float,
) -> None:
    designs = grid(results, experiment)
    along = {
        "fixed_budget": "n_molecules",
        "fixed_molecules": "n_conformers",
        "grid": "n_conformers",
        **SELECTOR_AXES,
    }[experiment]
    colours = mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.88, len(designs)))
    updates, values = curves["updates"].values, curves[name].values * scale
    fraction = curves["updates_fraction"].values
    labels, drawn = [], []
    for colour, design in zip(colours, designs, strict=True):
        same = np.ones(curves.sizes["model"], dtype=bool)
        for name_of in CELL:
            same &= curves[name_of].values == results[name_of].values[design]
        for model in np.flatnonzero(same):
            known = np.isfinite(updates[model]) & np.isfinite(values[model])
            full = fraction[model] == 1.0
            axes.plot(
                updates[model, known],
                values[model, known],
                color=colour,
                lw=pt(0.8 if full else 0.6),
                ls="-" if full else (0, (3, 1.5)),
                alpha=0.9 if full else 0.7,
            )
            drawn.append(values[model, known])
            replicate = int(curves["replicate"].values[model])
            of = words(results[along].values[design])
            if experiment == "grid":
                of = f"{results['n_molecules'].values[design]} × {of}"
            kind = f"replicate {replicate}" + ("" if full else ", quarter of the updates")
            tell(axes, of, updates[model, known], values[model, known], kind=kind)
        full_models = np.flatnonzero(same & (fraction == 1.0))
        last = [v[np.isfinite(v)][-1] for v in values[full_models] if np.isfinite(v).any()]
        if last:
            text = words(results[along].values[design])
            if experiment == "grid":
                text = f"{results['n_molecules'].values[design]} × {text}"
            elif experiment not in SELECTOR_AXES and design == designs[-1]:
                text += " molecules" if along == "n_molecules" else " conformers"
            labels.append((float(np.mean(last)), text, colour))
    if drawn:
        span = np.concatenate(drawn)
        log_axis(axes, "y", span.min() / 1.08, span.max() * 1.08)
    axes.set_xlim(0, np.nanmax(updates) * 1.01)
    end_labels(axes, labels, size=6.5)
