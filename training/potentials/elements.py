"""What is learnt of each element."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import N_ELEMENTS


class ElementTable(nn.Embedding):
    """A row of weights for each atomic number.

    Parameters
    ----------
    n_features : int
        Length of a row.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__(N_ELEMENTS, n_features)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the rows of atomic numbers (…,), shape (…, F)."""
        if not torch.compiler.is_compiling():
            return super().forward(numbers)
        # Inductor adds the gradients of rows that are looked up by atomic operations, in another
        # order each time: on CUDA, and on a CPU with more than one thread.
        known = torch.arange(N_ELEMENTS, device=numbers.device)
        return (numbers[..., None] == known).to(self.weight.dtype) @ self.weight
