"""Features of atoms as a trained potential sees them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..diversity.conformers import ConformerSet
from ..diversity.tables import ragged_index
from .batches import Batch, FrameStore
from .checkpoints import load_potential
from .potentials import Potential
from .prediction import batches_by_size
from .splitting import Parts


class PotentialFeaturizer:
    """A `Featurizer` over the invariant features from which a potential reads its energies.

    Parameters
    ----------
    potential : Potential or path
        A path is that of a folder by `save_potential`.
    batch_size : int
        Most conformers of a batch. Those that do not fit in memory are halved, with a warning.
    name : str, optional
        That of the potential's kind or folder by default.
    device : torch.device or str, optional
        By default where the potential is.

    Attributes
    ----------
    name : str
    default_bandwidth : None
        Features of two potentials have no common scale.
    """

    default_bandwidth: float | None = None

    def __init__(
        self,
        potential: Potential | str | Path,
        *,
        batch_size: int = 64,
        name: str | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if isinstance(potential, Potential):
            self.name = f"model:{type(potential).__name__}"
        else:
            self.name = f"model:{Path(potential).name}"
            potential, _ = load_potential(potential)
        self.name = name or self.name
        self.potential = potential if device is None else potential.to(device)
        self.batch_size = batch_size

    def iter_features(
        self, conformers: ConformerSet, chunk: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the features of a chunk of conformers at a time.

        Parameters
        ----------
        conformers : ConformerSet
        chunk : int
            Conformers of a chunk.

        Yields
        ------
        X : array of float32, shape (atoms, F)
        offsets : array of int64, shape (chunk + 1,)
            Where each conformer's atoms begin.
        """
        self.potential.check(conformers)
        for part in conformers.iter_chunks(chunk):
            yield self._features(part), part.offsets

    def _features(self, data: ConformerSet) -> np.ndarray:
        weights: Any = next(self.potential.parameters())
        store = FrameStore(data, device=weights.device, dtype=weights.dtype)
        result: np.ndarray | None = None

        def outputs(batch: Batch) -> torch.Tensor:
            return self.potential.atomic(batch).features

        parts = Parts(store, outputs, self.batch_size, warnings.warn)
        with torch.no_grad():
            most = self.potential.atoms_per_batch
            for rows in batches_by_size(store.counts, self.batch_size, most):
                for some, batch, found in parts(rows):
                    features = found[batch.mask]
                    if result is None:
                        result = np.zeros((data.n_atoms, features.shape[-1]), np.float32)
                    result[ragged_index(data.offsets, some)[0]] = features.float().cpu().numpy()
        assert result is not None
        return result
