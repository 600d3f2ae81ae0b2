"""Potential-energy surfaces over two Hessian eigenvectors, before and after test-time training."""

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..style import (
    MILLI,
    SEQUENTIAL,
    Canvas,
    Column,
    new_figure,
    pt,
    shortened,
    styled,
    type_size,
)
from ..table import tell
from .look import method_look, named, nothing, wrapped

_COMPARED = ("none", "joint", "test_time")
_LEVELS = 11
_ENERGY = "Energy (eV)"


def surfaces(
    found: xr.Dataset, *, column: Column = "single", figure: Canvas | None = None
) -> Figure:
    """Draw energies over displacements along two eigenvectors, the reference's beside each model's.

    One row per system whose first surface is whole, at most two in single and three in double
    column. All panels of a row share levels, those of the first surface, and each surface starts
    from its own minimum. R is the roughness of the surface, zero for a quadratic one.

    Parameters
    ----------
    found : xarray.Dataset
        ``energy`` (system, method, x, y), eV; optional ``energy_reference`` (system, x, y) and
        ``roughness`` (system, method) and ``roughness_reference`` (system), eV; ``x``, ``y`` in Å.
    column : {'single', 'double'}
        Single column leaves out joint training without steps.
    figure : Figure or SubFigure, optional
        Where to draw; by default in a new one.
    """
    single = column == "single"
    methods = named(found, [m for m in _COMPARED if not (single and m == "joint")])
    first = "energy_reference" if "energy_reference" in found else "energy"
    table = found[first].transpose("system", ...).values
    whole = np.isfinite(table.reshape(len(table), -1)).all(axis=1)
    systems = found["system"].values.astype(str)[whole][: 2 if single else 3]
    x, y = found["x"].values, found["y"].values
    with styled():
        names = [*(["reference"] if "energy_reference" in found else []), *methods]
        figure = new_figure(column, (0.92 if single else 1.45) * len(systems) + 0.55, figure)
        panels = figure.subplots(len(systems), len(names), squeeze=False, sharex=True, sharey=True)
        for row, system in zip(panels, systems, strict=True):
            of = found.sel(system=system)
            energies = [
                of["energy_reference"].values
                if name == "reference"
                else of["energy"].sel({"method": name}).values
                for name in names
            ]
            top = float(np.ptp(energies[0]))
            levels = np.linspace(0.0, top, _LEVELS)
            for axes, name, energy in zip(row, names, energies, strict=True):
                if not np.isfinite(energy).all():
                    nothing(axes, "not finite")
                    continue
                energy = energy - energy.min()
                axes.contourf(x, y, energy.T, levels=levels, cmap=SEQUENTIAL, extend="max")
                axes.contour(x, y, energy.T, levels=levels, colors="white", linewidths=pt(0.3))
                label = "reference" if name == "reference" else method_look(name)[0]
                across, along = np.meshgrid(x, y, indexing="ij")
                second = "Displacement along the second eigenvector (Å)"
                tell(
                    axes,
                    label,
                    across,
                    along,
                    value=energy,
                    value_label=_ENERGY,
                    y_label=second,
                    panel=str(system),
                )
                axes.set_box_aspect(1)
                axes.set(xticks=_ticks(x), yticks=_ticks(y))
                axes.tick_params(labelsize=type_size(6))
                if axes in panels[0]:
                    axes.set_title(wrapped(label, column, 12), fontsize=type_size(6.5))
                rough = _roughness(of, name)
                if np.isfinite(rough):
                    axes.text(
                        0.04,
                        0.95,
                        f"R {rough * MILLI:{'.0f' if rough * MILLI > 9.5 else '.1f'}} meV",
                        transform=axes.transAxes,
                        va="top",
                        fontsize=type_size(5.5),
                        bbox={"facecolor": "white", "lw": 0, "pad": 0.6, "alpha": 0.8},
                    )
            row[0].set_ylabel(shortened(str(system), column), fontsize=type_size(7))
            bar = figure.colorbar(
                ScalarMappable(Normalize(0.0, top), SEQUENTIAL),
                ax=list(row),
                pad=0.01,
                aspect=12,
                extend="max",
            )
            bar.set_label(_ENERGY, size=type_size(6.5))
            bar.ax.tick_params(labelsize=type_size(6))
        figure.supxlabel(
            "Displacement along the first eigenvector (Å); R: roughness", fontsize=type_size(7)
        )
        figure.supylabel("… along the second (Å)", fontsize=type_size(7))
    return figure


def _roughness(of: xr.Dataset, name: str) -> float:
    """Return the roughness of one surface of a system, eV; NaN: unknown."""
    if name == "reference":
        return float(of.get("roughness_reference", np.nan))
    return float(of["roughness"].sel({"method": name})) if "roughness" in of else float("nan")


def _ticks(displacement: np.ndarray) -> list[float]:
    """Return few ticks that do not meet those of the panel beside."""
    half = float(f"{min(-displacement[0], displacement[-1]) / 2:.1g}")
    return [-half, half]
