"""How much memory an update takes, counted and not guessed, and how many models fit at once."""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...diversity.errors import ConfigurationError
from ..batches import DENSE_ATOMS, Batch, Targets
from ..configuration import TrainingConfig
from ..optimizer import Descent, StepState, rates
from ..potentials import build_potential
from ..updates.step import pure_step, rest_of

#: Share of a device's memory for what `update_bytes` counts: allocators take up to 2.6 times that.
SHARE = 0.3
#: Most models of a stack where nobody says how many.
MOST = 32


class _Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make, while they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place not in self._known:
            size = storage.nbytes()
            self._known.add(place)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def update_bytes(potential: Mapping[str, Any], *, batch_size: int, n_atoms: int) -> int:
    """Return the bytes of all tensors that are alive at once in an update of one model, at most.

    Counted in updates of one and of two structures, which fix the straight line. Kept between
    operations are tensors alone; what an operation needs inside it, and what an allocator leaves
    lying, comes on top: 1.3 to 2.6 times as much, measured on a CPU.

    Parameters
    ----------
    potential : mapping
        `name` and hyper-parameters.
    batch_size : int
        Structures of an update.
    n_atoms : int
        Atoms of each, padding included, all pairs taken.
    """
    written = json.dumps(dict(potential), sort_keys=True)
    one, two = (_counted(written, n, n_atoms) for n in (1, 2))
    return one + (batch_size - 1) * max(0, two - one)


def stack_size(
    potential: Mapping[str, Any],
    *,
    batch_size: int,
    n_atoms: int,
    device: torch.device | str,
    memory: int | None = None,
    workers: int = 1,
) -> int:
    """Return how many models to train at once where nobody says.

    On a CPU it is one: a model in a stack takes as long as alone there. On CUDA, where small
    operations wait for each other, it is as many as fit into `SHARE` of a worker's part of the
    memory, `MOST` at most. Nothing but the arguments decides it.

    Parameters
    ----------
    potential : mapping
        `name` and hyper-parameters.
    batch_size : int
        Structures of an update.
    n_atoms : int
        Of the largest structure.
    device : torch.device or str
        Its kind counts.
    memory : int, optional
        Bytes that are free on the device, by :func:`free_memory`; CUDA must have them.
    workers : int
        Processes that share the device, each with a stack of its own.

    Examples
    --------
    >>> stack_size({"name": "painn"}, batch_size=16, n_atoms=20, device="cpu")
    1
    """
    if torch.device(device).type == "cpu" or n_atoms > DENSE_ATOMS:
        return 1
    if memory is None:
        raise ConfigurationError(f"The memory of the device {device} is not known: give it.")
    each = update_bytes(potential, batch_size=batch_size, n_atoms=n_atoms)
    return max(1, min(MOST, int(SHARE * memory / workers / each)))


def free_memory(device: torch.device | str) -> int:
    """Return the bytes of a CUDA device that no process has taken."""
    free: int = torch.cuda.mem_get_info(device)[0]
    return free


@functools.cache
def _counted(potential: str, n: int, n_atoms: int) -> int:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_potential(**json.loads(potential)).requires_grad_(False)
        positions = 3.0 * torch.randn(n, n_atoms, 3)
    there = torch.ones(n, dtype=torch.bool)
    batch = Batch(
        numbers=torch.ones(n, n_atoms, dtype=torch.int64),
        positions=positions,
        mask=there[:, None].expand(n, n_atoms),
        cell=torch.zeros(n, 3, 3),
        pbc=torch.zeros(n, 3, dtype=torch.bool),
        charge=torch.zeros(n),
        periodic=False,
    )
    targets = Targets(
        energy=torch.zeros(n, dtype=torch.float64),
        forces=torch.zeros_like(positions),
        has_energy=there,
        has_forces=there,
        molecule=torch.arange(n),
    )
    config = TrainingConfig(device="cpu")
    weights = Descent(model, config).flat(model)
    state = StepState(weights, weights.clone(), *torch.zeros(2, len(weights)).unbind())
    step, rest, now = pure_step(model, model.levels[0], config), rest_of(model), rates(config, 0)
    with _Alive() as alive:
        step(state, rest, batch, targets, now)
    # The state before it lives as long.
    return alive.most + 4 * weights.nbytes
