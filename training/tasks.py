"""What a potential learns at once: the labels of a level, and beside them those of a prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError
from ..diversity.randomness import seed_sequence
from .batches import FrameStore
from .configuration import TrainingConfig
from .loss import batch_loss, mean_loss
from .order import BatchOrder, canonical
from .potentials import Potential
from .profiling import stage
from .references import References, reference_energies


@dataclass(frozen=True, eq=False, kw_only=True)
class PriorTask:
    """Labels of a cheap level, learnt beside the main ones by a head of their own.

    Each update adds `weight` times the loss of a batch of these conformers. Energies count by
    their differences between conformers of one molecule alone, since a prior's energies carry an
    offset per composition; see `conformational` of :func:`~breadth.training.loss.batch_loss`.

    Parameters
    ----------
    level : str
        The prior's level of theory.
    train : array of int or bool
        Conformers to learn from; labels of the main level are not looked at. Those to which the
        prior gave neither energy nor forces are left out and counted.
    weight : float
        Above 0.
    energy_weight : float, optional
        Of energies within the prior's loss; that of the configuration by default.
    """

    level: str
    train: np.ndarray
    weight: float = 1.0
    energy_weight: float | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigurationError(f"A prior's weight must be above 0, not {self.weight}.")


@dataclass(frozen=True, eq=False)
class Replay:
    """Structures of the original distribution, learnt beside new ones so that they stay known.

    Each update adds `weight` times the loss of a batch of these conformers, at the level that
    the potential learnt them at and through that level's head, whose reference energies stay.
    Unlike a prior's, energies count as they are.

    Parameters
    ----------
    data : ConformerSet
        Its labels are stored ones, or those of the untouched potential; see
        :func:`~breadth.training.refinement.pseudo_labels`.
    level : str
        One that the potential knows.
    index : array of int or bool, optional
        Which conformers; all by default.
    weight : float
        Above 0.
    """

    data: ConformerSet
    level: str
    index: np.ndarray | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigurationError(f"The weight of replay must be above 0, not {self.weight}.")

    @property
    def rows(self) -> np.ndarray:
        """The conformers, in the order of their ids."""
        index = np.arange(len(self.data)) if self.index is None else self.index
        rows = canonical(self.data, index)
        if not len(rows):
            raise DataError("There is no conformer to replay.")
        return rows


def prior_rows(data: ConformerSet, level: str, index: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the conformers that a prior gave labels to, and how many it gave none.

    Parameters
    ----------
    data : ConformerSet
    level : str
    index : array of int or bool

    Returns
    -------
    rows : array of int64
        In the order of conformer ids.
    left_out : int

    Raises
    ------
    DataError
        If none is left.
    """
    rows = canonical(data, index)
    labels = data.labels(level)
    there = (labels.has_energy | labels.has_forces)[rows]
    if not there.any():
        why = next((labels.faults[i] for i in rows.tolist() if i in labels.faults), "missing")
        raise DataError(
            f"None of {len(rows)} conformers has labels of the prior {level!r} ({why}). Label them "
            "with a prior that can treat them, or leave it out."
        )
    return rows[there], int(np.count_nonzero(~there))


class Task:
    """Conformers with labels of one level, and which of them an update learns from.

    Parameters
    ----------
    data : ConformerSet
    rows : array of int64
        In the order of conformer ids.
    level : str
    config : TrainingConfig
    seed : int
    device : torch.device
    conformational : bool
        Energies count by their differences between conformers of one molecule alone.
    """

    def __init__(
        self,
        data: ConformerSet,
        rows: np.ndarray,
        level: str,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
        conformational: bool = False,
    ) -> None:
        self.data, self.rows, self.level = data, rows, level
        self.config, self.conformational = config, conformational
        self.store = FrameStore(data, rows, level=level, device=device)
        self.order = BatchOrder(self.store.counts, config.batch_size, seed)

    @classmethod
    def of_prior(
        cls,
        prior: PriorTask,
        data: ConformerSet,
        rows: np.ndarray,
        config: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> Task:
        """Return a prior's task, whose batches are a stream of their own."""
        weight = config.energy_weight if prior.energy_weight is None else prior.energy_weight
        weights = config.model_copy(update={"energy_weight": weight})
        own = int(seed_sequence(seed, "prior").generate_state(1)[0])
        return cls(data, rows, prior.level, weights, seed=own, device=device, conformational=True)

    @classmethod
    def of_replay(
        cls, replay: Replay, config: TrainingConfig, *, seed: int, device: torch.device
    ) -> Task:
        """Return the task of replaying, whose batches are a stream of their own."""
        rows = replay.rows
        fitting = config.model_copy(update={"batch_size": min(config.batch_size, len(rows))})
        own = int(seed_sequence(seed, "replay").generate_state(1)[0])
        return cls(replay.data, rows, replay.level, fitting, seed=own, device=device)

    def loss(self, potential: Potential, update: int, cutoff: float | None = None) -> Tensor:
        """Return the loss of an update's batch, with its graph."""
        with stage("batch assembly"):
            batch, targets = self.store.labelled(self.order.batch(update))
        return batch_loss(
            potential,
            batch,
            targets,
            self.level,
            self.config,
            differentiable=True,
            conformational=self.conformational,
            cutoff=cutoff,
        )

    def mean_loss(self, potential: Potential, at_once: int = 64) -> float:
        """Return the loss of all conformers, computed for so many at once."""
        return mean_loss(
            potential,
            self.store,
            self.level,
            self.config,
            conformational=self.conformational,
            at_once=at_once,
        )

    def references(self) -> References:
        """Return reference energies fitted to the conformers, or raise where ill-posed."""
        found = reference_energies(
            self.data,
            self.level,
            self.rows,
            shrinkage=self.config.shrinkage,
            allow_relative=self.config.relative_energies or self.conformational,
        )
        return References(found.energies, ()) if self.conformational else found

    def force_scale(self) -> float:
        """Return the root mean square force component, eV/Å, or 1."""
        labels = self.data.labels(self.level)
        atoms = self.data.atom_conformer
        there = labels.has_forces[atoms] & np.isin(atoms, self.rows)
        forces = labels.forces[there].astype(np.float64)
        # Without forces, or with all of them zero, 1 eV is of the order of atomisation energies.
        scale = float(np.sqrt(np.mean(forces**2))) if len(forces) else 0.0
        return scale if scale > 0 else 1.0
