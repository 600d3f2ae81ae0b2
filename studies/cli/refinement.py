"""`breadth study refinement`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .counts import Count

if TYPE_CHECKING:
    import xarray as xr


def refinement(
    *,
    out: Path,
    preset: str | None = None,
    config: Path | None = None,
    models: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    workers: Count | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure shift, refine at test time, and relate what was seen to what was won.

    Parameters
    ----------
    out
        Folder of the study; made if it is not there.
    preset
        smoke (under a minute), demo (minutes on two cores), triples (training sets of three of ten
        molecules) or paper (hours on a GPU).
    config
        YAML file; its keys replace the preset's.
    models
        Folder of a finished trade-off study, all of whose models are scored and refined instead.
    set
        KEY=VALUE, such as test_time.n_steps=100; may be repeated.
    workers
        Worker processes, one per core by default. They change no number.
    dry_run
        Print the plan and what it would cost, and stop.
    json
        Print one JSON object.
    """
    from ..catalogue import study_named
    from .running import run_study

    study = study_named("refinement")
    overrides = [*(set or ()), *([f"models.run={models}"] if models is not None else [])]
    asked = study.load(preset=preset, path=config, overrides=overrides)
    run_study(study, asked, out, workers=workers, dry_run=dry_run, json=json)


def told(results: xr.Dataset) -> dict[str, Any]:
    """Return what ``--json`` tells of results."""
    return {"groups": gains(results)}


def gains(results: xr.Dataset) -> list[dict[str, Any]]:
    """Return error and gain of every method in every group of systems, means over designs.

    Errors are of forces, eV/Å; of relative energies, eV, where a group has no forces. A gain and
    its interval are None where they are not known.
    """
    import math

    found = []
    over = [d for d in ("design", "replicate") if d in results.dims]
    for group in results["group"].values.astype(str):
        of = results.sel(group=group)
        forces = math.isfinite(float(of["group_force_mae"].mean()))
        quantity = "force_mae" if forces else "conformational_energy_mae"
        kind = "" if forces else "conformational_energy_"
        for method in results["method"].values.astype(str):
            one = of.sel({"method": method})
            error = float(one[f"group_{quantity}"].mean(over))
            if not math.isfinite(error):
                continue
            row: dict[str, Any] = {"group": group, "method": method, quantity: error}
            for name in ("gain", "gain_steps"):
                value = float(one[f"group_{kind}{name}"].mean(over))
                row[name] = value if math.isfinite(value) else None
                # Of several designs there is no one interval.
                bounds = (
                    one[f"group_{kind}{name}_interval"].values
                    if "design" not in results.dims
                    else [math.nan] * 2
                )
                known = all(math.isfinite(b) for b in bounds)
                row[f"{name}_interval"] = [float(b) for b in bounds] if known else None
            found.append(row)
    return found


def show(results: xr.Dataset) -> None:
    """Print, group by group, what every method errs, and what it won."""
    from .console import output, table

    def change(row: dict[str, Any], name: str) -> str:
        if row[name] is None:
            return "–"
        text = f"{1e3 * row[name]:+.0f}"
        bounds = row[f"{name}_interval"]
        return text + (f" [{1e3 * bounds[0]:+.0f}, {1e3 * bounds[1]:+.0f}]" if bounds else "")

    rows = gains(results)
    sizes = dict(
        zip(results["group"].values.astype(str), results["group_n_systems"].values, strict=True)
    )
    for group in dict.fromkeys(row["group"] for row in rows):
        forces = any("force_mae" in row for row in rows if row["group"] == group)
        quantity = "force, meV/Å" if forces else "relative energy, meV"
        error = "force_mae" if forces else "conformational_energy_mae"
        table(
            [quantity, "MAE", "won against none [95 %]", "won by the step [95 %]"],
            [
                [
                    row["method"].replace("_", " "),
                    f"{1e3 * row[error]:.0f}",
                    change(row, "gain") if row["method"] != "none" else "",
                    change(row, "gain_steps"),
                ]
                for row in rows
                if row["group"] == group
            ],
            title=f"{group.replace('_', ' ')} ({sizes[group]} systems, mean of "
            f"{results.sizes['replicate']} replicates; structures that no method was given)",
        )
    _print_left_to_win(results)
    output().print("Above zero: fewer errors. Below: the method does harm.")


def _print_left_to_win(results: xr.Dataset) -> None:
    """Print what test-time training wins on models of ever more molecules, where there are some."""
    import math

    from ...analysis.refinement import left_to_win
    from .console import table

    def shown(value: float, bounds: tuple[float, float]) -> str:
        if not math.isfinite(bounds[0]):
            return "–"
        return f"{1e3 * value:+.0f} [{1e3 * bounds[0]:+.0f}, {1e3 * bounds[1]:+.0f}]"

    rows = left_to_win(results)
    if rows:
        table(
            ["force, meV/Å", "MAE", "won by test time [95 %]", "the first wins more by [95 %]"],
            [
                [
                    f"{row.n_molecules} × {row.n_conformers}",
                    f"{1e3 * row.force_mae:.0f}",
                    shown(row.gain, row.gain_interval),
                    shown(row.less, row.less_interval),
                ]
                for row in rows
            ],
            title="Does a broader set leave less to win back? Fixed budget, molecules × "
            f"conformations, {rows[0].n_systems} systems out of distribution",
        )
