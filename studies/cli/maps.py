"""`breadth map`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .counts import Count, Natural


def map(
    *files: Path,
    out: Path,
    method: Literal["umap", "pca"] = "umap",
    descriptor: str = "compact",
    level: Literal["molecules", "structures", "environments"] = "structures",
    color: Literal["set", "molecule", "element", "energy", "force_norm"] | None = None,
    column: Literal["single", "double"] = "single",
    page: Annotated[bool, Parameter(negative="")] = False,
    max_points: Count = 10_000,
    random_state: Natural = 0,
    label_level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw where the conformers of data sets stand in the space of a descriptor.

    Parameters
    ----------
    files
        Data sets in any format that breadth reads; several are drawn in colours of their own.
    out
        Folder for map.pdf, map.png, map.nc (coordinates and conformer ids) and map.html.
    method
        umap keeps neighbours together, pca keeps distances.
    descriptor
        compact, soap, or model:NAME_OR_FOLDER for the features of a potential.
    level
        What a point is. A structure has the mean of its environments, a molecule the mean of its
        conformers.
    color
        By default sets, elements of environments, few molecules, or energies.
    column
        Width of the figure in a paper.
    page
        Write map.html too: points to click on and their structures, in one file that needs no
        network.
    max_points
        Of more, a random sample is drawn, evenly from the files.
    random_state
        Of the sample and of the map.
    label_level
        Level of theory of energies and forces, or its name where the files do not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError, read
    from ..comparing import set_names
    from ..maps import draw_map
    from .console import emit_json, listing, progress_bar, tell_left_out

    if not files:
        raise ConfigurationError("Name at least one file: breadth map FILE … --out DIR")
    sets = {
        name: read(path, level=label_level, identity=identity, skip_bad=skip_bad)
        for name, path in set_names(files).items()
    }
    tell_left_out(*sets.values())
    with progress_bar() as show:
        drawn = draw_map(
            sets,
            out,
            descriptor=descriptor,
            level=level,
            method=method,
            color=color,
            column=column,
            page=page,
            label_level=label_level,
            limit=max_points,
            seed=random_state,
            progress=show,
        )
    if json:
        emit_json(drawn)
    else:
        listing(drawn, "map")
