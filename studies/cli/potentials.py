"""`breadth train` and `breadth evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .counts import Count

if TYPE_CHECKING:
    from ...training.profiling import Profile


def train(
    data: Path,
    /,
    *,
    out: Path,
    config: Path | None = None,
    set: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    level: str | None = None,
    threads: Count = 1,
    compile: Literal["auto", "always", "never"] | None = None,
    committee: Count | None = None,
    profile: Annotated[bool, Parameter(negative="")] = False,
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
    compile
        Whether an update is compiled as one graph: training.compile. By default where that is
        expected to pay back within the fit.
    committee
        Fit as many models, from the seed and those after it, each into a folder seed-N of --out:
        at once where that pays (stack), else one after the other.
    profile
        Print where the time of the whole fit goes. Its numbers are the same.
    dry_run
        Print what would be fitted, and stop.
    json
        Print one JSON object.
    """
    import torch

    from ...diversity import read
    from ...training.profiling import Profile
    from ..configuration import dump, load
    from ..single import TrainConfiguration, train_potential
    from .console import emit_json, listing, messages, output, progress_bar, tell_left_out

    overrides = [*(set or ()), *([] if compile is None else [f"training.compile={compile}"])]
    overrides += [] if committee is None else [f"committee={committee}"]
    asked = load(TrainConfiguration, path=config, overrides=overrides)
    conformers = read(data)
    tell_left_out(conformers)
    conformers.labels(level)
    if dry_run:
        if json:
            emit_json({"n_conformers": len(conformers), **asked.model_dump(mode="json")})
        else:
            output().print(f"{conformers!r}\n\n{dump(asked)}", markup=False)
        return
    torch.set_num_threads(threads)
    taken = Profile() if profile else None
    try:
        with progress_bar() as show:
            learned = train_potential(
                conformers,
                out,
                asked,
                level=level,
                progress=lambda update, total, loss: show("training", update, total),
                tell=lambda message: messages().print(message, markup=False),
                profile=taken,
            )
    except KeyboardInterrupt:
        if taken is not None and not json:
            _print_profile(taken)
        raise
    if json:
        emit_json(learned if taken is None else {**learned, "profile": taken.summary()})
        return
    listing(learned, "fitted")
    if taken is not None:
        _print_profile(taken)


def _print_profile(profile: Profile) -> None:
    from .console import output, table

    told = profile.summary()
    rows = [
        [name, f"{part['seconds']:.3f}", f"{100 * part['share']:.1f}"]
        for name, part in told["stages"].items()
    ]
    rows.append(["all", f"{told['seconds']:.3f}", "100.0"])
    table(["stage", "seconds", "%"], rows, "where the time went")
    threads = "1 thread" if told["threads"] == 1 else f"{told['threads']} threads"
    lines = [
        f"device: {told['device']}" + (f", {threads}" if told["device"] == "cpu" else ""),
        f"peak memory: {told['peak_memory_bytes'] / 2**20:,.0f} MiB",
        f"reading the clock took about {told['overhead_seconds']:.3f} s of it",
    ]
    made = ["no update was made: the fit had ended, or was stopped before its first"]
    if told["updates"]:
        made = [
            f"form: {told['form']}",
            f"{told['updates']:,} updates, {1e3 * told['seconds_per_update']:.3g} ms each, "
            f"{told['atoms_per_second']:,.0f} atoms/s",
        ]
    lines[1:1] = made
    output().print("\n".join(lines), markup=False)


def evaluate(
    potential: Path,
    /,
    *data: Path,
    predictions: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    energy_key: str | None = None,
    forces_key: str | None = None,
    level: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure errors on data sets: a potential's, or those of predictions made elsewhere.

    Parameters
    ----------
    potential
        Folder that `breadth train` or a study wrote (of a committee, the mean of its members is
        measured, and how far they differ); or the name of a universal potential: so3lr,
        sevennet-0, chgnet. With --predictions it may be left out.
    data
        Data sets with labels, in any format that breadth reads.
    predictions
        Extended XYZ files, one for each other model, with its energies (eV) and forces (eV/Å) for
        structures of the data, which are found by conformer id or position.
    energy_key
        Key of the energies in these files; energy by default.
    forces_key
        Key of the forces in these files; forces by default.
    level
        Level of theory to compare with, where the data have several.
    json
        Print one JSON object (a list of them for several data sets or models).
    """
    from ...diversity import ConfigurationError, DataError, read
    from ..evaluating import evaluate_predictions
    from .console import emit_json, table, tell_left_out

    ours: Path | None = potential
    if (
        predictions
        and potential.exists()
        and not any((potential / name).exists() for name in ("potential.json", "committee.json"))
    ):
        ours, data = None, (potential, *data)
    if not predictions and (energy_key or forces_key):
        raise ConfigurationError("Keys are those of predictions: name files by --predictions.")
    if not data:
        raise ConfigurationError("Name at least one data set: breadth evaluate POTENTIAL DATA …")
    measured = []
    known = set()
    for path in data:
        conformers = read(path)
        tell_left_out(conformers)
        if ours is not None:
            # torch, which predictions do without
            from ..committees import evaluate_committee, is_committee
            from ..single import evaluate_potential

            measure = evaluate_committee if is_committee(ours) else evaluate_potential
            errors = measure(ours, conformers, level=level)
            measured.append({"data": str(path), **errors})
        for file in predictions or ():
            found = evaluate_predictions(
                file, conformers, level=level, energy_key=energy_key, forces_key=forces_key
            )
            if found is not None:
                known.add(file)
                measured.append({"data": str(path), **found})
    for file in predictions or ():
        if file not in known:
            raise DataError(
                f"No structure of {file} is one of {', '.join(map(str, data))}: none has the same "
                "atoms, in the same order, at the same positions. Predict for the structures as "
                "they are in the data."
            )
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
    for key, name in (
        ("n_members", "members"),
        ("force_spread", "force spread, meV/Å"),
        ("energy_spread_per_atom", "energy spread, meV/atom"),
    ):
        if any(key in one for one in measured):
            scales[key] = (name, 1.0 if key == "n_members" else 1e3)
    if predictions:
        scales["n_without_prediction"] = ("without a prediction", 1.0)
    rows = [
        [name, *(_scaled(m.get(key), scale) for m in measured)]
        for key, (name, scale) in scales.items()
    ]
    if predictions:
        models = [Path(m.get("predictions") or m["potential"]).name for m in measured]
        rows.insert(0, ["model", *models])
    table(["", *(m["data"] for m in measured)], rows)


def _scaled(value: float | None, scale: float) -> str:
    return "–" if value is None else f"{value * scale:.4g}"
