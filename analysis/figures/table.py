"""The numbers that a figure shows, noted where they are drawn, and its table as CSV."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Values = Any
"""A number, a text, an array of either, or None where a mark has no such coordinate."""
COLUMNS = ("panel", "series", "kind", "x", "y", "lower", "upper", "x_lower", "x_upper", "value")
_LABELS = ("x_label", "y_label", "value_label")
_NOTED: WeakKeyDictionary[Axes, list[dict[str, Any]]] = WeakKeyDictionary()


def tell(
    axes: Axes,
    series: Values,
    x: Values,
    y: Values,
    *,
    bounds: Values = None,
    x_bounds: Values = None,
    value: Values = None,
    value_label: str = "",
    y_label: str = "",
    kind: Values = "",
    panel: str = "",
) -> None:
    """Note what is drawn in a panel: in units of its axes, before marks are set apart.

    Parameters
    ----------
    axes : Axes
    series : str or array of str
        What a legend calls it.
    x, y : float, str or array
        Texts where an axis has names instead of numbers.
    bounds, x_bounds : array of shape (n, 2) or (2,), optional
        Ends of the intervals of y (of the value, if there is one) and of x.
    value : float or array, optional
        What a colour or a number in a cell shows.
    value_label : str
        Its name and unit.
    y_label : str
        What y is, where the label of the axis tells something else.
    kind : str or array of str
        What a mark is, where a series has several: mean, replicate 0, baseline, …
    panel : str
        Name of the panel, where its title does not tell.
    """
    ends = np.full((1, 2), np.nan) if bounds is None else np.reshape(bounds, (-1, 2))
    x_ends = np.full((1, 2), np.nan) if x_bounds is None else np.reshape(x_bounds, (-1, 2))
    given = {"series": series, "kind": kind, "x": x, "y": y, "value": value}
    given |= {"lower": ends[:, 0], "upper": ends[:, 1]}
    given |= {"x_lower": x_ends[:, 0], "x_upper": x_ends[:, 1]}
    columns = [np.ravel(np.asarray("" if one is None else one, object)) for one in given.values()]
    needed = [name for name in ("x", "y", "value") if given[name] is not None]
    rows = _NOTED.setdefault(axes, [])
    for cells in zip(*np.broadcast_arrays(*columns), strict=True):
        row = dict(zip(given, cells, strict=True))
        if not any(_missing(row[name]) for name in needed):
            rows.append({"panel": panel, **row, "value_label": value_label, "y_label": y_label})


def tell_histogram(axes: Axes, series: str, counts: Values, edges: Values, kind: str = "") -> None:
    """Note bars that touch: x is the middle of a bar, its ends are ``x_lower`` and ``x_upper``."""
    edges = np.asarray(edges)
    ends = np.stack([edges[:-1], edges[1:]], axis=-1)
    tell(axes, series, ends.mean(axis=-1), counts, x_bounds=ends, kind=kind)


def tell_cells(axes: Axes, drawn: Any, what: str, panel: str = "") -> None:
    """Note the cells of a density that ``hexbin`` has drawn."""
    counts = np.ma.filled(drawn.get_array(), np.nan)
    x, y = np.asarray(drawn.get_offsets()).T
    tell(axes, what, x, y, value=counts, value_label=f"{what} in the cell", panel=panel)


def table(figure: Figure) -> list[dict[str, Any]]:
    """Return what a figure shows, a row for each mark.

    Keys: ``panel``, ``series``, ``kind``, ``x``, ``y``, ``lower``, ``upper``, ``x_lower``,
    ``x_upper``, ``value`` and the labels of x, y and value with their units; what no row has is
    left out but for the first seven, and a cell is empty where it does not apply.
    """
    panels = [axes for axes in figure.get_axes() if axes in _NOTED]
    rows = []
    for number, axes in enumerate(panels, start=1):
        name = _title(axes) or (str(number) if len(panels) > 1 else "")
        labels = {"x_label": _label(axes, "x"), "y_label": _label(axes, "y")}
        for row in _NOTED[axes]:
            full = {**row, **labels, "panel": row["panel"] or name}
            full["y_label"] = row["y_label"] or labels["y_label"]
            rows.append({k: "" if _missing(full[k]) else full[k] for k in (*COLUMNS, *_LABELS)})
    kept = [k for k in (*COLUMNS, *_LABELS) if k in COLUMNS[:7] or any(r[k] != "" for r in rows)]
    return [{k: row[k] for k in kept} for row in rows]


def write_table(figure: Figure, path: Path) -> bool:
    """Write the table of a figure as CSV, ten digits a number; False if it shows no number."""
    rows = table(figure)
    if not rows:
        return False
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _text(v) for k, v in row.items()})
    return True


def _text(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    return f"{value:.10g}"


def _missing(value: Any) -> bool:
    return not isinstance(value, str) and not math.isfinite(value)


def _title(axes: Axes) -> str:
    parts = [axes.get_title(loc) for loc in ("left", "center")]
    return ": ".join(part for part in parts if part)


def _label(axes: Axes, which: str) -> str:
    """Return the label of an axis, or that of the panels that it shares its axis or figure with."""
    shared = axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()
    for one in (axes, *_beside(shared.get_siblings(axes), axes)):
        label: str = (one.xaxis if which == "x" else one.yaxis).label.get_text()
        if label:
            return label
    place = axes.get_figure(root=False)
    while place is not None:
        whole = place.get_supxlabel() if which == "x" else place.get_supylabel()
        parent = place.get_figure(root=False) if place is not place.get_figure() else None
        if whole or parent is None:
            return whole
        place = parent
    return ""


def _beside(siblings: Sequence[Axes], axes: Axes) -> Iterator[Axes]:
    """Return the other panels of a group, in the order of the figure."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return (one for one in figure.get_axes() if one is not axes and one in siblings)
