"""`breadth convert` and `breadth describe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def describe(
    *files: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say what is in a data set: molecules, conformers, elements, labels by level of theory.

    Parameters
    ----------
    files
        Data sets in any format that breadth reads: native folders, extended XYZ, rMD17 npz, ASE
        databases.
    json
        Print one JSON object (a list of them for several files).
    level
        Name of the level of theory of the file's main labels, where the file does not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    """
    from ...diversity import ConfigurationError, read
    from ...diversity.describe import describe as describe_set
    from .console import emit_json, listing

    if not files:
        raise ConfigurationError("Name at least one file: breadth describe FILE …")
    described = []
    for path in files:
        conformers = read(path, level=level, identity=identity, skip_bad=skip_bad)
        described.append({"file": str(path), **describe_set(conformers)})
    if json:
        emit_json(described[0] if len(described) == 1 else described)
        return
    for content in described:
        # What a level tells stands there, and need not be said twice.
        said = {"file", "units", "energy_range", "force_range", "force_norm_range", "n_periodic"}
        listing({k: v for k, v in content.items() if k not in said}, content["file"])


def convert(
    source: Path,
    target: Path,
    /,
    *,
    format: str | None = None,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Convert a data set; units become eV and Å, and nothing the file carries is lost.

    HDF5 files of SPICE, ANI and QM7-X become a native folder a chunk at a time, whatever their
    size; what has no place there is told in the set's metadata (left_out).

    Parameters
    ----------
    source
        What to read, in any format that breadth knows: also HDF5 of SPICE, ANI and QM7-X.
    target
        What to write; its ending tells the format: .xyz (extended XYZ), .npz (rMD17), .db (ASE),
        no ending (native
        folder).
    format
        Format of the target, where its ending does not tell: native, extxyz, rmd17, ase.
    level
        Name of the level of theory of the source's main labels, where the file does not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError, read, write
    from ...diversity.formats import target_format
    from ...diversity.formats.streaming import convert_to_native, streams
    from .console import emit_json, output, progress_bar

    if target.exists():
        raise ConfigurationError(f"{target} exists already. Remove it, or name another target.")
    to_native = target_format(target, format) == "native"
    if to_native and streams(source, identity=identity):
        with progress_bar() as show:
            n, n_aside = convert_to_native(
                source,
                target,
                level=level,
                identity=identity,
                skip_bad=skip_bad,
                progress=lambda share: show("converting", share, 1.0),
            )
    else:
        conformers = read(source, level=level, identity=identity, skip_bad=skip_bad)
        write(conformers, target, format=format)
        n, n_aside = len(conformers), len(conformers.metadata.get("set_aside", []))
    if json:
        counts = {"n_conformers": n, "n_set_aside": n_aside}
        emit_json({"source": str(source), "target": str(target), **counts})
        return
    left_out = f" ({n_aside} records set aside)" if n_aside else ""
    output().print(f"{target}: {n} conformers{left_out}")
