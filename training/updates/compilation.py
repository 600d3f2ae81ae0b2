"""The compiled form of a fit: one graph for a whole update.

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
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..batches import FrameStore
from ..configuration import TrainingConfig
from ..optimizer import Rates, rates
from ..profiling import stage
from ..splitting import out_of_memory
from ..state import TrainingState
from ..tasks import Task
from .eager import LOOK
from .forms import batch_shapes
from .step import pure_step, rest_of

#: Of `torch.compile`. Others, which compile nothing, are for tests of what can be captured.
BACKEND = "inductor"


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
    if backend == "inductor" and "deterministic" in torch._inductor.list_options():
        # Or it would choose by timing among kernels that sum in different orders.
        options["options"] = {"deterministic": True}
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
            # As torch's notes on CUDA graphs ask: work on a side stream before the capture, and on
            # the same one, since libraries make handles for each stream.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    warm_up()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph, stream=side):
                self._once(shape)

        self._guarded(capture, compiling=True)
        return graph.replay

    @staticmethod
    def _guarded(work: Callable[[], None], *, compiling: bool = False) -> None:
        try:
            work()
        except Exception as error:
            # A capture that ends early, and inductor, raise errors of their own over the first.
            # Kept as text: an error's traceback holds what filled the memory.
            first = next((_first_line(e) for e in _chain(error) if out_of_memory(e)), None)
            if first is not None:
                raise DoesNotFitError(first) from None
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
            state=run.tensors,
            rest=rest_of(run.potential, frozen),
            shapes=batch_shapes(task.store.counts),
            backend=backend,
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
