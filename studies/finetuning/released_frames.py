"""The sets that a paper released: which frames each arm trained on, and which it never saw.

Wong & Yang, *Bias in Universal Machine-Learned Interatomic Potentials and its Effects on
Fine-Tuning*, arXiv:2603.10159. A folder of each system and arm (``choline_naive`` …) holds one
file for each iteration. One trajectory stands behind each arm, so that what these sets say of
arms is an observation of one trajectory each, whatever the number of seeds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...diversity import ConfigurationError, ConformerSet, read
from ...diversity.randomness import ordering
from ..configuration import Section

#: Arms of the paper, in the order of tables.
ARMS = ("naive", "periodic", "nonperiodic")


class ReleasedSection(Section):
    """Arms from files instead of dynamics; each model is tested on frames of the other arms.

    Of the rest of the study count `potential` (chgnet, sevennet-0), `engine` (the name of the
    files' level of labels), `fine_tuning`, `replicates` (fits of each set, which differ in the
    order of batches and are no replicates of the dynamics), `descriptor` and `n_components`.
    """

    path: Path = Path("../shared/data/umlip_bias")
    """Folder of the folders SYSTEM_ARM."""
    system: Literal["choline", "licl"] = "choline"
    """Choline chloride and citric acid with Li and Co, or LiCl and CoCl2 in water."""
    iterations: tuple[int, ...] = (5,)
    """Which sets of each arm, counted from 1 by their number of frames."""
    n_tested: int | None = Field(None, ge=2)
    """Frames tested of each arm, chosen by the seed; all by default."""


@dataclass(frozen=True)
class ReleasedSet:
    """One file: the frames that an arm trained on in one iteration."""

    arm: str
    iteration: int
    path: Path
    digest: str
    frames: ConformerSet
    ids: tuple[str, ...]


def read_released(section: ReleasedSection, *, level: str) -> list[ReleasedSet]:
    """Read all sets of a system, arm by arm and from the fewest frames on.

    Raises
    ------
    ConfigurationError
        If the folders are not there, or an arm has no such iteration.
    """
    found = []
    for arm in ARMS:
        folder = section.path / f"{section.system}_{arm}"
        sets = [(read(path, level=level), path) for path in sorted(folder.glob("*.xyz"))]
        sets.sort(key=lambda pair: len(pair[0]))
        for iteration, (frames, path) in enumerate(sets, 1):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            ids = tuple(frames.id.astype("U32").tolist())
            found.append(ReleasedSet(arm, iteration, path, digest, frames, ids))
    arms = list(dict.fromkeys(one.arm for one in found))
    if len(arms) < 2:
        raise ConfigurationError(
            f"{section.path} has no folders {section.system}_ARM of two arms "
            f"({', '.join(ARMS)}). Give the folder as --set released.path=FOLDER."
        )
    for arm in arms:
        have = [one.iteration for one in found if one.arm == arm]
        unknown = sorted(set(section.iterations) - set(have))
        if unknown:
            raise ConfigurationError(
                f"The arm {section.system}_{arm} has {len(have)} sets, and no iteration "
                f"{unknown[0]}: give others as --set released.iterations=[{have[-1]}]."
            )
    return found


def tested_frames(
    sets: Sequence[ReleasedSet], *, n_tested: int | None, seed: int
) -> dict[str, tuple[str, ...]]:
    """Return ids of the frames that models are tested on, by arm and in the order of its files.

    Frames of which several arms hold one, as the initial ones of the periodic arm are frames of
    the naive one, are left out: so that models of all other arms are tested on equal frames.

    Parameters
    ----------
    sets : sequence of ReleasedSet
    n_tested : int or None
        Of each arm, chosen by the seed alone; all where there are no more, or None.
    seed : int
    """
    held: dict[str, dict[str, None]] = {}
    for one in sets:
        held.setdefault(one.arm, {}).update(dict.fromkeys(one.ids))
    count = Counter(i for ids in held.values() for i in ids)
    tested = {}
    for arm, ids in held.items():
        own = [i for i in ids if count[i] == 1]
        chosen = {own[k] for k in ordering(f"{seed} tested", own)[:n_tested]}
        tested[arm] = tuple(i for i in own if i in chosen)
    return tested
