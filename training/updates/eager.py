"""Updates one operation after another, in parts where a batch does not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..loss import loss_of
from ..order import update_cutoff
from ..potentials import energy_and_forces
from ..profiling import stage
from ..splitting import does_not_fit, halved
from ..state import TrainingState
from ..tasks import Task

Tell = Callable[[str], None]

#: Most updates between looks at the losses, by kind of device; a CPU has nothing to wait for.
LOOK = {"cpu": 1, "cuda": 64}


class EagerUpdates:
    """Makes updates without compilation.

    A batch whose gradient does not fit in memory is split into parts, again halved as needed,
    here and in all later updates; :attr:`TrainingState.at_once` keeps the size, and so do
    checkpoints. The loss stays that of the whole batch: energies and forces of all parts are
    computed first, the loss is differentiated by them, and the parts are computed once more, one
    after the other, with these derivatives. So means over the batch, and over a molecule's
    structures in it, have their whole denominators, and numbers agree to rounding.

    Parameters
    ----------
    run : TrainingState
    tasks : sequence of (float, Task)
        Weight in the loss and what is learnt.
    seed : int
        Of random cutoffs.
    tell : callable
        Called with a message for the user.
    """

    def __init__(
        self, run: TrainingState, tasks: Sequence[tuple[float, Task]], seed: int, tell: Tell
    ) -> None:
        self.run, self.tasks, self.seed, self.tell = run, tasks, seed, tell
        self.look = LOOK[run.mean.device.type]
        #: Where a part is that is being computed: its store, and its first structure there.
        self._alone = tasks[0][1].store, 0

    def advance(self, until: int) -> Tensor:
        """Make all updates before one, counted from 0, and return their losses on the device."""
        losses = []
        while self.run.update < until:
            gradient, loss = self._gradient()
            self.run.apply(gradient)
            losses.append(loss)
        return torch.stack(losses)

    def _gradient(self) -> tuple[Tensor, Tensor]:
        whole = sum(task.order.batch_size for _, task in self.tasks)
        size = min(self.run.at_once or whole, whole)
        return halved(
            lambda n: self._whole() if n == whole else self._in_parts(n), size, self._split
        )

    def _whole(self) -> tuple[Tensor, Tensor]:
        run = self.run
        cutoff = update_cutoff(run.config, self.seed, run.update)
        (_, main), *beside = self.tasks
        self._alone = main.store, int(main.order.batch(run.update)[0])
        loss = main.loss(run.potential, run.update, cutoff)
        for weight, other in beside:
            loss = loss + weight * other.loss(run.potential, run.update, cutoff)
        return run.gradient(loss), loss.detach()

    def _in_parts(self, size: int) -> tuple[Tensor, Tensor]:
        run = self.run
        cutoff = update_cutoff(run.config, self.seed, run.update)
        total, gradient = run.mean.new_zeros(()), torch.zeros_like(run.mean)
        for weight, task in self.tasks:
            loss, derivatives = self._derivatives(task, cutoff, size)
            total = total + weight * loss
            for part, by_energy, by_forces in derivatives:
                energies, forces = self._outputs(task, part, cutoff, differentiable=True)
                carried = (by_energy * energies).sum() + (by_forces * forces).sum()
                gradient += weight * run.gradient(carried)
        return gradient, total

    def _derivatives(
        self, task: Task, cutoff: float | None, size: int
    ) -> tuple[Tensor, list[tuple[np.ndarray, Tensor, Tensor]]]:
        """Return a batch's loss, and its derivatives by energies and forces of each part."""
        rows = task.order.batch(self.run.update)
        with stage("batch assembly"):
            batch, targets = task.store.labelled(rows)
        starts = range(0, len(rows), size)
        energies = batch.positions.new_zeros(len(rows))
        forces = torch.zeros_like(batch.positions)
        for i in starts:
            some = slice(i, i + size)
            e, f = self._outputs(task, rows[some], cutoff, differentiable=False)
            energies[some], forces[some, : f.shape[1]] = e, f
        energies.requires_grad_()
        forces.requires_grad_()
        with stage("loss"):
            loss = loss_of(
                energies,
                forces,
                self.run.potential,
                batch,
                targets,
                task.level,
                task.config,
                conformational=task.conformational,
            )
            by_energy, by_forces = torch.autograd.grad(loss, (energies, forces))
        found = []
        for i in starts:
            some = slice(i, i + size)
            longest = int(task.store.counts[rows[some]].max())
            found.append((rows[some], by_energy[some], by_forces[some, :longest]))
        return loss.detach(), found

    def _outputs(
        self, task: Task, rows: np.ndarray, cutoff: float | None, *, differentiable: bool
    ) -> tuple[Tensor, Tensor]:
        self._alone = task.store, int(rows[0])
        with stage("batch assembly"):
            batch, _ = task.store.labelled(rows)
        return energy_and_forces(
            self.run.potential,
            batch,
            cutoff,
            task.level,
            differentiable=differentiable,
            references=False,
        )

    def _split(self, size: int) -> None:
        run = self.run
        if size == 1:
            raise does_not_fit(*self._alone)
        run.at_once = (size + 1) // 2
        atoms = max(int(t.store.counts[t.order.batch(run.update)].max()) for _, t in self.tasks)
        self.tell(
            f"Update {run.update + 1}: {size} structures of up to {atoms} atoms do not fit in "
            f"memory together. From here on a batch is computed in parts of at most "
            f"{run.at_once}; the loss stays that of the whole batch, to rounding."
        )
