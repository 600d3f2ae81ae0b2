"""`breadth finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .counts import Count


def finetune(
    model: str,
    data: Path,
    /,
    *,
    level: str | None = None,
    out: Path | None = None,
    what: str = "all",
    replay: Path | None = None,
    test: Path | None = None,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    threads: Count = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Go on training a potential on a few labelled structures.

    Parameters
    ----------
    model
        Name of a universal potential (so3lr, sevennet-0, chgnet, mace:FILE), or the folder of a
        potential; it stays untouched.
    data
        Labelled structures, in any format that breadth reads.
    level
        Level of theory of the labels, where the data have several.
    out
        Folder for the fine-tuned potential.
    what
        Which weights move: all; heads; last:N, the last N layers and the head; low_rank:R.
    replay
        Structures of the original domain, learnt beside so that they are not forgotten.
    test
        Structures to measure errors on; by default a part of the data is held out.
    config
        YAML file with seed, held_out, like, replay_weight and training.
    set
        KEY=VALUE, such as training.n_updates=200; may be repeated.
    threads
        CPU threads.
    json
        Print one JSON object.
    """
    import torch

    from ...diversity import read
    from ..configuration import load
    from ..tuning import TuneConfiguration, tune
    from .console import emit_json, messages, output, progress_bar, table, tell_left_out

    asked = load(TuneConfiguration, path=config, overrides=set or ())
    conformers = read(data)
    held, original = (None if path is None else read(path) for path in (test, replay))
    tell_left_out(*(one for one in (conformers, held, original) if one is not None))
    torch.set_num_threads(threads)
    with progress_bar() as show:
        told = tune(
            model,
            conformers,
            level=level,
            what=what,
            out=out,
            test=held,
            replay=original,
            configuration=asked,
            progress=lambda update, total, loss: show("fine-tuning", update, total),
        )
    if not told["energies_are_absolute"]:
        messages().print(
            f"No isolated atoms of {told['level']} for every element: energies compare between "
            "conformers of a molecule alone.",
            markup=False,
        )
    if json:
        emit_json(told)
        return
    output().print(
        f"{told['model']} at {told['level']}: {told['n_train']} structures, {told['updates']} "
        f"updates of {told['what']}.",
        markup=False,
    )
    if told["after"] is not None:
        rows = _rows(told["before"], told["after"])
        where = "the test set" if test else f"held out by {told['held_out_by']}"
        table(["", "before", "after"], rows, f"Errors on {told['n_held_out']} structures, {where}")
    if told["forgetting"] is not None:
        _tell_forgetting(told)
    if out is not None:
        output().print(f"Written to {out}.", markup=False)


def _rows(before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    names = {
        "force_mae": "force MAE, meV/Å",
        "zero_force_mae": "of zero forces, meV/Å",
        "energy_mae_per_atom": "energy MAE, meV/atom",
        "conformational_energy_mae": "conformational energy MAE, meV",
    }
    return [
        [name, *("–" if e.get(key) is None else f"{1e3 * e[key]:.4g}" for e in (before, after))]
        for key, name in names.items()
        if key in before
    ]


def _tell_forgetting(told: dict[str, Any]) -> None:
    from .console import output

    lost, old = told["forgetting"], told["original_level"]
    against = f"labels of {old}" if lost["reference"] == "labels" else "the untouched potential"
    new = lost["after_new_head"]
    also = "" if new is None else f" ({1e3 * new:.4g} by the head of {told['level']})"
    output().print(
        f"Forgetting: force MAE against {against} on {lost['n_conformers']} structures of the "
        f"original domain that were not replayed {1e3 * lost['before']:.4g} → "
        f"{1e3 * lost['after']:.4g} meV/Å{also}.",
        markup=False,
    )
