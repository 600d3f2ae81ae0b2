"""`breadth refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .counts import Count


def at_test_time(
    potential: Path,
    data: Path,
    /,
    *,
    prior: str | None = None,
    level: str | None = None,
    train: Path | None = None,
    out: Path | None = None,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    threads: Count = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Adapt a potential to each molecule of a set by a cheap prior's labels.

    Parameters
    ----------
    potential
        Folder that `breadth train --set prior=…` or a study wrote; it stays untouched.
    data
        Structures, in any format that breadth reads. Labels of the prior are computed where they
        are missing; reference labels, where there are some, are only measured with.
    prior
        Level of the prior, where the potential has several heads beside its own.
    level
        Level of the reference labels; by default the one that the potential learned.
    train
        The set that it was trained on: steps end where a molecule is as familiar, and what of
        it is in the data is told.
    out
        Folder for the adapted potentials, one for each molecule.
    config
        YAML file with seed, share and test_time.
    set
        KEY=VALUE, such as test_time.n_steps=100 or share=1; may be repeated.
    threads
        CPU threads. Networks of this size are fastest on one.
    json
        Print one JSON object.
    """
    import torch

    from ...diversity import read
    from ..adapting import AdaptConfiguration, adapt_to_molecules
    from ..configuration import load
    from .console import emit_json, messages, output, progress_bar, table, tell_left_out

    asked = load(AdaptConfiguration, path=config, overrides=set or ())
    conformers = read(data)
    known = None if train is None else read(train)
    tell_left_out(conformers, *([] if known is None else [known]))
    torch.set_num_threads(threads)
    with progress_bar() as show:
        told = adapt_to_molecules(
            potential,
            conformers,
            prior=prior,
            level=level,
            train=known,
            out=out,
            configuration=asked,
            show=show,
        )
    _warn_of(told)
    for left in told["aside"]:
        messages().print(f"left out: {left['molecule']}: {left['reason']}", markup=False)
    if json:
        emit_json(told)
        return
    rows = [
        [
            row["molecule"],
            str(row["n_adapted"]),
            str(row["left_out"]),
            f"{row['steps']} ({row['stopped']})",
            " → ".join(f"{x:.3g}" for x in row["prior_loss"]),
            *(_change(row[half]) for half in ("adapted", "held")),
            _mev((row["held"] or row["adapted"] or {}).get("prior")),
        ]
        for row in told["molecules"]
    ]
    columns = ["molecule", "adapted on", "left out", "steps", "prior loss"]
    errors = ["adapted", "held out", "of the prior"]
    table([*columns, *errors], rows, f"Test-time training by {told['prior']}")
    if told["level"] is not None:
        output().print(f"Errors: force MAE against {told['level']}, meV/Å, before → after.")
    if told["prior_loss_in_training"] is not None:
        output().print(f"Prior loss on the training set: {told['prior_loss_in_training']:.3g}.")


def radius(
    potential: Path,
    data: Path,
    /,
    *,
    train: Path,
    level: str | None = None,
    path: Annotated[bool, Parameter(negative="")] = False,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    threads: Count = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Choose the cutoff at which structures look most like those of the training set.

    Parameters
    ----------
    potential
        Folder that `breadth train` or a study wrote; it stays untouched.
    data
        Structures, in any format that breadth reads. Labels, where there are some, are only
        measured with.
    train
        The set that the potential was trained on.
    level
        Level of the reference labels; by default the one that the potential learned.
    path
        The structures are a trajectory, or another path: tell how forces jump along it.
    config
        YAML file with form, per, exact, n_radii, between and max_neighbours.
    set
        KEY=VALUE, such as form=wasserstein or per=structure; may be repeated.
    threads
        CPU threads. Networks of this size are fastest on one.
    json
        Print one JSON object.
    """
    import torch

    from ...diversity import read
    from ..configuration import load
    from ..radii import RadiusConfiguration, refine_radius
    from .console import emit_json, output, table, tell_left_out

    asked = load(RadiusConfiguration, path=config, overrides=set or ())
    conformers, known = read(data), read(train)
    tell_left_out(conformers, known)
    torch.set_num_threads(threads)
    told = refine_radius(potential, conformers, known, level=level, path=path, configuration=asked)
    _warn_of(told)
    if json:
        emit_json(told)
        return
    rows = [
        [
            row["molecule"],
            str(row["n_conformers"]),
            " … ".join(dict.fromkeys(f"{r:.3g}" for r in row["radius"])),
            f"{row['changed']:.0%}",
            " → ".join(f"{x:.3g}" for x in row["distance"]),
            _mev(row["force_change"]),
            " → ".join(_mev((row[when] or {}).get("force_mae")) for when in ("before", "after")),
        ]
        for row in ({"molecule": "all", **told}, *told["molecules"])
    ]
    columns = ["molecule", "structures", "radius, Å", "changed", "distance of spectra"]
    forces = ["change of forces, meV/Å", "force MAE, meV/Å"]
    table([*columns, *forces], rows, f"Radius refinement, {told['form']}, per {told['per']}")
    low, high = told["trained_between"]
    if low == high:
        text = f"The potential was trained at {low:g} Å alone: any other radius is extrapolation."
    else:
        text = f"The potential was trained at radii from {low:g} to {high:g} Å."
    if told["extrapolated"] and low < high:
        text += f" {told['extrapolated']:.0%} of the structures got one outside."
    output().print(text)
    if (jumps := told["jumps"]) is not None:
        output().print(
            f"Forces jump at {jumps['n_jumps']} of {jumps['n_steps']} steps, by "
            f"{_mev(jumps['mean'])} meV/Å on average and {_mev(jumps['largest'])} at most, where "
            f"the mean force is {_mev(jumps['mean_force'])}."
        )


def _warn_of(told: dict[str, Any]) -> None:
    from .console import messages

    shared, unseen = told["shared"], told["unseen_elements"]
    if shared is not None and shared["molecules"]:
        messages().print(
            f"[bold yellow]warning:[/] {shared['molecules']} molecules and "
            f"{shared['conformers']} conformers of the data are in the training set: "
            "their errors say nothing about new systems."
        )
    if unseen:
        messages().print(
            f"[bold yellow]warning:[/] the potential never saw {', '.join(unseen)}: what it says "
            "of molecules with these elements is a guess."
        )


def _change(errors: dict[str, float | None] | None) -> str:
    return " → ".join(_mev((errors or {}).get(key)) for key in ("before", "after"))


def _mev(value: float | None) -> str:
    return "–" if value is None else f"{value * 1e3:.4g}"
