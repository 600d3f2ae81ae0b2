"""How far outside a training set the atoms of other frames lie, by Q-residuals and their rivals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...analysis.detectors import Density, KNearestNeighbours, LastLayer, Mahalanobis
from ...analysis.extrapolation import ExtrapolationModel
from ...diversity import ConformerSet
from ...diversity.descriptors import atomic_features, bound
from ...diversity.protocols import Featurizer
from ...training import Potential
from ...training.features import PotentialFeaturizer
from ..registry import featurizer

#: Blocks of frames that are held out in turn for limits.
N_FOLDS = 5
#: Rivals of Q and T², on the features of the model itself, an element at a time.
RIVALS: dict[str, type] = {
    "mahalanobis": Mahalanobis,
    "knn": KNearestNeighbours,
    "density": Density,
    "last_layer": LastLayer,
}
#: Every detector, in the order of the files.
DETECTORS = ("q", "t2", *RIVALS)


def extrapolation_model(
    train: ConformerSet, features: np.ndarray, n_components: int
) -> ExtrapolationModel:
    """Return principal components and limits of a training set's atoms.

    With fewer of both than asked where runs that broke left fewer frames.
    """
    n = len(train)
    return ExtrapolationModel.fit(
        [features],
        train.numbers,
        train.atom_conformer,
        n_components=min(n_components, n),
        n_folds=min(N_FOLDS, n),
    )


def frame_scores(
    known: ConformerSet, frames: ConformerSet, descriptor: str, n_components: int
) -> np.ndarray:
    """Return how far outside the known frames others lie, shape (n,), higher is farther.

    The mean over atoms of Q in units of the held-out limit of the atom's element: elements whose
    environments vary much do not drown the others. One known frame, which a run that broke may
    leave, has no limits: scores are then equal.
    """
    if len(known) < 2:
        return np.zeros(len(frames))
    made: Any = bound(featurizer(descriptor), known, frames)
    model = extrapolation_model(known, atomic_features(known, made), n_components)
    found = model.score(atomic_features(frames, made), frames.numbers)
    q = found.q / model.limit_of(frames.numbers, "q")
    return np.bincount(frames.atom_conformer, weights=q) / frames.counts


def atom_scores(
    train: ConformerSet,
    tested: ConformerSet,
    potential: Potential,
    descriptor: Featurizer,
    n_components: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of all detectors for atoms, and held-out limits.

    Parameters
    ----------
    train, tested : ConformerSet
    potential : Potential
        Fitted to `train`; rivals take its features.
    descriptor : Featurizer
        Of Q and T², with its columns settled.
    n_components : int

    Returns
    -------
    scores : array of float64, shape (detectors, A)
        Higher is farther; NaN where the training set has no such element.
    limits : array of float64, shape (detectors, 119)
        By atomic number: the 95 % quantile of held-out frames of the training set.
    """
    scores = np.full((len(DETECTORS), tested.n_atoms), np.nan)
    limits = np.full((len(DETECTORS), 119), np.nan)
    model = extrapolation_model(train, atomic_features(train, descriptor), n_components)
    known = np.isin(tested.numbers, train.elements)
    found = model.score(atomic_features(tested, descriptor)[known], tested.numbers[known])
    scores[0, known], scores[1, known] = found.q, found.t2
    for number, one in model.limits.items():
        limits[0, number] = one.q_limits["quantile"]
        limits[1, number] = one.t2_limits["quantile"]
    own = PotentialFeaturizer(potential)
    rows, others = atomic_features(train, own), atomic_features(tested, own)
    for place, kind in enumerate(RIVALS.values(), 2):
        for number in train.elements:
            mine, theirs = train.numbers == number, tested.numbers == number
            detector = kind().fit(rows[mine], groups=train.atom_conformer[mine])
            limits[place, number] = -detector.offset_
            if theirs.any():
                scores[place, theirs] = -detector.score_samples(others[theirs])
    return scores, limits
