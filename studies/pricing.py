"""What a pool will cost, and its labels in units that keep workers equally busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit.Chem import rdMolDescriptors

from ..diversity import ConformerSet
from ..sampling.molecules import Molecule
from ..sampling.sources import BY_ENGINE, SourceSettings
from .costs import CostModel, chunks, set_seconds, summary
from .pool import SECONDS, label_unit
from .registry import label_engine
from .units import Unit

if TYPE_CHECKING:
    from .pooling import PoolConfiguration

#: Seconds by the law above which the labels of one unit of geometries are several units.
DEAR = 600.0
#: Gradients that a relaxation takes, about.
_RELAXATION = 40


def label_units(
    geometries: Sequence[Unit],
    sampled: Sequence[ConformerSet | None],
    *,
    engine: str,
    prior: str | None,
) -> tuple[list[Unit], dict[str, float]]:
    """Return the units that label all geometries, and the seconds of each by the law.

    Parameters
    ----------
    geometries : sequence of Unit
    sampled : sequence of ConformerSet or None
        What each made.
    engine, prior : str
        Levels of theory.
    """
    units, costs = [], {}
    for unit, made in zip(geometries, sampled, strict=True):
        if made is None:
            continue
        total = set_seconds(engine, made)
        parts = [made.id.astype("U32").tolist()] if total <= DEAR else chunks(engine, made)
        for part in parts:
            labels = label_unit(unit, part, engine=engine, prior=prior)
            units.append(labels)
            costs[labels.key] = total * len(part) / len(made)
    return units, costs


def estimate_pool(
    asked: PoolConfiguration, molecules: Sequence[Molecule], *, workers: int
) -> dict[str, Any]:
    """Return what a pool would take, without making it: a few small molecules are labelled.

    Parameters
    ----------
    asked : PoolConfiguration
    molecules : sequence of Molecule
        Those that it would sample.
    workers : int
    """
    models = {
        level: CostModel.calibrate(level, label_engine(level))
        for level in dict.fromkeys(filter(None, (asked.engine, asked.prior)))
    }
    n = asked.n_conformers
    per_label = [models[asked.engine].seconds(m.numbers) for m in molecules]
    told = summary(per_label, n, models[asked.engine])
    core = sum(n * sum(model.seconds(m.numbers) for m in molecules) for model in models.values())
    geometries = _geometries(asked, molecules)
    core += geometries
    return {
        "molecules": len(molecules),
        "labels": n * len(molecules),
        "level": asked.engine,
        **told,
        "label_core_hours": told["core_hours"],
        "geometry_core_hours": geometries / 3600,
        "core_hours": core / 3600,
        "workers": workers,
        "minutes": round(core / workers / 60 + 0.05, 1),
    }


def _geometries(asked: PoolConfiguration, molecules: Sequence[Molecule]) -> float:
    """Return the seconds that the geometries take."""
    settings, n = asked.settings(), asked.n_conformers
    embedding = SECONDS["molecule"] * len(molecules)
    if not isinstance(settings, SourceSettings) or settings.method not in BY_ENGINE:
        return embedding + SECONDS["geometry"] * n * len(molecules)
    model = CostModel.calibrate(settings.surface, label_engine(settings.surface))
    total = embedding
    for molecule in molecules:
        # Starts are not known before the molecule is embedded: a rotor doubles or triples them.
        rotors = rdMolDescriptors.CalcNumRotatableBonds(molecule.rdkit)
        starts = min(settings.max_minima, 1 + 2 * rotors)
        if settings.method == "engine_modes":
            calls = starts * (_RELAXATION + 6 * len(molecule.numbers))
        else:
            calls = starts * settings.n_steps(int(np.ceil(n / starts)))
        total += calls * model.seconds(molecule.numbers)
    return total
