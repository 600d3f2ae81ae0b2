"""What a report says of a sweep: its points, how each ended, and what each found."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ..catalogue import study_named
from ..configuration import dump
from ..plan import FINISHED, finished
from ..record import sessions
from ..sweep import SweepPlan, sweep_status
from ..sweep.points import Point, sweep_points
from ..sweep.run import POINTS
from .blocks import Block, Cell, Code, Report, Section, Table, Text
from .making import duration, making_section
from .opening import Run, open_run, read_json
from .references import references_section
from .telling import TOLD


def sweep_report(root: Path) -> Report:
    """Return the report of a sweep, finished or not."""
    plan = read_json(root / "plan.json", dict)
    asked = SweepPlan.model_validate(plan["configuration"])
    points = sweep_points(asked, check=False)
    status = sweep_status(root)
    runs = {
        point.name: open_run(root / POINTS / point.name)
        for point in points
        if (root / POINTS / point.name / "plan.json").exists()
    }
    whole = Run(
        root=root,
        study=study_named(asked.study),
        plan=plan,
        finished=read_json(root / FINISHED, dict) if finished(root) else None,
        sessions=sessions(root),
    )
    n_done = sum(run.finished is not None for run in runs.values())
    sections = [
        Section("At a glance", _glance(points, n_done, status)),
        _asked(whole, asked),
        Section("The points", [_points(points, runs, status)]),
        *_found(asked.study, points, runs),
    ]
    if status["set_aside"]:
        sections.append(_set_aside(status["set_aside"]))
    cost = [("Core time of all units", duration(status["core_seconds"]))]
    sections += [making_section(whole, costs=cost), references_section(list(runs.values()))]
    facts = [
        (f"{len(points)}", "points"),
        (f"{n_done}", "finished"),
        (f"{status['units']['finished']:,}", "finished units, shared by all points"),
        (f"{status['units']['set_aside']:,}", "units set aside"),
    ]
    return Report(f"Sweep: {TOLD[asked.study].TITLE}", whole.name, facts, sections)


def _glance(points: list[Point], n_done: int, status: dict[str, Any]) -> list[Block]:
    keys = ", ".join(points[0].values)
    told: list[Block] = [
        Text(f"{len(points)} configurations that differ in {keys}; {n_done} are finished.", "lead")
    ]
    if n_done < len(points):
        told.append(Text("The sweep is not finished: what follows is of its finished points.",
                         "warning"))  # fmt: skip
    if status["set_aside"]:
        told.append(Text("Units that failed again and again were set aside; see below.", "warning"))
    return told


def _asked(run: Run, asked: SweepPlan) -> Section:
    words = ["breadth", "sweep", f"{run.name}.yaml", "--out", f"runs/{run.name}"]
    return Section(
        "What was asked",
        [
            Code(shlex.join(words), "Command that sweeps"),
            Text(f"The sweep, as {run.name}.yaml would hold it:"),
            Code(dump(asked).strip(), f"Configuration of {run.name}", long=True),
        ],
    )


def _points(points: list[Point], runs: dict[str, Run], status: dict[str, Any]) -> Table:
    rows = []
    for point in points:
        told = status["points"].get(point.name, {})
        done = point.name in runs and runs[point.name].finished is not None
        state = "finished" if done else str(told.get("state", "waiting"))
        shown = [v if isinstance(v, str) else json.dumps(v) for v in point.values.values()]
        rows.append([point.name, *shown, state, str(told.get("reason", "")) or "–"])
    keys = list(points[0].values)
    columns = ("folder", *keys, "state", "reason")
    note = f"Each point is a whole study: breadth report {POINTS}/FOLDER writes its own report."
    return Table(columns, rows, "Points of the sweep", note, words=len(columns))


def _found(study: str, points: list[Point], runs: dict[str, Run]) -> list[Section]:
    """Return tables of the first numbers of each study, a row for each finished point."""
    tables: dict[str, list[tuple[str, dict[str, Cell]]]] = {}
    for point in points:
        run = runs.get(point.name)
        if run is None or run.finished is None:
            continue
        for caption, cells in TOLD[study].headline(run, run.results()).items():
            tables.setdefault(caption, []).append((point.name, cells))
    blocks: list[Block] = []
    for caption, rows in tables.items():
        columns = list(dict.fromkeys(name for _, cells in rows for name in cells))
        body = [[name, *(cells.get(column, "–") for column in columns)] for name, cells in rows]
        blocks.append(Table(("point", *columns), body, caption))
    return [Section("Results", blocks)] if blocks else []


def _set_aside(entries: list[dict[str, Any]]) -> Section:
    rows = [[str(entry.get("unit", "–")), str(entry.get("reason", "") or "–")] for entry in entries]
    return Section(
        "Set aside", [Table(("unit", "last failure"), rows, "Units that failed", words=2)]
    )
