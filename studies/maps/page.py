"""A map as one HTML file: points, and the structure behind the one that is clicked.

The page is chemiscope's (Fraux, Cersonsky and Ceriotti, J. Open Source Softw. 5, 2117 (2020), doi
10.21105/joss.02117) with its script and all data inside, so that it opens anywhere, needs no
network and sends nothing; its policy forbids any request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from ase.data import atomic_numbers, chemical_symbols

from ...diversity import ConfigurationError, ConformerSet

#: Distinct texts that chemiscope takes as categories.
_CATEGORIES = 20
#: Categories whose symbols eyes tell apart, and whose legend leaves room for the map.
_SYMBOLS = 8
#: Radius around an atom that is drawn as its environment, Å: the cutoff of the descriptors.
_CUTOFF = 5.0


def require_chemiscope() -> Path:
    """Return the script that chemiscope brings.

    Raises
    ------
    ConfigurationError
        If chemiscope is not installed, or is too old to have the script.
    """
    try:
        import chemiscope
    except ImportError:
        raise ConfigurationError(
            "An interactive page needs chemiscope: pip install 'breadth[explore]'. Without --page, "
            "the map is drawn as PDF and PNG alone."
        ) from None
    script = Path(chemiscope.__file__).parent / "sphinx" / "static" / "chemiscope.min.js"
    if not script.exists():
        raise ConfigurationError(
            f"chemiscope {chemiscope.__version__} lacks the script {script.name}. Install another "
            "version: pip install --upgrade 'chemiscope>=1.0'."
        )
    return script


def structure_entry(conformers: ConformerSet, row: int) -> dict[str, Any]:
    """Return one conformer as chemiscope's JSON has it, to 0.001 Å."""
    atoms = conformers.atoms_slice(row)
    x, y, z = np.round(conformers.positions[atoms].astype(np.float64), 3).T.tolist()
    entry: dict[str, Any] = {
        "size": len(x),
        "names": [chemical_symbols[number] for number in conformers.numbers[atoms]],
        "x": x,
        "y": y,
        "z": z,
    }
    if conformers.pbc[row].any():
        entry["cell"] = np.round(conformers.cell[row], 4).ravel().tolist()
    return entry


def write_page(
    points: xr.Dataset,
    structures: Sequence[dict[str, Any]],
    path: Path,
    color: str | None = None,
) -> None:
    """Write a map as one self-contained HTML file.

    Parameters
    ----------
    points : xarray.Dataset
        As `breadth.studies.maps.map_sets` returns it, with ``structure`` (point): which of the
        structures is shown for a point.
    structures : sequence of dict
        From :func:`structure_entry`.
    path : Path
        Replaced if it exists.
    color : str, optional
        Variable that colours the points when the page opens.
    """
    script = require_chemiscope().read_text(encoding="utf-8")
    parts = {
        "TITLE": escape(points.attrs["title"]),
        "CAPTION": escape(points.attrs["caption"]),
        # '</script' would end the element, '<!--' would let a later '<script' hide its end.
        "SCRIPT": script.replace("</script", "<\\/script").replace("<!--", "<\\!--"),
        "DATASET": _json(_dataset(points, structures, color)),
    }
    page = re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _PAGE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _dataset(
    points: xr.Dataset, structures: Sequence[dict[str, Any]], color: str | None
) -> dict[str, Any]:
    """Return chemiscope's input for the points."""
    import chemiscope

    atoms = points["atom"].values
    target = "atom" if (atoms >= 0).all() else "structure"
    properties: dict[str, Any] = {}
    shown: dict[str, str] = {}
    axis = {"pca": "PC", "umap": "UMAP"}[points.attrs["method"]]
    axes = [f"{axis} 1", f"{axis} 2"]
    for name, values in zip(axes, np.round(points["coordinate"].values.T, 4), strict=True):
        properties[name] = {"target": target, "values": values}
    for variable in ("set", "molecule", "element"):
        if variable not in points:
            continue
        values = points[variable].values
        names, numbers = np.unique(values, return_inverse=True)
        if 1 < len(names) <= _CATEGORIES:
            properties[variable] = {"target": target, "values": values.tolist()}
        if len(names) > 1:  # only numbers colour points
            shown[variable] = "atomic number" if variable == "element" else f"{variable} number"
            codes = np.arange(1, len(names) + 1)
            if variable == "element":
                codes = np.array([atomic_numbers[name] for name in names])
            key = "; ".join(f"{code} {name}" for code, name in zip(codes[:99], names, strict=False))
            properties[shown[variable]] = {
                "target": target,
                "values": codes[numbers].astype(float),
                "description": key,
            }
    for variable in ("energy", "force_norm"):
        if np.isfinite(points[variable].values).any():
            told = points[variable].attrs
            shown[variable] = told["long_name"]
            properties[shown[variable]] = {
                "target": target,
                "values": np.round(points[variable].values, 6),
                "units": told["units"],
            }
    categories = [name for name in (color, "set") if name in ("set", "molecule", "element")]
    symbol = next(
        (
            name
            for name in categories
            if name in properties and len(np.unique(points[name])) <= _SYMBOLS
        ),
        None,
    )
    settings: dict[str, Any] = chemiscope.quick_settings(
        x=axes[0],
        y=axes[1],
        map_color=shown.get(color or ""),
        symbol=symbol,
        periodic=any("cell" in structure for structure in structures),
        target=target,
    )
    settings["structure"][0]["supercell"] = [1, 1, 1]
    settings["map"].setdefault("color", {})["palette"] = "viridis"
    settings["map"]["size"] = {"factor": 50 if points.sizes["point"] < 500 else 30}
    environments = None
    if target == "atom":
        of = points["structure"].values
        environments = [(int(s), int(a), _CUTOFF) for s, a in zip(of, atoms, strict=True)]
    made: dict[str, Any] = chemiscope.create_input(
        structures=list(structures),
        properties=properties,
        environments=environments,
        settings=settings,
        metadata={"name": points.attrs["title"], "description": points.attrs["caption"]},
    )
    for entry in made["properties"].values():
        # NaN is no JSON; the page turns null into NaN, and chemiscope hides such points.
        entry["values"] = [None if v != v else v for v in entry["values"]]
    return made


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; \
font-src data:; worker-src blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; font: 14px/1.4 sans-serif; color: #222; }
header { padding: 8px 16px; }
h1 { font-size: 16px; margin: 0; }
header p { margin: 0; color: #666; }
main { display: flex; flex: 1; min-height: 420px; gap: 12px; padding: 0 12px 12px; }
main > div { flex: 1; min-width: 0; display: flex; flex-direction: column; }
#map, #structure { flex: 1; min-height: 0; position: relative; }
#message { display: none; margin: 0 16px 8px; padding: 6px 10px; background: #fcf3d9; }
@media (max-width: 800px) { main { flex-direction: column; min-height: 1100px; } }
</style>
</head>
<body>
<header><h1>@TITLE@</h1><p>@CAPTION@</p></header>
<div id="message" role="alert"></div>
<main>
<div><div id="meta" hidden></div><div id="map"></div></div>
<div><div id="structure"></div><div id="info"></div></div>
</main>
<script>@SCRIPT@</script>
<script type="application/json" id="dataset">@DATASET@</script>
<script>
"use strict";
function tell(text) {
    const message = document.getElementById("message");
    message.textContent = text;
    message.style.display = "block";
}
(async () => {
    const dataset = JSON.parse(document.getElementById("dataset").textContent);
    for (const property of Object.values(dataset.properties)) {
        property.values = property.values.map((value) => (value === null ? NaN : value));
    }
    const warnings = new Chemiscope.Warnings();
    warnings.addHandler((text) => tell(text));
    const places = { map: "map", info: "info", meta: "meta", structure: "structure" };
    window.visualizer = await Chemiscope.DefaultVisualizer.load(places, dataset, warnings);
    document.documentElement.dataset.state = "drawn";
})().catch((error) => {
    console.error(error);
    tell(`The map cannot be shown: ${error.message}`);
    document.documentElement.dataset.state = "failed";
});
</script>
</body>
</html>
"""
