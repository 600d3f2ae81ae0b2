"""Sets to the points of a map: what a point is, which are drawn, where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from ...analysis.maps import Method, embed
from ...diversity import ConfigurationError, ConformerSet, DataError
from ...diversity.descriptors import bound
from ...diversity.protocols import Featurizer
from .labels import energies_per_atom, label_table, level_of_theory, unambiguous
from .points import Level, choose, count, point_features, shares

#: Points that a map has at most: more stand on each other in print, and UMAP takes minutes.
LIMIT = 10_000

Progress = Callable[[str, float, float], None]


class Shown(NamedTuple):
    """The conformer behind a point: name of its set, and row there."""

    set: str
    row: int


def map_sets(
    sets: Mapping[str, ConformerSet],
    *,
    features_of: Featurizer,
    descriptor: str,
    level: Level = "structures",
    method: Method = "umap",
    label_level: str | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[xr.Dataset, list[Shown]]:
    """Put the molecules, structures or environments of sets on one plane.

    A structure's features are the mean over its environments, a molecule's the mean over its
    conformers. Above the limit, each set gives an equal share of the points, as far as it has so
    many, drawn at random by content. The order of records changes nothing.

    Parameters
    ----------
    sets : mapping of str to ConformerSet
        By the names that the legend shows.
    features_of : Featurizer
    descriptor : str
        Its name, for the caption.
    level : {'molecules', 'structures', 'environments'}
        What a point is.
    method : {'umap', 'pca'}
    label_level : str, optional
        Level of theory of energies and forces; by default the first that any set has.
    limit : int, optional
        Most points.
    seed : int, optional
        Of the sample and of the map.
    progress : callable, optional
        Called with a phase, what is done and what there is to do.

    Returns
    -------
    points : xarray.Dataset
        By ``point``: ``coordinate`` (point, axis); ``set``, ``molecule`` (SMILES or formula),
        ``key`` of the molecule, ``id`` of the conformer (of a molecule: its lowest in energy),
        ``atom`` (index; −1 where the point is no environment), ``element`` (of environments),
        ``energy`` (eV per atom) and ``force_norm`` (eV/Å), NaN where there is no label. Attributes
        say how the map was made.
    shown : list of Shown
        The conformer of each point.

    Raises
    ------
    DataError
        If no set has the level of theory asked for.
    ConfigurationError
        If UMAP is given too few points; see `embed`.
    """
    if limit < 1:
        raise ConfigurationError(f"A map of at most {limit} points cannot be drawn.")
    if not 0 <= seed < 2**32:
        raise ConfigurationError(f"A seed of {seed}: seeds are whole numbers from 0 to 2³² − 1.")
    tell = progress or (lambda phase, done, total: None)
    theory = level_of_theory(sets, label_level)
    energies, energy_name = energies_per_atom(sets, theory)
    candidates = {name: count(s, level) for name, s in sets.items()}
    if not sum(candidates.values()):
        raise DataError(f"There is no conformer in {', '.join(sets)}, only isolated atoms at most.")
    allotted = shares(candidates, limit)
    chosen = {
        name: choose(s, level, share=allotted[name], energy=energies[name], seed=seed)
        for name, s in sets.items()
    }
    features = []
    features_of = bound(features_of, *sets.values())
    for done, (name, s) in enumerate(sets.items()):
        tell("features", done, len(sets))
        if allotted[name]:
            features.append(point_features(s, chosen[name], level, features_of))
    tell("features", len(sets), len(sets))
    parts = [
        label_table(s, name, chosen[name], level, energies[name], theory)
        for name, s in sets.items()
    ]
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    shown = [Shown(name, int(row)) for name in sets for row in chosen[name].rows]
    first = "key" if level == "molecules" else "id"
    order = np.lexsort((table["atom"], table["set"], table[first]))
    tell(method, 0, 1)
    mapped = embed(np.concatenate(features)[order], method=method, seed=seed)
    tell(method, 1, 1)
    points = xr.Dataset(
        {
            "coordinate": (("point", "axis"), mapped.coordinates),
            **{name: ("point", values[order]) for name, values in table.items()},
        }
    )
    points["molecule"] = ("point", unambiguous(points["molecule"].values, points["key"].values))
    points["energy"].attrs = {"long_name": energy_name, "units": "eV"}
    norm = "Force norm" if level == "environments" else "Mean force norm"
    points["force_norm"].attrs = {"long_name": norm, "units": "eV/Å"}
    drawn, of = len(order), sum(candidates.values())
    counted = f"{drawn:,} {level}" if drawn == of else f"{drawn:,} of {of:,} {level}"
    points.attrs = {
        "title": f"Map of {', '.join(sets) if len(sets) < 5 else f'{len(sets)} sets'}",
        "caption": f"{counted}, {descriptor} descriptor",
        "method": method,
        "level": level,
        "descriptor": descriptor,
        "seed": seed,
        "level_of_theory": theory,
        "n_candidates": [candidates[name] for name in sets],
        "n_points": [len(chosen[name].rows) for name in sets],
        "sets": list(sets),
    }
    if mapped.explained_variance is not None:
        points.attrs["explained_variance"] = mapped.explained_variance.tolist()
    return points, [shown[i] for i in order]
