"""`breadth study …` and `breadth figures`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .counts import Count


def tradeoff(
    *,
    out: Path,
    preset: str | None = None,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    workers: Count | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Fit potentials on training sets that trade molecules for conformations, and compare them.

    Parameters
    ----------
    out
        Folder of the study; made if it is not there.
    preset
        smoke (under a minute), demo, selectors and pilot (minutes on two cores) or paper (hours on
        a GPU).
    config
        YAML file; its keys replace the preset's.
    set
        KEY=VALUE, such as training.n_updates=500; may be repeated.
    workers
        Worker processes, one per core by default. They change no number.
    dry_run
        Print the plan and what it would cost, and stop.
    json
        Print one JSON object.
    """
    from ..catalogue import study_named
    from .running import run_study

    study = study_named("tradeoff")
    asked = study.load(preset=preset, path=config, overrides=set or ())
    run_study(study, asked, out, workers=workers, dry_run=dry_run, json=json)


def figures(
    run: Path,
    *,
    out: Path | None = None,
    column: Literal["single", "double"] = "single",
    predictions: Path | None = None,
    name: str | None = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw the figures of a finished study again.

    Parameters
    ----------
    run
        Folder of a finished study.
    out
        Where to write them; the study's own folder `figures` by default.
    column
        Width for a paper's single (3.35 in) or double (7.0 in) column.
    predictions
        Extended XYZ with another model's energies (eV) and forces (eV/Å) for structures of RUN's
        pool. It is kept in RUN/outside and stands in the figures from now on.
    name
        Name of that model; the file's by default.
    energy_key
        Key of the energies in this file; energy by default.
    forces_key
        Key of the forces in this file; forces by default.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError
    from ..catalogue import study_named
    from ..plan import study_of
    from .console import emit_json, output

    kind = study_of(run)
    if predictions is None and (name or energy_key or forces_key):
        raise ConfigurationError("Name and keys are those of a file: give it by --predictions.")
    added = None
    if predictions is not None:
        if kind in ("refinement", "finetuning"):
            raise ConfigurationError("--predictions stand in the figures of a trade-off study.")
        from ..tradeoff import add_outside

        keys = {"energy_key": energy_key, "forces_key": forces_key}
        added = add_outside(run, predictions, name=name, **keys)
    paths = study_named(kind or "tradeoff").draw_figures(run, out or run / "figures", column=column)
    if json:
        content = {} if added is None else {"outside": added}
        emit_json({**content, "figures": [str(path) for path in paths]})
        return
    if kind == "tradeoff":
        from .learned import print_outside

        print_outside(run)
    for path in paths:
        output().print(str(path), soft_wrap=True)
