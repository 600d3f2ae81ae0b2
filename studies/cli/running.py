"""What every `breadth study …` does once it knows what is asked."""

from __future__ import annotations

import json as json_
from collections.abc import Callable
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
    import xarray as xr


def run_study(
    asked: Any,
    out: Path,
    *,
    estimate: Callable[..., dict[str, Any]],
    run: Callable[..., xr.Dataset],
    told: Callable[[xr.Dataset], dict[str, Any]],
    show: Callable[[xr.Dataset], None],
    workers: int | None,
    dry_run: bool,
    json: bool,
) -> None:
    """Tell the plan of a study, or run it and tell what it found.

    Parameters
    ----------
    asked
        The study's configuration.
    out : Path
        Folder of the study.
    estimate, run : callable
        The study's; ``estimate(asked, workers=…)`` and ``run(asked, out, workers=…, progress=…)``.
    told : callable
        Returns what ``--json`` tells of the results, beside warnings, folder and figures.
    show : callable
        Prints the results for people.
    workers : int or None
        One per core by default.
    dry_run, json : bool
        As of the commands.
    """
    count = workers or worker_count(asked.threads)
    if dry_run:
        plan = estimate(asked, workers=count)
        if json:
            emit_json(plan)
        else:
            listing(plan, "planned")
        return
    with progress_bar() as progress:
        results = run(asked, out, workers=count, progress=progress)
    # Not every study has any.
    warned = {k: json_.loads(v) for k, v in results.attrs.items() if k == "warnings"}
    if json:
        figures = drawn_figures(out)
        emit_json({**told(results), **warned, "out": str(out), "figures": figures})
        return
    show(results)
    for text in warned.get("warnings", []):
        output().print(f"warning: {text}", markup=False, soft_wrap=True)
    tell_written(out)
