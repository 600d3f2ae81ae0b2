"""What a report says of the fine-tuning study: runs, arms, errors, forgetting and foresight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ...diversity.html import words
from .blocks import Block, Cell, Change, Facts, Section, Table, Text, Value, bounds, change, number
from .data import aside_blocks, set_section
from .opening import Run
from .pictures import Gallery

TITLE = "Fine-tuning a universal potential in dynamics"
_MILLI = 1e3
#: How each arm comes by its frames.
ARMS = {
    "naive": "parallel runs of the universal model, one more in each iteration",
    "periodic": "a run of the model of the last iteration",
    "nonperiodic": "one long run of the universal model",
    "chosen": "of the frames that naive runs visited, those farthest outside by Q",
}
#: What each test run is.
TEST_RUNS = {
    "own": "its own run",
    "other_arms": "runs of the other ways’ models",
    "independent": "runs at the level of the labels",
    "universal": "runs of the universal model",
}


def facts(run: Run, results: xr.Dataset) -> list[tuple[str, str]]:
    """Return the few numbers that stand at the top."""
    return [
        (str(run.asked.potential), "universal potential"),
        (str(results.attrs.get("level", "–")), "level of the labels"),
        (str(results.sizes["arm"]), "ways to come by frames"),
        (str(results.sizes["replicate"]), "replicates"),
        (str((run.finished or {}).get("fits", "–")), "fine-tuned models"),
    ]


def glance(run: Run, results: xr.Dataset) -> list[Block]:
    """Return in sentences what labels won and whether the ways differ."""
    rows = _models(run, results)
    told: list[Block] = []
    test_run = "independent" if "independent" in results["test_run"].values else "other_arms"
    here = [r for r in rows if r["test_run"] == test_run and r["force_mae"] is not None]
    first = next((r for r in here if r["iteration"] == 0), None)
    last = [r for r in here if r["iteration"] == max(r["iteration"] for r in here)]
    if first is not None and last:
        best = min(_MILLI * r["force_mae"] for r in last)
        most = max(_MILLI * r["force_mae"] for r in last)
        told.append(
            Text(
                f"On {TEST_RUNS[test_run]} the force MAE of the untouched universal potential is "
                f"{_MILLI * first['force_mae']:.0f} meV/Å, and that of the last models "
                f"{best:.0f} to {most:.0f} meV/Å, depending on how their frames were generated.",
                "lead",
            )
        )
    pairs = _differences(run, results)
    known = [c for *_, c in pairs if c.known]
    apart = sum(c.verdict != "undecided" for c in known)
    if known:
        told.append(
            Text(
                f"Of {len(known)} paired differences between the ways’ last models, {apart} "
                f"{'leaves zero outside its' if apart == 1 else 'leave zero outside their'} 95 % "
                f"interval{'' if apart == 1 else 's'}"
                f"{'; by chance alone about one in twenty would' if apart else ''}.",
                "lead",
            )
        )
    forgot = [
        _MILLI * r["force_mae"]
        for r in rows
        if r["test_run"] == "original_domain" and r["iteration"] and r["force_mae"] is not None
    ]
    if forgot:
        told.append(
            Text(
                f"Forces on other molecules moved by {min(forgot):.0f} to {max(forgot):.0f} meV/Å "
                "away from the universal potential’s.",
                "lead",
            )
        )
    return told


def headline(run: Run, results: xr.Dataset) -> dict[str, dict[str, Cell]]:
    """Return the force MAE of the universal potential and of each way's last models."""
    rows = _models(run, results)
    found: dict[str, dict[str, Cell]] = {}
    last = max(r["iteration"] for r in rows)
    for test_run in ("own", "independent", "other_arms"):
        cells: dict[str, Cell] = {
            words(r["arm"]): _value(r, "force_mae", _MILLI)
            for r in rows
            if r["test_run"] == test_run and r["iteration"] in (0, last)
        }
        if cells:
            found[f"Force MAE on {_tested(test_run)}, last models, meV/Å"] = cells
    return found


def data_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return what was simulated, and the labelled frames."""
    asked = run.asked
    if asked.released is not None:
        facts_ = [
            ("Frames", f"released sets of {asked.released.system}, {asked.released.path}"),
            ("Tested frames of each", str(asked.released.n_tested or "all")),
        ]
    else:
        what = asked.system.name or asked.system.smiles
        facts_ = [
            ("System", f"{what} ({asked.system.path or asked.system.smiles})"),
            ("Dynamics", f"Langevin, {asked.dynamics.temperature:g} K, "
                         f"{asked.dynamics.timestep:g} fs, {asked.dynamics.n_steps:,} steps an "
                         "iteration"),
            ("Original domain", f"{asked.original_domain.n_molecules} other molecules, "
                                f"{asked.original_domain.n_conformers} conformers of each"),
        ]  # fmt: skip
    kinds = {
        "visited": "Labelled frames of runs",
        "joined": "Frames of the released sets",
        "other_molecules": "Molecules of the original domain",
    }
    parts = [
        set_section(title, *[folder / "set" for folder in run.units[kind]])
        for kind, title in kinds.items()
        if kind in run.units
    ]
    return Section("The data", [Facts(facts_), *aside_blocks(run)], parts)


def designs_section(run: Run, results: xr.Dataset) -> Section:
    """Return how each arm comes by frames, and the sizes of sets."""
    sizes = results["n_frames"].values if "n_frames" in results else None
    rows = []
    for place, arm in enumerate(results["arm"].values.astype(str)):
        frames = "–"
        if sizes is not None:
            of = [np.unique(sizes[place, i][sizes[place, i] > 0]) for i in range(sizes.shape[1])]
            frames = ", ".join("–".join(str(n) for n in {int(s[0]), int(s[-1])})
                               for s in of if len(s))  # fmt: skip
        told = ARMS.get(arm, "") if run.asked.released is None else "as released"
        rows.append((words(arm), told, frames))
    columns = ("way", "where its frames come from", "frames of its cumulative sets")
    return Section(
        "The ways",
        [Table(columns, rows, "Ways to come by training frames, at equal numbers", words=2)],
    )


def results_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return errors on each test run, differences between arms, and foresight."""
    rows = _models(run, results)
    parts = []
    for test_run in results["test_run"].values.astype(str):
        table = _errors(rows, test_run, results.sizes["replicate"])
        if table.rows:
            figures = gallery.take("errors", "energy_residuals") if test_run == "own" else []
            title = f"Errors on {_tested(test_run)}"
            parts.append(Section(title, [table, *figures]))
    pairs = _differences(run, results)
    if pairs:
        body = [(words(t), f"{words(a)} − {words(b)}", differs) for t, a, b, differs in pairs]
        table = Table(
            ("test run", "difference of", "force MAE, meV/Å [95 %]"),
            body,
            "Differences between the last models of two ways, paired by replicate",
            "Below zero the first errs less; each interval is for one comparison.",
            words=2,
        )
        parts.append(
            Section("Do the ways differ?", [table, *gallery.take("arm_differences", "cross_tests")])
        )
    forgot = [r for r in rows if r["test_run"] == "original_domain"]
    if forgot:
        moved = [
            (words(r["arm"]), str(r["iteration"]), _value(r, "force_mae", _MILLI)) for r in forgot
        ]
        table = Table(
            ("way", "iteration", "change of forces, meV/Å"),
            moved,
            "Mean change of forces on other molecules, against the untouched universal potential",
        )
        parts.append(Section("What was forgotten", [table, *gallery.take("forgetting")]))
    parts.append(_elements(results, gallery))
    foresight = run.maybe("foresight")
    if foresight is not None:
        parts.append(_foreseen(foresight, gallery))
    return Section("Results", [], parts)


def _errors(rows: list[Mapping[str, Any]], test_run: str, n: int) -> Table:
    body = [
        (
            words(r["arm"]),
            str(r["iteration"]),
            _value(r, "force_mae", _MILLI),
            _value(r, "energy_residual", _MILLI, 2),
            _value(r, "q_residual", 1.0, 3),
            _value(r, "coverage", 1.0, 2),
            _value(r, "stability_time", 1.0, 2),
        )
        for r in rows
        if r["test_run"] == test_run and r["force_mae"] is not None
    ]
    columns = ("way", "iteration", "force MAE, meV/Å", "energy, meV/atom", "Q", "coverage")
    return Table(
        (*columns, "stable, ps"),
        body,
        f"Mean of {n} replicates, 95 % interval",
        "Energy: root mean square of (E − E of the label) per atom. Coverage: share of atoms "
        "within their element’s limit of Q. A run that was stable to its end could have broken "
        "later.",
    )


def _elements(results: xr.Dataset, gallery: Gallery) -> Section:
    """Return the force error of each element, for the universal and the last models."""
    from ase.data import chemical_symbols

    test_run = next(
        (t for t in ("independent", "other_arms") if t in results["test_run"].values),
        str(results["test_run"].values[0]),
    )
    elements = [chemical_symbols[z] for z in results["element"].values.tolist()]
    of = results["force_mae_element"].sel(test_run=test_run)
    ends = results["force_mae_element_interval"].sel(test_run=test_run)
    rows: list[list[Cell]] = []
    for arm in results["arm"].values.astype(str):
        for iteration in (0, -1):
            one = of.sel(arm=arm).isel(iteration=iteration)
            if iteration == 0 and rows:
                continue  # the universal model is the same in every arm
            mean = _MILLI * one.mean("replicate").values
            interval = _MILLI * ends.sel(arm=arm).isel(iteration=iteration).values
            cells = [
                Value(number(m), bounds(i.tolist())) for m, i in zip(mean, interval, strict=True)
            ]
            rows.append(["universal" if iteration == 0 else words(arm), *cells])
    caption = f"Force MAE of each element’s atoms on {_tested(test_run)}, last models, meV/Å"
    table = Table(("way", *elements), rows, caption)
    return Section("Element by element", [table, *gallery.take("element_errors", "coverage")])


def _foreseen(foresight: xr.Dataset, gallery: Gallery) -> Section:
    """Return how each detector's scores of atoms go with their errors, ways pooled as ranges."""
    names = foresight["test_run"].values.astype(str).tolist()
    test_run = next((t for t in ("independent", "other_arms") if t in names), names[0])
    of = foresight["spearman"].sel(test_run=test_run)
    rows: list[list[Cell]] = []
    for detector in foresight["detector"].values.astype(str):
        cells = []
        for element in foresight["element"].values:
            values = of.sel(detector=detector, element=element).values
            values = values[np.isfinite(values)]
            cells.append(bounds((values.min(), values.max()), 2) if values.size else "–")
        rows.append([words(detector), *cells])
    table = Table(
        ("detector", *foresight["element"].values.astype(str)),
        rows,
        f"Spearman’s ρ of scores and force errors of atoms, within an element, on "
        f"{_tested(test_run)}; lowest to highest over the ways",
    )
    figures = gallery.take("foresight", "frame_foresight", "risk_coverage")
    return Section("Could errors be foreseen?", [table, *figures])


def warnings(results: xr.Dataset) -> list[Block]:
    """Return what to know before the numbers are believed."""
    if results.sizes["replicate"] > 1:
        return []
    return [Text("One replicate tells no interval of the dynamics.", "warning")]


def _models(run: Run, results: xr.Dataset) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = run.study.told(results)["models"]
    return [row for row in rows if "force_mae" in row]


def _differences(run: Run, results: xr.Dataset) -> list[tuple[str, str, str, Change]]:
    """Return test run, two arms and the difference of their last models' force MAEs."""
    found = []
    for row in run.study.told(results)["differences"]:
        value = row["force_mae_difference"]
        if value is None:
            continue
        differs = change(value, row["force_mae_difference_interval"], unit=_MILLI, digits=1)
        found.append((row["test_run"], row["arm"], row["other"], differs))
    return found


def _value(row: Mapping[str, Any], name: str, unit: float, digits: int = 0) -> Value | str:
    value = row.get(name)
    if value is None:
        return "–"
    ends = row.get(f"{name}_interval") or [math.nan] * 2
    return Value(number(unit * value, digits), bounds(ends, digits, unit=unit))


def _tested(test_run: str) -> str:
    return TEST_RUNS.get(test_run, f"unseen frames of {words(test_run)}")
