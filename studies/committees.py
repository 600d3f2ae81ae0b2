"""Committees: a potential fitted from several seeds, and how far the fits differ.

A committee is a folder with a potential for each seed, ``seed-N``, and ``committee.json``. It is
trained in stacks where that pays, else one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import errors
from ..diversity import BreadthError, ConfigurationError, ConformerSet, DataError, Labels
from ..training import (
    DivergedError,
    FitResult,
    Member,
    Profile,
    fit,
    fit_stack,
    predict,
    save_potential,
)
from ..training.checkpoints import MANIFEST
from ..training.configuration import choose_device
from ..training.order import canonical
from ..training.stacks import free_memory, stack_size, why_not_stacked
from .evaluating import measure_errors
from .registry import COMMITTEE, potential_and_facts
from .single import Asked, TrainConfiguration, asked_of
from .store import check_folder, replace_file


def train_committee(
    data: ConformerSet,
    out: Path,
    configuration: TrainConfiguration,
    *,
    level: str | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    tell: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> dict[str, Any]:
    """Fit a potential from several seeds; killed and started again, it goes on.

    All members have the same conformers to train and to validate on: those of a single fit with
    the first seed. One that diverges is told and left out.

    Parameters
    ----------
    data : ConformerSet
    out : Path
        Gets ``committee.json`` and for each seed a folder of a potential.
    configuration : TrainConfiguration
        With `committee` of two or more.
    level, progress, tell, profile
        As of :func:`~breadth.studies.single.train_potential`; updates of all members count.

    Returns
    -------
    dict
        Folders of the members, how many were fitted at once, counts, mean losses, and by seed
        why a member diverged.

    Raises
    ------
    ConfigurationError
        If the folder holds another committee, or members cannot be fitted at once as asked.
    BreadthError
        If fewer than two members are left.
    """
    asked = asked_of(data, configuration, level)
    seeds = list(range(configuration.seed, configuration.seed + configuration.committee))
    size = _models_at_once(out, asked, seeds)
    replace_file(_made(out) / COMMITTEE, json.dumps({"seeds": seeds, "stack": size}))
    tasks = [part.tolist() for part in np.array_split(seeds, -(-len(seeds) // size))]
    done, total = 0, len(seeds) * configuration.training.n_updates
    fitted: dict[int, FitResult] = {}
    diverged: dict[int, str] = {}
    for place, part in enumerate(tasks):
        before, times = done, len(part)

        def show(
            update: int, n: int, loss: float, before: int = before, times: int = times
        ) -> None:
            if progress is not None:
                progress(before + times * update, total, loss)

        results, faults = _fit(asked, part, out, place, show, tell, profile)
        for seed in part:
            if seed in faults:
                diverged[seed] = faults[seed]
                if tell is not None:
                    tell(f"seed {seed} is left out of the committee: {faults[seed]}")
                continue
            fitted[seed] = results[seed]
            save_potential(
                _folder(out, seed), results[seed].potential, {**asked.facts, "seed": seed}
            )
        done += times * configuration.training.n_updates
    if len(fitted) < 2:
        raise BreadthError(
            f"Of {len(seeds)} members {len(diverged)} diverged, and a committee needs two. Seed "
            f"{min(diverged)}: {diverged[min(diverged)]}"
        )
    told = {"seeds": seeds, "stack": size, "diverged": {str(k): v for k, v in diverged.items()}}
    replace_file(out / COMMITTEE, json.dumps({**told, "finished": True}))
    losses = [asked.losses(result) for result in fitted.values()]
    held = [loss for _, loss in losses if loss is not None]
    return {
        "potential": str(out),
        "members": [str(_folder(out, seed)) for seed in fitted],
        "models_at_once": size,
        "level": asked.level,
        "n_train": len(asked.train),
        "n_validation": len(asked.validation),
        "updates": max(result.updates for result in fitted.values()),
        "loss": float(np.mean([loss for loss, _ in losses])),
        "validation_loss": float(np.mean(held)) if held else None,
        "diverged": told["diverged"] or None,
    }


def is_committee(folder: Path) -> bool:
    """Say whether a folder holds a committee."""
    return (folder / COMMITTEE).is_file()


def members_of(folder: Path) -> list[Path]:
    """Return the folders of a committee's members, by seed.

    Raises
    ------
    DataError
        If the committee is not finished, or its file is damaged.
    """
    path = folder / COMMITTEE
    try:
        told = json.loads(path.read_text())
        seeds, diverged = [int(seed) for seed in told["seeds"]], told.get("diverged", {})
        whole = bool(told.get("finished"))
        found = [_folder(folder, seed) for seed in seeds if str(seed) not in diverged]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}). Run its `breadth train` again.") from None
    if not whole:
        raise DataError(f"The committee in {folder} is not finished: run its command again.")
    return found


def each_potential(named: Sequence[Path]) -> list[Path]:
    """Return folders or names of potentials, a committee as its members."""
    return [one for name in named for one in (members_of(name) if is_committee(name) else [name])]


def evaluate_committee(
    folder: Path, data: ConformerSet, *, level: str | None = None
) -> dict[str, Any]:
    """Measure the errors of the mean of what members predict, and how far members differ.

    Parameters
    ----------
    folder : Path
        Of a committee.
    data, level
        As of :func:`~breadth.studies.single.evaluate_potential`.

    Returns
    -------
    dict
        As :func:`~breadth.studies.single.evaluate_potential` does, and ``n_members``,
        ``force_spread`` (eV/Å) and ``energy_spread_per_atom`` (eV): the standard deviation
        between members of a force component and of an energy, averaged as errors are, within a
        molecule and then over molecules.
    """
    loaded = [potential_and_facts(member) for member in members_of(folder)]
    learned = loaded[0][1].get("level")
    if level is None and learned in data.levels:
        level = learned
    labels = data.labels(level)
    found = [predict(potential, data, level=learned) for potential, _ in loaded]
    energies, forces = np.stack([p.energy for p in found]), np.stack([p.forces for p in found])
    mean = Labels(energy=energies.mean(axis=0), forces=forces.mean(axis=0))
    m, molecule = data.n_molecules, data.molecule
    # Averaged as the absolute errors of forces are: a spread is one against nothing.
    spread = forces.std(axis=0, ddof=1)
    by_molecule = errors.force_mae_by_molecule(spread, 0 * spread, data.counts, molecule, m)
    per_atom = errors.mean_by_molecule(energies.std(axis=0, ddof=1) / data.counts, molecule, m)
    return {
        "potential": str(folder),
        "level": level or next(iter(data.levels)),
        "n_members": len(found),
        **measure_errors(data, labels, mean),
        "force_spread": float(np.nanmean(by_molecule)),
        "energy_spread_per_atom": float(np.nanmean(per_atom)),
    }


def _folder(out: Path, seed: int) -> Path:
    return out / f"seed-{seed}"


def _made(out: Path) -> Path:
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def _models_at_once(out: Path, asked: Asked, seeds: list[int]) -> int:
    """Return how many members are fitted at once; a folder that was begun says so."""
    configuration = asked.configuration
    config, size = configuration.training, configuration.stack
    if (out / MANIFEST).exists():
        raise ConfigurationError(f"{out} holds a single potential. Give another --out.")
    if is_committee(out):
        try:
            told = json.loads((out / COMMITTEE).read_text())
            there = [int(seed) for seed in told["seeds"]], int(told["stack"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{out / COMMITTEE} is damaged ({error}). Give another --out."
            ) from None
        wanted = seeds, there[1] if size == "auto" else min(size, len(seeds))
        if there != wanted:
            raise ConfigurationError(
                f"{out} holds a committee of seeds {_range(there[0])}, {there[1]} fitted at once; "
                f"asked are seeds {_range(seeds)}, {wanted[1]} at once. Give another --out, or "
                "what the folder was made with."
            )
        return there[1]
    rows = canonical(asked.data, asked.train)
    reason = "a prior is learnt beside." if configuration.prior is not None else None
    reason = reason or why_not_stacked(asked.data, [rows], config)
    if size != "auto":
        if size > 1 and reason is not None:
            raise ConfigurationError(f"stack: members cannot be fitted at once: {reason}")
        return min(size, len(seeds))
    device = choose_device(config.device)
    if reason is not None or device.type == "cpu":
        return 1
    found = stack_size(
        configuration.potential,
        batch_size=config.batch_size,
        n_atoms=int(asked.data.counts[rows].max()),
        device=device,
        memory=free_memory(device),
    )
    return min(found, len(seeds))


def _range(seeds: Sequence[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]}"


def _fit(
    asked: Asked,
    seeds: list[int],
    out: Path,
    place: int,
    progress: Callable[[int, int, float], None],
    tell: Callable[[str], None] | None,
    profile: Profile | None,
) -> tuple[dict[int, FitResult], dict[int, str]]:
    """Fit members at once, or a single one; return results and reasons of those that diverged."""
    configuration = asked.configuration
    if len(seeds) > 1:
        stack = fit_stack(
            configuration.potential,
            asked.data,
            [Member(asked.train, seed, asked.held) for seed in seeds],
            level=asked.level,
            config=configuration.training,
            directory=out / f"stack-{place}",
            progress=progress,
            tell=tell,
            profile=profile,
        )
        faults = {seeds[k]: reason for k, reason in stack.faults.items()}
        return dict(zip(seeds, stack.results, strict=True)), faults
    try:
        found = fit(
            configuration.potential,
            asked.data,
            level=asked.level,
            train=asked.train,
            validation=asked.held,
            config=configuration.training,
            seed=seeds[0],
            directory=_folder(out, seeds[0]),
            progress=progress,
            tell=tell,
            profile=profile,
            prior=asked.prior,
        )
    except DivergedError as error:
        return {}, {seeds[0]: str(error)}
    return {seeds[0]: found}, {}
