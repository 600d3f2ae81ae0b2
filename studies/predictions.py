"""Gather what models predicted into one labelled Dataset, `predictions.nc`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ..diversity import ConformerSet
from .models import divergence, read_predictions
from .pool import rows_by_id
from .specs import CELL_FIELDS, DesignSpec
from .store import Store


@dataclass(frozen=True)
class Evaluation:
    """One model's evaluation: which cell it is of, and which conformers stand in which test set.

    Parameters
    ----------
    predictions : str
        Key of the unit that predicted.
    spec : DesignSpec
        A design that the cell is of.
    replicate : int
    updates_fraction : float
        1 for all updates, 0.25 for the check.
    members : mapping of str to sequence of str
        Conformer ids by test set.
    """

    predictions: str
    spec: DesignSpec
    replicate: int
    updates_fraction: float
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)


def gather_predictions(
    store: Store,
    pool: ConformerSet,
    evaluations: Sequence[Evaluation],
    designs: Sequence[DesignSpec],
    *,
    level: str,
    prior: str | None,
) -> xr.Dataset:
    """Return every prediction; the layout is that of `breadth.analysis.tradeoff.predictions`.

    Models that diverged are not among its models.

    Parameters
    ----------
    store : Store
        Where the predictions are.
    pool : ConformerSet
        Holds the reference labels of every test conformer.
    evaluations : sequence of Evaluation
    designs : sequence of DesignSpec
    level, prior : str
        Levels of theory of the reference and, if any, of the cheap prior.
    """
    replicates = sorted({e.replicate for e in evaluations})
    tested = sorted({i for e in evaluations for ids in e.members.values() for i in ids})
    structures = pool.select(rows_by_id(pool, tested))
    place = {name: row for row, name in enumerate(tested)}
    test_sets = list(dict.fromkeys(name for e in evaluations for name in e.members))
    evaluations = [e for e in evaluations if divergence(store, e.predictions) is None]
    reference = structures.labels(level)
    n, a, m = len(structures), structures.n_atoms, len(evaluations)
    energy = np.full((m, n), np.nan)
    forces = np.full((m, a, 3), np.nan, dtype=np.float32)
    member = np.zeros((m, len(test_sets), n), dtype=bool)
    for row, evaluation in enumerate(evaluations):
        ids, energies, all_forces = read_predictions(store, evaluation.predictions)
        rows = np.array([place[i] for i in ids], dtype=np.int64)
        energy[row, rows] = energies
        atoms = np.concatenate([np.arange(*structures.offsets[[r, r + 1]]) for r in rows])
        forces[row, atoms] = all_forces
        for column, name in enumerate(test_sets):
            member[row, column, [place[i] for i in evaluation.members.get(name, ())]] = True

    def model_of(fraction: float) -> np.ndarray:
        table = {
            (e.spec.cell, e.replicate): row
            for row, e in enumerate(evaluations)
            if e.updates_fraction == fraction
        }
        return np.array([[table.get((d.cell, r), -1) for r in replicates] for d in designs])

    ev, per_angstrom = {"units": "eV"}, {"units": "eV/angstrom"}
    counts = {"sample_dimension": "atom", "long_name": "atoms per structure"}
    dataset = xr.Dataset(
        {
            "conformer_id": ("structure", np.array(tested, dtype=np.str_)),
            "molecule": ("structure", structures.molecules.key[structures.molecule]),
            "smiles": ("structure", structures.smiles),
            "n_atoms": ("structure", structures.counts, counts),
            "energy_reference": ("structure", reference.energy, ev),
            "atomic_number": ("atom", structures.numbers),
            "forces_reference": (("atom", "xyz"), reference.forces, per_angstrom),
            "energy": (("model", "structure"), energy, ev),
            "forces": (("model", "atom", "xyz"), forces, per_angstrom),
            "member": (("model", "test_set", "structure"), member),
            "model_of": (("design", "replicate"), model_of(1.0)),
            "model_of_quarter": (("design", "replicate"), model_of(0.25)),
        },
        coords={
            "test_set": np.array(test_sets, dtype=np.str_),
            **{
                name: ("design", np.array([getattr(d, name) for d in designs]))
                for name in DesignSpec._fields
            },
            "replicate": np.array(replicates),
            **{
                f"model_{name}": (
                    "model",
                    np.array([getattr(e.spec, name) for e in evaluations]),
                )
                for name in CELL_FIELDS
            },
            "model_replicate": ("model", np.array([e.replicate for e in evaluations])),
            "updates_fraction": ("model", np.array([e.updates_fraction for e in evaluations])),
            "fit": ("model", np.array([e.predictions for e in evaluations], dtype=np.str_)),
        },
        attrs={"level": level},
    )
    if prior is not None:
        cheap = structures.labels(prior)
        there = cheap.has_forces[structures.atom_conformer][:, None]
        dataset["energy_prior"] = (
            "structure",
            np.where(cheap.has_energy, cheap.energy, np.nan),
            ev,
        )
        dataset["forces_prior"] = (
            ("atom", "xyz"),
            np.where(there, cheap.forces, np.nan).astype(np.float32),
            per_angstrom,
        )
        dataset.attrs["prior"] = prior
    return dataset
