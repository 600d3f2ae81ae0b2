"""`breadth study tradeoff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
