"""Adapt a stored potential to the molecules of a set: what `breadth refine test-time` does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from pydantic import Field

from ..diversity import ConfigurationError, ConformerSet, DataError
from ..diversity.randomness import ordering
from ..sampling.labels import label
from ..training import Potential, load_potential, predict, save_potential
from ..training.refinement import TestTimeConfig, adapt, prior_loss
from .configuration import Section
from .evaluating import measure_errors
from .registry import label_engine

Show = Callable[[str, float, float], None]


class AdaptConfiguration(Section):
    """How a potential is adapted to each molecule of a set."""

    seed: int = Field(0, ge=0)
    """Of the halves, the structures held back and the batches."""
    share: float = Field(0.5, gt=0, le=1)
    """Of each molecule's structures that are adapted on; errors are reported on both parts."""
    test_time: TestTimeConfig = TestTimeConfig()
    """Steps, rates and the rule that stops them."""


def with_prior_labels(
    data: ConformerSet, prior: str, *, progress: Callable[[int, int], Any] | None = None
) -> ConformerSet:
    """Return the set with labels of a prior, computed by its engine where it has none."""
    if prior in data.levels:
        return data
    try:
        engine = label_engine(prior)
    except ConfigurationError as error:
        raise DataError(
            f"The set has no labels of the prior {prior!r}, and there is no engine of this name "
            "to compute them. Add them to the set as a level of theory."
        ) from error
    return data.with_level(prior, label(data, engine, progress=progress)[0])


def prior_of(potential: Potential, level: str, prior: str | None) -> str:
    """Return the level of a potential's prior head: the one named, or the only one there is."""
    others = [name for name in potential.levels if name != level]
    if prior is None and len(others) == 1:
        return others[0]
    if prior is None and others:
        raise ConfigurationError(
            f"The potential has heads for {', '.join(others)} beside {level!r}: say which is the "
            "prior."
        )
    if prior not in others:
        have = "no other" if not others else ", ".join(others)
        raise ConfigurationError(
            f"The potential has no head for a prior{f' {prior!r}' if prior else ''}: beside "
            f"{level!r} it knows {have}. Train one that learns the prior's labels beside, such as "
            "`breadth train DATA --out MODEL --set prior=gfn1`."
        )
    return prior


def adapt_to_molecules(
    folder: Path,
    data: ConformerSet,
    *,
    prior: str | None = None,
    level: str | None = None,
    train: ConformerSet | None = None,
    out: Path | None = None,
    configuration: AdaptConfiguration | None = None,
    show: Show | None = None,
) -> dict[str, Any]:
    """Adapt a potential to each molecule by a prior's labels, and measure where labels are there.

    Parameters
    ----------
    folder : Path
        Of the potential, which stays untouched.
    data : ConformerSet
        Labels of the prior are computed where it has none; reference labels are only measured
        with.
    prior : str, optional
        Level of the prior's head; the only other one by default.
    level : str, optional
        Of the data's reference labels; by default the one that the potential learned.
    train : ConformerSet, optional
        The training set: tells what of it is in `data`, and what prior loss the potential has
        on it, near which the steps end.
    out : Path, optional
        Gets a folder with the adapted potential of each molecule.
    configuration : AdaptConfiguration, optional
    show : callable, optional
        Called as ``show(phase, done, total)``.

    Returns
    -------
    dict
        ``prior``, ``level``, ``shared`` with the training set (None without one), its
        ``prior_loss_in_training``, ``unseen_elements``, ``molecules``: a list with counts, the
        prior's loss before and after, steps, why they stopped, and errors on structures
        ``adapted`` on and ``held`` out, each ``before``, ``after`` and of the ``prior`` itself
        (None without labels); and ``aside``: molecules to which the prior gave no label.

    Raises
    ------
    ConfigurationError
        If the potential has no head for the prior.
    DataError
        If the prior gave no molecule a label.
    """
    asked = configuration or AdaptConfiguration()
    potential, meta = load_potential(folder)
    learned = meta.get("level") or potential.levels[0]
    prior = prior_of(potential, learned, prior)
    told = show or (lambda *_: None)
    labelling = partial(told, "labels of the prior")
    data = with_prior_labels(data, prior, progress=labelling)
    reference = level or (learned if learned in data.levels else None)
    if level is not None:
        data.labels(level)
    owed = None
    if train is not None:
        known = with_prior_labels(train, prior, progress=labelling)
        owed = prior_loss(potential, known, prior_level=prior, config=asked.test_time)
    rows, aside = [], []
    for m in range(data.n_molecules):
        told("adapting", m, data.n_molecules)
        part = data.select(np.flatnonzero(data.molecule == m))
        name = str(part.molecules.smiles[0] or part.molecules.key[0])
        try:
            row, adapted = _one(potential, part, learned, prior, reference, owed, asked)
        except DataError as error:  # the prior cannot treat it; others go on
            aside.append({"molecule": name, "reason": str(error)})
            continue
        rows.append({"molecule": name, **row})
        if out is not None:
            place = out / f"{m:03d}"
            save_potential(place, adapted, {**meta, "adapted_to": name, "prior": prior})
            rows[-1]["potential"] = str(place)
    if aside and not rows:
        raise DataError(aside[0]["reason"])
    told("adapting", data.n_molecules, data.n_molecules)
    return {
        "prior": prior,
        "level": reference,
        "shared": None if train is None else shared_with(train, data),
        "prior_loss_in_training": owed,
        "unseen_elements": unseen_elements(potential, data, learned),
        "molecules": rows,
        "aside": aside,
    }


def shared_with(train: ConformerSet, data: ConformerSet) -> dict[str, int]:
    """Count what of a training set is in the data: conformers, and molecules by constitution."""
    return {
        "conformers": len(np.intersect1d(train.id, data.id)),
        "molecules": len(np.intersect1d(train.molecules.constitution, data.molecules.constitution)),
    }


def unseen_elements(potential: Potential, data: ConformerSet, level: str) -> list[str]:
    """Return the elements of the data that the potential never saw at a level."""
    seen = potential.seen[potential.level_index(level)]
    return [chemical_symbols[z] for z in data.elements.tolist() if not seen[z]]


def _one(
    potential: Potential,
    part: ConformerSet,
    learned: str,
    prior: str,
    reference: str | None,
    owed: float | None,
    asked: AdaptConfiguration,
) -> tuple[dict[str, Any], Potential]:
    order = ordering(f"adapt {asked.seed}", part.id)
    n = max(1, round(asked.share * len(part)))
    halves = {"adapted": np.sort(order[:n]), "held": np.sort(order[n:])}
    found = adapt(
        potential,
        part,
        prior_level=prior,
        index=halves["adapted"],
        config=asked.test_time,
        seed=asked.seed,
        owed=owed,
    )
    looks, watched = found.history["check_step"], found.history["watched_loss"]
    told: dict[str, Any] = {
        "n_adapted": found.n_adapted + found.n_held_back,
        "left_out": found.left_out,
        "steps": found.steps,
        "stopped": found.stopped,
        # At the step that was kept: where steps diverged, the last loss is no number.
        "prior_loss": [float(watched[0]), float(watched[looks == found.steps][0])],
    }
    for name, rows in halves.items():
        told[name] = None
        if reference is None or not len(rows):
            continue
        some = part.select(rows)
        truth = some.labels(reference)
        if not truth.has_forces.any():
            continue
        guesses = {
            "before": predict(potential, some, level=learned),
            "after": predict(found.potential, some, level=learned),
            "prior": some.labels(prior),
        }
        told[name] = {
            key: measure_errors(some, truth, guess).get("force_mae")
            if (truth.has_forces & guess.has_forces).any()
            else None
            for key, guess in guesses.items()
        }
    return told, found.potential
