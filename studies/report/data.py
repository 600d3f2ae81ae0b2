"""The data behind a study: what its sets hold, where they come from, and what an audit says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import BreadthError, ConformerSet, DataError, concat, read
from ...diversity.audit import audit
from ...diversity.describe import describe
from ...diversity.html import words
from ...diversity.randomness import ordering
from .blocks import Block, Facts, Section, Table, Text, bounds, number
from .opening import Run

#: Most conformers of a set that are audited: time grows with them, verdicts hardly change.
AUDITED = 20_000


def set_section(title: str, *paths: Path, source: Mapping[str, str] | None = None) -> Section:
    """Return what a set holds, its labels by level, and its audit.

    Parameters
    ----------
    title : str
    *paths : Path
        Of the set, or of its parts; one that is no longer there is told.
    source : mapping of str to str, optional
        More facts, such as where its molecules come from.
    """
    there = [path for path in paths if path.exists()]
    if not there:
        return Section(title, [Text("The set is no longer in the folder.", "warning")])
    sets = [read_set(path) for path in there]
    data = concat(sets) if sets[1:] else sets[0]
    told = describe(data)
    facts = [
        ("Conformers", number(told["n_conformers"])),
        ("Molecules", number(told["n_molecules"])),
        ("Atoms", f"{number(told['n_atoms'])} of {', '.join(told['elements'])}"),
        ("Atoms in a conformer", _spread(told["atoms_per_conformer"])),
        ("Conformers of a molecule", _spread(told["conformers_per_molecule"])),
        ("Conformers by charge", _tally(told["charges"])),
        ("Conformers by multiplicity", _tally(told["multiplicities"])),
    ]
    blocks: list[Block] = [Facts([*facts, *(source or {}).items()]), _levels(told), *_audit(data)]
    return Section(title, blocks)


def read_set(path: Path) -> ConformerSet:
    """Return a set of a run.

    Raises
    ------
    DataError
        If it is damaged; the message names it.
    """
    try:
        return read(path)
    except (BreadthError, OSError, ValueError, KeyError) as error:
        raise DataError(f"The set {path} cannot be read: {error}") from None


def aside_blocks(run: Run) -> list[Block]:
    """Return how many records units set aside, by reason."""
    reasons = run.set_aside()
    if not reasons:
        return [Text("No record was set aside while the data were made.")]
    total = sum(reasons.values())
    return [
        Table(
            ("reason", "records"),
            [(why, f"{n:,}") for why, n in reasons.items()],
            f"Set aside while the data were made: {total:,} records, never trained or tested on",
        )
    ]


def _levels(told: Mapping[str, Any]) -> Block:
    rows = []
    for name, level in told["levels"].items():
        norms = level["force_norm_range"]
        rows.append(
            (
                name,
                number(level["n_energies"]),
                number(level["n_forces"]),
                "–" if level["mean_force_norm"] is None else number(level["mean_force_norm"], 2),
                bounds(norms, 2) if norms else "–",
                ", ".join(level["reference_energies"]) or "none",
            )
        )
    if not rows:
        return Text("It has no labels.")
    columns = (
        "level of theory",
        "energies",
        "forces",
        "mean |F|",
        "range of |F|",
        "isolated atoms",
    )
    return Table(columns, rows, "Labels by level of theory; norms of forces on atoms in eV/Å")


def _audit(data: ConformerSet) -> list[Block]:
    """Return what the audit found, and what passed it; of a part of what is very large."""
    part, which = data, ""
    if len(data) > AUDITED:
        part = data.select(np.sort(ordering("report", data.id)[:AUDITED]))
        which = f", of {AUDITED:,} conformers drawn by their ids"
    entries = audit(part)
    passed = [words(e["check"]) for e in entries if e["passed"]]
    rows = []
    for entry in entries:
        if entry["passed"]:
            continue
        count = "not judged" if entry["passed"] is None else f"{entry['count']:,}"
        worst = "; ".join(f"{one['record']}: {one['what']}" for one in entry["worst"][:1])
        rows.append(
            (words(entry["check"]), worst or entry["note"] or "–", count, f"{entry['n_checked']:,}")
        )
    blocks: list[Block] = [Text(f"The audit{which} passed: {', '.join(passed) or 'nothing'}.")]
    if rows:
        columns = ("check", "the worst record, or why", "found", "judged")
        blocks.append(Table(columns, rows, f"What the audit did not pass{which}", words=2))
    return blocks


def _spread(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return "–"
    low, middle, high = (spread[name] for name in ("min", "median", "max"))
    if low == high:
        return number(low)
    return f"{number(low)} to {number(high)}, median {number(middle, 0 if middle % 1 == 0 else 1)}"


def _tally(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{number(n)} of {name}" for name, n in tally.items())
