"""`breadth monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .counts import Count

#: Lines of bond events that are printed.
_MOST_EVENTS = 12


def monitor(
    trajectory: Path,
    /,
    *,
    reference: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    descriptor: str = "soap",
    components: Count = 5,
    limit: float = 0.95,
    interval: float | None = None,
    every: Count = 1,
    run: int | None = None,
    level: str | None = None,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    column: Literal["single", "double"] = "single",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Watch a run of dynamics that is finished.

    Parameters
    ----------
    trajectory
        Frames of one system in order of time, in any format that breadth reads.
    reference
        Sets that the run is compared with, such as what a potential was trained on. Without them,
        nothing is said of how far outside the run is.
    descriptor
        Of atomic environments: soap, or model: and the folder or name of a potential.
    components
        Principal components of the reference's environments.
    limit
        Share of held-out environments of the reference within the limits.
    interval
        Time between frames of the file, in fs, where it does not tell times.
    every
        Take every N-th frame.
    run
        Number of the run, where the file holds several.
    level
        Level of theory of the potential energies, where the file has several.
    skip_bad
        Leave frames out that cannot be read, and count them, instead of stopping.
    out
        Folder for figures and for monitor.nc, which holds all of it over time.
    column
        Width of the figures: single 3.35 in, double 7 in.
    json
        Print one JSON object.
    """
    from ...analysis.run_summary import run_summary
    from ..comparing import read_as_one
    from ..monitoring import keep, monitor_run, read_run
    from ..store import check_folder
    from .console import emit_json, progress_bar, tell_left_out

    if out is not None:
        check_folder(out)
    frames = read_run(trajectory, run=run, every=every, level=level, skip_bad=skip_bad)
    known = None if not reference else read_as_one(reference, skip_bad=skip_bad)
    tell_left_out(*(one for one in (frames, known) if one is not None))
    with progress_bar() as show:
        found = monitor_run(
            frames,
            known,
            descriptor=descriptor,
            n_components=components,
            level=level,
            limit_level=limit,
            interval=interval,
            progress=show,
        )
        figures = [] if out is None else keep(found, out, column=column)
    content = {
        "trajectory": str(trajectory),
        "reference": [str(path) for path in reference or ()],
        **run_summary(found),
        "set_aside": frames.metadata.get("set_aside", []),
        "figures": [str(path) for path in figures],
    }
    if json:
        emit_json(content)
        return
    _print(content, out)


def _print(content: dict[str, Any], out: Path | None) -> None:
    from ...diversity.html import shown
    from .console import output, table

    time = content["time"]
    unit = "" if time["unit"] == "frame" else f" {time['unit']}"
    lasts = f", {time['last'] - time['first']:g}{unit}" if unit else "; their times are unknown"
    output().print(
        f"{content['trajectory']}: {content['n_frames']:,} frames{lasts}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    rows = [
        [
            name.replace("_", " "),
            *(shown(content[name][k]) for k in ("first", "last", "least", "most")),
        ]
        for name in ("temperature", "potential_energy", "total_energy", "volume")
        if name in content
    ]
    if rows:
        table(["K, eV, Å³", "first", "last", "least", "most"], rows)
    for line in _remarks(content):
        output().print(line, markup=False, soft_wrap=True)
    if "elements" in content:
        rows = [
            [
                symbol,
                *(
                    f"{of[name][key]:.0%}" if key == "outside" else shown(of[name][key])
                    for name in ("q", "t2")
                    for key in ("mean", "limit", "outside")
                ),
            ]
            for symbol, of in content["elements"].items()
        ]
        columns = ["element", "Q mean", "limit", "outside", "T² mean", "limit", "outside"]
        table(columns, rows, title=f"Beside the reference ({content['descriptor']})")
    rows = [
        [pair, *(str(n[k]) for k in ("first", "least", "most"))]
        for pair, n in content["n_bonds"].items()
        if n["least"] != n["most"]
    ]
    if rows:
        table(["bonds", "first", "least", "most"], rows, title="Pairs within covalent reach")
    _print_events(content, unit)
    if out is not None:
        for path in content["figures"]:
            if path.endswith(".png"):
                output().print(f"{path} (PDF beside it)", markup=False, soft_wrap=True)
        output().print(f"All over time: {out / 'monitor.nc'}", markup=False, soft_wrap=True)
    output().print(f"\n[bold]{content['verdict']}[/]", soft_wrap=True)


def _remarks(content: dict[str, Any]) -> list[str]:
    lines = []
    if "exploded" in content:
        lines.append(
            f"The run exploded: above 100,000 K, or not finite, from {content['exploded']:g} on."
        )
    if content.get("mean_temperature_error") is not None:
        mean, error = content["mean_temperature"], content["mean_temperature_error"]
        lines.append(f"Temperature {mean:.1f} ± {error:.1f} K (standard error, frames correlated)")
    if "drift" in content:
        drift, about = content["drift"], content["fluctuation"]
        lines.append(
            f"Total energy drifts by {drift:.3g} eV/ps, ± {about:.3g} eV about the line, "
            "thermostat included"
        )
    if "hr_error" in content:
        lines.append(f"Distances h(r) against the reference: ∫|Δh| dr = {content['hr_error']:.3f}")
    return lines


def _print_events(content: dict[str, Any], unit: str) -> None:
    from .console import output, table

    events = content["bond_events"]
    if events is None:
        output().print(
            f"Bonds were not followed: {content['no_bond_events']}.", markup=False, soft_wrap=True
        )
        return
    if events:
        rows = [
            [
                f"{one['time']:g}{unit}",
                one["kind"],
                one["elements"],
                "–".join(map(str, one["atoms"])),
                f"{one['distance']:.2f}",
                str(one["n_frames"]),
                "yes" if one["lasting"] else "no",
            ]
            for one in events[:_MOST_EVENTS]
        ]
        columns = ["first at", "what", "elements", "atoms", "Å", "frames", "at the end"]
        table(columns, rows, title=f"Bonds that broke or formed: {len(events)}", left=4)
    if n := content["coordination_events"]:
        output().print(f"Changes in the coordination of metals: {n}", markup=False)
