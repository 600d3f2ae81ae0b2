"""`breadth convert` and `breadth describe`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter


def describe(
    *files: Path,
    json: Annotated[bool, Parameter(negative="")] = False,
    level: str | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    audit: bool = True,
    figures: Path | None = None,
) -> None:
    """Say what is in data sets, what is wrong with them, and what they share.

    Parameters
    ----------
    files
        Data sets in any format that breadth reads: native folders, extended XYZ, rMD17 npz, ASE
        databases.
    json
        Print one JSON object; for several files it holds files and leakage.
    level
        Name of the level of theory of the file's main labels, where the file does not say.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    audit
        Check labels, geometries, states and torsions, and what the files share.
    figures
        Folder for figures of the audit: labels and who stands out, nearest frames, torsions, and
        what the files share.
    """
    from ...diversity import ConfigurationError, read
    from ...diversity.audit import CHECKS
    from ...diversity.describe import describe as describe_set
    from ..auditing import audit_set, draw_figures, leakage
    from .console import emit_json, listing, output, progress_bar, table

    if not files:
        raise ConfigurationError("Name at least one file: breadth describe FILE …")
    if len(set(files)) < len(files):
        raise ConfigurationError("A file is named twice. Name each file once.")
    if figures is not None and not audit:
        raise ConfigurationError("--figures are those of the audit, which --no-audit leaves out.")
    sets = {
        str(path): read(path, level=level, identity=identity, skip_bad=skip_bad) for path in files
    }
    described: list[dict[str, Any]] = []
    shared: list[dict[str, Any]] = []
    with progress_bar() as show:
        steps = itertools.count()
        total = len(sets) * (len(CHECKS) + 1) + len(sets) * (len(sets) - 1) // 2
        total += len(sets) * (figures is not None)

        def tell(step: str) -> None:
            show("audit", next(steps), total)

        for name, conformers in sets.items():
            found = audit_set(conformers, tell) if audit else {}
            described.append({"file": name, **describe_set(conformers), **found})
        if audit and len(sets) > 1:
            shared = leakage(sets, progress=tell)
        drawn: list[Path] = []
        if figures is not None:
            drawn = draw_figures(sets, described, shared, figures, tell)
    paths = {"figures": [str(path) for path in drawn]} if figures is not None else {}
    if json:
        several = {"files": described, **({"leakage": shared} if audit else {})}
        emit_json({**(described[0] if len(described) == 1 else several), **paths})
        return
    for content in described:
        # What a level tells stands there, and need not be said twice.
        said = {"file", "units", "energy_range", "force_range", "force_norm_range", "n_periodic"}
        said |= {"audit", "torsional_regions"}
        listing({k: v for k, v in content.items() if k not in said}, content["file"])
        if audit:
            rows = [*content["audit"].rows(), _torsions(content["torsional_regions"])]
            table(["audit", "verdict", "worst records"], rows, left=3)
    if shared:
        columns = ("conformers", "near_conformers", "conflicts", "molecules", "scaffolds")
        rows = [
            [
                " and ".join(pair["files"]),
                *("–" if pair[key] is None else str(pair[key]) for key in columns),
            ]
            for pair in shared
        ]
        names = ["", *(column.replace("_", " ") for column in columns)]
        table(names, rows, "what two files share")
    for path in drawn:
        if path.suffix == ".png":
            output().print(f"{path} (PDF beside it)", markup=False, soft_wrap=True)


def _torsions(found: dict[str, Any]) -> list[str]:
    """Return the line of the torsional regions that no conformer visits."""
    name, worst = "torsional regions", found["worst"][:1]
    if not found["n_judged"]:
        note = found["note"] or "no torsion with enough conformers, of those that the library knows"
        return [name, "not judged", note]
    if not worst:
        return [name, "ok", found["note"]]
    verdict = f"{found['n_missing']} of {found['n_judged']} torsions"
    return [name, verdict, f"{worst[0]['molecule']}: {worst[0]['what']}"]


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

    Extended XYZ, ASE's SQLite databases, rMD17 archives and HDF5 files of SPICE, ANI and QM7-X
    become a native folder a chunk at a time, in the same memory whatever their size; what has no
    place there is told in the set's metadata (left_out). The folder appears when it is complete.

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
