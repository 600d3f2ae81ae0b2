"""Test-time training: a cheap prior's labels of a new system pull the representation to it.

T. Kreiman and A. Krishnapriyan, arXiv:2503.08674: θ_R represents, θ_M reads the main level from
it, θ_P a prior's. On structures of a new system that have no reference labels, gradient steps on
the prior's loss move θ_R alone, and θ_M reads the moved representation.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from ...diversity.conformers import ConformerSet
from ...diversity.errors import ConfigurationError
from ...diversity.randomness import ordering
from ..batches import FrameStore
from ..loss import batch_loss, mean_loss
from ..order import BatchOrder
from ..potentials import Potential
from ..tasks import prior_rows
from .freezing import early

#: With fewer structures none is held back: what is watched are those adapted on.
FEWEST_TO_HOLD_BACK = 5


class TestTimeConfig(BaseModel):
    """How a potential is adapted to a system by a prior's labels.

    The loss is that of training, w_E ⟨|ΔE| / (√N σ)⟩ + w_F ⟨‖ΔF_i‖ / σ⟩ with σ of the prior's
    level, energies of each molecule without their mean.
    """

    __test__: ClassVar[bool] = False  # it is no test, whatever its name begins with

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_steps: int = Field(200, ge=0, description="Gradient steps, at most.")
    batch_size: int = Field(32, ge=1, description="Structures per step.")
    learning_rate: float = Field(1e-2, gt=0, description="Rate of gradient descent.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of gradient descent.")
    weight_decay: float = Field(1e-3, ge=0, description="Weight decay of gradient descent.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    energy_weight: float = Field(0.3, ge=0, description="Weight of energies in the loss.")
    force_weight: float = Field(1.0, ge=0, description="Weight of forces in the loss.")
    layers: float = Field(
        0.67,
        gt=0,
        le=1,
        description="Share of the representation that is adapted, counted in blocks from the "
        "input: the embedding, then each round of messages.",
    )
    held_back: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the structures whose prior loss is watched and not adapted on.",
    )
    check_every: int = Field(10, ge=1, description="Steps between two looks at the watched loss.")
    patience: int | None = Field(
        5,
        ge=1,
        description="Stop after so many looks without a lower watched loss; None goes on. The "
        "weights of the lowest are kept in any case.",
    )
    margin: float = Field(
        1.2,
        gt=0,
        description="Stop where the watched loss has fallen to this many times the training "
        "set's, where that is known: further steps fit the system better than the potential fits "
        "what it knows, and do harm.",
    )


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A potential adapted to a system.

    Parameters
    ----------
    potential : Potential
        A copy; the one that was given is untouched.
    history : dict of str to array
        `prior_loss`, one per step, of its batch before it; at `check_step`, the first of which
        is 0, `watched_loss` and `adapted_loss`: of the structures held back, and adapted on.
    steps : int
        After which the weights were kept.
    stopped : {'steps', 'held_back', 'familiar', 'diverged'}
        Why it ended: no step left, the watched loss fell no more or came near the training
        set's, or it was no number.
    n_adapted, n_held_back, left_out : int
        Structures adapted on, held back, and without a label of the prior.
    """

    potential: Potential
    history: dict[str, np.ndarray]
    steps: int
    stopped: str
    n_adapted: int
    n_held_back: int
    left_out: int


def adapt(
    potential: Potential,
    data: ConformerSet,
    *,
    prior_level: str,
    index: np.ndarray | None = None,
    config: TestTimeConfig | None = None,
    seed: int = 0,
    labels: str | None = None,
    owed: float | None = None,
) -> Adaptation:
    """Adapt a potential's representation to a system, by labels of its prior alone.

    No reference label is looked at, in the steps or in the rule that stops them: it stops where
    the prior's loss on structures held back falls no more, or has come near that of the training
    set.

    Parameters
    ----------
    potential : Potential
        With a head for the prior.
    data : ConformerSet
        With labels of the prior.
    prior_level : str
        Level of the head that the steps go through.
    index : array of int or bool, optional
        Structures to adapt on; all by default. Several molecules are adapted to as one system.
    config : TestTimeConfig, optional
    seed : int
        Of the batches, and of the structures held back.
    labels : str, optional
        Level of the data that holds the prior's labels, where it is not `prior_level`: so can a
        wrong prior be tried on a potential that learnt the right one.
    owed : float, optional
        :func:`prior_loss` of the training set: what the potential owes a system that it knows.
        Steps end at `margin` times it; without it, on patience alone.

    Returns
    -------
    Adaptation

    Raises
    ------
    ConfigurationError
        If the potential has no head for the prior.
    DataError
        If no structure has labels of the prior.
    """
    config = config or TestTimeConfig()
    _prior_head(potential, prior_level)
    source = labels or prior_level
    rows, left_out = prior_rows(data, source, np.arange(len(data)) if index is None else index)
    potential.check(data.select(rows))
    back = round(config.held_back * len(rows)) if len(rows) >= FEWEST_TO_HOLD_BACK else 0
    order = ordering(seed, data.select(rows).id.tolist())
    held, used = np.sort(order[:back]), np.sort(order[back:])
    adapted = copy.deepcopy(potential).requires_grad_(False)
    moving = [adapted.get_parameter(n).requires_grad_() for n in early(adapted, config.layers)]
    like = moving[0]
    store, watched = (
        FrameStore(data, rows[part], level=source, device=like.device, dtype=like.dtype)
        for part in (used, held if back else used)
    )
    batches = BatchOrder(store.counts, min(config.batch_size, len(store)), seed)
    steps = torch.optim.SGD(
        moving,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )

    def look(part: FrameStore) -> float:
        return mean_loss(adapted, part, prior_level, config, conformational=True)

    losses: list[float] = []
    checks: list[tuple[int, float, float]] = []
    kept = [p.detach().clone() for p in moving]
    best, stopped = 0, "steps"
    for step in range(config.n_steps + 1):
        if step % config.check_every == 0 or step == config.n_steps:
            on_watched = look(watched)
            checks.append((step, on_watched, look(store) if back else on_watched))
            if not np.isfinite(on_watched):
                stopped = "diverged"
                break
            if on_watched <= checks[best][1]:
                best = len(checks) - 1
                kept = [p.detach().clone() for p in moving]
            if owed is not None and on_watched <= config.margin * owed:
                stopped = "familiar"
                break
            if config.patience is not None and len(checks) - 1 - best >= config.patience:
                stopped = "held_back"
                break
        if step == config.n_steps:
            break
        batch, targets = store.labelled(batches.batch(step))
        loss = batch_loss(
            adapted,
            batch,
            targets,
            prior_level,
            config,
            differentiable=True,
            conformational=True,
        )
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, moving, materialize_grads=True)
        for p, gradient in zip(moving, gradients, strict=True):
            p.grad = gradient
        torch.nn.utils.clip_grad_norm_(moving, config.clip)
        steps.step()
    with torch.no_grad():
        for p, good in zip(moving, kept, strict=True):
            p.copy_(good)
            p.grad = None
    history = {
        "prior_loss": np.array(losses),
        "check_step": np.array([c[0] for c in checks], dtype=np.int64),
        "watched_loss": np.array([c[1] for c in checks]),
        "adapted_loss": np.array([c[2] for c in checks]),
    }
    return Adaptation(
        potential=adapted.requires_grad_(False).eval(),
        history=history,
        steps=checks[best][0],
        stopped=stopped,
        n_adapted=len(store),
        n_held_back=back,
        left_out=left_out,
    )


def prior_loss(
    potential: Potential,
    data: ConformerSet,
    *,
    prior_level: str,
    index: np.ndarray | None = None,
    config: TestTimeConfig | None = None,
    labels: str | None = None,
) -> float:
    """Return the loss that :func:`adapt` would lower, as it stands.

    On the training set it is what :func:`adapt` takes as `owed`; on a system, a measure of shift
    that needs no reference labels. It does not depend on the order of records.
    """
    _prior_head(potential, prior_level)
    source = labels or prior_level
    rows, _ = prior_rows(data, source, np.arange(len(data)) if index is None else index)
    # Energies lose their molecule's mean within a batch: its structures stand together.
    rows = rows[np.lexsort((data.id[rows], data.molecules.key[data.molecule[rows]]))]
    like = next(potential.parameters())
    store = FrameStore(data, rows, level=source, device=like.device, dtype=like.dtype)
    config = config or TestTimeConfig()
    return mean_loss(potential, store, prior_level, config, conformational=True)


def _prior_head(potential: Potential, level: str) -> None:
    if level not in potential.levels:
        have = ", ".join(map(repr, potential.levels))
        raise ConfigurationError(
            f"The potential has no head for the prior {level!r}, only for {have}. Test-time "
            f"training needs one that has learnt the prior's labels: fit it with "
            f"prior=PriorTask(level={level!r}, …), or by pretrain_freeze."
        )
