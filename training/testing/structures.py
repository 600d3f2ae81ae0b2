"""Small random structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..batches import Batch


def random_structure(n_atoms: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return numbers (n,) and positions (n, 3) of a blob of H, C, N, O, no two nearer than 0.9 Å.

    Examples
    --------
    >>> numbers, positions = random_structure(5)
    >>> tuple(positions.shape)
    (5, 3)
    """
    rng = np.random.default_rng(seed)
    places: list[np.ndarray] = []
    while len(places) < n_atoms:
        place = rng.normal(scale=0.9 * n_atoms ** (1 / 3), size=3)
        if all(np.linalg.norm(place - other) > 0.9 for other in places):
            places.append(place)
    numbers = rng.choice([1, 6, 7, 8], size=n_atoms)
    return torch.tensor(numbers), torch.tensor(np.array(places))


def make_batch(
    structures: Sequence[tuple[Tensor, Tensor]],
    *,
    cells: Sequence[Tensor] | None = None,
    padding: int = 0,
) -> Batch:
    """Return a batch of structures, periodic in three directions where cells are given."""
    b, n = len(structures), max(len(z) for z, _ in structures) + padding
    dtype = structures[0][1].dtype
    numbers = torch.zeros(b, n, dtype=torch.int64)
    positions = torch.zeros(b, n, 3, dtype=dtype)
    for row, (z, x) in enumerate(structures):
        numbers[row, : len(z)] = z
        positions[row, : len(z)] = x
    periodic = cells is not None
    return Batch(
        numbers=numbers,
        positions=positions,
        mask=numbers > 0,
        cell=torch.stack(list(cells)) if cells else torch.zeros(b, 3, 3, dtype=dtype),
        pbc=torch.full((b, 3), periodic),
        charge=torch.zeros(b, dtype=dtype),
        periodic=periodic,
    )
