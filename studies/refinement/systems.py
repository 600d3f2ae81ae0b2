"""What an experiment is: labelled data, training sets by replicate, and systems to test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...diversity import ConformerSet, ShortageError, concat, read, write
from ...diversity.randomness import ordering, seed_sequence
from ...sampling.labels import label_chunk
from ..pool import by_id, read_set
from ..registry import label_engine
from ..specs import DesignSpec
from ..store import Store
from ..units import Unit

IN_DISTRIBUTION = "in_distribution"
#: Structures of a system, at least: a half of one has no spread.
FEWEST = 4


@dataclass(frozen=True)
class System:
    """One system to be tested: a molecule, under one kind of shift.

    Parameters
    ----------
    name : str
        Unique in the study.
    experiment, shift : str
    adapted, held : tuple of str
        Conformer ids: what methods may adapt on, and what they never see.
    """

    name: str
    experiment: str
    shift: str
    adapted: tuple[str, ...]
    held: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all its conformers, the adapted half first."""
        return self.adapted + self.held


@dataclass(frozen=True)
class TrainingSet:
    """What one replicate, of one design where there are several, learns from and is tested on.

    Parameters
    ----------
    replicate : int
    train : tuple of str
        Conformer ids.
    seed : int
        Of initial weights and the order of data.
    systems : tuple of str
        Names of the systems that it is tested on.
    design : int
        Row of the design.
    fitted : Unit or None
        A finished fit that is `none`, where there is one already.
    """

    replicate: int
    train: tuple[str, ...]
    seed: int
    systems: tuple[str, ...]
    design: int = 0
    fitted: Unit | None = None


@dataclass(frozen=True)
class Experiment:
    """One experiment, labelled and divided.

    Parameters
    ----------
    name : str
    data : Unit
        A finished unit whose set holds every conformer, with labels of all levels.
    level : str
        Reference level of theory.
    priors : tuple of str
        Cheap levels, the study's prior first.
    systems : tuple of System
    sets : tuple of TrainingSet
    designs : tuple of DesignSpec
        Where training sets are those of a trade-off study.
    relative : bool
        Energies compare within a molecule alone: there are no isolated atoms.
    training, potential : mapping
        What a finished study trained with; empty elsewhere.
    warnings : tuple of str
    """

    name: str
    data: Unit
    level: str
    priors: tuple[str, ...]
    systems: tuple[System, ...]
    sets: tuple[TrainingSet, ...]
    designs: tuple[DesignSpec, ...] = ()
    relative: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)
    potential: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def prior(self) -> str:
        """The prior of every method that names no other."""
        return self.priors[0]

    def tested(self, training_set: TrainingSet) -> list[System]:
        """Return the systems that a training set is tested on."""
        names = set(training_set.systems)
        return [system for system in self.systems if system.name in names]


def replicate_seed(seed: int, *names: str | int) -> int:
    """Return the seed of a replicate's choice of data, initial weights and order of data."""
    return int(seed_sequence(seed, "refinement", *names).generate_state(1)[0])


def halves(
    name: str, experiment: str, shift: str, ids: Iterable[str], *, n: int, seed: int
) -> System:
    """Divide the first `n` conformers of a system, in the seed's order, into two halves.

    Raises
    ------
    ShortageError
        If there are fewer than four.
    """
    known = list(ids)
    chosen = [known[i] for i in ordering(f"{seed} system {experiment} {shift}", known)][:n]
    if len(chosen) < FEWEST:
        raise ShortageError(
            f"The system {name!r} ({shift}) has {len(chosen)} labelled structures, and both halves "
            "need two. Ask for more geometries or leave it out."
        )
    half = len(chosen) // 2
    return System(name, experiment, shift, tuple(chosen[:half]), tuple(chosen[half:]))


def frames_unit(path: Path, ids: Iterable[str], *, digest: str, level: str) -> Unit:
    """Return the unit that takes some frames of a file."""
    parameters = {"path": str(path), "digest": digest, "level": level, "ids": sorted(ids)}
    return Unit("frames", 1, parameters)


def run_frames(unit: Unit, store: Store, folder: Path) -> None:
    """Take some frames of a file."""
    found = read(unit.parameters["path"], level=unit.parameters["level"])
    write(by_id(found, unit.parameters["ids"]), folder / "set")


def prior_unit(labelled: Unit, levels: Sequence[str]) -> Unit:
    """Return the unit that labels a unit's set at cheap levels too."""
    return Unit("prior_labels", 1, {"levels": list(levels)}, {"set": labelled.key})


def run_prior_labels(unit: Unit, store: Store, folder: Path) -> None:
    """Label a set at cheap levels; a conformer that one cannot treat keeps its other labels."""
    if not (store.folder(unit.inputs["set"]) / "set").exists():
        return
    conformers = read_set(store, unit.inputs["set"])
    for level in unit.parameters["levels"]:
        conformers = conformers.with_level(level, label_chunk(conformers, label_engine(level)))
    write(conformers, folder / "set")


def joined_unit(parts: Iterable[Unit]) -> Unit:
    """Return the unit that joins the sets of other units, levels as they are."""
    keys = sorted({part.key for part in parts})
    return Unit("joined", 1, {}, {f"part-{i:05d}": key for i, key in enumerate(keys)})


def run_joined(unit: Unit, store: Store, folder: Path) -> None:
    """Join sets."""
    keys = sorted(unit.inputs.values())
    parts = [read_set(store, key) for key in keys if (store.folder(key) / "set").exists()]
    write(concat(parts), folder / "set")


def chunks(ids: Sequence[str], size: int = 200) -> list[list[str]]:
    """Divide ids into chunks for units."""
    ordered = sorted(ids)
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def overlap_warnings(experiment: Experiment, data: ConformerSet) -> tuple[str, ...]:
    """Say which test conformers, and which molecules said to be new, are trained on."""
    warnings = []
    constitution = dict(
        zip(data.id.astype("U32").tolist(), data.constitution.astype(str).tolist(), strict=True)
    )
    for one in experiment.sets:
        train = set(one.train)
        molecules = {constitution[i] for i in train}
        for system in experiment.tested(one):
            shared = train.intersection(system.ids)
            if shared:
                warnings.append(
                    f"{experiment.name}, replicate {one.replicate}: {len(shared)} conformers of "
                    f"{system.name!r} are trained on. Its error flatters every method."
                )
            elif (system.shift.startswith("new") or system.shift == "larger") and constitution[
                system.ids[0]
            ] in molecules:
                warnings.append(
                    f"{experiment.name}, replicate {one.replicate}: other conformers of "
                    f"{system.name!r} are trained on, so it is no new molecule."
                )
    return tuple(warnings)
