"""Fitting a stack: members, what becomes of them, and why models cannot share one."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...diversity.conformers import ConformerSet
from ...diversity.errors import BreadthError, ConfigurationError, DataError
from ..batches import DENSE_ATOMS
from ..configuration import TrainingConfig, choose_device
from ..fingerprint import Fingerprint
from ..order import canonical
from ..potentials import Potential
from ..preparing import Prepared, prepare
from ..profiling import Profile, stage
from ..splitting import out_of_memory
from ..state import FitResult
from ..trainer import Progress
from ..updates.compilation import DoesNotFitError, NotCompiledError
from ..updates.eager import Tell
from ..updates.forms import choose
from .state import StackState
from .updates import CompiledStack, StackFrames, StackUpdates

#: Called as ``monitor(member, update, potential)``.
StackMonitor = Callable[[int, int, Potential], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a stack.

    Parameters
    ----------
    train : array of int or bool
        Conformers to learn from.
    seed : int
        Root of the streams for initial weights and batches.
    validation : array of int or bool, optional
        Conformers whose loss is followed.
    """

    train: np.ndarray
    seed: int = 0
    validation: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class StackResult:
    """What became of the models of a stack.

    Parameters
    ----------
    results : tuple of FitResult
        One for each member, in their order; of one that diverged, as it was before it did.
    faults : dict of int to str
        Why a member diverged and at which update, by its place; none where all is well.
    """

    results: tuple[FitResult, ...]
    faults: dict[int, str]


def fit_stack(
    potential: Mapping[str, Any],
    data: ConformerSet,
    members: Sequence[Member],
    *,
    level: str,
    config: TrainingConfig | None = None,
    directory: str | Path | None = None,
    monitor: StackMonitor | None = None,
    monitor_at: Iterable[int] = (),
    progress: Progress | None = None,
    tell: Tell | None = None,
    profile: Profile | None = None,
) -> StackResult:
    """Fit models of equal shape as one batched computation.

    Each member begins with the weights, and learns from the batches, that the model has alone by
    :func:`~breadth.training.fit`, and is that model to the tolerance of the arithmetic: sums are
    taken in another order, and batches padded to the largest structure of all members. The result
    depends on the members and their order, options, number of threads and kind of device. Of the
    others a member's numbers depend on how many and how large they are, and by rounding alone: one
    that diverges is frozen where it was last finite, and changes no bit of another.

    Parameters
    ----------
    potential : mapping
        `name` and hyper-parameters for :func:`~breadth.training.build_potential`.
    data : ConformerSet
    members : sequence of Member
        A committee has members of one training set and several seeds.
    level : str
        Level of theory to learn.
    config : TrainingConfig, optional
        Of all members. One that stops early (`patience`) keeps its best weights, and waits for
        the others.
    directory : path, optional
        Keep checkpoints of the stack there, and go on from one that is there.
    monitor : callable, optional
        Called as ``monitor(member, update, potential)`` with the running mean of a member's
        weights after each update in `monitor_at`, while the member is trained; what it returns
        enters its history.
    monitor_at : iterable of int
        Updates, counted from 1.
    progress : callable, optional
        Called as ``progress(update, n_updates, loss)`` for each update, with the mean loss of the
        members that are trained still; on CUDA where losses are next looked at.
    tell : callable, optional
        Called with messages in words, such as that compilation was asked for and is not to be
        had. By default they are warnings.
    profile : Profile, optional
        Takes where the time goes, by the stages of a single fit.

    Returns
    -------
    StackResult

    Raises
    ------
    DataError
        If a member has nothing to learn from, or structures are periodic or too large: see
        :func:`why_not_stacked`.
    ConfigurationError
        If the folder holds another fit, or the options cannot be stacked.
    BreadthError
        If the stack does not fit into the device's memory.
    """
    config = config or TrainingConfig()
    if not members:
        raise ConfigurationError("A stack needs at least one member.")
    device = choose_device(config.device)
    rows = [canonical(data, member.train) for member in members]
    reason = why_not_stacked(data, rows, config)
    if reason is not None:
        raise DataError(f"These models cannot be trained as a stack: {reason}")
    with profile or nullcontext():
        with stage("preparation"):
            ready = [
                prepare(
                    potential,
                    data,
                    level=level,
                    train=member.train,
                    validation=member.validation,
                    config=config,
                    seed=member.seed,
                )
                for member in members
            ]
            run = StackState([r.potential for r in ready], config, ready[0].frozen)
            frames = StackFrames(data, level, rows, ready, device)
            fingerprint = _fingerprint(ready)
            held = [r.held for r in ready]
            del ready  # and with it each member's frames on the device, which `frames` holds once
        if profile is not None:
            profile.device = run.state.weights.device
        folder = None if directory is None else Path(directory)
        if folder is not None:
            with stage("checkpoints"):
                run.load(folder, fingerprint)
        calls = sorted(set(monitor_at)) if monitor is not None else []
        last = config.n_updates
        updates = None
        while run.update < last and not run.finished:
            begin = run.update
            try:
                updates = updates or _updates(run, frames, level, tell or _warn, profile)
                stops = [last, begin + updates.look, *(c for c in calls if c > begin)]
                if any(task is not None for task in held):
                    stops.append(begin - begin % config.validate_every + config.validate_every)
                if folder is not None:
                    stops.append(begin - begin % config.checkpoint_every + config.checkpoint_every)
                updates.advance(min(stops))
            except (RuntimeError, MemoryError, DoesNotFitError) as error:
                if not isinstance(error, DoesNotFitError) and not out_of_memory(error):
                    raise
                raise BreadthError(
                    f"{len(members)} models at once do not fit in memory. Ask for a smaller stack; "
                    "a study or a committee needs another folder then, since stacks are part of "
                    "its plan."
                ) from error
            u, moving = run.update, run.members_moving()
            if profile is not None:
                made = range(begin, u)
                profile.count_stack(frames.atoms(made), len(members) * len(made))
            for k in moving:
                task = held[k]
                if task is not None and (u % config.validate_every == 0 or u == last):
                    with stage("validation"):
                        run.validate(k, task.mean_loss(run.average(k)))
                if monitor is not None and u in calls:
                    with stage("monitor"):
                        found = monitor(k, u, run.average(k))
                    run.monitored[k].append((u, {name: float(x) for name, x in found.items()}))
            run.finished = not run.members_moving()
            if progress is not None:
                for i, loss in enumerate(run.mean_losses(begin, moving)):
                    progress(begin + i + 1, last, loss)
            if folder is not None and (
                u % config.checkpoint_every == 0 or u == last or run.finished
            ):
                with stage("checkpoints"):
                    run.save(folder, fingerprint)
    return StackResult(*run.result())


def _updates(
    run: StackState, frames: StackFrames, level: str, tell: Tell, profile: Profile | None
) -> StackUpdates | CompiledStack:
    """Return what makes the updates: compiled where that pays back, as for a single fit."""
    counts, hyper = frames.store.counts, run.potentials[0].hyper
    device = run.state.weights.device.type
    choice = choose(run.config, hyper, counts[counts == counts.max()], device)
    updates: StackUpdates | CompiledStack | None = None
    form = str(choice)
    if choice.compiled:
        try:
            updates = CompiledStack(run, frames, level)
        except NotCompiledError as error:
            form = f"eager: {error}"
            tell(f"Nothing could be compiled: {error}. The stack is eager.")
    if profile is not None:
        profile.form = f"{len(run.potentials)} models at once, {form}"
    return updates or StackUpdates(run, frames, level)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def why_not_stacked(
    data: ConformerSet, train: Sequence[np.ndarray], config: TrainingConfig
) -> str | None:
    """Return why models cannot be trained as a stack, a sentence; None where they can.

    Neighbour lists are as long as the data make them, which no batched computation can follow:
    all pairs are taken.

    Parameters
    ----------
    data : ConformerSet
    train : sequence of array of int
        Conformers of each model.
    config : TrainingConfig
    """
    if config.random_cutoff is not None:
        return "models of different seeds have different random cutoffs."
    every = np.unique(np.concatenate(train)) if len(train) else np.zeros(0, dtype=np.int64)
    if len(every) == 0:
        return None
    if data.pbc[every].any():
        return "some of their structures are periodic."
    most = int(data.counts[every].max())
    if most > DENSE_ATOMS:
        return f"a structure has {most} atoms, and stacks take {DENSE_ATOMS} at most."
    return None


def _fingerprint(ready: Sequence[Prepared]) -> Fingerprint:
    """Return what decides the result of a stack: the fingerprints of its members in their order."""
    digest = hashlib.blake2b("".join(r.fingerprint.digest for r in ready).encode())
    own = {f"member {k}": r.fingerprint.parts for k, r in enumerate(ready)}
    return Fingerprint(digest.hexdigest(), own)
