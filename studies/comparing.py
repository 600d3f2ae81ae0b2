"""What `breadth measure` and `breadth compare` do around the measures: files in, figures out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..diversity import ConfigurationError, ConformerSet, DataError, concat, read
from ..diversity.measures.environments import EXACT_LIMIT, environment_pairs
from ..diversity.measures.structural import SAMPLED_PAIRS
from ..diversity.measures.vendi import SAMPLE_LIMIT
from ..sampling.selectors import Selector
from .store import replace_file

#: Pairs of environments whose kernel one core computes in a second, measured in 2026.
_PAIRS_PER_SECOND = 2e8


def read_set(path: Path, **options: Any) -> ConformerSet:
    """Read a file that must hold conformers.

    Parameters
    ----------
    path : Path
    **options
        Of `breadth.diversity.read`.

    Raises
    ------
    DataError
        If the file cannot be read, or holds isolated atoms only.
    """
    conformers = read(path, **options)
    if not len(conformers):
        raise DataError(f"There is no conformer in {path}, only isolated atoms at most.")
    return conformers


def read_as_one(files: Sequence[Path], **options: Any) -> ConformerSet:
    """Read files and join them, molecules of equal identity being one.

    Parameters
    ----------
    files : sequence of Path
    **options
        Of `breadth.diversity.read`.
    """
    sets = [read_set(path, **options) for path in files]
    # Numbers of trajectories belong to their file.
    shift = 0
    apart = []
    for one in sets:
        known = one.trajectory >= 0
        apart.append(replace(one, trajectory=np.where(known, one.trajectory + shift, -1)))
        shift += int(one.trajectory.max(initial=-1)) + 1
    return concat(apart) if len(apart) > 1 else sets[0]


def set_name(files: Sequence[Path]) -> str:
    """Name what several files are together."""
    return files[0].stem if len(files) == 1 else f"{files[0].stem} and {len(files) - 1} more"


def set_names(files: Sequence[Path]) -> dict[str, Path]:
    """Return the shortest ends of paths that tell them apart.

    >>> list(set_names([Path("runs/a/pool"), Path("runs/b/pool"), Path("x/c.xyz")]))
    ['a/pool', 'b/pool', 'c.xyz']

    Raises
    ------
    ConfigurationError
        If a file is named twice.
    """
    names: dict[str, Path] = {}
    whole = [path.absolute() for path in files]
    for path in whole:
        if whole.count(path) > 1:
            raise ConfigurationError(f"{path} is named twice. Name each file once.")
        for depth in range(1, len(path.parts) + 1):
            end = path.parts[-depth:]
            if sum(other.parts[-depth:] == end for other in whole) == 1:
                break
        names[str(Path(*end))] = path
    return names


def announce(conformers: ConformerSet, *, exact: bool | None) -> str:
    """Say what entropies cost before they are computed; '' for a set that takes seconds."""
    n, m = conformers.n_atoms, conformers.n_molecules
    said = []
    if exact and n > EXACT_LIMIT:
        pairs = environment_pairs(conformers, exact=True)
        # Once for the entropy, and both ways round for the partition.
        minutes = 3 * pairs / _PAIRS_PER_SECOND / 60 + 0.5
        said.append(
            f"{n:,} environments, exactly: {pairs:.2g} pairs, about {minutes:.0f} minutes. Without "
            "--exact the entropies are sampled, with a standard error."
        )
    elif n > EXACT_LIMIT:
        said.append(
            f"{n:,} environments: entropies are sampled, with a standard error. --exact computes "
            "all pairs, which grows with the square of the set."
        )
    if m > SAMPLE_LIMIT:
        said.append(
            f"{m:,} molecules: Vendi scores are those of a sample of {SAMPLE_LIMIT:,}, and mean "
            f"distances those of {SAMPLED_PAIRS:,} random pairs, since both grow with the square."
        )
    return " ".join(said)


def announce_selection(conformers: ConformerSet, chooser: Selector, level: str) -> str:
    """Say beforehand that a selector compares all pairs of many candidates; '' for others."""
    largest = {
        "molecules": conformers.n_molecules,
        "conformers": int(np.bincount(conformers.molecule).max(initial=0)),
        "structures": len(conformers),
    }[level]
    if not chooser.quadratic or largest <= EXACT_LIMIT:
        return ""
    return (
        f"{type(chooser).__name__} compares all pairs of {largest:,} candidates, so its time grows "
        "with their square. The selectors fps, maxmin, direct and random grow linearly."
    )


def draw_partitions(
    partitions: Mapping[str, Mapping[str, Any]],
    report: Path,
    content: Mapping[str, Any],
    *,
    size: str = "",
) -> list[str]:
    """Write a report as JSON and, beside it, the partitions as NetCDF and their figures.

    Parameters
    ----------
    partitions : mapping of str to mapping
        By name of the set; see `gather_partitions`.
    report : Path
        The JSON file, which is replaced as the files beside it are.
    content : mapping
        What the command prints with ``--json``.
    size : str, optional
        What the sets were brought to, in words.

    Returns
    -------
    list of str
        Paths of the figures.
    """
    from ..analysis.figures.diversity import bandwidth_curves, diversity_plane
    from ..analysis.figures.files import save
    from ..analysis.partitions import gather_partitions

    out = report.parent
    out.mkdir(parents=True, exist_ok=True)
    replace_file(report, json.dumps(content))
    gathered = gather_partitions(partitions, size=size)
    gathered.to_netcdf(out / "partitions.nc", engine="h5netcdf")
    figures = {"plane": diversity_plane(gathered)}
    if "curve" in gathered:
        figures["bandwidth"] = bandwidth_curves(gathered)
    return [str(path) for name, figure in figures.items() for path in save(figure, out / name)]
