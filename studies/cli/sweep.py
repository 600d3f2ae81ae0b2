"""`breadth sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .counts import Count


def sweep(
    plan: Path | None = None,
    /,
    *,
    out: Path,
    workers: Count | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    status: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a study over many configurations.

    Parameters
    ----------
    plan
        YAML file of the sweep; not needed where --out holds one.
    out
        Folder of the sweep; made if it is not there. Workers elsewhere must see it under this path.
    workers
        Worker processes, instead of the plan's. They change no number.
    resume
        Go on, and try units again that were set aside.
    status
        Say how far the sweep is, and stop; also while it is at work elsewhere.
    dry_run
        Print the points, what they would cost and how long they would take at most, and stop.
    json
        Print one JSON object.
    """
    from ..sweep import estimate_sweep, load_sweep, run_sweep, sweep_status
    from .console import emit_json, listing, progress_bar

    if status:
        found = sweep_status(out)
        emit_json(found) if json else print_status(found)
        return
    asked = load_sweep(plan, out)
    if dry_run:
        told = estimate_sweep(asked, workers=workers)
        emit_json(told) if json else listing(told, "planned")
        return
    with progress_bar() as progress:
        made = run_sweep(asked, out, workers=workers, again=resume, progress=progress)
    emit_json(made) if json else print_made(made)
    if made["failed"]:
        sys.exit(1)


def print_status(found: dict[str, Any]) -> None:
    """Print how far a sweep is."""
    from .console import output, table

    rows = []
    for name, told in found["points"].items():
        share = f"{100 * told['done'] / told['total']:.0f} %" if told.get("total") else ""
        rows.append([name, told["state"], told.get("phase", ""), share, told.get("reason", "")])
    table(["point", "", "phase", "of it", "why"], rows, title=found["out"], left=3)
    units = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in found["units"].items())
    output().print(f"Units: {units} (known so far).", markup=False, soft_wrap=True)
    spent = f"Core time: {found['core_seconds'] / 60:.1f} min so far"
    if found["core_seconds_left"] is not None:
        spent += f"; about {found['core_seconds_left'] / 60:.1f} min for the units that wait"
    if found["seconds_left"] is not None:
        spent += f", {found['seconds_left'] / 60:.1f} min as it runs now"
    output().print(f"{spent}.", markup=False, soft_wrap=True)
    done = all(told["state"] == "finished" for told in found["points"].values())
    if not found["at_work"] and not (done and found["points"]):
        output().print("No run is at work here. The same command goes on.", markup=False)
    _print_set_aside(found["set_aside"])


def print_made(made: dict[str, Any]) -> None:
    """Print what a sweep left."""
    from .console import output, table

    rows = [
        [name, made["failed"].get(name, {}).get("state", "finished"), folder]
        for name, folder in made["points"].items()
    ]
    table(["point", "", "folder"], rows, left=3)
    for name, told in made["failed"].items():
        output().print(f"{name}: {told['reason']}", markup=False, soft_wrap=True)
    for name, texts in made["warnings"].items():
        for text in texts:
            output().print(f"{name}: warning: {text}", markup=False, soft_wrap=True)
    _print_set_aside(made["set_aside"])
    if made["results"] is not None:
        output().print(f"Results of all points: {made['results']}", markup=False, soft_wrap=True)
    else:
        output().print(f"No joined results: {made['reason']}.", markup=False, soft_wrap=True)


def _print_set_aside(units: list[dict[str, Any]]) -> None:
    from .console import output

    for one in units:
        text = f"set aside: {one['unit']}: {one['reason']} ({one['file']})"
        output().print(text, markup=False, soft_wrap=True)
    if units:
        output().print("--resume tries them again.", markup=False)
