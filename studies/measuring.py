"""Units that measure training sets, and their measures beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..diversity import ConformerSet
from ..diversity.descriptors import CompactDescriptor
from ..diversity.fingerprints import FINGERPRINT_BITS
from ..diversity.measures.conformational import conformational_measures
from ..diversity.measures.environments import environment_measures
from ..diversity.measures.partition import partition
from ..diversity.measures.structural import structural_measures
from .pool import by_id, read_set, selected
from .specs import DesignSpec
from .store import Store
from .units import Unit

#: Every measure that sets of equal purpose can be compared by, as its place in the report of
#: `breadth measure`, and its unit. The entropy of environments is the partition's total.
MEASURES: dict[str, str] = {
    "n_molecules": "1",
    "n_conformers": "1",
    **{f"structural.fingerprints.{kind}.internal_diversity": "1" for kind in FINGERPRINT_BITS},
    **{f"structural.fingerprints.{kind}.circles": "1" for kind in FINGERPRINT_BITS},
    **{f"structural.fingerprints.{kind}.vendi.q1": "1" for kind in FINGERPRINT_BITS},
    **{
        f"structural.richness.{kind}.q1": "1"
        for kind in ("elements", "formulas", "scaffolds", "ring_systems", "functional_groups")
    },
    "conformational.rmsd.all": "angstrom",
    "conformational.rmsd.within_basin": "angstrom",
    "conformational.rmsd.across_basins": "angstrom",
    "conformational.torsion_fingerprint_deviation": "1",
    "conformational.torsions.entropy": "nat",
    "conformational.torsions.coverage": "1",
    "conformational.basins.q1": "1",
    "conformational.bonds.sd": "angstrom",
    "conformational.bonds.coverage": "1",
    "conformational.angles.sd": "degree",
    "conformational.angles.coverage": "1",
    "conformational.energies.sd": "eV",
    "conformational.forces.mean_norm": "eV/angstrom",
    "conformational.forces.sd_norm": "eV/angstrom",
    "conformational.n_minima": "1",
    "environments.entropy": "nat",
    "environments.diversity": "nat",
    "partition.conformational": "nat",
    "partition.intramolecular": "nat",
    "partition.structural": "nat",
    "partition.structures.conformational": "nat",
    "partition.structures.structural": "nat",
}


def measures_unit(*, pool: Unit, train: Unit, level: str, seed: int) -> Unit:
    """Return the unit that measures the conformers of a selection."""
    return Unit("measures", 2, {"level": level}, {"pool": pool.key, "train": train.key}, seed)


def run_measures(unit: Unit, store: Store, folder: Path) -> None:
    """Measure a training set."""
    pool = read_set(store, unit.inputs["pool"])
    train = by_id(pool, selected(store, unit.inputs["train"]))
    measured = set_measures(train, level=unit.parameters["level"], seed=unit.seed)
    (folder / "measures.json").write_text(json.dumps(measured, indent=1))


def set_measures(conformers: ConformerSet, *, level: str, seed: int) -> dict[str, float | None]:
    """Return each of `MEASURES`; None where a set has no such value.

    About 2 s for 600 conformers of 16 atoms on one core.
    """
    featurizer = CompactDescriptor()
    divided: dict[str, Any] = partition(conformers, featurizer=featurizer, seed=seed).as_dict()
    divided["structures"] = partition(
        conformers, featurizer=featurizer, level="structures", seed=seed
    ).as_dict()
    report = {
        "n_molecules": conformers.n_molecules,
        "n_conformers": len(conformers),
        "structural": structural_measures(conformers, seed=seed),
        "conformational": conformational_measures(conformers, level=level, seed=seed),
        "environments": environment_measures(conformers, featurizer=featurizer, seed=seed),
        "partition": divided,
    }
    return {name: value_at(report, name) for name in MEASURES}


def value_at(report: Mapping[str, Any], name: str) -> float | None:
    """Return the number at a place of a report: itself, its ``value`` or its ``mean``.

    Examples
    --------
    >>> value_at({"rmsd": {"all": {"mean": 0.5, "q25": 0.3}}}, "rmsd.all")
    0.5
    >>> value_at({"fingerprints": None, "reason": "periodic"}, "fingerprints.morgan.circles")
    """
    found: Any = report
    for part in name.split("."):
        found = found[part]
        if found is None:
            return None
    if isinstance(found, Mapping):
        found = found["value"] if "value" in found else found["mean"]
    return None if found is None else float(found)


def gather_measures(
    store: Store,
    units: Mapping[tuple[tuple[int, int, str, str], int], Unit],
    designs: Sequence[DesignSpec],
    n_replicates: int,
) -> xr.DataArray:
    """Return the measures of every training set, by design and replicate.

    Parameters
    ----------
    store : Store
    units : mapping of (cell, replicate) to Unit
        Finished units of `measures_unit`.
    designs : sequence of DesignSpec
    n_replicates : int
    """
    values = np.full((len(designs), n_replicates, len(MEASURES)), np.nan)
    for row, design in enumerate(designs):
        for replicate in range(n_replicates):
            folder = store.folder(units[design.cell, replicate].key)
            found = json.loads((folder / "measures.json").read_text())
            for column, name in enumerate(MEASURES):
                if found[name] is not None:
                    values[row, replicate, column] = found[name]
    return xr.DataArray(
        values,
        dims=("design", "replicate", "measure"),
        coords={
            "measure": list(MEASURES),
            "measure_units": ("measure", list(MEASURES.values())),
        },
        attrs={
            "units": "see measure_units",
            "long_name": "measures of the training set, places in the report of breadth measure",
            "missing": "NaN: the set has no such value, such as torsions of single conformers",
        },
    )
