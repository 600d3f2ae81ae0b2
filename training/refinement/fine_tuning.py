"""Going on from a potential with a few labelled structures of a new system or level."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...diversity.conformers import ConformerSet
from ...diversity.errors import ConfigurationError
from ..configuration import TrainingConfig
from ..order import canonical
from ..potentials import Potential
from ..potentials.foundation import PretrainedPotential
from ..starting import with_level
from ..state import FitResult
from ..tasks import Replay
from ..trainer import Progress, fit
from .freezing import late, representation

#: A tenth of the rate of training from scratch, and few updates: a handful of structures is
#: learnt soon, and what the potential knew is to stay. The rates were chosen for AdamW.
FINE_TUNING = TrainingConfig(
    n_updates=300,
    optimizer="adamw",
    learning_rate=6e-4,
    ema_decay=0.98,
    relative_energies=True,
    warmup=0.1,
)

#: Of universal potentials, by a sweep on molecules that no test of ours uses: see
#: docs/fine_tuning.md. Many small batches teach more than few large ones.
UNIVERSAL_TUNING = FINE_TUNING.model_copy(
    update={"n_updates": 400, "batch_size": 8, "learning_rate": 5e-4}
)
#: Their learning rates where less than all weights move.
RATES = {"heads": 3e-3, "last": 1e-3, "low_rank": 2e-3}


def fine_tune(
    potential: Potential,
    data: ConformerSet,
    *,
    level: str,
    index: np.ndarray,
    like: str | None = None,
    what: str = "all",
    replay: Replay | None = None,
    config: TrainingConfig | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Go on training a potential with a few labelled structures of a new system.

    A level that the potential does not know takes over head and scale of one that it knows, and
    its reference energies move to the new level before any update; it is the first level of the
    result. A level that it knows keeps its scale; a constant by which energies of a new
    composition are off is taken off beforehand, so that it is not the weights that learn it.
    Heads of other levels stay, but that of a replayed one.

    Parameters
    ----------
    potential : Potential
        Untouched.
    data : ConformerSet
    level : str
        Level of theory of the labels.
    index : array of int or bool
        From one structure on; a batch is never larger than there are structures.
    like : str, optional
        Level from which an unknown one begins; by default that of the pretraining, or else the
        first. A known one has its own beginning.
    what : str
        What moves: ``all`` weights; ``heads``, the new level's (and the replayed one's);
        ``last:N``, the last N rounds of messages and all that follows; ``low_rank:R``, linear
        maps of the representation by products of rank R, and the heads.
    replay : Replay, optional
        Structures of the original distribution, learnt beside by the original head.
    config : TrainingConfig, optional
        :func:`fine_tuning_config` by default.
    seed, directory, progress
        See :func:`~breadth.training.fit`.

    Raises
    ------
    ConfigurationError
        If `what` is none of these, `like` is given for a level that the potential knows, or
        replay is of one that it does not know.
    DataError
        If there is no structure to learn from, or no label of the level.

    Notes
    -----
    Multi-head replay: arXiv:2401.00096 and 2412.10516; low rank: arXiv:2106.09685. Energies of
    a level without isolated atoms compare between conformers of a molecule alone.
    """
    data.labels(level)
    rows = canonical(data, index)
    config = config or fine_tuning_config(potential, what)
    few = min(config.batch_size, max(1, len(rows)))
    start = potential
    if level not in potential.levels or like is not None:
        start = with_level(potential, level, like=like)
    frozen, rank = what_moves(start, what)
    return fit(
        None,
        data,
        level=level,
        train=rows,
        config=config.model_copy(update={"batch_size": few}),
        seed=seed,
        directory=directory,
        progress=progress,
        start=start,
        frozen=frozen,
        low_rank=rank,
        replay=replay,
    )


def fine_tuning_config(potential: Potential | type[Potential], what: str = "all") -> TrainingConfig:
    """Return how a potential is fine-tuned where nothing else is asked for.

    Parameters
    ----------
    potential : Potential or its class
    what : str
        See :func:`fine_tune`.
    """
    kind = potential if isinstance(potential, type) else type(potential)
    if not issubclass(kind, PretrainedPotential):
        return FINE_TUNING
    rate = RATES.get(what.partition(":")[0], UNIVERSAL_TUNING.learning_rate)
    return UNIVERSAL_TUNING.model_copy(update={"learning_rate": rate})


def what_moves(potential: Potential, what: str) -> tuple[list[str], int | None]:
    """Return the parameters that a way of fine-tuning freezes, and the rank of changes.

    Examples
    --------
    >>> from breadth.training import build_potential
    >>> potential = build_potential("painn", n_layers=2)
    >>> frozen, rank = what_moves(potential, "last:1")
    >>> sorted({".".join(name.split(".")[:2]) for name in frozen}), rank
    (['embedding.weight', 'messages.0', 'updates.0'], None)
    """
    match = re.fullmatch(r"(all|heads)|(last|low_rank):([1-9]\d*)", what)
    if match is None:
        raise ConfigurationError(
            f"What moves in fine-tuning is all, heads, last:N or low_rank:R with N and R from 1 "
            f"on, not {what!r}."
        )
    kind, number = match[1] or match[2], int(match[3] or 0)
    if kind == "all":
        return [], None
    if kind == "heads":
        return representation(potential), None
    if kind == "low_rank":
        return [], number
    moving = set(late(potential, number))
    return [name for name in representation(potential) if name not in moving], None
