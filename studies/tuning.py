"""Fine-tune one potential on one set: what `breadth finetune` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from ..diversity import ConfigurationError, ConformerSet, DataError, ShortageError
from ..diversity.randomness import ordering
from ..training import Potential, TrainingConfig, predict, save_potential
from ..training.refinement import (
    Replay,
    adopt_level,
    fine_tune,
    fine_tuning_config,
    forgetting,
    original_level,
    pseudo_labels,
)
from .configuration import Section
from .evaluating import measure_errors
from .registry import potential

#: With fewer molecules, frames are held out and not molecules.
FEWEST_MOLECULES = 5


class TuneConfiguration(Section):
    """How a potential is fine-tuned on a set."""

    seed: int = Field(0, ge=0)
    """Of the batches, and of the molecules held out."""
    held_out: float = Field(0.2, ge=0, lt=1)
    """Share of the molecules, or of each molecule's frames, that errors are measured on."""
    like: str | None = None
    """Level of the potential from which a new one begins; its original level by default."""
    replay_weight: float = Field(1.0, gt=0)
    """Weight of the replayed structures' loss beside the new ones'."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of the training that differ from the defaults of fine-tuning."""

    def training_of(self, start: Potential, what: str) -> TrainingConfig:
        """Return the options of the fit."""
        defaults = fine_tuning_config(start, what).model_dump()
        try:
            return TrainingConfig(**defaults | self.training)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            known = ", ".join(sorted(TrainingConfig.model_fields))
            raise ConfigurationError(
                f"training.{place}: {first['msg']}. Keys of the training: {known}."
            ) from None


def tune(
    model: str,
    data: ConformerSet,
    *,
    level: str | None = None,
    what: str = "all",
    out: Path | None = None,
    test: ConformerSet | None = None,
    replay: ConformerSet | None = None,
    configuration: TuneConfiguration | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune a potential and measure it on structures that it did not learn from.

    Parameters
    ----------
    model : str
        Name of a universal potential, or a folder with a potential, which stays untouched.
    data : ConformerSet
        With labels.
    level : str, optional
        Level of theory of the labels; the only one by default.
    what : str
        See :func:`~breadth.training.refinement.fine_tune`.
    out : Path, optional
        Gets the potential and a checkpoint; a killed fit goes on from it.
    test : ConformerSet, optional
        What errors are measured on, in place of a part of the data.
    replay : ConformerSet, optional
        Structures of the original domain, with labels of the potential's original level, or
        without, in which case its own predictions stand in for them. A part is held out, as of
        the data, and tells what was forgotten.
    configuration : TuneConfiguration, optional
    progress : callable, optional
        Called as ``progress(update, n_updates, loss)``.

    Returns
    -------
    dict
        ``before`` and ``after``: errors on the held-out structures, before with reference
        energies that were moved to the level already (None where nothing is held out);
        ``forgetting`` (None where nothing replayed is held out), counts and where the potential
        is.

    Raises
    ------
    DataError
        If there is no label to learn from, or the test set shares conformers with the data.
    ShortageError
        If too few structures are there to hold some out.
    """
    asked = configuration or TuneConfiguration()
    start = potential(model)
    labels = data.labels(level)
    name = next(key for key, value in data.levels.items() if value is labels)
    usable = np.flatnonzero(labels.has_energy | labels.has_forces)
    if not len(usable):
        raise DataError(f"No conformer has a label at level {name!r}; there is nothing to learn.")
    train, held, by = usable, usable[:0], "nothing"
    measured = data
    if test is not None:
        measured, held, by = test, _labelled(test, name, data), "test set"
    elif asked.held_out:
        train, held, by = hold_out(data, usable, asked.held_out, asked.seed)
    original = original_level(start)
    replayed, kept, stored = None, None, False
    if replay is not None:
        stored = original in replay.levels and bool(replay.labels(original).has_forces.all())
        known = replay if stored else pseudo_labels(start, replay, level=original)
        rows = np.arange(len(known))
        if asked.held_out:
            rows, left, _ = hold_out(known, rows, asked.held_out, asked.seed)
            kept = known.select(left)
        replayed = Replay(known, original, rows, asked.replay_weight)
    result = fine_tune(
        start,
        data,
        level=name,
        index=train,
        like=asked.like,
        what=what,
        replay=replayed,
        config=asked.training_of(start, what),
        seed=asked.seed,
        directory=out,
        progress=progress,
    )
    tuned = result.potential
    if out is not None:
        facts = {"level": name, "fine_tuned_from": model, "what": what}
        save_potential(out, tuned, {**facts, "configuration": asked.model_dump(mode="json")})
    part = measured.select(held)
    moved = adopt_level(start, data, level=name, index=train, like=asked.like)
    errors = {
        when: measure_errors(part, part.labels(name), predict(each, part, level=name))
        if len(held)
        else None
        for when, each in (("before", moved), ("after", tuned))
    }
    lost = None
    if kept is not None:
        lost = asdict(
            forgetting(start, tuned, kept, level=original, new_level=name, labelled=stored)
        )
    return {
        "model": model,
        "potential": None if out is None else str(out),
        "level": name,
        "original_level": original,
        "what": what,
        "held_out_by": by,
        "n_train": len(train),
        "n_held_out": len(held),
        "n_replayed": 0 if replayed is None else len(replayed.rows),
        "updates": result.updates,
        "loss": float(result.history["loss"][-min(20, result.updates) :].mean()),
        "energies_are_absolute": tuned.energies_are_absolute(data.select(train).elements, name),
        **errors,
        "forgetting": lost,
    }


def hold_out(
    data: ConformerSet, usable: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Hold molecules out, or the last frames of each where molecules are few.

    Parameters
    ----------
    data : ConformerSet
    usable : array of int
        Conformers to divide.
    share : float
        Of the molecules, stereoisomers together, or of each molecule's frames: a contiguous
        block at the end, in order of time or record, with a gap of a tenth of it and one frame
        at least, since neighbours along a trajectory are near copies.
    seed : int
        Of the molecules.

    Returns
    -------
    train, held : array of int64
    by : {'molecule', 'block'}

    Raises
    ------
    ShortageError
        If a molecule has too few frames.
    """
    names = data.molecules.constitution[data.molecule[usable]]
    distinct = np.unique(names)
    if len(distinct) >= FEWEST_MOLECULES:
        n = max(1, round(share * len(distinct)))
        chosen = distinct[ordering(f"fine-tuning {seed}", distinct.tolist())[:n]]
        held = np.isin(names, chosen)
        return usable[~held], usable[held], "molecule"
    train, last = [], []
    for name in distinct:
        frames = usable[names == name]
        clock = data.time[frames]
        clock = clock if np.isfinite(clock).all() else data.record[frames]
        frames = frames[np.lexsort((data.record[frames], clock, data.trajectory[frames]))]
        length = max(1, round(share * len(frames)))
        gap = max(1, round(length / 10))
        if len(frames) < length + gap + 1:
            raise ShortageError(
                f"{data.formula(int(frames[0]))} has {len(frames)} labelled frames, too few to "
                f"hold {length} out and leave a gap. Name a test set by --test (replay has none), "
                "or learn from all of them by --set held_out=0."
            )
        train.append(frames[: -length - gap])
        last.append(frames[-length:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(last)), "block"


def _labelled(test: ConformerSet, level: str, data: ConformerSet) -> np.ndarray:
    """Return the labelled conformers of a test set, none of which may be learnt from."""
    labels = test.labels(level)
    rows = np.flatnonzero(labels.has_energy | labels.has_forces)
    if not len(rows):
        raise DataError(f"No conformer of the test set has a label at level {level!r}.")
    shared = np.isin(test.id[rows], data.id)
    if shared.any():
        raise DataError(
            f"{np.count_nonzero(shared)} of {len(rows)} conformers of the test set are in the set "
            "to learn from: errors on them would say nothing. Take them out of one of the two."
        )
    return rows
