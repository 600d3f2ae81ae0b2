"""`breadth refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
        The set that it was trained on: tells what of it is in the data.
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
    if told["shared"] is not None and told["shared"]["molecules"]:
        messages().print(
            f"[bold yellow]warning:[/] {told['shared']['molecules']} molecules and "
            f"{told['shared']['conformers']} conformers of the data are in the training set: "
            "their errors say nothing about new systems."
        )
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


def _change(errors: dict[str, float | None] | None) -> str:
    return " → ".join(_mev((errors or {}).get(key)) for key in ("before", "after"))


def _mev(value: float | None) -> str:
    return "–" if value is None else f"{value * 1e3:.4g}"
