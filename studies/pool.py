"""Units that make a labelled pool: geometries, isolated atoms, label chunks, the pool itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..diversity import ConformerSet, Labels, SetAside, concat, read, write
from ..sampling.geometries import GeometrySettings, sample_chunk
from ..sampling.labels import isolated_atom_energies, label_chunk
from ..sampling.molecules import Molecule
from ..sampling.sources import BY_ENGINE, SourceSettings, sample_source
from .costs import core_seconds
from .registry import label_engine
from .store import Store
from .units import Unit

#: Measured seconds of one core: per molecule (minima), per geometry, per GFN2-xTB label.
SECONDS = {"molecule": 0.08, "geometry": 0.0015, "label": 0.0135, "start": 1.0}
#: File of a unit of labels: seconds of one core by level.
COST = "cost.json"


def geometry_units(
    molecules: Sequence[Molecule],
    *,
    n_conformers: int,
    settings: GeometrySettings | SourceSettings,
    seed: int,
    molecules_per_unit: int = 20,
) -> list[Unit]:
    """Return the units that draw `n_conformers` geometries of each molecule."""
    if isinstance(settings, SourceSettings):
        # One molecule where an engine is at work: minutes each, and nothing finished is lost.
        size = 1 if settings.method in BY_ENGINE else molecules_per_unit
        return [
            Unit(
                "sources",
                1,
                {
                    "molecules": [[m.name, m.smiles] for m in molecules[i : i + size]],
                    "first": i,
                    "n_conformers": n_conformers,
                    "settings": asdict(settings),
                },
                seed=seed,
            )
            for i in range(0, len(molecules), size)
        ]
    return [
        Unit(
            "geometries",
            1,
            {
                "molecules": [[m.name, m.smiles] for m in molecules[i : i + molecules_per_unit]],
                "n_conformers": n_conformers,
                "settings": asdict(settings),
            },
            seed=seed,
        )
        for i in range(0, len(molecules), molecules_per_unit)
    ]


def run_geometries(unit: Unit, store: Store, folder: Path) -> None:
    """Draw the geometries of some molecules."""
    molecules = [Molecule(name, smiles) for name, smiles in unit.parameters["molecules"]]
    conformers, aside = sample_chunk(
        molecules,
        n_conformers=unit.parameters["n_conformers"],
        seed=unit.seed,
        settings=GeometrySettings(**unit.parameters["settings"]),
    )
    if conformers is not None:
        write(conformers, folder / "set")
    write_aside(folder, aside)


def run_sources(unit: Unit, store: Store, folder: Path) -> None:
    """Draw geometries of some molecules by another way than displaced MMFF94 minima."""
    settings = SourceSettings(**unit.parameters["settings"])
    conformers, aside = sample_source(
        [Molecule(name, smiles) for name, smiles in unit.parameters["molecules"]],
        n_conformers=unit.parameters["n_conformers"],
        settings=settings,
        engine=label_engine(settings.surface) if settings.method in BY_ENGINE else None,
        seed=unit.seed,
        first=unit.parameters["first"],
    )
    if conformers is not None:
        write(conformers, folder / "set")
    write_aside(folder, aside)


def label_unit(geometries: Unit, wanted: Iterable[str], *, engine: str, prior: str | None) -> Unit:
    """Return the unit that labels some conformers of a unit of geometries.

    Parameters
    ----------
    geometries : Unit
    wanted : iterable of str
        Their ids.
    engine : str
        Level of theory of the labels.
    prior : str or None
        A cheap level that they are labelled at too.
    """
    return Unit(
        "labels",
        1,
        {"ids": sorted(wanted), "engine": engine, "prior": prior},
        {"geometries": geometries.key},
    )


def run_labels(unit: Unit, store: Store, folder: Path) -> None:
    """Label some conformers; those that fail are set aside with the reason."""
    conformers = by_id(read_set(store, unit.inputs["geometries"]), unit.parameters["ids"])
    aside: list[SetAside] = []
    levels: dict[str, Labels] = {}
    spent: dict[str, float] = {}
    for level in filter(None, (unit.parameters["engine"], unit.parameters["prior"])):
        engine, start = label_engine(level), core_seconds()
        labels = label_chunk(conformers, engine)
        spent[level] = core_seconds() - start
        aside += [
            SetAside(conformers.id[i].decode(), f"{level}: {why}")
            for i, why in labels.faults.items()
        ]
        levels[level] = labels
    for level, labels in levels.items():
        conformers = conformers.with_level(level, labels)
    labelled = conformers.labels(unit.parameters["engine"])
    conformers = conformers.select(labelled.has_energy & labelled.has_forces)
    if len(conformers):
        write(conformers, folder / "set")
    write_aside(folder, aside)
    (folder / COST).write_text(json.dumps(spent))


def measured_seconds(store: Store, labelled: Iterable[Unit]) -> dict[str, float]:
    """Return the seconds of one core that finished units took by level; empty if one has none."""
    total: dict[str, float] = {}
    for unit in labelled:
        path = store.folder(unit.key) / COST
        if not path.exists():  # of a version that did not measure
            return {}
        for level, spent in json.loads(path.read_text()).items():
            total[level] = total.get(level, 0.0) + spent
    return total


def run_atoms(unit: Unit, store: Store, folder: Path) -> None:
    """Compute the energies of isolated atoms in their ground spin state."""
    energies = isolated_atom_energies(
        unit.parameters["elements"], label_engine(unit.parameters["engine"])
    )
    (folder / "energies.json").write_text(json.dumps({str(z): e for z, e in energies.items()}))


def run_pool(unit: Unit, store: Store, folder: Path) -> None:
    """Join labelled chunks and the isolated atoms into one set."""
    level = unit.parameters["engine"]
    keys = [key for role, key in sorted(unit.inputs.items()) if role != "atoms"]
    parts = [read_set(store, key) for key in keys if (store.folder(key) / "set").exists()]
    energies = json.loads((store.folder(unit.inputs["atoms"]) / "energies.json").read_text())
    joined = concat(parts)
    labels = joined.labels(level)
    joined = joined.with_level(
        level,
        Labels(
            energy=labels.energy,
            forces=labels.forces,
            has_energy=labels.has_energy,
            has_forces=labels.has_forces,
            reference_energies={int(z): e for z, e in energies.items()},
        ),
    )
    write(joined, folder / "set")


def selection_unit(ids: Iterable[str]) -> Unit:
    """Return the unit that names some conformers of a pool, in the order given."""
    return Unit("selection", 1, {"ids": list(ids)})


def run_selection(unit: Unit, store: Store, folder: Path) -> None:
    """Write nothing but the unit itself, whose parameters are the selection."""


def selected(store: Store, key: str) -> list[str]:
    """Return the ids of a finished selection."""
    ids: list[str] = store.unit(key).parameters["ids"]
    return ids


def read_set(store: Store, key: str) -> ConformerSet:
    """Return the set of conformers that a unit wrote."""
    return read(store.folder(key) / "set")


def read_aside(store: Store, key: str) -> list[SetAside]:
    """Return what a unit set aside."""
    return [SetAside(*row) for row in json.loads((store.folder(key) / "aside.json").read_text())]


def by_id(conformers: ConformerSet, ids: Sequence[str]) -> ConformerSet:
    """Return the conformers with the given ids, in the given order."""
    return conformers.select(rows_by_id(conformers, ids))


def rows_by_id(conformers: ConformerSet, ids: Sequence[str]) -> np.ndarray:
    """Return the rows of the given ids, in the given order, shape (len(ids),)."""
    place = {name: row for row, name in enumerate(conformers.id.astype("U32").tolist())}
    return np.array([place[name] for name in ids], dtype=np.int64)


def write_aside(folder: Path, aside: Sequence[SetAside]) -> None:
    """Keep what a unit set aside beside its results; see `read_aside`."""
    (folder / "aside.json").write_text(json.dumps([list(row) for row in aside]))
