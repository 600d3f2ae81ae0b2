"""What a report says of the trade-off study: its pool, its designs, and what was learned."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from ...analysis import Comparison, best_measures, summarise
from ...analysis.tradeoff.measure_relation import short_name
from ...analysis.tradeoff.summary import SELECTOR_AXES, grid, without_diverged
from ...diversity.html import words
from ..tradeoff.outside import outside_models, with_outside
from .blocks import Block, Cell, Section, Table, Text, Value, bounds, change, number
from .data import aside_blocks, set_section
from .opening import Run
from .pictures import Gallery

TITLE = "Structural against conformational diversity"
#: eV → meV.
_MILLI = 1e3
#: What each experiment compares.
_EXPERIMENTS = {
    "fixed_budget": "Equal labels, ever more molecules",
    "fixed_molecules": "Equal molecules, ever more conformations of each",
    "grid": "Molecules × conformations",
    "molecule_selectors": "Ways to choose molecules",
    "conformer_selectors": "Ways to choose conformations",
}
#: What each test set holds.
TEST_SETS = {
    "seen_conformers": "other conformations of molecules that every design of the replicate trains "
    "on, around minima that it saw",
    "own_conformers": "other conformations of the design's own training molecules",
    "unseen_minima": "conformations around minima of training molecules that it did not see",
    "unseen_molecules": "molecules that no design trains on",
    "unseen_scaffolds": "molecules whose scaffold no design trains on",
    "larger_molecules": "molecules with more heavy atoms than any that is trained on",
    "unseen_elements": "molecules with elements that no design trains on",
    "high_forces": "conformations of unseen molecules with unusually large forces",
}
_FIGURES = {
    "fixed_budget": ("error_against_molecules",),
    "fixed_molecules": ("error_against_conformers",),
    "grid": ("error_surface",),
    "molecule_selectors": ("selectors",),
}
_UNDERTRAINED = (
    "* undertrained: after a quarter of the updates the designs of this experiment stand in "
    "another order on this test set, so more training could change their rank."
)


def facts(run: Run, results: xr.Dataset) -> list[tuple[str, str]]:
    """Return the few numbers that stand at the top."""
    cells = {tuple(results[n].values[d].tolist() for n in _CELL) for d in _rows(results)}
    return [
        (str(len(cells)), "training sets designed"),
        (str(results.sizes["replicate"]), "replicates of each"),
        (str((run.finished or {}).get("fits", "–")), "potentials fitted"),
        (str(results.sizes["test_set"]), "test sets"),
        (str(results.attrs.get("level", "–")), "level of theory"),
    ]


_CELL = ("n_molecules", "n_conformers", "molecule_selector", "conformer_selector")


def _rows(results: xr.Dataset) -> range:
    return range(results.sizes["design"])


def glance(run: Run, results: xr.Dataset) -> list[Block]:
    """Return in sentences what was found: comparisons that were fixed before the results."""
    told: list[Block] = []
    rows = summarise(results)
    for experiment, lead in (
        ("fixed_budget", "With the same number of labels, going from"),
        ("fixed_molecules", "With the same molecules, going from"),
    ):
        ends = {c.test_set: c for c in rows if c.experiment == experiment and c.kind == "ends"}
        if not ends:
            continue
        first = next(iter(ends.values()))
        parts = [
            _sentence(ends[name])
            for name in ("unseen_molecules", "unseen_scaffolds", "own_conformers")
            if name in ends
        ] or [_sentence(first)]
        told.append(
            Text(
                f"{lead} {first.other} (molecules × conformations) to {first.design}: "
                f"{'; '.join(parts)}.",
                "lead",
            )
        )
    for experiment, axis in SELECTOR_AXES.items():
        found = [c for c in rows if c.experiment == experiment and c.test_set in _TOLD_SELECTORS]
        if found:
            won = [c for c in found if c.verdict == "lower"]
            lost = [c for c in found if c.verdict == "higher"]
            told.append(
                Text(
                    f"{_EXPERIMENTS[experiment]}, on unseen molecules: of "
                    f"{len(found)} selectors, {len(won)} erred less than random choice and "
                    f"{len(lost)} erred more, by intervals of each comparison by itself"
                    f"{_names(won + lost, axis)}.",
                    "lead",
                )
            )
    return told


_TOLD_SELECTORS = ("unseen_molecules",)


def _names(found: list[Comparison], axis: str) -> str:
    parts = [
        f"{words(getattr(c.design, axis))} {_MILLI * c.difference:+.0f} meV/Å".replace("-", "−")
        for c in found
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _sentence(one: Comparison) -> str:
    low, high = sorted(abs(_MILLI * bound) for bound in one.interval)
    size = f"{abs(_MILLI * one.difference):.0f} meV/Å"
    on = words(one.test_set)
    if not all(map(math.isfinite, one.interval)):
        return (
            f"on {on} the force MAE changes by {_MILLI * one.difference:+.0f} meV/Å, without "
            "an interval"
        )
    if not one.excludes_zero:
        return (
            f"on {on} no change that stands out of the noise ("
            f"{_MILLI * one.difference:+.0f} meV/Å, "
            f"{bounds(one.interval, unit=_MILLI)})".replace("-", "−")
        )
    return (
        f"on {on} the force MAE {'falls' if one.difference < 0 else 'rises'} by {size} "
        f"({number(low)} to {number(high)})"
    )


def headline(run: Run, results: xr.Dataset) -> dict[str, dict[str, Cell]]:
    """Return the force MAE of every design on new molecules and on its own."""
    names = results["test_set"].values.astype(str).tolist()
    found: dict[str, dict[str, Cell]] = {}
    for name in ("unseen_molecules", "own_conformers"):
        if name not in names:
            continue
        of = results.sel(test_set=name)
        found[f"Force MAE on {words(name)}, meV/Å, by molecules × conformations"] = {
            _named(results, d): Value(
                number(_MILLI * float(of["force_mae"].mean("replicate")[d])),
                bounds(of["force_mae_interval"].values[d].tolist(), unit=_MILLI),
                "*" if bool(of["undertrained"][d]) else "",
            )
            for d in _rows(results)
        }
    return found


def _named(results: xr.Dataset, design: int) -> str:
    """Return a design's counts, and its selectors where they are not random choice."""
    by = {str(results[axis].values[design]) for axis in SELECTOR_AXES.values()} - {"random"}
    return f"{_called(results, design, '')}{''.join(f', {words(name)}' for name in by)}"


def data_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return the pool that the study chose from."""
    pool = run.asked.pool
    source = {
        "Molecules from": "the bundled 2,000 of QM9" if pool.molecules is None else str(
            pool.molecules
        ),
        "Geometries by": f"{words(pool.method)} at {pool.temperature:g} K, at most "
        f"{pool.max_minima} minima of a molecule",
        "Labelled at": pool.engine + (f", and {pool.prior} beside" if pool.prior else ""),
    }  # fmt: skip
    held = set_section("The pool", run.root / "pool", source=source)
    figures = gallery.take("pool")
    return Section("The data", [*held.blocks, *aside_blocks(run), *figures])


def designs_section(run: Run, results: xr.Dataset) -> Section:
    """Return the designs and what each is tested on."""
    n_train = results["n_train"].values if "n_train" in results else None
    n_labels = results["n_labels"].values if "n_labels" in results else None
    rows = [
        (
            words(results["experiment"].values[d]),
            f"{results['n_molecules'].values[d]} × {results['n_conformers'].values[d]}",
            words(results["molecule_selector"].values[d]),
            words(results["conformer_selector"].values[d]),
            "–" if n_train is None else _range(n_train[d]),
            "–" if n_labels is None else _range(n_labels[d]),
        )
        for d in _rows(results)
    ]
    tests = [
        (
            words(name),
            TEST_SETS.get(str(name), ""),
            _range(results["n_test_molecules"].values[..., place]),
            _range(results["n_test_structures"].values[..., place]),
        )
        for place, name in enumerate(results["test_set"].values.astype(str))
    ]
    columns = ("experiment", "molecules × conformations", "molecules by", "conformations by")
    return Section(
        "The designs",
        [
            Table(
                (*columns, "trained on", "labels it costs"),
                rows,
                "Training sets; each is drawn anew in every replicate",
                words=4,
            ),
            Table(
                ("test set", "what it holds", "molecules", "structures"),
                tests,
                "What every design is tested on; nothing of it is trained on",
                words=2,
            ),
        ],
    )


def results_section(run: Run, results: xr.Dataset, gallery: Gallery) -> Section:
    """Return errors of every design, comparisons between them, and figures."""
    if outside_models(run.root):
        results = with_outside(results, run.results("predictions"), run.root)
    parts = []
    rows = summarise(results)
    for experiment, title in _EXPERIMENTS.items():
        designs = grid(results, experiment)
        if not len(designs):
            continue
        blocks: list[Block] = [
            _errors(results, designs, "force_mae", "Force MAE, meV/Å", experiment),
            *gallery.take(*_FIGURES.get(experiment, ())),
        ]
        compared = [c for c in rows if c.experiment == experiment]
        if compared:
            blocks.append(_compared(compared, experiment))
        energies = "conformational_energy_mae"
        if np.isfinite(results[energies].values[designs]).any():
            title_ = "Energy MAE within molecules, meV"
            blocks.append(_errors(results, designs, energies, title_, experiment))
        parts.append(Section(title, blocks))
    parts += _outside(results)
    parts += _measures(results, gallery)
    return Section("Results", gallery.take("map"), parts)


def _errors(
    results: xr.Dataset, designs: np.ndarray, name: str, title: str, experiment: str
) -> Table:
    """Return a table of errors: a row for each design, a column for each test set."""
    mean = _MILLI * results[name].mean("replicate").values[designs]
    interval = _MILLI * results[f"{name}_interval"].values[designs]
    there = np.isfinite(mean).any(axis=0)
    flags = results["undertrained"].values[designs] & (name == "force_mae")
    digits = 0 if name == "force_mae" else 1
    diverged = without_diverged(results)
    with np.errstate(invalid="ignore"):
        lowest = np.where(there, np.nanmin(np.where(there, mean, np.inf), axis=0), np.nan)
    body: list[list[Cell]] = []
    for row, design in enumerate(designs):
        cells = [
            Value(
                number(mean[row, t], digits),
                bounds(interval[row, t].tolist(), digits),
                "*" if flags[row, t] and math.isfinite(mean[row, t]) else "",
                bool(mean[row, t] == lowest[t]),
            )
            for t in np.flatnonzero(there)
        ]
        dagger = " †" * bool(diverged[design])
        body.append([_called(results, int(design), experiment) + dagger, *cells])
    names = [words(name) for name in results["test_set"].values[there]]
    marked = bool((flags & np.isfinite(mean)).any())
    note = f"Mean of {results.sizes['replicate']} replicates, 95 % interval; bold: the lowest of "
    note += f"its column. {_UNDERTRAINED if marked else ''}"
    if diverged[designs].any():
        note += " † of fewer replicates: models that diverged are left out."
    first = "molecules × conformations" if experiment not in SELECTOR_AXES else "chosen by"
    return Table((first, *names), body, title, note.strip())


def _called(results: xr.Dataset, design: int, experiment: str) -> str:
    axis = SELECTOR_AXES.get(experiment)
    if axis is not None:
        return words(results[axis].values[design])
    return f"{results['n_molecules'].values[design]} × {results['n_conformers'].values[design]}"


def _compared(rows: list[Comparison], experiment: str) -> Table:
    """Return differences between designs, paired, each with its interval."""
    axis = SELECTOR_AXES.get(experiment)
    kinds = {
        "ends": "fixed beforehand: ends of the grid",
        "best": "chosen by the results: lowest and highest",
        "random": "against random choice",
    }
    body = []
    for one in rows:
        pair = (
            f"{words(getattr(one.design, axis))} − random"
            if axis
            else f"{one.design} − {one.other}"
        )
        differs = change(one.difference, one.interval, unit=_MILLI)
        body.append((words(one.test_set), pair, kinds[one.kind], differs))
    return Table(
        ("test set", "difference of", "comparison", "force MAE, meV/Å [95 %]"),
        body,
        "Differences, paired by replicate and molecule",
        "Below zero the first errs less. Intervals of pairs that the results chose are optimistic; "
        "each interval is for one comparison, whatever their number.",
        words=3,
    )


def _outside(results: xr.Dataset) -> list[Section]:
    if "outside" not in results.coords:
        return []
    ours = _MILLI * results["force_mae"].mean("replicate").values
    theirs = _MILLI * results["outside_force_mae"].mean("replicate").values
    rows = []
    for place, name in enumerate(results["test_set"].values.astype(str)):
        if not np.isfinite(ours[:, place]).any():
            continue
        best = int(np.nanargmin(ours[:, place]))
        rows.append(
            (
                words(name),
                f"{results['n_molecules'].values[best]} × {results['n_conformers'].values[best]}",
                number(ours[best, place]),
                *(number(theirs[k, best, place]) for k in range(theirs.shape[0])),
            )
        )
    names = results["outside"].values.astype(str)
    table = Table(
        ("test set", "best design", "its models", *names),
        rows,
        "Force MAE, meV/Å, on the same structures",
        "A dash: the other model did not predict all of them.",
        words=2,
    )
    return [Section("Models made elsewhere", [table])]


def _measures(results: xr.Dataset, gallery: Gallery) -> list[Section]:
    if "measure_error_correlation" not in results:
        return []
    body = [
        (
            words(best.test_set),
            f"{best.measure.partition('.')[0]}: {short_name(best.measure)}"
            + (f" (and {len(best.as_good)} as good)" if best.as_good else ""),
            change(best.correlation, best.interval, digits=2, good=""),
            f"{best.p_value:.2f}" if best.p_value >= 0.01 else "< 0.01",
            str(best.n_designs),
        )
        for best in best_measures(results)
    ]
    if not body:
        return []
    table = Table(
        ("test set", "measure", "Spearman’s ρ [95 %]", "p, best of all", "designs"),
        body,
        "The measure of the training set that goes best with the force MAE",
        "Designs are few and chosen: a correlation over them is no law. p: the chance of so great "
        "a correlation of the best measure if errors had nothing to do with any of them.",
        words=2,
    )
    return [Section("What goes with the error", [table, *gallery.take("measures")])]


def warnings(results: xr.Dataset) -> list[Block]:
    """Return what to know before the numbers are believed."""
    flags = results["undertrained"].values & np.isfinite(
        results["force_mae"].mean("replicate").values
    )
    found: list[Block] = []
    if flags.any():
        gain = results["updates_gain"].values
        most = float(np.nanmax(np.where(flags, gain, np.nan)))
        found.append(
            Text(
                f"{int(flags.sum())} of {flags.size} cells of design × test set are undertrained: "
                "their designs stand in another order after a quarter of the updates, and errors "
                f"there fell up to {most:.2f}-fold since. Train longer before ranks are believed.",
                "warning",
            )
        )
    return found


def _range(values: np.ndarray) -> str:
    seen = np.unique(values[values > 0])
    if not len(seen):
        return "0"
    ends = {number(float(seen[0])), number(float(seen[-1]))}
    return next(iter(ends)) if len(ends) == 1 else bounds((float(seen[0]), float(seen[-1])))
