"""The compiled form of a fit: one graph for a whole update, and when it is worth its compilation.

On a CPU inductor writes C++ for the update; on CUDA it writes Triton, and an update with its batch
assembly is captured as a CUDA graph, so that Python only says "again". Data, order of batches,
rates and losses stay on the device, which the host waits for where it looks at losses.

The forms agree to rounding, not to the bit: in float32 a gradient agrees to 1e-4 of its norm and a
loss to 1e-5 of itself, for every potential of the registry; after n updates weights differ as those
of two eager fits do whose sums run in another order. Within a form a resumed fit has the bits of
one that was not interrupted.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .batches import DENSE_ATOMS, FrameStore
from .configuration import TrainingConfig
from .eager import LOOK, out_of_memory
from .profiling import stage
from .state import TrainingState
from .step import Rates, StepState, pure_step, rates, rest_of
from .tasks import Task

#: Most shapes of batches, each of which is compiled for itself.
MOST_SHAPES = 3
#: Of `torch.compile`. Others, which compile nothing, are for tests of what can be captured.
BACKEND = "inductor"
#: A smaller shape must have this share of the atoms of the next larger one, or less.
SMALLER = 0.8


@dataclass(frozen=True)
class Choice:
    """Which form a fit takes.

    Parameters
    ----------
    compiled : bool
    reason : str
        Why, in words.
    """

    compiled: bool
    reason: str

    def __str__(self) -> str:
        return f"{'compiled' if self.compiled else 'eager'}: {self.reason}"


def batch_shapes(counts: np.ndarray) -> tuple[int, ...]:
    """Return the numbers of atoms, ascending, that batches are padded to: three at most.

    The largest structure, and the upper ends of the first and second third of structures by size
    where they are smaller enough to be worth a shape of their own.

    Parameters
    ----------
    counts : array of int, shape (n,)
        Atoms of each structure.
    """
    ends = [(i + 1) / MOST_SHAPES for i in range(MOST_SHAPES)]
    shapes: list[int] = []
    for size in reversed(np.quantile(counts, ends, method="higher").astype(int).tolist()):
        if not shapes or size <= SMALLER * shapes[-1]:
            shapes.append(size)
    return tuple(reversed(shapes))


def compile_seconds(n_layers: int, n_shapes: int) -> float:
    """Return about how long compilation takes with an empty cache.

    Measured with torch 2.13 on one thread of an AMD EPYC: 49 s for two layers of the factorised
    PaiNN, 58 s for three of PaiNN.
    """
    return n_shapes * (30.0 + 10.0 * n_layers)


def launch_seconds(n_layers: int) -> float:
    """Return about how long the host takes to launch the operations of an eager update.

    A graph replays them at once. Measured with torch 2.13 on one thread of an AMD EPYC, with
    tensors so small that nothing else counts: 5.7, 8.5 and 11.0 ms for one, two and four layers
    of the factorised PaiNN, 7.2 and 13.8 ms for one and three of PaiNN, 4.4 and 6.8 ms for one and
    three of SchNet.
    """
    return 4e-3 + 2e-3 * n_layers


def choose(
    config: TrainingConfig,
    hyper: dict[str, Any],
    counts: np.ndarray,
    device: str,
    *,
    obstacle: str | None = None,
) -> Choice:
    """Choose the form of a fit: a pure function, so that a resumed fit repeats itself.

    Parameters
    ----------
    config : TrainingConfig
    hyper : dict
        Hyper-parameters of the potential.
    counts : array of int, shape (n,)
        Atoms of each structure of the training set.
    device : {'cpu', 'cuda'}
    obstacle : str, optional
        What the fit does that only the eager form can; see :func:`obstacle_of`.
    """
    if config.compile == "never":
        return Choice(False, "asked for")
    if obstacle is not None:
        return Choice(False, obstacle)
    if config.compile == "always":
        return Choice(True, "asked for")
    if device == "cpu":
        return Choice(
            False,
            "on a CPU compilation takes about a minute and wins a tenth of the time of an update "
            "of the default potential",
        )
    n_layers, n_shapes = int(hyper.get("n_layers", 1)), len(batch_shapes(counts))
    paid = compile_seconds(n_layers, n_shapes)
    saved = config.n_updates * launch_seconds(n_layers)
    told = (
        f"{config.n_updates:,} updates save about {saved:.0f} s of launching operations, "
        f"compilation of {n_shapes} {'shape' if n_shapes == 1 else 'shapes'} takes about "
        f"{paid:.0f} s"
    )
    return Choice(saved > paid, told)


def obstacle_of(
    config: TrainingConfig, task: Task, *, pretrained: bool, n_tasks: int, low_rank: bool
) -> str | None:
    """Return what of a fit cannot be compiled, in words, or None.

    Parameters
    ----------
    config : TrainingConfig
    task : Task
        The main one.
    pretrained : bool
        The potential is a universal one, with code of another package.
    n_tasks : int
    low_rank : bool
    """
    largest = int(task.store.counts.max())
    obstacles = {
        "universal potentials have neighbour lists of their own, whose sizes change": pretrained,
        "a prior or replay beside the main task is not compiled": n_tasks > 1,
        "changes of low rank are not compiled": low_rank,
        "with random cutoffs every update would be another graph": config.random_cutoff is not None,
        "periodic structures need neighbour lists, whose sizes change": task.store.periodic,
        f"structures of {largest} atoms need neighbour lists, whose sizes change; up to "
        f"{DENSE_ATOMS} atoms take all pairs": largest > DENSE_ATOMS,
    }
    return next((words for words, there in obstacles.items() if there), None)


class NotCompiledError(Exception):
    """Compilation is not available here, or failed; the message says why."""


class DoesNotFitError(Exception):
    """A whole batch does not fit in memory."""


def compiler_missing(device: str) -> str | None:
    """Return what this machine lacks for compilation, in words, or None."""
    if device == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "Triton is missing, or does not know the device"
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        return f"there is no C++ compiler that works ({_first_line(error)})"
    return None


def keep_cache() -> None:
    """Keep what inductor compiles in the user's cache folder, unless the user named another.

    Its own default is the system's folder for temporary files, which a restart may empty.
    """
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(base / "breadth" / "inductor"))


def one_graph(
    step: Callable[..., tuple[Any, Tensor]], backend: str = BACKEND
) -> Callable[..., tuple[Any, Tensor]]:
    """Return an update that is computed as one graph for each shape, or fails."""
    options: dict[str, Any] = {"fullgraph": True, "dynamic": False, "backend": backend}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
        # A limit of shapes for each update, not for the code that all fits of a process share.
        options["isolate_recompiles"] = True
    made: Callable[..., tuple[Any, Tensor]] = torch.compile(step, **options)
    return made


class Order(Protocol):
    """Which frames of a store make up which update."""

    def batch(self, update: int) -> np.ndarray:
        """Return the frames of an update, as many for each."""


class Run(Protocol):
    """What counts its updates."""

    config: TrainingConfig
    update: int


class GraphUpdates:
    """Makes updates with one compiled graph for each shape of a batch.

    Parameters
    ----------
    run : Run
    store : FrameStore
    order : Order
    step : callable
        A pure function ``step(state, rest, batch, targets, rates)`` of the next state and losses.
    state : tuple of Tensor
        Changed in place.
    rest : mapping of str to Tensor
    shapes : tuple of int
        Numbers of atoms, ascending, that batches are padded to.
    losses : tuple of int
        Shape of an update's losses.
    backend : str, optional
        Of `torch.compile`; :data:`BACKEND` by default.

    Raises
    ------
    NotCompiledError
        If there is no compiler, or compilation fails.
    DoesNotFitError
        If a batch does not fit in memory.
    """

    def __init__(
        self,
        run: Run,
        store: FrameStore,
        order: Order,
        *,
        step: Callable[..., tuple[Any, Tensor]],
        state: tuple[Tensor, ...],
        rest: Mapping[str, Tensor],
        shapes: tuple[int, ...],
        losses: tuple[int, ...] = (),
        backend: str | None = None,
    ) -> None:
        self.run, self.store, self.order, self.shapes = run, store, order, shapes
        backend = backend or BACKEND
        device = state[0].device
        missing = compiler_missing(device.type) if backend == "inductor" else None
        if missing is not None:
            raise NotCompiledError(missing)
        keep_cache()
        self._step = one_graph(step, backend)
        self._state, self._rest = state, rest
        self.look = LOOK[device.type]
        # Of the updates until the next look: which frames, at which rates, with which loss.
        size = len(order.batch(run.update))
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._rows = torch.zeros(self.look, size, dtype=torch.int64, device=device)
        self._rates = torch.zeros(self.look, len(Rates._fields), device=device)
        self._losses = torch.zeros(self.look, *losses, device=device)
        self._again: dict[int, Callable[[], None]] = {}
        with stage("compilation"):
            for shape in self.shapes:
                self._again[shape] = self._prepared(shape)

    def advance(self, until: int) -> Tensor:
        """Make all updates before one, counted from 0, and return their losses on the device.

        At most :attr:`look` of them. The host waits for nothing here.
        """
        run, order, counts = self.run, self.order, self.store.counts
        updates = range(run.update, until)
        with stage("batch assembly"):
            rows = np.stack([order.batch(u) for u in updates])
            now = torch.stack([torch.stack(rates(run.config, u)) for u in updates])
            self._send(self._rows, torch.from_numpy(rows))
            self._send(self._rates, now)
            self._place.zero_()
            shapes = np.searchsorted(self.shapes, counts[rows].max(1))
        with stage("compiled updates"):
            for shape in shapes.tolist():
                self._guarded(self._again[self.shapes[shape]])
                run.update += 1
        return self._losses[: len(updates)].clone()

    def _send(self, there: Tensor, values: Tensor) -> None:
        if there.is_cuda:
            values = values.pin_memory()  # or the host would wait for the copy
        there[: len(values)].copy_(values, non_blocking=True)

    @torch.no_grad()
    def _compute(self, shape: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the next state and the losses of the update that is due."""
        rows = self._rows.index_select(0, self._place)[0]
        now = Rates(*self._rates.index_select(0, self._place)[0].unbind())
        batch, targets = self.store.labelled(rows, shape)
        return self._step(self._state, self._rest, batch, targets, now)

    def _once(self, shape: int) -> None:
        """Make the update that is due: nothing changes before all is computed."""
        state, loss = self._compute(shape)
        self._losses.index_copy_(0, self._place, loss.to(self._losses.dtype)[None])
        for mine, new in zip(self._state, state, strict=True):
            mine.copy_(new)
        self._place += 1

    def _prepared(self, shape: int) -> Callable[[], None]:
        """Compile for a shape, and return what makes an update of it."""
        # Any frames that it holds will do.
        self._rows.fill_(int(np.argmin(self.store.counts)))
        self._place.zero_()

        def warm_up() -> None:
            self._compute(shape)

        if not self._place.is_cuda:
            self._guarded(warm_up, compiling=True)
            return lambda: self._once(shape)
        graph = torch.cuda.CUDAGraph()

        def capture() -> None:
            # As torch's notes on CUDA graphs ask: work on a side stream before the capture.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    warm_up()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                self._once(shape)

        self._guarded(capture, compiling=True)
        return graph.replay

    @staticmethod
    def _guarded(work: Callable[[], None], *, compiling: bool = False) -> None:
        try:
            work()
        except Exception as error:
            # A capture that ends early, and inductor, raise errors of their own over the first.
            first = next((e for e in _chain(error) if out_of_memory(e)), None)
            if first is not None:
                raise DoesNotFitError(_first_line(first)) from None
            if compiling:
                raise NotCompiledError(_first_line(error)) from error
            raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class CompiledUpdates(GraphUpdates):
    """Makes the updates of a fit with one compiled graph for each shape of a batch.

    Weights, running mean and moments are those of the state, changed in place: checkpoints are
    the same in both forms. Errors are those of :class:`GraphUpdates`.

    Parameters
    ----------
    run : TrainingState
    task : Task
    frozen : collection of str
        Names of parameters that stay.
    backend : str, optional
        Of `torch.compile`; :data:`BACKEND` by default.
    """

    def __init__(
        self,
        run: TrainingState,
        task: Task,
        frozen: Collection[str],
        *,
        backend: str | None = None,
    ) -> None:
        moments = run.moments()
        self._count = moments["step"]
        step = pure_step(
            run.potential,
            task.level,
            task.config,
            frozen=frozen,
            conformational=task.conformational,
        )
        super().__init__(
            run,
            task.store,
            task.order,
            step=step,
            state=StepState(
                run.weights.detach(), run.mean, moments["exp_avg"], moments["exp_avg_sq"]
            ),
            rest=rest_of(run.potential, frozen),
            shapes=batch_shapes(task.store.counts),
            backend=backend,
        )

    def _once(self, shape: int) -> None:
        super()._once(shape)
        self._count += 1


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
