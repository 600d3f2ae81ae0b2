"""What a report says of the refinement study: systems, methods, and what each method won."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import xarray as xr

from ...analysis.refinement import left_to_win
from ...diversity.html import words
from .blocks import Block, Cell, Change, Section, Table, Text, Value, bounds, change, number
from .data import aside_blocks, set_section
from .opening import Run
from .pictures import Gallery

TITLE = "Distribution shift, and what refinement wins back"
_MILLI = 1e3
#: What each method does; `fine_tune_N` and `NAME_PRIOR` are told from these.
METHODS = {
    "none": "the potential as it was trained",
    "weight_decay": "trained with stronger weight decay",
    "early_stopping": "trained until the loss on structures held back rises",
    "joint": "trained on the prior’s labels beside the reference’s; no step at test time",
    "pretrain_freeze": "trained on the prior first, then on the reference with those weights held",
    "random_cutoff": "trained at cutoffs drawn anew for each update; no step at test time",
    "radius": "cutoff chosen so that the graph’s spectrum looks like the training set’s",
    "radius_fraction": "the same, by the share of eigenvalues near one",
    "radius_wasserstein": "the same, by the Wasserstein distance of spectra",
    "radius_random_cutoff": "radius refinement of a potential trained at random cutoffs",
    "test_time": "steps on the prior’s labels of the tested molecule (TTT)",
    "test_time_frozen": "the same from the potential trained on the prior first",
    "test_time_noisy_prior": "a control: the prior’s labels with noise",
    "test_time_wrong_prior": "a control: the prior’s labels with the wrong sign",
    "both": "radius refinement and steps at test time",
    "delta": "trained on what the prior lacks (Δ); the prior runs at every prediction",
    "prior": "the prior itself, without a potential",
    "fine_tune": "fine-tuned on reference labels of the tested molecule: no refinement without any",
}
#: Methods whose gains stand in the first table.
_TOLD = ("test_time", "delta", "radius")
_FIGURES = ("gain_against_shift", "error_with_refinement")


def facts(run: Run, results: xr.Dataset) -> list[tuple[str, str]]:
    """Return the few numbers that stand at the top."""
    return [
        (str(results.sizes["system"]), "systems tested"),
        (str(results.sizes["group"]), "groups of one shift each"),
        (str(results.sizes["method"]), "methods"),
        (str(results.sizes["replicate"]), "replicates"),
        (str((run.finished or {}).get("fits", "–")), "potentials fitted"),
    ]


def glance(run: Run, results: xr.Dataset) -> list[Block]:
    """Return in sentences where test-time training helps and where it harms, by its intervals."""
    names = results["method"].values.astype(str).tolist()
    told: list[Block] = []
    for method, called in (
        ("test_time", "Test-time training"),
        ("delta", "Learning what the prior lacks (Δ)"),
        ("radius", "Radius refinement"),
    ):
        if method not in names:
            continue
        parts: dict[str, list[str]] = {"above": [], "below": [], "undecided": []}
        for group in results["group"].values.astype(str):
            change = _gain(results, group, method)
            if change is not None:
                parts[change.verdict].append(f"{_group(group)} ({change.text} meV/Å)")
        if not any(parts.values()):
            continue
        says = []
        if parts["above"]:
            says.append(f"wins on {'; '.join(parts['above'])}")
        if parts["below"]:
            says.append(f"does harm on {'; '.join(parts['below'])}")
        if parts["undecided"]:
            says.append(f"is undecided on {'; '.join(parts['undecided'])}")
        told.append(Text(f"{called} {', and '.join(says)}.", "lead"))
    told.append(
        Text(
            "Gains are force errors of the potential as it was trained, less those of the method, "
            "on structures that no method was given; verdicts are those of 95 % intervals, each "
            "for one comparison.",
            "note",
        )
    )
    return told


def headline(run: Run, results: xr.Dataset) -> dict[str, dict[str, Cell]]:
    """Return what test-time training wins in every group."""
    groups = results["group"].values.astype(str)
    errors = {_group(g): _error(results, g, "none") or "–" for g in groups}
    found: dict[str, dict[str, Cell]] = {"Force MAE without refinement, meV/Å": {**errors}}
    if "test_time" in results["method"].values:
        gains = {_group(g): _gain(results, g, "test_time") or "–" for g in groups}
        found["Won by test-time training, meV/Å"] = {**gains}
    return found


def data_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return the experiments: their levels, priors, systems, and the sets behind them."""
    experiments = results["experiment"].values.astype(str)
    rows = []
    for name in dict.fromkeys(experiments.tolist()):
        of = results.isel(system=np.flatnonzero(experiments == name))
        rows.append(
            (
                _experiment(name),
                ", ".join(dict.fromkeys(of["system_level"].values.astype(str).tolist())),
                ", ".join(dict.fromkeys(of["system_prior"].values.astype(str).tolist())),
                number(of.sizes["system"]),
                number(float(of["n_structures"].sum())),
            )
        )
    columns = ("experiment", "reference", "prior", "systems", "structures")
    blocks: list[Block] = [Table(columns, rows, "Experiments", words=3)]
    systems = [
        (
            str(name),
            words(results["shift"].values[k]),
            _experiment(str(experiments[k])),
            str(results["smiles"].values[k]),
            str(results["formula"].values[k]),
            number(float(results["n_structures"].values[k])),
        )
        for k, name in enumerate(results["system"].values)
    ]
    parts = [
        set_section(f"The set of {_experiment(name)}", folder / "set")
        for name, folder in _sets(run).items()
    ]
    named = ("system", "shift", "experiment", "SMILES", "formula", "structures")
    parts.append(
        Section("Systems", [Table(named, systems, "Every system that is tested", words=5)])
    )
    return Section("The data", [*blocks, *aside_blocks(run)], parts)


def designs_section(run: Run, results: xr.Dataset) -> Section:
    """Return the methods, and where models come from."""
    rows = [
        (words(name), _method(str(name)), words(base) if base else "–")
        for name, base in zip(
            results["method"].values.astype(str),
            results["base_of_method"].values.astype(str),
            strict=True,
        )
    ]
    blocks: list[Block] = [
        Table(
            ("method", "what it does", "its step is compared with"),
            rows,
            "Methods; each is compared with none, and its step with the same model without it",
            words=3,
        )
    ]
    if "design" in results.dims:
        designs = [
            (
                words(results["design_experiment"].values[d]),
                f"{results['n_molecules'].values[d]} × {results['n_conformers'].values[d]}",
            )
            for d in range(results.sizes["design"])
        ]
        columns = ("experiment", "molecules × conformations")
        blocks.append(Table(columns, designs, "Designs whose models are refined", words=2))
    return Section("Methods", blocks)


def results_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return errors and gains of every method in every group, and what could be foreseen."""
    blocks: list[Block] = [_summary(results), *gallery.take(*_FIGURES)]
    parts = [
        Section(_group(group), [_methods(results, group)])
        for group in results["group"].values.astype(str)
    ]
    breadth = left_to_win(results)
    if breadth:
        table = Table(
            (
                "molecules × conformations",
                "force MAE",
                "won at test time",
                "the first wins more by",
            ),
            [
                (
                    f"{row.n_molecules} × {row.n_conformers}",
                    number(_MILLI * row.force_mae),
                    change(row.gain, row.gain_interval, unit=_MILLI, good="above"),
                    change(row.less, row.less_interval, unit=_MILLI, good=""),
                )
                for row in breadth
            ],
            f"At a fixed budget, {breadth[0].n_systems} systems out of distribution; meV/Å",
        )
        what = "Does a broader set leave less to win back?"
        parts.insert(0, Section(what, [table, *gallery.take("breadth")]))
    relation = run.maybe("relation")
    if relation is not None:
        parts += _foreseen(relation, gallery)
    return Section("Results", blocks, parts)


def _summary(results: xr.Dataset) -> Table:
    """Return one row for each group: the plain error, and what three methods win."""
    methods = [m for m in _TOLD if m in results["method"].values]
    rows = []
    for group in results["group"].values.astype(str):
        error = _error(results, group, "none")
        if error is None:
            continue
        gains = [_gain(results, group, method) for method in methods]
        n = int(results["group_n_systems"].sel(group=group))
        rows.append((_group(group), str(n), error, *(g or "–" for g in gains)))
    return Table(
        ("group of systems", "systems", "no refinement", *(f"won: {words(m)}" for m in methods)),
        rows,
        "Force MAE and gains over no refinement, meV/Å",
        f"Mean of {results.sizes['replicate']} replicates [95 % interval]. Above zero: fewer "
        "errors. Below: the method does harm.",
    )


def _methods(results: xr.Dataset, group: str) -> Table:
    """Return a row for each method in one group."""
    of = results.sel(group=group)
    forces = bool(np.isfinite(of["group_force_mae"].values).any())
    rows = []
    for method in results["method"].values.astype(str):
        error = _error(results, group, method)
        if error is None:
            continue
        gain = _gain(results, group, method) if method != "none" else None
        rows.append((words(method), error, gain or "–", _gain(results, group, method, "gain_steps")
                     or "–"))  # fmt: skip
    quantity = "Force MAE, meV/Å" if forces else "MAE of energies within a molecule, meV"
    n = int(of["group_n_systems"])
    columns = ("method", "MAE", "won against none", "won by the step")
    return Table(columns, rows, f"{quantity}; {n} systems, structures that no method was given")


def _kind_of(results: xr.Dataset, group: str) -> str:
    forces = np.isfinite(results["group_force_mae"].sel(group=group).values).any()
    return "" if forces else "conformational_energy_"


def _error(results: xr.Dataset, group: str, method: str) -> Value | None:
    """Return the error of a method in a group, None where it is not known."""
    value, interval = _mean(
        results, f"group_{_kind_of(results, group) or 'force_'}mae", group, method
    )
    if not math.isfinite(value):
        return None
    return Value(number(_MILLI * value), bounds(interval, unit=_MILLI))


def _gain(results: xr.Dataset, group: str, method: str, which: str = "gain") -> Change | None:
    """Return what a method wins in a group, None where it is not known."""
    value, interval = _mean(results, f"group_{_kind_of(results, group)}{which}", group, method)
    if not math.isfinite(value):
        return None
    return change(value, interval, unit=_MILLI, good="above")


def _mean(results: xr.Dataset, name: str, group: str, method: str) -> tuple[float, list[float]]:
    """Return a mean over replicates and designs, and its interval."""
    which = {"group": group, "method": method}
    value = float(results[name].sel(which).mean())
    # Of several designs there is no one interval.
    if "design" in results.dims:
        return value, [math.nan, math.nan]
    return value, results[f"{name}_interval"].sel(which).values.tolist()


def _foreseen(relation: xr.Dataset, gallery: Gallery) -> list[Section]:
    """Return how measures of shift go with the error, experiment by experiment."""
    parts: list[Section] = []
    for experiment in relation["experiment"].values.astype(str):
        of = relation.sel(experiment=experiment, target="error")
        rho = of["relation_rho"]
        # Of models of several designs, each has its own correlation.
        over = [d for d in rho.dims if d != "measure"]
        middle = rho.median(over).values if over else rho.values
        known = np.flatnonzero(np.isfinite(middle))
        if len(known):
            order = known[np.argsort(-np.abs(middle[known]), kind="stable")]
            told = _of_designs if over else _of_models
            blocks: list[Block] = [told(of.isel(measure=order), relation)]
        else:
            reasons = of["relation_reason"].values.astype(str).ravel().tolist()
            why = next(filter(None, reasons), "too few systems")
            blocks = [Text(f"No correlation is told: {why}.")]
        figures = gallery.take_of(experiment, "foresight", "applicability", "error_against_shift")
        what = f"Could it be foreseen? {_experiment(experiment)}"
        parts.append(Section(what, [*blocks, *figures]))
    return parts


_CHOSEN = "Systems were chosen: what goes with what among them, not what causes what."


def _of_models(of: xr.Dataset, relation: xr.Dataset) -> Table:
    rows: list[list[Cell]] = [
        [
            words(one["measure"].values),
            *(
                change(float(one[name]), one[f"{name}_interval"].values, digits=2, good="")
                for name in ("relation_rho", "relation_partial_rho")
            ),
            number(float(one["relation_p_holm"]), 3),
            number(float(one["relation_n_systems"])),
        ]
        for one in (of.isel(measure=k) for k in range(of.sizes["measure"]))
    ]
    columns = ("measure", "ρ with the error", "with covariates held fixed", "p (Holm)", "systems")
    caption = "Spearman’s ρ of each measure of shift with the force error"
    covariates = relation.attrs.get("relation_covariates", "none")
    return Table(columns, rows, caption, f"{_CHOSEN} Covariates: {covariates}.")


def _of_designs(of: xr.Dataset, relation: xr.Dataset) -> Table:
    rows = []
    for k in range(of.sizes["measure"]):
        one = of.isel(measure=k)
        found = one["relation_rho"].values[np.isfinite(one["relation_rho"].values)]
        ends = bounds((found.min(), found.max()), 2)
        systems = one["relation_n_systems"].values
        middle = number(float(np.median(found)), 2)
        count = bounds((systems.min(), systems.max()))
        rows.append((words(one["measure"].values), Value(middle, ends), count))
    columns = ("measure", "ρ with the error: median, lowest to highest design", "systems")
    caption = "Spearman’s ρ of each measure of shift with the force error, over designs"
    return Table(columns, rows, caption, _CHOSEN)


def warnings(results: xr.Dataset) -> list[Block]:
    """Return what to know before the numbers are believed."""
    few = int((results["group_n_systems"].values < 5).sum())
    if not few:
        return []
    return [
        Text(
            f"{few} of {results.sizes['group']} groups hold fewer than 5 systems: their intervals "
            "say little of other systems of the kind.",
            "warning",
        )
    ]


def _group(name: str) -> str:
    experiment, _, shift = str(name).partition(": ")
    return f"{_experiment(experiment)}: {words(shift)}"


def _experiment(name: str) -> str:
    called = {"pools": "pools", "rmd17": "rMD17", "acac": "acetylacetone", "models": "models"}
    return called.get(name, name)


def _sets(run: Run) -> dict[str, Path]:
    """Return the unit behind the data of each experiment."""
    anchored = run.units.get("anchored", [])
    inner = {run.json_of(f / "unit.json")["inputs"]["set"] for f in anchored}
    found = {"pools": run.units.get("pool", [])}
    found["rmd17"] = [f for f in run.units.get("joined", []) if f.name not in inner]
    found["acac"] = anchored
    found["models"] = [f for f in run.units.get("copied", []) if (f / "set").exists()]
    return {name: folders[0] for name, folders in found.items() if folders}


def _method(name: str) -> str:
    if name in METHODS:
        return METHODS[name]
    if name.startswith("fine_tune_"):
        n = name.removeprefix("fine_tune_")
        return (
            f"fine-tuned on {n} labelled structure{'' if n == '1' else 's'} of the tested molecule"
        )
    known = max((m for m in METHODS if name.startswith(f"{m}_")), key=len, default="")
    prior = name.removeprefix(f"{known}_")
    return f"{METHODS[known]}; prior {prior}" if known else ""
