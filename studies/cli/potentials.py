"""`breadth train` and `breadth evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def train(
    data: Path,
    /,
    *,
    out: Path,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    level: str | None = None,
    threads: int = 1,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Fit a potential to a data set; killed and started again, it goes on and ends the same.

    Parameters
    ----------
    data
        A data set in any format that breadth reads.
    out
        Folder for the potential.
    config
        YAML file with seed, potential, training and n_validation.
    set
        KEY=VALUE, such as training.n_updates=500; may be repeated.
    level
        Level of theory to learn, where the data have several.
    threads
        CPU threads. Networks of this size are fastest on one.
    dry_run
        Print what would be fitted, and stop.
    json
        Print one JSON object.
    """
    import torch

    from ...diversity import read
    from ..configuration import dump, load
    from ..single import TrainConfiguration, train_potential
    from .console import emit_json, listing, output, progress_bar

    asked = load(TrainConfiguration, path=config, overrides=set or ())
    conformers = read(data)
    conformers.labels(level)
    if dry_run:
        if json:
            emit_json({"n_conformers": len(conformers), **asked.model_dump(mode="json")})
        else:
            output().print(f"{conformers!r}\n\n{dump(asked)}", markup=False)
        return
    torch.set_num_threads(threads)
    with progress_bar() as show:
        learned = train_potential(
            conformers,
            out,
            asked,
            level=level,
            progress=lambda update, total, loss: show("training", update, total),
        )
    if json:
        emit_json(learned)
    else:
        listing(learned, "fitted")


def evaluate(
    potential: Path,
    /,
    *data: Path,
    level: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure a potential's errors on data sets.

    Parameters
    ----------
    potential
        Folder that `breadth train` or a study wrote.
    data
        Data sets with labels, in any format that breadth reads.
    level
        Level of theory to compare with, where the data have several.
    json
        Print one JSON object (a list of them for several data sets).
    """
    from ...diversity import ConfigurationError, read
    from ..single import evaluate_potential
    from .console import emit_json, table

    if not data:
        raise ConfigurationError("Name at least one data set: breadth evaluate POTENTIAL DATA …")
    measured = [
        {"data": str(path), **evaluate_potential(potential, read(path), level=level)}
        for path in data
    ]
    if json:
        emit_json(measured[0] if len(measured) == 1 else measured)
        return
    scales = {
        "n_conformers": ("conformers", 1.0),
        "n_molecules": ("molecules", 1.0),
        "force_mae": ("force MAE, meV/Å", 1e3),
        "zero_force_mae": ("of zero forces, meV/Å", 1e3),
        "energy_mae_per_atom": ("energy MAE, meV/atom", 1e3),
        "conformational_energy_mae": ("conformational energy MAE, meV", 1e3),
    }
    rows = [
        [name, *(_scaled(m.get(key), scale) for m in measured)]
        for key, (name, scale) in scales.items()
    ]
    table(["", *(m["data"] for m in measured)], rows)


def _scaled(value: float | None, scale: float) -> str:
    return "–" if value is None else f"{value * scale:.4g}"
