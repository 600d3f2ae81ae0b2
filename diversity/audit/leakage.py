"""What two files share: conformers, near copies, molecules, scaffolds, and labels at odds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..measures.measure import shared_records
from .findings import N_WORST, record_name
from .frames import NEAR_LIMIT, conflict
from .neighbours import Frames, frame_groups, joined, near_pairs


def leakage(
    sets: Mapping[str, ConformerSet], *, progress: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """Count what each pair of sets shares.

    Parameters
    ----------
    sets : mapping of str to ConformerSet
    progress : callable, optional
        Called with the names of each pair before it is compared.

    Returns
    -------
    list of dict
        By pair: ``files``; ``conformers`` (content ids in both), ``molecules`` (constitutions),
        ``scaffolds`` (None where a structure is not known); ``contained``, the numbers of records
        of either file whose content id is in the other; ``near_conformers``, records of the
        second that are a geometry of the first up to rotation and rounding and not its record;
        ``conflicts``, records of the second with a geometry of the first and other labels at a
        level of the same name; ``worst``, conflicts and then near copies by name.
    """
    return [
        _pair(names, (sets[names[0]], sets[names[1]]), progress) for names in combinations(sets, 2)
    ]


def _pair(
    names: tuple[str, str],
    sets: tuple[ConformerSet, ConformerSet],
    progress: Callable[[str], None] | None,
) -> dict[str, Any]:
    if progress is not None:
        progress(f"{names[0]} and {names[1]}")
    a, b = sets
    near, conflicts = _same_geometries(a, b)
    worst = [
        f"{record_name(b, row)}: {what}"
        for row, what in (conflicts | {r: w for r, w in near.items() if r not in conflicts}).items()
    ]
    return {
        "files": list(names),
        **shared_records(a, b),
        "contained": [int(np.isin(a.id, b.id).sum()), int(np.isin(b.id, a.id).sum())],
        "near_conformers": len(near),
        "conflicts": len(conflicts),
        "worst": worst[:N_WORST],
    }


def _same_geometries(a: ConformerSet, b: ConformerSet) -> tuple[dict[int, str], dict[int, str]]:
    """Return rows of b that are geometries of a, and those whose labels differ, with why."""
    shared = np.isin(b.id, a.id)
    near: dict[int, str] = {}
    conflicts: dict[int, str] = {}
    groups: dict[tuple[str, bytes], list[Frames]] = {}
    for frames in frame_groups(a, smallest=1):
        groups.setdefault(_key(a, frames), []).append(frames)
    for theirs in frame_groups(b, smallest=1):
        for ours in groups.get(_key(b, theirs), []):
            both = joined(ours, theirs)
            if both is None:
                continue
            pairs = near_pairs(both, NEAR_LIMIT, split=len(ours.rows))
            for p in range(len(pairs.rmsd)):
                i, j = int(both.rows[pairs.first[p]]), int(both.rows[pairs.second[p]])
                name = record_name(a, i)
                if not shared[j]:
                    near[j] = f"{pairs.rmsd[p]:.1e} Å from {name}"
                for level in a.levels.keys() & b.levels.keys():
                    told = conflict(
                        *(a, a.levels[level], i, b, b.levels[level], j),
                        pairs.step[p],
                        pairs.rotation[p],
                    )
                    if told:
                        conflicts[j] = f"{told[1]} at level {level}, geometry of {name}"
    return near, conflicts


def _key(conformers: ConformerSet, frames: Frames) -> tuple[str, bytes]:
    row = int(frames.rows[0])
    numbers = conformers.numbers[conformers.atoms_slice(row)].tobytes()
    return str(conformers.constitution[row]), numbers
