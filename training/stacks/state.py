"""Everything that changes while a stack is trained, and its way to disk and back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import damage_told, load_state, save_state
from ..configuration import TrainingConfig
from ..divergence import divergence
from ..fingerprint import Fingerprint
from ..optimizer import Descent
from ..potentials import Potential
from ..state import FitResult, age_of_best, training_history


class StackTensors(NamedTuple):
    """All that an update of a stack changes, K members first.

    Attributes
    ----------
    weights, mean, first, second : Tensor, shape (K, n)
        As :class:`~breadth.training.optimizer.StepState` has them for one.
    moving : Tensor of bool, shape (K,)
        Which are trained still: neither diverged nor stopped early.
    done : Tensor of int64, shape (K,)
        Updates that each has done.
    """

    weights: Tensor
    mean: Tensor
    first: Tensor
    second: Tensor
    moving: Tensor
    done: Tensor


class StackState:
    """Weights of K models of n moving weights each, their running means, moments and histories.

    Parameters
    ----------
    potentials : sequence of Potential
        The members with their initial weights; at the end they hold the fitted ones.
    config : TrainingConfig
    frozen : collection of str
        Names of parameters that stay as they are.
    """

    def __init__(
        self, potentials: Sequence[Potential], config: TrainingConfig, frozen: Collection[str] = ()
    ) -> None:
        self.potentials, self.config, self.frozen = potentials, config, frozen
        self._descent = Descent(potentials[0], config, frozen)
        for potential in potentials:
            potential.requires_grad_(False)
        weights = torch.stack([self._descent.flat(potential) for potential in potentials])
        count, device = len(potentials), weights.device
        self.state = StackTensors(
            weights,
            weights.clone(),
            torch.zeros_like(weights),
            torch.zeros_like(weights),
            torch.ones(count, dtype=torch.bool, device=device),
            torch.zeros(count, dtype=torch.int64, device=device),
        )
        #: One row for each update, on the device.
        self.losses = torch.zeros(config.n_updates, count, device=device)
        self.update = 0
        self.validation: list[list[tuple[int, float]]] = [[] for _ in potentials]
        self.monitored: list[list[tuple[int, dict[str, float]]]] = [[] for _ in potentials]
        self.best = torch.zeros_like(weights)
        #: Members that stopped early.
        self.stopped: set[int] = set()
        #: Whether no member is trained any more.
        self.finished = False

    def members_moving(self) -> list[int]:
        """Return the members that are trained still."""
        found: list[int] = self.state.moving.nonzero().flatten().tolist()
        return found

    def mean_losses(self, begin: int, members: Sequence[int]) -> list[float]:
        """Return the mean loss of members at each update from one on; NaN of none."""
        means: list[float] = self.losses[begin : self.update, list(members)].mean(1).tolist()
        return means

    def average(self, member: int) -> Potential:
        """Return a member with the running mean of its weights."""
        return self._with(member, self.state.mean[member])

    def validate(self, member: int, loss: float) -> None:
        """Keep a validation loss of a member, and stop it where it is time to."""
        kept = self.validation[member]
        kept.append((self.update, loss))
        if self.config.patience is None:
            return
        age = age_of_best(kept)
        if age == 0:
            self.best[member] = self.state.mean[member]
        if age >= self.config.patience:
            self.stopped.add(member)
            self.state.moving[member] = False

    def save(self, directory: Path, fingerprint: Fingerprint) -> None:
        """Write a checkpoint of all members; the fingerprint names the stack."""
        tensors = {**self.state._asdict(), "losses": self.losses[: self.update]}
        if self.config.patience is not None:
            tensors["best"] = self.best
        facts = {
            "fingerprint": fingerprint.digest,
            "parts": fingerprint.parts,
            "validation": self.validation,
            "monitored": self.monitored,
            "stopped": sorted(self.stopped),
            "finished": self.finished,
        }
        save_state(directory, tensors, facts)

    def load(self, directory: Path, fingerprint: Fingerprint) -> None:
        """Go on from the checkpoint in a folder, where there is one.

        Raises
        ------
        ConfigurationError
            If it is of other fits; it says what differs.
        """
        found = load_state(directory)
        if found is None:
            return
        tensors, facts = found
        fingerprint.check(directory, facts)
        with damage_told(directory):
            for name, mine in self.state._asdict().items():
                mine.copy_(tensors[name])
            if self.config.patience is not None:
                self.best.copy_(tensors["best"])
            self.update = len(tensors["losses"])
            self.losses[: self.update] = tensors["losses"]
            self.validation = [[(int(u), float(x)) for u, x in v] for v in facts["validation"]]
            self.monitored = [[(int(u), dict(x)) for u, x in m] for m in facts["monitored"]]
            self.stopped = set(facts["stopped"])
            self.finished = bool(facts["finished"])

    def result(self) -> tuple[tuple[FitResult, ...], dict[int, str]]:
        """Return what was fitted, and why members diverged, by their places."""
        moving, done = self.state.moving.tolist(), self.state.done.tolist()
        losses = self.losses.double().cpu().numpy()
        results, faults = [], {}
        for k, n in enumerate(done):
            if not moving[k] and k not in self.stopped:
                loss = float(losses[n, k])
                faults[k] = divergence(self.config, n + 1, None if np.isfinite(loss) else loss)
            keeps_best = self.config.patience is not None and self.validation[k]
            weights = (self.best if keeps_best else self.state.mean)[k]
            history = training_history(
                self.config, losses[:n, k].copy(), self.validation[k], self.monitored[k]
            )
            results.append(FitResult(self._with(k, weights).eval(), history, n))
        return tuple(results), faults

    def _with(self, member: int, weights: Tensor) -> Potential:
        potential = self.potentials[member]
        for name, part in self._descent.named(weights).items():
            potential.get_parameter(name).copy_(part)
        return potential
