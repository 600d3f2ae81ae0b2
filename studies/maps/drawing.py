"""A map in files: the figure, the coordinates, the interactive page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ...analysis.figures.feature_map import feature_map
from ...analysis.figures.files import save
from ...analysis.figures.style import Column
from ...diversity import ConfigurationError, ConformerSet
from ..registry import featurizer
from ..store import check_folder
from .mapping import map_sets
from .page import require_chemiscope, structure_entry, write_page

#: Molecules with colours of their own, where nobody said what to colour by.
_FEW = 8


def draw_map(
    sets: Mapping[str, ConformerSet],
    out: Path,
    *,
    descriptor: str = "compact",
    color: str | None = None,
    column: Column = "single",
    page: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Draw a map and write ``map.pdf``, ``map.png``, ``map.nc`` and, if asked, ``map.html``.

    Parameters
    ----------
    sets : mapping of str to ConformerSet
    out : Path
        Folder; made if absent.
    descriptor : str
        Name of a featurizer in the registry.
    color : {'set', 'molecule', 'element', 'energy', 'force_norm'}, optional
        By default sets, elements of environments, few molecules, or energies.
    column : {'single', 'double'}
        Width of the figure.
    page : bool
        Whether to write ``map.html``.
    **options
        Of :func:`map_sets`.

    Returns
    -------
    dict
        What JSON can hold: how the map was made, and the paths written.

    Raises
    ------
    ConfigurationError
        If the page needs what is not installed, or there is nothing to colour by.
    """
    if page:
        require_chemiscope()
    check_folder(out)
    points, shown = map_sets(
        sets, features_of=featurizer(descriptor), descriptor=descriptor, **options
    )
    if color is not None:
        _check_color(points, color)
    else:
        color = _telling(points)
    written = save(feature_map(points, color=color, column=column), out / "map")
    points.to_netcdf(out / "map.nc", engine="h5netcdf")
    written.append(out / "map.nc")
    if page:
        # One structure for all its environments.
        behind = {point: i for i, point in enumerate(dict.fromkeys(shown))}
        if points.attrs["level"] != "environments":
            entries = [structure_entry(sets[name], row) for name, row in shown]
            structure = np.arange(len(shown))
        else:
            entries = [structure_entry(sets[name], row) for name, row in behind]
            structure = np.array([behind[point] for point in shown])
        write_page(points.assign(structure=("point", structure)), entries, out / "map.html", color)
        written.append(out / "map.html")
    about = points.attrs
    return {
        "files": about["sets"],
        **{key: about[key] for key in ("level", "method", "descriptor")},
        "n_points": dict(zip(about["sets"], about["n_points"], strict=True)),
        "n_candidates": dict(zip(about["sets"], about["n_candidates"], strict=True)),
        "explained_variance": about.get("explained_variance"),
        "color": color,
        "level_of_theory": about["level_of_theory"] or None,
        "written": [str(path) for path in written],
    }


def _check_color(points: xr.Dataset, color: str) -> None:
    if color not in points:
        raise ConfigurationError(
            f"{color!r} is not known of {points.attrs['level']}. Take --level environments for "
            "elements, or colour by set, molecule, energy or force_norm."
        )
    if points[color].dtype.kind == "f" and not np.isfinite(points[color].values).any():
        of = points.attrs["level_of_theory"]
        where = f" at level {of!r}" if of else ""
        raise ConfigurationError(
            f"No point has a label{where} that {color} could be computed from. Name another "
            "--label-level, or colour by set or molecule."
        )


def _telling(points: xr.Dataset) -> str | None:
    """Return what tells most where nobody said: sets, elements, few molecules, or energies."""
    if len(points.attrs["sets"]) > 1:
        return "set"
    if "element" in points:
        return "element"
    if 1 < len(np.unique(points["key"].values)) <= _FEW:
        return "molecule"
    return "energy" if np.isfinite(points["energy"].values).any() else None
