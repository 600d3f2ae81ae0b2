"""From geometries to cells: what each design trains on and is tested on, in each replicate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from ...diversity import ConformerSet, ShortageError
from ...diversity.randomness import seed_sequence
from ...sampling.designs import Design
from ...sampling.disjoint import KEYS, check_disjoint
from ...sampling.molecules import Molecule
from ...sampling.splits import MOLECULE_POOLS, HoldOuts, Partition
from ..specs import RANDOM, DesignSpec
from .question import TradeoffConfiguration
from .selecting import StructureFeatures, choose, study_features

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Cell:
    """One training set: a design in a replicate, shared by experiments that both ask for it.

    Parameters
    ----------
    spec : DesignSpec
        The first design that asks for it.
    replicate : int
    train : tuple of str
        Conformer ids.
    tests : dict of str to tuple of str
        Conformer ids by hold-out.
    n_labels : int
        Reference labels that it costs: of what is trained on, and of what selectors read.
    """

    spec: DesignSpec
    replicate: int
    train: tuple[str, ...]
    tests: dict[str, tuple[str, ...]]
    n_labels: int


def choose_molecules(asked: TradeoffConfiguration) -> list[Molecule]:
    """Return the molecules that the study samples, in an order that the seed fixes.

    Raises
    ------
    ShortageError
        If the source has too few that fit.
    """
    limit = asked.hold_outs.largest_trained
    fitting = [
        (molecule, Chem.MolFromSmiles(molecule.smiles).GetNumHeavyAtoms() > limit)
        for molecule in asked.pool.candidates(asked.seed)
    ]
    # Some spare, for molecules that cannot be sampled.
    wanted = {False: asked.pool.n_molecules, True: round(1.25 * asked.hold_outs.n_molecules) + 1}
    chosen: list[Molecule] = []
    for larger, count in wanted.items():
        found = [m for m, is_larger in fitting if is_larger == larger]
        if len(found) < (count if not larger else asked.hold_outs.n_molecules):
            size = "more than" if larger else "at most"
            raise ShortageError(
                f"{count} molecules with {size} {limit} heavy atoms and at least "
                f"{asked.pool.min_rotatable_bonds} rotatable bonds are asked for, and "
                f"{asked.pool.molecules or 'the bundled file'} has {len(found)}: "
                f"{count - len(found)} are missing. Lower pool.n_molecules, hold_outs.n_molecules "
                "or pool.min_rotatable_bonds."
            )
        chosen += found[:count]
    return chosen


def hold_out(asked: TradeoffConfiguration, geometries: ConformerSet) -> Partition:
    """Divide the geometries into what may be trained on and what is tested on, once."""
    sizes = asked.hold_outs
    return HoldOuts(
        n_unseen_molecules=sizes.n_molecules,
        n_unseen_scaffolds=sizes.n_molecules,
        n_larger=sizes.n_molecules,
        largest_trained=sizes.largest_trained,
        unseen_elements=sizes.unseen_elements,
        n_unseen_elements=sizes.n_molecules if sizes.unseen_elements else 0,
        n_test_conformers=sizes.n_conformers,
        n_available=max(d.n_conformers for d in asked.designs()),
        random_state=asked.seed,
    ).partition(geometries)


def plan_cells(
    asked: TradeoffConfiguration,
    partition: Partition,
    features: StructureFeatures | None = None,
    tell: Progress | None = None,
) -> list[Cell]:
    """Return all cells of the study.

    Within a replicate the molecules of every design are a prefix of one order, the conformers of
    a molecule a prefix of its own; each replicate has its own orders. A selector along an axis
    takes the place of its order.

    Raises
    ------
    ShortageError
        If a design cannot be filled.
    DataError
        If anything would stand in training and in test.
    """
    specs: dict[tuple[int, int, str, str], DesignSpec] = {}
    for spec in asked.designs():
        specs.setdefault(spec.cell, spec)
    features = features or study_features(asked, partition.conformers)
    cells: list[Cell] = []
    for replicate in range(asked.replicates):
        state = replicate_seed(asked, replicate)
        designs: dict[DesignSpec, Design] = {}
        for spec in specs.values():
            if tell is not None and asked.selectors is not None:
                done = replicate * len(specs) + len(designs)
                tell("selection", done, asked.replicates * len(specs))
            designs[spec] = choose(asked, spec, state, partition, features)
        # Designs with molecules of their own choice may share none: their hold-out of molecules
        # that were trained on is their own.
        shared = [set(d.molecules.tolist()) for s, d in designs.items() if _shares(s)]
        common = np.array(sorted(set.intersection(*shared)), dtype=np.int64)
        for spec, design in designs.items():
            tested = _tests(asked, partition, design, common if _shares(spec) else None)
            cells.append(
                Cell(
                    spec,
                    replicate,
                    _ids(partition.conformers, design.train),
                    {name: _ids(partition.conformers, rows) for name, rows in tested.items()},
                    max(len(design.train), design.n_labels_read),
                )
            )
    return cells


def _shares(spec: DesignSpec) -> bool:
    """Say whether a design's molecules are the first of the replicate's one order."""
    return spec.molecule_selector == RANDOM


def _tests(
    asked: TradeoffConfiguration,
    partition: Partition,
    design: Design,
    common: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Return the test conformers of one design by hold-out, none of them empty."""
    own = design.molecules
    if len(own) > asked.hold_outs.n_own:
        own = own[np.linspace(0, len(own) - 1, asked.hold_outs.n_own).round().astype(int)]
    tested: dict[str, np.ndarray] = {}
    if common is not None:
        tested["seen_conformers"] = partition.test_set("seen_conformers", common)
    tested["own_conformers"] = partition.test_set("own_conformers", own)
    if common is not None:
        tested["unseen_minima"] = partition.test_set("unseen_minima", common)
    tested |= {name: partition.test_set(name) for name in reversed(MOLECULE_POOLS)}
    tested = {name: rows for name, rows in tested.items() if len(rows)}
    for name, rows in tested.items():
        check_disjoint(partition.conformers, design.train, rows, by=KEYS[name])
    return tested


def replicate_seed(asked: TradeoffConfiguration, replicate: int) -> int:
    """Return the seed of a replicate's orders, initial weights and order of data."""
    return int(seed_sequence(asked.seed, "replicate", replicate).generate_state(1)[0])


def training_ids(cells: Sequence[Cell]) -> set[str]:
    """Return the ids of every conformer that any cell trains on."""
    return {i for cell in cells for i in cell.train}


def test_ids(cells: Sequence[Cell]) -> set[str]:
    """Return the ids of every conformer that any cell is tested on."""
    return {i for cell in cells for ids in cell.tests.values() for i in ids}


def _ids(conformers: ConformerSet, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(conformers.id[rows].astype("U32").tolist())
