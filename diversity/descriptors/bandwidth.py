"""The bandwidth at which environments count as the same: what a vibration changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..conformers import ConformerSet
from ..errors import ConfigurationError, DataError
from ..protocols import Featurizer
from ..randomness import generator, ordering
from .rows import atomic_features, bound, structure_features

#: Conformers that are displaced, at most.
_SAMPLE = 256


def displacement_bandwidth(
    conformers: ConformerSet,
    featurizer: Featurizer,
    *,
    whole: bool = False,
    sigma: float = 0.05,
    seed: int = 0,
) -> float:
    """Return the root-mean-square change of the features when all atoms are displaced at random.

    Parameters
    ----------
    conformers : ConformerSet
        At most 256 conformers, drawn by their contents, are displaced.
    featurizer : Featurizer
    whole : bool, optional
        Of the means over structures instead of environments.
    sigma : float, optional
        Standard deviation of each coordinate's displacement in Å; a vibration at room temperature
        by default.
    seed : int, optional

    Returns
    -------
    float
        √⟨‖x(R + δ) − x(R)‖²⟩ over environments, in units of the features.

    Raises
    ------
    DataError
        If the set is empty or no feature changes, as for isolated atoms.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise ConfigurationError(f"A displacement must be a positive length, not {sigma} Å.")
    if not len(conformers):
        raise DataError("An empty set has no bandwidth.")
    featurizer = bound(featurizer, conformers)
    # The noise belongs to contents, whatever the order of records.
    conformers = conformers.select(ordering(seed, conformers.id)[:_SAMPLE])
    noise = generator(seed, "displacement bandwidth").normal(
        scale=sigma, size=(conformers.n_atoms, 3)
    )
    displaced = replace(conformers, positions=conformers.positions.astype(np.float64) + noise)
    features = structure_features if whole else atomic_features
    change = features(displaced, featurizer) - features(conformers, featurizer)
    width = float(np.sqrt(np.einsum("ij,ij->i", change, change, dtype=np.float64).mean()))
    if width == 0:
        raise DataError(
            "Displacing the atoms changes no feature: each is alone within the descriptor's "
            "cutoff. Give a bandwidth."
        )
    return width


def bandwidth_for(
    featurizer: Featurizer, conformers: ConformerSet, *, whole: bool = False
) -> float:
    """Return a featurizer's own bandwidth, or the displacement bandwidth on this set.

    Parameters
    ----------
    featurizer : Featurizer
    conformers : ConformerSet
    whole : bool, optional
        For the means over structures instead of environments.

    Returns
    -------
    float
        In units of the features.
    """
    name = "default_structure_bandwidth" if whole else "default_bandwidth"
    own = getattr(featurizer, name, None)
    if own is not None:
        return float(own)
    return displacement_bandwidth(conformers, featurizer, whole=whole)
