"""Experiments (ii) and (iii): molecules of revised MD17, and acetylacetone that gets hotter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ...diversity import ConfigurationError, ConformerSet, DataError, read, write
from ...diversity.randomness import ordering
from ..executor import run_units
from ..pool import read_set
from ..pooling import Tell, counter
from ..store import Store
from ..units import Unit
from .question import AcacSection, Rmd17Section
from .systems import (
    IN_DISTRIBUTION,
    Experiment,
    System,
    TrainingSet,
    chunks,
    frames_unit,
    halves,
    joined_unit,
    prior_unit,
    replicate_seed,
)

#: The molecules of revised MD17.
MOLECULES = (
    *("aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde"),
    *("naphthalene", "paracetamol", "salicylic", "toluene", "uracil"),
)
#: What a prior's label of one frame takes: seconds of one core, measured with GFN1-xTB.
SECONDS_PER_LABEL = 0.008


@dataclass(frozen=True)
class Frames:
    """The frames of one file, and their ids in the order of the seed."""

    path: Path
    digest: str
    frames: ConformerSet
    ids: tuple[str, ...]


def read_frames(path: Path, *, level: str, seed: int, section: str) -> Frames:
    """Read a file of one molecule's frames.

    Raises
    ------
    ConfigurationError
        If it is not there; the message says how to leave the experiment out.
    """
    if not path.exists():
        raise ConfigurationError(
            f"{path} is not there. Give its folder as --set {section}.path=FOLDER, or leave the "
            f"experiment out with --set {section}=null."
        )
    frames = read(path, level=level)
    names = frames.id.astype("U32").tolist()
    unique = list(dict.fromkeys(names))
    order = tuple(unique[i] for i in ordering(f"{seed} {section}", unique))
    return Frames(path, hashlib.sha256(path.read_bytes()).hexdigest(), frames, order)


def prepare_rmd17(
    section: Rmd17Section, replicates: int, seed: int, store: Store, executor: Executor, tell: Tell
) -> Experiment:
    """Choose frames, label them by the prior and divide; see `Rmd17Section`."""
    triples = training_triples(section, seed)
    trained = [triples[0]] * replicates if len(triples) == 1 else triples

    def frames(name: str, part: str) -> Frames:
        path = section.path / f"rmd17_{name}_{part}_01.npz"
        return read_frames(path, level=section.level, seed=seed, section="rmd17")

    used = sorted({name for triple in triples for name in triple})
    sources = {name: frames(name, "train") for name in used}
    tests: dict[str, Frames] = {}
    systems: dict[str, System] = {}
    sets = []
    for replicate, triple in enumerate(trained):
        own = replicate_seed(seed, "rmd17", replicate)
        train: list[str] = []
        for name in triple:
            ids = sources[name].ids
            chosen = [ids[i] for i in ordering(f"{own} frames", ids)]
            if len(chosen) < section.n_trained:
                raise DataError(f"{sources[name].path} has {len(chosen)} frames, too few.")
            train += chosen[: section.n_trained]
        new = section.tested if len(triples) == 1 and section.tested else MOLECULES
        names = []
        for name, shift in (
            *((name, IN_DISTRIBUTION) for name in triple),
            *((name, "new_molecule") for name in new if name not in triple),
        ):
            tests.setdefault(name, frames(name, "test"))
            # Of several training sets, one trains on what is new to another.
            known = len(triples) > 1 and shift == IN_DISTRIBUTION
            label = f"{name}, trained on" if known else name
            names.append(label)
            systems[label] = halves(
                label, "rmd17", shift, tests[name].ids, n=section.n_structures, seed=seed
            )
        sets.append(TrainingSet(replicate, tuple(train), own, tuple(names)))
    wanted = {i for one in sets for i in one.train} | {i for s in systems.values() for i in s.ids}
    data = _label(
        [*sources.values(), *tests.values()], wanted, section.prior, section.level,
        store, executor, tell, "rmd17",
    )  # fmt: skip
    return Experiment(
        name="rmd17",
        data=data,
        level=section.level,
        priors=(section.prior,),
        systems=tuple(systems.values()),
        sets=tuple(sets),
        relative=True,
    )


def training_triples(section: Rmd17Section, seed: int) -> list[tuple[str, ...]]:
    """Return the training sets of an rMD17 experiment, `trained` first.

    Raises
    ------
    ConfigurationError
        If a molecule is unknown, or more triples are asked for than there are.
    """
    for name in (*section.trained, *section.tested):
        if name not in MOLECULES:
            raise ConfigurationError(
                f"rmd17: {name!r} is none of its molecules: {', '.join(MOLECULES)}."
            )
    if shared := set(section.trained) & set(section.tested):
        raise ConfigurationError(
            f"rmd17: {sorted(shared)[0]} is trained on and tested as new. Take it out of one list."
        )
    first = tuple(section.trained)
    if not section.n_triples:
        return [first]
    others = [t for t in combinations(MOLECULES, 3) if set(t) != set(first)]
    if section.n_triples > len(others) + 1:
        raise ConfigurationError(f"rmd17.n_triples: there are {len(others) + 1} triples.")
    order = ordering(f"{seed} triples", ["+".join(t) for t in others])
    return [first, *(others[i] for i in order[: section.n_triples - 1])]


def prepare_acac(
    section: AcacSection, replicates: int, seed: int, store: Store, executor: Executor, tell: Tell
) -> Experiment:
    """Choose frames, label them by the prior and divide; see `AcacSection`."""

    def frames(name: str) -> Frames:
        path = section.path / f"{name}.xyz"
        return read_frames(path, level=section.level, seed=seed, section="acac")

    source = frames("train_300K")
    tests = {
        ("300 K", IN_DISTRIBUTION): (frames("test_MD_300K"), section.n_structures),
        ("600 K", "hotter"): (frames("test_MD_600K"), section.n_structures),
        # The error of a profile is one of the whole profile.
        ("dihedral scan", "scan"): (frames("test_dihedral"), 10**6),
        ("hydrogen transfer", "scan"): (frames("test_H_transfer"), 10**6),
    }
    systems = tuple(
        halves(f"acetylacetone, {name}", "acac", shift, found.ids, n=n, seed=seed)
        for (name, shift), (found, n) in tests.items()
    )
    sets = []
    for replicate in range(replicates):
        own = replicate_seed(seed, "acac", replicate)
        chosen = [source.ids[i] for i in ordering(f"{own} frames", source.ids)]
        train = tuple(chosen[: section.n_trained])
        sets.append(TrainingSet(replicate, train, own, tuple(s.name for s in systems)))
    wanted = {i for one in sets for i in one.train} | {i for s in systems for i in s.ids}
    atoms = read(section.path / "isolated_atoms.xyz", level=section.level)
    data = _label(
        [source, *(found for found, _ in tests.values())], wanted, section.prior, section.level,
        store, executor, tell, "acac", dict(atoms.labels(section.level).reference_energies),
    )  # fmt: skip
    return Experiment(
        name="acac",
        data=data,
        level=section.level,
        priors=(section.prior,),
        systems=systems,
        sets=tuple(sets),
    )


def run_anchored(unit: Unit, store: Store, folder: Path) -> None:
    """Give a set the energies of isolated atoms at a level."""
    found = read_set(store, unit.inputs["set"])
    level = unit.parameters["level"]
    energies = {int(z): e for z, e in unit.parameters["energies"].items()}
    labels = replace(found.labels(level), reference_energies=energies)
    write(found.with_level(level, labels), folder / "set")


def _label(
    files: Sequence[Frames],
    wanted: Iterable[str],
    prior: str,
    level: str,
    store: Store,
    executor: Executor,
    tell: Tell,
    name: str,
    atoms: dict[int, float] | None = None,
) -> Unit:
    """Label the wanted frames of files by the prior, and return the unit that joins them."""
    left = set(wanted)
    units, cheap = [], []
    for one in files:
        mine = left.intersection(one.ids)
        left -= mine
        for ids in chunks(sorted(mine)):
            units.append(frames_unit(one.path, ids, digest=one.digest, level=level))
            cheap.append(prior_unit(units[-1], [prior]))
    costs = {
        prior.key: SECONDS_PER_LABEL * len(unit.parameters["ids"])
        for unit, prior in zip(units, cheap, strict=True)
    }
    data = joined_unit(cheap)
    everything = [*units, *cheap, data]
    if atoms is not None:
        energies = {str(z): e for z, e in sorted(atoms.items())}
        parameters = {"level": level, "energies": energies}
        data = Unit("anchored", 1, parameters, {"set": data.key})
        everything.append(data)
    count = counter(tell, f"labels of {name}", len(everything))
    run_units(store, everything, executor, costs=costs, progress=count)
    return data


def reference_frames(*, path: str, name: str, level: str) -> np.ndarray:
    """Return positions (n, N, 3) in Å of all test frames of a molecule, for distances h(r)."""
    frames = read(Path(path) / f"rmd17_{name}_test_01.npz", level=level)
    return frames.positions.reshape(len(frames), -1, 3).astype(np.float64)
