"""Everything that changes during a fit, and its way to disk and back."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..diversity.html import facts
from .checkpoints import damage_told, load_state, save_state
from .configuration import TrainingConfig, learning_rate
from .fingerprint import Fingerprint
from .optimizer import Descent, StepState
from .potentials import Potential
from .profiling import stage


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted potential.

    Parameters
    ----------
    potential : Potential
        With the running mean of the weights, or the best of them where training stopped early.
    history : dict of str to array
        `loss`, `learning_rate` (one per update); `validation_update`, `validation_loss`;
        `monitor_update` and one array for each value that the monitor returned.
    updates : int
        Updates done; fewer than asked only after early stopping.
    left_out : int
        Conformers of the prior's task that were left out, since the prior gave no label.
    """

    potential: Potential
    history: dict[str, np.ndarray]
    updates: int
    left_out: int = 0

    def __repr__(self) -> str:
        return f"<FitResult: {type(self.potential).__name__} after {self.updates:,} updates>"

    def _repr_html_(self) -> str:
        potential = self.potential
        known: dict[str, Any] = {
            "levels of theory": potential.levels,
            "cutoff, Å": potential.cutoff,
            "weights": f"{sum(p.numel() for p in potential.parameters()):,}",
            "updates": f"{self.updates:,}",
        }
        loss = self.history["loss"]
        if len(loss):
            tenth = max(1, len(loss) // 10)
            ends = (float(loss[:tenth].mean()), float(loss[-tenth:].mean()))
            known["loss, first and last tenth"] = f"{ends[0]:.4g}, {ends[1]:.4g}"
        if len(validation := self.history["validation_loss"]):
            known["validation loss, last"] = float(validation[-1])
        if self.left_out:
            known["left out: no label of the prior"] = self.left_out
        return facts(known, caption=type(potential).__name__)


class TrainingState:
    """Weights, their running mean, optimizer and history.

    Batches and learning rates are pure functions of the update, so that this is all of it.

    Parameters
    ----------
    potential : Potential
        Trained in place.
    config : TrainingConfig
    frozen : collection of str
        Names of parameters that stay as they are, weight decay included.
    """

    def __init__(
        self, potential: Potential, config: TrainingConfig, frozen: Collection[str] = ()
    ) -> None:
        self.potential, self.config = potential, config
        self.average = copy.deepcopy(potential).requires_grad_(False)
        self._descent = Descent(potential, config, frozen)
        # All weights are views of one tensor: of an update few operations are left.
        self.parameters, self.weights = _flattened(potential, self._descent)
        _, self.mean = _flattened(self.average, self._descent)
        for name in frozen:
            potential.get_parameter(name).requires_grad_(False)
        self.first, self.second = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        self.update = 0
        self.losses = np.zeros(config.n_updates)
        self.validation: list[tuple[int, float]] = []
        self.monitored: list[tuple[int, dict[str, float]]] = []
        self.best: Tensor | None = None
        self.finished = False
        #: Most structures whose gradients fit in memory together; None while whole batches did.
        self.at_once: int | None = None

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient of a loss by the moving weights, shape (n,)."""
        with stage("double backward"):
            gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
            return torch.cat([gradient.flatten() for gradient in gradients])

    @property
    def tensors(self) -> StepState:
        """Return the tensors that an update changes, to be changed in place."""
        return StepState(self.weights.detach(), self.mean, self.first, self.second)

    def apply(self, gradient: Tensor) -> None:
        """Make one update by a gradient, which is changed."""
        with stage("optimizer and mean"):
            self._descent.change(self.tensors, gradient, self.update)
            self.update += 1

    def save(self, directory: Path, fingerprint: Fingerprint) -> None:
        """Write a checkpoint; the fingerprint names the fit that it belongs to."""
        tensors = self.tensors._asdict()
        tensors["losses"] = torch.from_numpy(self.losses[: self.update])
        if self.best is not None:
            tensors["best"] = self.best
        facts = {
            "fingerprint": fingerprint.digest,
            "parts": fingerprint.parts,
            "validation": self.validation,
            "monitored": self.monitored,
            "finished": self.finished,
        }
        if self.at_once is not None:
            facts["at_once"] = self.at_once
        save_state(directory, tensors, facts)

    def load(self, directory: Path, fingerprint: Fingerprint) -> None:
        """Go on from the checkpoint in a folder, where there is one.

        Raises
        ------
        ConfigurationError
            If it is of another fit; it says what differs.
        """
        found = load_state(directory)
        if found is None:
            return
        tensors, facts = found
        fingerprint.check(directory, facts)
        with damage_told(directory), torch.no_grad():
            for name, mine in self.tensors._asdict().items():
                mine.copy_(tensors[name])
            self.best = tensors["best"].to(self.weights.device) if "best" in tensors else None
            self.update = len(tensors["losses"])
            self.losses[: self.update] = tensors["losses"].numpy()
            self.validation = [(int(u), float(x)) for u, x in facts["validation"]]
            self.monitored = [(int(u), dict(x)) for u, x in facts["monitored"]]
            self.finished = bool(facts["finished"])
            self.at_once = int(facts["at_once"]) if "at_once" in facts else None

    def validate(self, loss: float) -> bool:
        """Keep a validation loss; True where it is time to stop."""
        self.validation.append((self.update, loss))
        if self.config.patience is None:
            return False
        age = age_of_best(self.validation)
        if age == 0:
            self.best = self.mean.clone()
        return age >= self.config.patience

    def result(self) -> FitResult:
        """Return what was fitted so far."""
        if self.best is not None:
            self.mean.copy_(self.best)
        for p in self.average.parameters():
            p.data = p.data.clone()  # no longer views, which a pickle would store whole each
        history = training_history(
            self.config, self.losses[: self.update].copy(), self.validation, self.monitored
        )
        return FitResult(self.average.eval(), history, self.update)


def age_of_best(validation: Sequence[tuple[int, float]]) -> int:
    """Return how many validation losses came after the best of them."""
    losses = [loss for _, loss in validation]
    return len(losses) - 1 - int(np.argmin(losses))


def training_history(
    config: TrainingConfig,
    losses: np.ndarray,
    validation: Sequence[tuple[int, float]],
    monitored: Sequence[tuple[int, Mapping[str, float]]],
) -> dict[str, np.ndarray]:
    """Return the history of a :class:`FitResult` from what was noted update by update."""
    history: dict[str, np.ndarray] = {
        "loss": losses,
        "learning_rate": np.array([learning_rate(config, u) for u in range(len(losses))]),
        "validation_update": np.array([u for u, _ in validation], dtype=np.int64),
        "validation_loss": np.array([x for _, x in validation]),
        "monitor_update": np.array([u for u, _ in monitored], dtype=np.int64),
    }
    for name in dict.fromkeys(k for _, values in monitored for k in values):
        history[name] = np.array([v.get(name, np.nan) for _, v in monitored])
    return history


def _flattened(potential: Potential, descent: Descent) -> tuple[list[nn.Parameter], Tensor]:
    """Make the moving parameters views of one tensor."""
    flat, parameters = descent.flat(potential), []
    for name, view in descent.named(flat).items():
        parameters.append(potential.get_parameter(name))
        parameters[-1].data = view
    return parameters, flat.requires_grad_(parameters[0].requires_grad)
