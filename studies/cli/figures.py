"""`breadth figures`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter


def figures(
    *results: Path,
    out: Path | None = None,
    style: Literal["paper", "talk"] = "paper",
    column: Literal["single", "double"] = "single",
    format: str = "pdf,png",
    predictions: Path | None = None,
    name: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw the figures of finished studies again.

    Parameters
    ----------
    results
        Folders of finished studies, or their results.nc.
    out
        Where to write them, in a folder for each study if there are several; by default the
        study's own folder `figures`, below it `double` and `talk`.
    style
        paper: type of 7 to 8 pt in columns. talk: slides of 16:9, type of 14 pt at the least.
    column
        Width for a paper's single (3.35 in) or double (7.0 in) column; double also shows panels
        for which single has no room, on a slide too.
    format
        Any of pdf, png and svg, with commas between. The numbers of each figure stand beside it as
        CSV.
    predictions
        Extended XYZ with another model's energies (eV) and forces (eV/Å) for structures of the
        study's pool. It is kept in the study's folder `outside` and stands in its figures from
        now on.
    name
        Name of that model; the file's by default.
    energy_key
        Key of the energies in this file; energy by default.
    forces_key
        Key of the forces in this file; forces by default.
    json
        Print one JSON object.
    """
    from ...analysis.figures.files import Format
    from ...diversity import ConfigurationError
    from ..catalogue import study_named
    from ..plan import study_of
    from ..results import damage_told
    from .console import emit_json, output
    from .learned import print_outside

    formats = [one.strip().lower() for one in format.split(",")]
    known = get_args(Format)
    strange = [one for one in formats if one not in known]
    if strange:
        raise ConfigurationError(
            f"There is no format {strange[0]!r} of figures. Give any of {', '.join(known)}."
        )
    if not results:
        raise ConfigurationError("Name a folder of a finished study, such as runs/demo.")
    runs = [path.parent if path.name == "results.nc" else path for path in results]
    for run in runs:
        if study_of(run) == "sweep":
            raise ConfigurationError(
                f"{run} is a sweep; its points are studies: breadth figures {run}/points/*"
            )
    if predictions is None and (name or energy_key or forces_key):
        raise ConfigurationError("Name and keys are those of a file: give it by --predictions.")
    content: dict[str, Any] = {}
    if predictions is not None:
        if len(runs) > 1:
            raise ConfigurationError("--predictions are for the pool of one study: name only one.")
        keys = {"energy_key": energy_key, "forces_key": forces_key}
        content["outside"] = _add(runs[0], predictions, name=name, **keys)
    content["figures"] = []
    for run, folder in zip(runs, _folders(runs, out, style, column), strict=True):
        kind = study_of(run) or "tradeoff"  # which says what a folder without a plan lacks
        drawing = study_named(kind).draw_figures
        with damage_told(run):
            paths = drawing(run, folder, column=column, style=style, formats=formats)
            if kind == "tradeoff" and not json:
                print_outside(run)
        content["figures"] += [str(path) for path in paths]
        if not json:
            for path in paths:
                output().print(str(path), markup=False, soft_wrap=True)
    if json:
        emit_json(content)


def _add(run: Path, predictions: Path, **options: str | None) -> dict[str, Any]:
    """Keep another model's predictions beside a study, and return what they hold."""
    from ...diversity import ConfigurationError
    from ..plan import study_of
    from ..tradeoff import add_outside

    if study_of(run) in ("refinement", "finetuning"):
        raise ConfigurationError("--predictions stand in the figures of a trade-off study.")
    return add_outside(run, predictions, **options)


def _folders(runs: list[Path], out: Path | None, style: str, column: str) -> list[Path]:
    """Return where the figures of each study go."""
    from ...diversity import ConfigurationError

    if out is None:
        below = [
            *(["double"] if column == "double" else []),
            *(["talk"] if style == "talk" else []),
        ]
        return [run.joinpath("figures", *below) for run in runs]
    if len(runs) == 1:
        return [out]
    names = [run.resolve().name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(
            f"Two of the studies are in folders named {twice!r}, so their figures would overwrite "
            "each other. Draw them one by one, each with its own --out."
        )
    return [out / name for name in names]
