"""How a study was made: versions, machine, seeds, time, labels and updates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import xarray as xr

from ...diversity.html import words
from .blocks import Block, Facts, Section, Table, Text, number
from .opening import Run

NOT_RECORDED = "not recorded"


def making_section(run: Run, *, costs: list[tuple[str, str]]) -> Section:
    """Return the provenance of a run and what it cost.

    Parameters
    ----------
    run : Run
    costs : list of (str, str)
        What the study's own results tell of its cost, such as labels.
    """
    return Section(
        "How it was made",
        [],
        [
            Section("Versions and machine", _surroundings(run)),
            Section("Seeds", _seeds(run)),
            Section("Cost", _cost(run, costs)),
        ],
    )


def costs_of(run: Run, results: xr.Dataset) -> list[tuple[str, str]]:
    """Return what a study's units and results tell of its cost beside time."""
    found = []
    spent: dict[str, float] = {}
    for path in (folder / "cost.json" for folder in run.units.get("labels", [])):
        with run.reading(path):
            for level, seconds in run.json_of(path).items():
                spent[level] = spent.get(level, 0.0) + float(seconds)
    for level, seconds in spent.items():
        found.append((f"Core time of labels, {level}", duration(seconds)))
    if "n_labels" in results:
        cells = results["n_labels"].values
        found.append(("Labels that one training set costs", f"{cells.min():,} to {cells.max():,}"))
    return found


def _surroundings(run: Run) -> list[Block]:
    if not run.sessions:
        text = f"Versions, machine and dates: {NOT_RECORDED} by the version of breadth that ran it."
        return [Text(text)]
    last = run.sessions[-1]
    machine = last["machine"]
    facts = [
        ("Began", _date(run.sessions[0]["began"])),
        ("Ended", _date(last["ended"]) if last["ended"] else "not ended"),
        ("Runs of the command", _sessions(run)),
        ("Worker processes", str(last.get("workers", NOT_RECORDED))),
        ("Machine", f"{machine['processor']}, {machine['cores']} cores for this run, "
                    f"{machine['memory_gib']:g} GiB, {machine['system']}"),
        ("Units ran on", ", ".join(run.devices()) or NOT_RECORDED),
    ]  # fmt: skip
    # What changed between sessions matters; else one list says all.
    found: list[Block] = [Facts(facts)]
    packages = dict.fromkeys(name for one in run.sessions for name in one["versions"])
    rows = []
    for name in packages:
        seen = dict.fromkeys(one["versions"].get(name, "–") for one in run.sessions)
        rows.append((name, ", then ".join(seen)))
    found.append(Table(("package", "version"), rows, "Versions", words=2))
    return found


def _sessions(run: Run) -> str:
    stopped = sum(one["ended"] is None for one in run.sessions[:-1])
    if not stopped:
        return f"{len(run.sessions)}"
    return f"{len(run.sessions)}, of which {stopped} stopped before the end"


def _seeds(run: Run) -> list[Block]:
    asked = run.plan["configuration"]
    names = {"seed": "Root seed", "replicates": "Replicates", "threads": "Threads of each worker"}
    facts = [(called, str(asked[key])) for key, called in names.items() if key in asked]
    digests = {k: v for k, v in run.plan.items() if k not in ("study", "configuration")}
    facts += [(f"Digest: {words(name)}", str(value)) for name, value in digests.items()]
    note = (
        "Every random stream is drawn from the root seed by its own name, such as the replicate it "
        "belongs to; the order of work and the number of workers change none."
    )
    found: list[Block] = [Facts(facts)] if facts else []
    return [*found, Text(note, "note")]


def _cost(run: Run, costs: list[tuple[str, str]]) -> list[Block]:
    facts = []
    if run.sessions and run.sessions[-1]["seconds"] is not None and len(run.sessions) == 1:
        facts.append(("Time from begin to end", duration(run.sessions[-1]["seconds"])))
    facts += costs
    updates = sum(_updates(one) for kind in run.units for one in run.unit_parameters(kind))
    if updates:
        facts.append(("Updates of weights in all", number(updates)))
    facts.append(("Energy of the machine", "not measured"))
    rows = []
    spent = run.seconds()
    for kind, seconds in spent.items():
        time = NOT_RECORDED if seconds is None else duration(seconds)
        rows.append((words(kind), time, f"{len(run.units[kind]):,}"))
    known = [seconds for seconds in spent.values() if seconds is not None]
    if known and len(known) == len(spent):
        rows.append(("all", duration(sum(known)), f"{sum(map(len, run.units.values())):,}"))
    table = Table(
        ("kind of unit", "time", "finished units"),
        rows,
        "Time of units, each in one worker, its last beginning counted",
    )
    return [Facts(facts), table]


def _updates(parameters: dict[str, Any]) -> int:
    """Return the updates of a unit that fits, of all its models; 0 of any other."""
    training = parameters.get("training") or parameters.get("config") or {}
    if "member" in parameters or not isinstance(training, dict):
        return 0  # a member of a stack takes its model from there
    return len(parameters.get("seeds", [0])) * int(training.get("n_updates", 0))


def _date(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M} UTC".lstrip("0")


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(0.4), duration(65), duration(7320)
    ('0.4 s', '1 min 5 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
