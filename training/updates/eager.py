"""Updates one operation after another, in parts where a batch does not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...diversity.errors import BreadthError
from ..loss import loss_of
from ..order import update_cutoff
from ..potentials import Potential, energy_and_forces
from ..profiling import stage
from ..state import TrainingState
from ..tasks import Task

Tell = Callable[[str], None]

#: Most updates between looks at the losses, by kind of device; a CPU has nothing to wait for.
LOOK = {"cpu": 1, "cuda": 64}


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of the device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU torch has no kind of error for it.
    texts = ("can't allocate memory", "not enough memory", "bad_alloc", "could not create a memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def held_loss(task: Task, potential: Potential) -> float:
    """Return the loss of held-out conformers, in parts where they do not fit in memory."""
    at_once = 64
    while True:
        try:
            return task.mean_loss(potential, at_once)
        except (RuntimeError, MemoryError) as error:
            if at_once == 1 or not out_of_memory(error):
                raise
        at_once //= 2
        if potential.scales.is_cuda:
            torch.cuda.empty_cache()


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
        self._alone: tuple[Task, int] | None = None

    def advance(self, until: int) -> Tensor:
        """Make all updates before one, counted from 0, and return their losses on the device."""
        losses = []
        while self.run.update < until:
            gradient, loss = self._gradient()
            self.run.apply(gradient)
            losses.append(loss)
        return torch.stack(losses)

    def _gradient(self) -> tuple[Tensor, Tensor]:
        while True:
            try:
                return self._whole() if self._fits() else self._in_parts()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside of the handler, whose traceback holds what filled the memory.
            self._halve()

    def _largest(self) -> int:
        return max(task.order.batch_size for _, task in self.tasks)

    def _fits(self) -> bool:
        return self.run.at_once is None or self.run.at_once >= self._largest()

    def _whole(self) -> tuple[Tensor, Tensor]:
        run = self.run
        cutoff = update_cutoff(run.config, self.seed, run.update)
        (_, main), *beside = self.tasks
        loss = main.loss(run.potential, run.update, cutoff)
        for weight, other in beside:
            loss = loss + weight * other.loss(run.potential, run.update, cutoff)
        return run.gradient(loss), loss.detach()

    def _in_parts(self) -> tuple[Tensor, Tensor]:
        run = self.run
        cutoff = update_cutoff(run.config, self.seed, run.update)
        total, gradient = run.mean.new_zeros(()), torch.zeros_like(run.mean)
        for weight, task in self.tasks:
            loss, derivatives = self._derivatives(task, cutoff)
            total = total + weight * loss
            for part, by_energy, by_forces in derivatives:
                energies, forces = self._outputs(task, part, cutoff, differentiable=True)
                carried = (by_energy * energies).sum() + (by_forces * forces).sum()
                gradient += weight * run.gradient(carried)
        return gradient, total

    def _derivatives(
        self, task: Task, cutoff: float | None
    ) -> tuple[Tensor, list[tuple[np.ndarray, Tensor, Tensor]]]:
        """Return a batch's loss, and its derivatives by energies and forces of each part."""
        rows = task.order.batch(self.run.update)
        with stage("batch assembly"):
            batch, targets = task.store.labelled(rows)
        size = self.run.at_once
        assert size is not None
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
        self._alone = (task, int(rows[0]))
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

    def _halve(self) -> None:
        run = self.run
        if run.mean.is_cuda:
            torch.cuda.empty_cache()
        size = self._largest() if run.at_once is None else min(run.at_once, self._largest())
        if size == 1:
            if self._fits():
                task = self.tasks[0][1]
                self._alone = (task, int(task.order.batch(run.update)[0]))
            assert self._alone is not None
            task, place = self._alone
            row = int(task.rows[place])
            raise BreadthError(
                f"Conformer {row} (id {task.data.id[row].decode()}, {task.store.counts[place]} "
                "atoms) does not fit in memory by itself. Leave out structures of its size, take "
                "a smaller potential or cutoff, or a machine with more memory."
            )
        run.at_once = (size + 1) // 2
        atoms = max(int(t.store.counts[t.order.batch(run.update)].max()) for _, t in self.tasks)
        self.tell(
            f"Update {run.update + 1}: {size} structures of up to {atoms} atoms do not fit in "
            f"memory together. From here on a batch is computed in parts of at most "
            f"{run.at_once}; the loss stays that of the whole batch, to rounding."
        )
