"""Updates of all models of a stack at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...diversity.conformers import ConformerSet
from ..batches import Batch, FrameStore, Targets
from ..optimizer import Rates, StepState, rates
from ..preparing import Prepared
from ..profiling import stage
from ..updates.compilation import GraphUpdates
from ..updates.eager import LOOK
from ..updates.step import Step, pure_step, rest_of
from .state import StackState, StackTensors


def stacked_step(step: Step) -> Callable[..., tuple[StackTensors, Tensor]]:
    """Return an update of all members of a stack, a pure function as the update of one is.

    ``update(state, rest, batch, targets, rates)`` has members first in state and `rest`; batch and
    targets hold the structures of the first member, then of the second, and so on, as many of
    each. It gives the next state and the losses before it, shape (K,). A member does not move on
    from where its loss or weights were not finite: it keeps its state, and `moving` tells so.

    Parameters
    ----------
    step : callable
        By :func:`~breadth.training.updates.step.pure_step`.
    """

    def one(
        state: StackTensors,
        rest: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        now: Rates,
    ) -> tuple[StackTensors, Tensor]:
        before = StepState(*state[:4])
        after, loss = step(before, rest, Batch(**batch, periodic=False), Targets(**targets), now)
        with stage("optimizer and mean"):
            sound = loss.isfinite() & after.weights.isfinite().all() & after.mean.isfinite().all()
            moving = state.moving & sound
            kept = StepState(*(torch.where(moving, *x) for x in zip(after, before, strict=True)))
        return StackTensors(**kept._asdict(), moving=moving, done=state.done + moving), loss

    mapped = torch.func.vmap(one, in_dims=(0, 0, 0, 0, None))

    def update(
        state: StackTensors,
        rest: Mapping[str, Tensor],
        batch: Batch,
        targets: Targets,
        now: Rates,
    ) -> tuple[StackTensors, Tensor]:
        n = len(state.moving)
        made: tuple[StackTensors, Tensor] = mapped(
            state, rest, _by_member(batch, n), _by_member(targets, n), now
        )
        return made

    return update


def _by_member(part: Batch | Targets, members: int) -> dict[str, Tensor]:
    """Return the tensors of a batch by name, members first: `vmap` knows no batches."""
    tensors = {f.name: getattr(part, f.name) for f in fields(part) if f.name != "periodic"}
    return {name: x.view(members, -1, *x.shape[1:]) for name, x in tensors.items()}


class StackFrames:
    """The frames of all members, each once on the device, and which of them make up an update.

    Parameters
    ----------
    data : ConformerSet
    level : str
    rows : sequence of array of int64
        Conformers of each member.
    ready : sequence of Prepared
    device : torch.device
    """

    def __init__(
        self,
        data: ConformerSet,
        level: str,
        rows: Sequence[np.ndarray],
        ready: Sequence[Prepared],
        device: torch.device,
    ) -> None:
        every, place = np.unique(np.concatenate(rows), return_inverse=True)
        self.store = FrameStore(data, every, level=level, device=device)
        places = np.split(place.ravel(), np.cumsum([len(r) for r in rows])[:-1])
        self._members = list(zip(places, (r.tasks[0][1].order for r in ready), strict=True))

    def batch(self, update: int) -> np.ndarray:
        """Return the frames of an update, those of the first member first, shape (K·B,)."""
        return np.concatenate([place[order.batch(update)] for place, order in self._members])

    def atoms(self, updates: range) -> int:
        """Return the atoms that all members learn from in some updates, padding not counted."""
        return sum(int(self.store.counts[self.batch(u)].sum()) for u in updates)


class StackUpdates:
    """Makes updates of all members, one operation after another.

    Parameters
    ----------
    run : StackState
    frames : StackFrames
    level : str
    """

    def __init__(self, run: StackState, frames: StackFrames, level: str) -> None:
        self.run, self.frames = run, frames
        self._step, self._rest = _parts(run, level)
        self.look = LOOK[run.state.weights.device.type]

    def advance(self, until: int) -> None:
        """Make all updates before one, counted from 0, and note their losses on the device."""
        run = self.run
        for u in range(run.update, until):
            with stage("batch assembly"):
                batch, targets = self.frames.store.labelled(self.frames.batch(u))
                now = rates(run.config, u, run.state.weights.device)
            # Of it, what is neither forward, forces, loss nor optimizer, which are stages within.
            with stage("double backward"):
                run.state, run.losses[u] = self._step(run.state, self._rest, batch, targets, now)
            run.update += 1


class CompiledStack(GraphUpdates):
    """Makes updates of all members as one compiled graph; see :class:`GraphUpdates`.

    Batches are padded to the largest structure of all, since one of them is in most updates.

    Parameters
    ----------
    run : StackState
        Its tensors are changed in place.
    frames : StackFrames
    level : str
    """

    run: StackState

    def __init__(self, run: StackState, frames: StackFrames, level: str) -> None:
        step, rest = _parts(run, level)
        super().__init__(
            run,
            frames.store,
            frames,
            step=step,
            state=run.state,
            rest=rest,
            shapes=(int(frames.store.counts.max()),),
            losses=(len(run.potentials),),
        )

    def advance(self, until: int) -> Tensor:
        """Make all updates before one, and note their losses."""
        begin = self.run.update
        losses = super().advance(until)
        self.run.losses[begin:until] = losses
        return losses


def _parts(run: StackState, level: str) -> tuple[Callable[..., Any], dict[str, Tensor]]:
    """Return the update of all members, and the tensors that it does not change."""
    step = pure_step(run.potentials[0], level, run.config, frozen=run.frozen)
    parts = [rest_of(potential, run.frozen) for potential in run.potentials]
    return stacked_step(step), {n: torch.stack([part[n] for part in parts]) for n in parts[0]}
