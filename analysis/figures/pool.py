"""What is in a pool of labelled conformers."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    CYCLE,
    Canvas,
    Column,
    log_axis,
    new_figure,
    panel_letters,
    pt,
    stacked,
    styled,
    type_size,
)
from .table import tell, tell_histogram


def pool(
    contents: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw the sizes, flexibility, forces and elements of a pool.

    Parameters
    ----------
    contents : xarray.Dataset
        ``pool.nc``, with the variables

        - ``n_atoms`` (molecule): atoms, hydrogen included;
        - ``n_rotatable_bonds`` (molecule);
        - ``n_minima`` (molecule): distinct minima among its conformers;
        - ``rmsd_vibration`` (molecule): mean heavy-atom RMSD (symmetry-aware, Å) between
          conformers displaced from the same minimum; NaN if no two are;
        - ``rmsd_torsion`` (molecule): the same between conformers of different minima, Å; NaN
          for a molecule with one minimum;
        - ``force_norm`` (conformer): mean ‖F_i‖ over its atoms, eV/Å; NaN without labels;
        - ``n_molecules_with`` (element): molecules that hold the element at all;
        - ``n_atoms_of`` (element): its atoms, each molecule counted once;

        and the coordinate ``element`` (symbols).
    column : {'single', 'double'}
        3 × 2 or 2 × 3 panels.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    with styled():
        rows, columns = (3, 2) if stacked(column) else (2, 3)
        figure = new_figure(column, 4.6 if stacked(column) else 3.6, figure)
        panels = figure.subplots(rows, columns).ravel()
        _counts(panels[0], contents["n_atoms"].values, "Atoms per molecule", "Molecules")
        _counts(panels[1], contents["n_rotatable_bonds"].values, "Rotatable bonds", "Molecules")
        _counts(panels[2], contents["n_minima"].values, "Minima per molecule", "Molecules")
        _changes(panels[3], contents["rmsd_vibration"].values, contents["rmsd_torsion"].values)
        norm = contents["force_norm"].values
        counts, edges, _ = panels[4].hist(norm[np.isfinite(norm)], bins=40, color=CYCLE[1])
        tell_histogram(panels[4], "", counts, edges)
        panels[4].set(xlabel="Mean force norm (eV/Å)", ylabel="Conformers")
        _elements(panels[5], contents)
        panel_letters(panels)
    return figure


def _counts(axes: Axes, values: np.ndarray, what: str, of: str) -> None:
    """Draw a histogram of whole numbers."""
    number, count = np.unique(values, return_counts=True)
    axes.bar(number, count, width=0.85, color=CYCLE[1])
    tell(axes, "", number, count)
    axes.set(xlabel=what, ylabel=of)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)  # type: ignore[call-arg]


def _changes(axes: Axes, vibration: np.ndarray, torsion: np.ndarray) -> None:
    """Draw how far conformers of one minimum, and of different minima, stand apart."""
    kinds = (("within a\nminimum", vibration, 1), ("between\nminima", torsion, 3))
    finite = [values[np.isfinite(values) & (values > 0)] for _, values, _ in kinds]
    everything = np.concatenate(finite)
    if not everything.size:
        axes.text(0.5, 0.5, "no two conformers", ha="center", transform=axes.transAxes)
        return
    edges = np.geomspace(everything.min() / 1.1, everything.max() * 1.1, 36)
    tallest = max(np.histogram(values, edges)[0].max(initial=0) for values in finite)
    for (label, _, colour), values in zip(kinds, finite, strict=True):
        if not values.size:
            continue
        counts, _, _ = axes.hist(values, edges.tolist(), color=CYCLE[colour], alpha=0.85)
        middle = float(np.median(values))
        tell_histogram(axes, label, counts, edges)
        tell(axes, label, middle, None, kind="median")
        axes.plot([middle] * 2, [0, 1.04 * tallest], color=CYCLE[colour], lw=pt(0.8))
        axes.text(
            middle,
            1.06 * tallest,
            f"{label}\n{middle:.2f} Å",
            ha="center",
            va="bottom",
            fontsize=type_size(6),
            color=CYCLE[colour],
        )
    log_axis(axes, "x", edges[0], edges[-1], [0.03, 0.1, 0.3, 1.0, 3.0])
    axes.set(xlabel="Heavy-atom RMSD (Å)", ylabel="Molecules", ylim=(0, 1.7 * tallest))


def _elements(axes: Axes, contents: xr.Dataset) -> None:
    names = [str(name) for name in contents["element"].values]
    share = 100.0 * contents["n_molecules_with"].values / contents.sizes["molecule"]
    axes.bar(names, share, color=CYCLE[1], width=0.7)
    atoms_of = contents["n_atoms_of"].values
    tell(axes, "", names, share, value=atoms_of, value_label="Atoms, each molecule once")
    for place, atoms in enumerate(contents["n_atoms_of"].values):
        axes.text(place, share[place] + 2, _short(int(atoms)), ha="center", fontsize=type_size(6))
    axes.set(ylabel="Molecules (%)", xlabel="Element (atom count)", ylim=(0, 118))
    axes.set_yticks([0, 50, 100])


def _short(count: int) -> str:
    return f"{count / 1000:.2g}k" if count >= 1000 else str(count)
