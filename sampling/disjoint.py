"""The invariant of every split: nothing stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..diversity.conformers import ConformerSet
from ..diversity.errors import ConfigurationError, DataError
from ..diversity.scaffolds import scaffolds

#: What no training conformer may share with a hold-out's test conformers.
KEYS = {
    "seen_conformers": ("id",),
    "own_conformers": ("id",),
    "unseen_minima": ("id", "minimum"),
    "unseen_molecules": ("id", "constitution"),
    "unseen_scaffolds": ("id", "constitution", "scaffold"),
    "larger_molecules": ("id", "constitution"),
    "unseen_elements": ("id", "constitution"),
    "high_forces": ("id",),
}


def check_disjoint(
    conformers: ConformerSet,
    train: np.ndarray,
    test: np.ndarray,
    *,
    by: Sequence[str] = ("id",),
    given: ConformerSet | None = None,
) -> None:
    """Raise if anything stands on both sides of a split.

    Parameters
    ----------
    conformers : ConformerSet
    train, test : array of int
        Indices into the set; validation frames belong to training.
    by : sequence of {'id', 'constitution', 'scaffold', 'minimum'}
        What must differ: the geometry; the molecule, stereoisomers counting as one; its scaffold;
        the minimum of the molecule that a conformer was displaced from. `KEYS` says which for
        each hold-out.
    given : ConformerSet, optional
        What is trained on beside, from elsewhere.

    Raises
    ------
    DataError
        Naming what was found on both sides.
    """
    for key in by:
        ours, theirs = (_key(conformers, np.asarray(side), key) for side in (train, test))
        if given is not None and len(theirs):
            ours = np.concatenate([ours, _key(given, np.arange(len(given)), key)])
        shared = np.intersect1d(ours, theirs)
        if len(shared):
            example = shared[0].decode() if isinstance(shared[0], bytes) else shared[0]
            raise DataError(
                f"The split leaks: {len(shared)} values of {key} stand in training and in test, "
                f"such as {example}. An error on this test set would flatter the model."
            )


def _key(conformers: ConformerSet, index: np.ndarray, key: str) -> np.ndarray:
    if key == "id":
        return conformers.id[index]
    rows = conformers.molecule[index]
    if key == "constitution":
        return np.unique(conformers.molecules.constitution[rows])
    if key == "scaffold":
        return np.unique(scaffolds(conformers)[rows])
    if key == "minimum":
        return np.unique(
            [
                f"minimum {m} of {k}"
                for m, k in zip(
                    conformers.minimum[index], conformers.molecules.key[rows], strict=True
                )
                if m >= 0
            ]
        )
    raise ConfigurationError(f"check_disjoint knows no key {key!r}.")
