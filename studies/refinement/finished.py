"""Experiment (iv): every design and replicate of a finished trade-off study."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity import ConfigurationError
from ...diversity.randomness import ordering
from ..executor import run_units
from ..plan import PLAN, finished, study_of
from ..results import load
from ..specs import DesignSpec
from ..store import Store
from ..units import Unit
from .question import ModelsSection
from .systems import FEWEST, IN_DISTRIBUTION, Experiment, System, TrainingSet, halves

#: Hold-outs of a trade-off study that are systems here, and the shift that each is.
SHIFTS = {
    "seen_conformers": IN_DISTRIBUTION,
    "unseen_molecules": "new_molecule",
    "unseen_scaffolds": "new_scaffold",
    "larger_molecules": "larger",
    "unseen_elements": "new_element",
    "high_forces": "high_force",
}


def prepare_models(
    section: ModelsSection, seed: int, store: Store, executor: Executor
) -> Experiment:
    """Take models, data and hold-outs of a finished study; see `ModelsSection`.

    Raises
    ------
    ConfigurationError
        If the folder is none of a finished trade-off study, or its pool has no prior.
    """
    run = section.run
    plan = study_plan(run)
    asked = plan["configuration"]
    prior = asked["pool"]["prior"]
    if prior is None:
        raise ConfigurationError(
            f"{run} has labels of no prior (pool.prior is null), and refinement needs one. Make "
            "the study with pool.prior=mmff94."
        )
    theirs = Store(run)
    predictions = load(run / "predictions.nc")
    full = predictions["updates_fraction"].values == 1.0
    data = copied_unit(theirs, pool_key(run), "set")
    names = predictions["conformer_id"].values.astype(str)
    keys = predictions["molecule"].values.astype(str)
    test_sets = predictions["test_set"].values.astype(str).tolist()
    member = predictions["member"].values

    replicates = predictions["model_replicate"].values
    systems: dict[str, System] = {}
    tested: dict[int, dict[str, System]] = {}
    for replicate in np.unique(replicates[full]).tolist():
        # What all designs of the replicate are tested on: of molecules that are trained on,
        # each replicate has its own.
        common = member[full & (replicates == replicate)].all(0)
        own = _systems(section, seed, names, keys, dict(zip(test_sets, common, strict=True)))
        tested[replicate] = own
        systems |= own
    designs: dict[tuple[int, int, str, str], DesignSpec] = {}
    columns = [predictions[name].values for name in DesignSpec._fields]
    modelled = (predictions["model_of"].values >= 0).any(axis=1)  # not where all diverged
    for row in zip(*(c[modelled].tolist() for c in columns), strict=True):
        spec = DesignSpec(*row)
        designs.setdefault(spec.cell, spec)
    rows = {cell: place for place, cell in enumerate(designs)}
    sets, fits = [], []
    for model in np.flatnonzero(full):
        cell = tuple(
            predictions[f"model_{name}"].values[model].item() for name in DesignSpec._fields[1:]
        )
        unit = theirs.unit(str(predictions["fit"].values[model]))
        fit = theirs.unit(unit.inputs["fit"])
        fits.append(copied_unit(theirs, fit.key, "potential"))
        train = tuple(theirs.unit(fit.inputs["train"]).parameters["ids"])
        replicate = int(predictions["model_replicate"].values[model])
        sets.append(
            TrainingSet(replicate, train, fit.seed, tuple(tested[replicate]), rows[cell], fits[-1])
        )
    run_units(store, [data, *fits], executor)
    training = asked["training"]
    return Experiment(
        name="models",
        data=data,
        level=asked["pool"]["engine"],
        priors=(prior,),
        systems=tuple(systems.values()),
        sets=tuple(sets),
        designs=tuple(designs.values()),
        relative=bool(training["relative_energies"]),
        training=training,
        potential=asked["potential"],
    )


def _systems(
    section: ModelsSection,
    seed: int,
    names: np.ndarray,
    keys: np.ndarray,
    members: Mapping[str, np.ndarray],
) -> dict[str, System]:
    """Return some molecules of every hold-out as systems, by name."""
    systems: dict[str, System] = {}
    for hold_out, shift in SHIFTS.items():
        shared = members.get(hold_out, np.zeros(len(names), dtype=bool))
        found, counts = np.unique(keys[shared], return_counts=True)
        found = found[counts >= FEWEST]
        for key in found[ordering(f"{seed} {hold_out}", found.tolist())][: section.n_tested]:
            ids = names[shared & (keys == key)].tolist()
            # Conformers of high forces are of molecules that are unseen ones too.
            name = f"{key} ({shift.replace('_', ' ')})" if str(key) in systems else str(key)
            systems[name] = halves(name, "models", shift, ids, n=section.n_structures, seed=seed)
    return systems


def study_plan(run: Path) -> dict[str, Any]:
    """Return the plan of a finished trade-off study.

    Raises
    ------
    ConfigurationError
        If the folder holds none.
    """
    if study_of(run) != "tradeoff" or not finished(run):
        raise ConfigurationError(
            f"{run} is not the folder of a finished trade-off study. Make one with: breadth study "
            f"tradeoff --preset demo --out {run}"
        )
    plan: dict[str, Any] = json.loads((run / PLAN).read_text())
    return plan


def pool_key(run: Path) -> str:
    """Return the key of the unit behind the pool of a finished study."""
    return (run / "pool").resolve().parent.name


def copied_unit(theirs: Store, key: str, part: str) -> Unit:
    """Return the unit that copies a part of another study's unit, whose folder never changes."""
    return Unit("copied", 1, {"folder": str(theirs.folder(key).resolve()), "part": part})


def run_copied(unit: Unit, store: Store, folder: Path) -> None:
    """Copy a part of another study's unit."""
    source = Path(unit.parameters["folder"]) / unit.parameters["part"]
    shutil.copytree(source, folder / unit.parameters["part"])
