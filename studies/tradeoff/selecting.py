"""How designs are chosen: by which selectors, reading what, and which labels that costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...diversity import ConfigurationError, ConformerSet
from ...diversity.descriptors import bound, structure_features
from ...diversity.protocols import Featurizer
from ...sampling.designs import Design, FixedBudget, FixedMolecules
from ...sampling.selecting import check_level
from ...sampling.selectors import Selector
from ...sampling.splits import Partition
from ..registry import featurizer, selector
from ..specs import RANDOM, DesignSpec
from .question import TradeoffConfiguration


def check_selectors(asked: TradeoffConfiguration) -> None:
    """Raise now, and not after the geometries are made, if a selector cannot be used.

    Raises
    ------
    ConfigurationError
        If a name is unknown, means nothing along its axis, or reads reference labels of what it
        does not choose and the budget is not charged for them.
    """
    section = asked.selectors
    if section is None:
        return
    featurizer(section.descriptor)
    for axis, names in (("molecules", section.molecules), ("conformers", section.conformers)):
        for name in names:
            found = selector(name)
            check_level(found, axis)
            reads = found.reads
            if "reference_labels" not in reads or section.charge_labels:
                continue
            if "prior_labels" not in reads or asked.pool.prior is None:
                raise ConfigurationError(
                    f"selectors.{axis}: {name!r} reads reference labels of conformers that it does "
                    "not choose, and they are not free. Name a cheap pool.prior for it to read, or "
                    "set selectors.charge_labels=true: all that it reads is labelled then, and "
                    "n_labels in the results counts it."
                )


def level_read(asked: TradeoffConfiguration) -> str | None:
    """Return the level of theory whose labels selectors read, None where none reads labels."""
    section = asked.selectors
    if section is None or not any(
        selector(name).reads & {"prior_labels", "reference_labels"}
        for name in (*section.molecules, *section.conformers)
    ):
        return None
    return asked.pool.engine if section.charge_labels else asked.pool.prior


def labels_read(asked: TradeoffConfiguration, partition: Partition, states: list[int]) -> set[str]:
    """Return the ids of all conformers whose labels selectors look at.

    Selectors that read labels choose conformers: those of the molecules that the replicate draws.
    """
    if level_read(asked) is None:
        return set()
    assert asked.selectors is not None
    available = np.flatnonzero(partition.available)
    conformers = partition.conformers
    read: set[str] = set()
    for state in states:
        drawn = FixedMolecules(
            n_molecules=asked.selectors.n_molecules, n_conformers=1, random_state=state
        ).design(conformers, partition.available)
        rows = available[np.isin(conformers.molecule[available], drawn.molecules)]
        read.update(conformers.id[rows].astype("U32").tolist())
    return read


class StructureFeatures:
    """Mean features of structures, computed once: every design of a study reads the same ones.

    Parameters
    ----------
    features : Featurizer
    conformers : ConformerSet
        Settles what the featurizer takes from a set, such as its elements.
    """

    def __init__(self, features: Featurizer, conformers: ConformerSet) -> None:
        self.features = bound(features, conformers)
        self._rows: dict[bytes, np.ndarray] = {}

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one row for each structure."""
        fresh = [i for i, name in enumerate(conformers.id.tolist()) if name not in self._rows]
        if fresh:
            part = conformers.select(fresh)
            rows = structure_features(part, self.features, chunk=chunk)
            self._rows.update(zip(part.id.tolist(), rows, strict=True))
        yield (
            np.stack([self._rows[name] for name in conformers.id.tolist()]),
            np.arange(len(conformers) + 1),
        )


def study_features(
    asked: TradeoffConfiguration, conformers: ConformerSet
) -> StructureFeatures | None:
    """Return the features that selectors compare, None without selectors."""
    if asked.selectors is None:
        return None
    return StructureFeatures(featurizer(asked.selectors.descriptor), conformers)


def choose(
    asked: TradeoffConfiguration,
    spec: DesignSpec,
    state: int,
    partition: Partition,
    features: StructureFeatures | None,
) -> Design:
    """Return the training set of one design in one replicate."""
    section = asked.selectors
    charged = section is not None and section.charge_labels
    options: dict[str, Any] = {
        "random_state": state,
        "molecule_selector": _selector(spec.molecule_selector),
        "conformer_selector": _selector(spec.conformer_selector),
        "featurizer": features,
        "reference_level": asked.pool.engine,
        "prior_level": None if charged else asked.pool.prior,
        "charge_labels": charged,
    }
    chooser: FixedBudget | FixedMolecules
    if spec.experiment == "fixed_budget":
        assert asked.fixed_budget is not None
        chooser = FixedBudget(
            budget=asked.fixed_budget.budget, n_molecules=spec.n_molecules, **options
        )
    else:
        chooser = FixedMolecules(
            n_molecules=spec.n_molecules, n_conformers=spec.n_conformers, **options
        )
    return chooser.design(partition.conformers, partition.available)


def _selector(name: str) -> Selector | None:
    # Random choice is what designs do without a selector.
    return None if name == RANDOM else selector(name)
