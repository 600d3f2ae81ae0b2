"""What every `breadth study …` does once it knows what is asked."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import (
    drawn_figures,
    emit_json,
    listing,
    output,
    progress_bar,
    tell_written,
    worker_count,
)

if TYPE_CHECKING:
    from ..catalogue import Study


def run_study(
    study: Study,
    asked: Any,
    out: Path,
    *,
    workers: int | None,
    dry_run: bool,
    json: bool,
) -> None:
    """Tell the plan of a study, or run it and tell what it found.

    Parameters
    ----------
    study : Study
    asked
        Its configuration.
    out : Path
        Its folder.
    workers : int or None
        One per core by default.
    dry_run, json : bool
        As of the commands.
    """
    from ..results import damage_told

    count = workers or worker_count(asked.threads)
    if dry_run:
        plan = study.estimate(asked, workers=count)
        if json:
            emit_json(plan)
        else:
            listing(plan, "planned")
        return
    with progress_bar() as progress:
        results = study.run(asked, out, workers=count, progress=progress)
    with damage_told(out):
        # Not every study has any.
        warned = {k: json_.loads(v) for k, v in results.attrs.items() if k == "warnings"}
        if json:
            figures = drawn_figures(out)
            emit_json({**study.told(results), **warned, "out": str(out), "figures": figures})
            return
        study.show(results)
    for text in warned.get("warnings", []):
        output().print(f"warning: {text}", markup=False, soft_wrap=True)
    tell_written(out)
