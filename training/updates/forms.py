"""Which form a fit takes, eager or compiled, and the shapes that compiled batches are padded to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..batches import DENSE_ATOMS
from ..configuration import TrainingConfig
from ..tasks import Task

#: Most shapes of batches, each of which is compiled for itself.
MOST_SHAPES = 3
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
