"""Where a study of fine-tuning begins: the universal model, start geometries, other molecules."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from ...diversity import ConfigurationError, ShortageError, read, write
from ...diversity.randomness import seed_sequence
from ...sampling.geometries import GeometrySettings, sample_chunk
from ...sampling.molecules import Molecule
from ...sampling.sources import minima_of
from ...training import PRETRAINED, Potential, TrainingConfig, load_potential
from ...training.checkpoints import saved_kind
from ...training.potentials import kind_of
from ...training.refinement import fine_tuning_config
from ..registry import potential
from ..sources import in_order, listed_molecules, source_digest
from ..store import Store
from ..units import Unit
from .question import FinetuningConfiguration

#: Most start geometries; runs at the level of the labels take one after another.
MAX_MINIMA = 5
#: In K: of the displacements of other molecules.
TEMPERATURE = 300.0
#: More molecules than asked are tried, since some cannot be sampled or charged.
SPARE = 3


def replicate_seed(seed: int, replicate: int) -> int:
    """Return the seed of a replicate's velocities, noise and order of data."""
    return int(seed_sequence(seed, "finetuning", replicate).generate_state(1)[0])


def universal_of(asked: FinetuningConfiguration) -> dict[str, str]:
    """Return what names the universal model in units: its name, and the contents of its files."""
    return named(asked.potential)


def named(name: str) -> dict[str, str]:
    """Return a name with a digest of the files behind it, such as ``model:FOLDER``.

    What comes from no file is its name alone.
    """
    bare = name.removeprefix("model:").removeprefix("mace:")
    place = Path(bare)
    if bare in PRETRAINED or not place.exists():
        return {"name": name}
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return {"name": name.removesuffix(bare) + str(place.absolute()), "digest": digest}


def tuning_of(asked: FinetuningConfiguration) -> TrainingConfig:
    """Return how every model is fine-tuned: what is asked, over the defaults of its kind.

    Resolved in the plan, so that units of one key are made with equal settings.

    Raises
    ------
    ConfigurationError
        If a key or a value is none of the training's.
    """
    folder = Path(asked.potential)
    if asked.potential not in PRETRAINED and folder.is_dir():
        kind = saved_kind(folder)
    else:
        kind = kind_of(asked.potential.partition(":")[0])
    defaults = fine_tuning_config(kind, asked.fine_tuning.what).model_dump()
    try:
        return TrainingConfig(**(defaults | asked.fine_tuning.training))
    except ValueError as error:
        raise ConfigurationError(f"fine_tuning.training: {error}") from None


def read_model(store: Store, unit: Unit) -> Potential:
    """Return the model of a unit: that of its fit, or the universal one where it reads no fit."""
    if "fit" in unit.inputs:
        found, _ = load_potential(store.folder(unit.inputs["fit"]) / "potential")
        return found
    return potential(unit.parameters["universal"]["name"])


def start_unit(asked: FinetuningConfiguration) -> Unit:
    """Return the unit of the start geometries."""
    system = asked.system
    if system.path is None:
        return Unit("start", 1, {"smiles": system.smiles, "name": name_of(asked)}, {}, asked.seed)
    try:
        digest = hashlib.sha256(system.path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"Cannot read system.path={system.path}: {error.strerror}. Name a file of structures, "
            "or give system.smiles."
        ) from None
    return Unit("start", 1, {"path": str(system.path.absolute()), "digest": digest})


def name_of(asked: FinetuningConfiguration) -> str:
    """Return what tables and figures call the system."""
    system = asked.system
    return system.name or (system.path.stem if system.path else system.smiles)


def run_start(unit: Unit, store: Store, folder: Path) -> None:
    """Write MMFF94 minima of the molecule, or the first structure of the file."""
    if "path" in unit.parameters:
        start = read(unit.parameters["path"]).select([0])
    else:
        molecule = Molecule(unit.parameters["name"], unit.parameters["smiles"])
        start = minima_of([molecule], seed=unit.seed, max_minima=MAX_MINIMA)
    write(start, folder / "set")


def original_unit(asked: FinetuningConfiguration) -> Unit:
    """Return the unit of other molecules: those of forgetting, and those of replay."""
    section = asked.original_domain
    parameters: dict[str, Any] = {
        "molecules": None if section.molecules is None else str(section.molecules.absolute()),
        "digest": source_digest(section.molecules),
        "n_molecules": section.n_molecules,
        "n_conformers": section.n_conformers,
        "replay": -(-asked.fine_tuning.replay // section.n_conformers),
        "without": asked.system.smiles if asked.system.path is None else "",
    }
    return Unit("other_molecules", 1, parameters, {}, asked.seed)


def run_original(unit: Unit, store: Store, folder: Path) -> None:
    """Displace minima of other molecules; ``set`` is for forgetting, ``replay`` for replay.

    Neutral closed shells, since every universal model is trained on these, of a constitution
    other than the system's.
    """
    asked = unit.parameters
    n, wanted = asked["n_molecules"], asked["n_molecules"] + asked["replay"]
    without = Molecule("system", asked["without"]).constitution if asked["without"] else ""
    source = None if asked["molecules"] is None else Path(asked["molecules"])
    found = []
    for molecule in in_order(unit.seed, listed_molecules(source), of_library=False):
        if molecule.constitution == without or Chem.GetFormalCharge(molecule.rdkit):
            continue
        found.append(molecule)
        if len(found) == SPARE + wanted + wanted // 10:
            break
    settings = GeometrySettings(temperature=TEMPERATURE)
    conformers, _ = sample_chunk(
        found, n_conformers=asked["n_conformers"], seed=unit.seed, settings=settings
    )
    there = 0 if conformers is None else len(conformers.molecules)
    if conformers is None or there < wanted:
        raise ShortageError(
            f"Only {there} of {wanted} other molecules could be sampled. Lower "
            "original_domain.n_molecules, or give more as original_domain.molecules."
        )
    order = {key: place for place, key in enumerate(dict.fromkeys(conformers.molecule.tolist()))}
    place = np.array([order[m] for m in conformers.molecule.tolist()])
    write(conformers.select(place < n), folder / "set")
    if asked["replay"]:
        write(conformers.select((place >= n) & (place < wanted)), folder / "replay")
