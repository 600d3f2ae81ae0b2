"""`breadth study finetuning`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .counts import Count

if TYPE_CHECKING:
    import xarray as xr

#: What the table and ``--json`` tell of every model; units of the file.
TOLD = ("energy_residual", "force_mae", "q_residual", "coverage", "stability_time")


def finetuning(
    *,
    out: Path,
    preset: str | None = None,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    workers: Count | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Fine-tune a universal potential on frames of its dynamics, sampled in different ways.

    Parameters
    ----------
    out
        Folder of the study; made if it is not there.
    preset
        smoke (about a minute), demo (minutes on two cores), paper (days; sizes of the paper) or
        released (half an hour of a core: the sets that the paper published).
    config
        YAML file; its keys replace the preset's.
    set
        KEY=VALUE, such as dynamics.n_steps=20000; may be repeated.
    workers
        Worker processes, one per core by default. They change no number.
    dry_run
        Print the plan and what it would cost, and stop.
    json
        Print one JSON object.
    """
    from ..catalogue import study_named
    from .running import run_study

    study = study_named("finetuning")
    asked = study.load(preset=preset, path=config, overrides=set or ())
    run_study(study, asked, out, workers=workers, dry_run=dry_run, json=json)


def told(results: xr.Dataset) -> dict[str, Any]:
    """Return what ``--json`` tells of results."""
    return {"models": models(results), "differences": differences(results)}


def models(results: xr.Dataset) -> list[dict[str, Any]]:
    """Return what every arm's model of every iteration errs on each test run.

    Means over replicates, energies in eV/atom, forces in eV/Å, times in ps; None where something
    cannot be told, such as an interval from one replicate.
    """
    rows = []
    for iteration in results["iteration"].values.tolist():
        # The universal model, of iteration 0, is the same in every arm.
        arms = results["arm"].values.astype(str).tolist()
        for arm in arms if iteration else arms[:1]:
            one = results.sel(arm=arm, iteration=iteration)
            for test_run in results["test_run"].values.astype(str):
                here = one.sel(test_run=test_run)
                row: dict[str, Any] = {
                    "arm": arm if iteration else "universal",
                    "iteration": iteration,
                    "test_run": test_run,
                }
                for name in TOLD:
                    row |= _told(here, name)
                rows.append(row)
            if "force_mae_original_domain" in results:
                row = {"arm": arm if iteration else "universal", "iteration": iteration}
                row |= {"test_run": "original_domain"}
                told = _told(one, "force_mae_original_domain")
                rows.append(row | {k.replace("_original_domain", ""): v for k, v in told.items()})
    return rows


def differences(results: xr.Dataset) -> list[dict[str, Any]]:
    """Return by how much force MAEs of the last models of two arms differ, paired by replicate."""
    rows = []
    last = results.isel(iteration=-1)
    arms = results["arm"].values.astype(str).tolist()
    for test_run in results["test_run"].values.astype(str):
        for place, arm in enumerate(arms):
            for other in arms[place + 1 :]:
                one = last.sel(arm=arm, other=other, test_run=test_run)
                row = {"arm": arm, "other": other, "test_run": test_run}
                rows.append(row | _told(one, "force_mae_difference"))
    return rows


def show(results: xr.Dataset) -> None:
    """Print errors of every model on its own run and on the independent set, and what it forgot.

    Of released sets, which have neither, on the frames of each arm.
    """
    from .console import output, table

    rows = models(results)
    titles = {"own": "on its own run", "independent": "on runs at the level of the labels"}
    if "own" not in results["test_run"].values:
        arms = results["arm"].values.astype(str).tolist()
        titles |= {arm: f"on unseen frames of the arm {arm}" for arm in arms}
    asked = [r for r in rows if r["test_run"] in titles]
    forgot = {(r["arm"], r["iteration"]): r for r in rows if r["test_run"] == "original_domain"}
    for test_run in dict.fromkeys(r["test_run"] for r in asked):
        title = titles[test_run]
        table(
            ["arm", "iteration", "energy, meV/atom", "force, meV/Å [95 %]", "Q", "coverage",
             "stable, ps", "forgot, meV/Å"],
            [
                [
                    r["arm"],
                    str(r["iteration"]),
                    _shown(r, "energy_residual", 1e3),
                    _shown(r, "force_mae", 1e3, bounds=True),
                    _shown(r, "q_residual", 1.0),
                    _shown(r, "coverage", 1.0),
                    _shown(r, "stability_time", 1.0),
                    _shown(forgot.get((r["arm"], r["iteration"]), {}), "force_mae", 1e3),
                ]
                for r in asked
                if r["test_run"] == test_run
            ],
            title=f"Each model {title}, mean of {results.sizes['replicate']} replicates",
        )  # fmt: skip
    if "own" in results["test_run"].values:
        output().print(
            "Forgot: change of forces on other molecules, against the untouched universal model. A "
            "stable run of full length could have broken later."
        )


def _told(one: xr.Dataset, name: str) -> dict[str, Any]:
    """Return the mean over replicates and the interval, None where it is not known."""
    import numpy as np

    if name not in one:
        return {name: None, f"{name}_interval": None}
    values = one[name].values[np.isfinite(one[name].values)]
    found: dict[str, Any] = {name: float(values.mean()) if values.size else None}
    bounds = one[f"{name}_interval"].values
    found[f"{name}_interval"] = bounds.tolist() if np.isfinite(bounds).all() else None
    return found


def _shown(row: dict[str, Any], name: str, unit: float, *, bounds: bool = False) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    text = f"{unit * value:.3g}"
    ends = row.get(f"{name}_interval") if bounds else None
    return text if ends is None else f"{text} [{unit * ends[0]:.3g}, {unit * ends[1]:.3g}]"
