"""Labels of an existing set at one more level: what `breadth label` does.

The set keeps its levels. Of a subset, the others have no label at the new level, as masks say: data
of several fidelities in one set.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..diversity import ConformerSet, DataError, Labels, write
from ..sampling.selecting import select
from .configuration import Section
from .costs import CostModel, chunks, summary
from .executor import process_pool, run_units
from .plan import finish, open_plan
from .pool import label_unit, measured_seconds, read_aside, read_set
from .pooling import Tell, counter, link_pool
from .registry import featurizer, label_engine, selector
from .store import Store
from .units import Unit

#: Engines that read bonds off all conformers of a molecule at once where there is no SMILES.
_BY_MOLECULE = ("mmff94", "uff")


class LabelConfiguration(Section):
    """All that `breadth label` is asked."""

    engine: str
    """Level of theory."""
    subset: int | None = Field(None, ge=1)
    """How many to label; all when empty."""
    by: str = "random"
    """Selector of the subset."""
    of: Literal["structures", "molecules"] = "structures"
    """What the subset counts."""
    descriptor: str = "compact"
    """Features for selectors that need some."""
    label_level: str | None = None
    """Level of theory that selectors by energy or force read."""
    seed: int = Field(0, ge=0)
    """Random order of selectors that have one."""


def label_set(
    data: ConformerSet,
    asked: LabelConfiguration,
    out: Path,
    *,
    workers: int = 1,
    progress: Tell | None = None,
) -> dict[str, Any]:
    """Label a set or a subset; what is finished is not done again.

    Conformers that have energy and forces at the level keep them and are not counted.

    Parameters
    ----------
    data : ConformerSet
    asked : LabelConfiguration
    out : Path
        Its folder ``labelled`` is the whole set with the level added, in the native format.
    workers : int
        Processes; they change no number.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    dict
        Path, counts, failures with reasons, and seconds of one core.

    Raises
    ------
    ConfigurationError
        If the engine or the selector is unknown, or what it needs is not installed.
    DataError
        If there is nothing left to label, or every label failed.
    """
    tell = progress or (lambda phase, done, total: None)
    level = asked.engine
    wanted, there = _wanted(data, asked)
    if not len(wanted):
        raise DataError(
            f"All {there} conformers that were to be labelled have labels at level {level!r}."
        )
    store = Store(out)
    with store.locked():
        digest = _digest(data)
        open_plan(out, "label", asked, data=digest)
        bare = replace(data.select(wanted), levels={}, frame_extras={}, atom_extras={})
        with process_pool(workers) as executor:
            # First: an element that the engine cannot do is better told now than in the end.
            elements = [int(z) for z in data.elements]
            atoms = Unit("atoms", 1, {"elements": elements, "engine": level})
            run_units(store, [atoms], executor)
            parts = chunks(level, bare, whole_molecules=level in _BY_MOLECULE)
            units = _label_units(store, bare, parts, level)
            run_units(store, units, executor, progress=counter(tell, "labels", len(units)))
        aside = [a for unit in units for a in read_aside(store, unit.key)]
        kept = Unit("relabelled", 1, {"data": digest}, {u.key: u.key for u in units})
        if not store.has(kept):
            energies = json.loads((store.folder(atoms.key) / "energies.json").read_text())
            labels = _joined(data, level, store, units, {int(z): e for z, e in energies.items()})
            if not labels.has_energy.any():
                raise DataError(f"No conformer could be labelled; the first: {aside[0].reason}.")
            with store.writing(kept) as folder:
                write(data.with_level(level, labels), folder / "set")
        link_pool(out, store.folder(kept.key) / "set", name="labelled")
        finish(out, workers=workers)
    return {
        "labelled": str(out / "labelled"),
        "level": level,
        "n_conformers": len(data),
        "n_labelled": len(bare) - len(aside),
        "n_labelled_before": there,
        "n_failed": len(aside),
        "failures": dict(Counter(_kind(a.reason) for a in aside)),
        "first_failures": {a.record: a.reason for a in aside[:10]},
        "core_seconds": measured_seconds(store, units).get(level),
    }


def plan_labels(
    data: ConformerSet, asked: LabelConfiguration, *, workers: int = 1
) -> dict[str, Any]:
    """Return what `label_set` would take; a few small molecules are labelled to know."""
    wanted, there = _wanted(data, asked)
    chosen = data.select(wanted)
    model = CostModel.calibrate(asked.engine, label_engine(asked.engine))
    per_label = [model.seconds(chosen.numbers[chosen.atoms_slice(i)]) for i in range(len(chosen))]
    told = summary(per_label, 1, model) if per_label else {"core_hours": 0.0}
    told.pop("seconds_per_molecule", None)
    return {
        "labels": len(chosen),
        "level": asked.engine,
        "n_labelled_before": there,
        **told,
        "workers": workers,
        "minutes": round(60 * told["core_hours"] / workers + 0.05, 1),
    }


def _wanted(data: ConformerSet, asked: LabelConfiguration) -> tuple[np.ndarray, int]:
    """Return the rows to label, each geometry once, and how many have been before."""
    label_engine(asked.engine)
    if asked.subset is None:
        rows = np.sort(np.unique(data.id, return_index=True)[1])
    else:
        chooser = selector(asked.by, random_state=asked.seed)
        rows = select(
            data,
            chooser,
            level=asked.of,
            budget=asked.subset,
            featurizer=featurizer(asked.descriptor) if chooser.takes == "features" else None,
            label_level=asked.label_level,
        )
    known = data.levels.get(asked.engine)
    if known is None:
        return rows, 0
    done = (known.has_energy & known.has_forces)[rows]
    return rows[~done], int(done.sum())


def _label_units(
    store: Store, conformers: ConformerSet, parts: Sequence[list[str]], level: str
) -> list[Unit]:
    """Return the units that label parts of a set; each part is a unit's result, to be read."""
    place = {name: row for row, name in enumerate(conformers.id.astype("U32").tolist())}
    units = []
    for part in parts:
        given = Unit("given", 1, {"ids": part})
        if not store.has(given):
            with store.writing(given) as folder:
                write(conformers.select([place[name] for name in part]), folder / "set")
        units.append(label_unit(given, part, engine=level, prior=None))
    return units


def _digest(data: ConformerSet) -> str:
    """Return what tells a set from another: its geometries, their order, and its labels."""
    hashed = hashlib.sha256(b"".join(data.id.tolist()))
    for level, labels in sorted(data.levels.items()):
        hashed.update(level.encode() + labels.energy.tobytes() + labels.has_energy.tobytes())
    return hashed.hexdigest()


def _joined(
    data: ConformerSet,
    level: str,
    store: Store,
    units: Sequence[Unit],
    reference_energies: dict[int, float],
) -> Labels:
    """Return labels of all conformers at a level: those that were there, and the new ones."""
    before = data.levels.get(level) or Labels.empty(len(data), data.n_atoms)
    made: dict[str, Any] = {
        "energy": before.energy.copy(),
        "forces": before.forces.astype(np.float64),
        "stress": np.zeros((len(data), 3, 3)) if before.stress is None else before.stress.copy(),
        "has_energy": before.has_energy.copy(),
        "has_forces": before.has_forces.copy(),
        "has_stress": before.has_stress.copy(),
    }
    rows: dict[bytes, list[int]] = {}
    for row, name in enumerate(data.id.tolist()):
        rows.setdefault(name, []).append(row)
    for unit in units:
        if not (store.folder(unit.key) / "set").exists():
            continue
        found = read_set(store, unit.key)
        labels = found.labels(level)
        for i, name in enumerate(found.id.tolist()):
            for row in rows[name]:
                made["forces"][data.atoms_slice(row)] = labels.forces[found.atoms_slice(i)]
                made["energy"][row] = labels.energy[i]
                made["has_energy"][row] = made["has_forces"][row] = True
                if labels.stress is not None:
                    made["stress"][row] = labels.stress[i]
                    made["has_stress"][row] = labels.has_stress[i]
    if not made["has_stress"].any():
        del made["stress"], made["has_stress"]
    return Labels(**made, reference_energies={**before.reference_energies, **reference_energies})


def _kind(reason: str) -> str:
    """Return what a reason is counted by: without the level and the details."""
    parts = reason.split(": ")
    return ": ".join(parts[1:3]) if len(parts) > 2 else reason
