"""Where the potential of a method for a system is kept: a fit, or one adapted to the system."""

from __future__ import annotations

from pathlib import Path

from ..store import Store
from ..units import Unit
from .methods import Work
from .refining import kept_potential, kind_of
from .systems import Experiment, TrainingSet

#: What a calculation at the labels' level is called among methods.
REFERENCE = "reference"


def source_of(
    work: Work, experiment: Experiment, one: TrainingSet, system: str, method: str
) -> Unit | None:
    """Return the unit that holds the potential of a method for a system."""
    if kind_of(method) == "test_time":
        for done in work.refined:
            if done.experiment.name == experiment.name and done.one == one:
                asked = done.unit.parameters
                if asked["method"] == method and system in asked["kept"]:
                    return done.unit
        return None
    key = (experiment.name, one.design, one.replicate, method)
    return work.fits[key][0] if key in work.fits else None


def potential_folder(store: Store, unit: Unit) -> Path:
    """Return the folder of the potential that a unit reads: of a fit, or adapted to its system."""
    source = store.unit(unit.inputs["potential"])
    if source.kind == "refinement":
        return kept_potential(store, source, unit.parameters["system"])
    return store.folder(source.key) / "potential"
