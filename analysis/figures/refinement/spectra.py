"""Laplacian spectra before and after radius refinement, against those of training."""

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from ..style import (
    Canvas,
    Column,
    new_figure,
    panel_letters,
    stacked,
    styled,
)
from ..table import tell
from .look import BLACK, RED, SKY, experiment_label, legend_below

_KINDS = {
    "train": ("training, trained radius", BLACK),
    "test": ("tested, trained radius", RED),
    "refined": ("tested, refined radius", SKY),
}
_CLUSTER = (0.9, 1.1)


def spectra(
    found: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw densities of the eigenvalues of normalised graph Laplacians, a panel per experiment.

    Grey fill: the training structures; lines: the tested ones at the radius of training and at the
    refined one. The band marks [0.9, 1.1], whose share of eigenvalues measures connectivity.

    Parameters
    ----------
    found : xarray.Dataset
        ``density`` (experiment, kind, eigenvalue) with kinds train, test, refined.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    shown = found["experiment"].values.astype(str).tolist()
    kinds = [k for k in _KINDS if k in found["kind"].values.astype(str)]
    x = found["eigenvalue"].values
    with styled():
        beside = 1 if stacked(column) else min(len(shown), 3)
        rows = -(-len(shown) // beside)
        figure = new_figure(column, 1.5 * rows + 0.55, figure)
        panels = figure.subplots(rows, beside, squeeze=False, sharex=True).ravel()
        handles = {}
        for axes, experiment in zip(panels, shown, strict=False):
            axes.axvspan(*_CLUSTER, color="#eeeeee", lw=0, zorder=0)
            for kind in kinds:
                label, colour = _KINDS[kind]
                density = found["density"].sel(experiment=experiment, kind=kind).values
                tell(axes, label, x, density)
                if kind == "train":
                    handles[kind] = axes.fill_between(
                        x, density, color="#c0c0c0", lw=0, zorder=1, label=label
                    )
                else:
                    (handles[kind],) = axes.plot(
                        x,
                        density,
                        color=colour,
                        ls="-" if kind == "test" else (0, (3, 1)),
                        zorder=2,
                        label=label,
                    )
            axes.xaxis.set_major_locator(MultipleLocator(0.5))
            axes.set(xlim=(x[0], x[-1]), ylim=(0, None), title=experiment_label(experiment))
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for axes in panels[::beside]:
            axes.set_ylabel("Density")
        for i in range(len(shown)):
            if i + beside >= len(shown):
                panels[i].tick_params(labelbottom=True)
                panels[i].set_xlabel("Eigenvalue of the Laplacian")
        if len(shown) > 1:
            panel_letters(panels[: len(shown)].tolist())
        legend_below(figure, [handles[k] for k in kinds], column)
    return figure
