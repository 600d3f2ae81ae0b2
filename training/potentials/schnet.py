"""SchNet: continuous-filter convolutions over invariant distances."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ...diversity.errors import ConfigurationError
from ..batches import Batch, HalfList, Neighbours
from .base import Potential
from .elements import ElementTable
from .pair_sums import pair_sum
from .radial import envelope, pair_distances


class SchNet(Potential):
    """SchNet, K. Schütt et al., J. Chem. Phys. 148, 241722 (2018), arXiv:1712.06113.

    As in the paper: Gaussians of the distance, filter-generating networks of two layers, shifted
    softplus, atom-wise layers around each convolution. The envelope here is (1 − r²/c²)³, which
    is smooth to second order where the paper's cosine is not.

    Parameters
    ----------
    cutoff : float
        In Å.
    n_features : int
        F.
    n_layers : int
        Interaction blocks.
    n_basis : int
        Number of Gaussians.
    levels : sequence of str
    """

    def __init__(
        self,
        *,
        cutoff: float = 5.0,
        n_features: int = 64,
        n_layers: int = 3,
        n_basis: int = 25,
        levels: Sequence[str] = ("default",),
    ) -> None:
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        if n_layers < 1 or n_basis < 2:
            raise ConfigurationError(
                f"SchNet needs n_layers ≥ 1 and n_basis ≥ 2, not {n_layers} and {n_basis}."
            )
        self._hyper = {
            "cutoff": float(cutoff),
            "n_features": n_features,
            "n_layers": n_layers,
            "n_basis": n_basis,
            "levels": tuple(levels),
        }
        self.register_buffer("centres", torch.linspace(0.0, cutoff, n_basis), persistent=False)
        self._width = cutoff / (n_basis - 1)
        self.embedding = ElementTable(n_features)
        self.blocks = nn.ModuleList(_Interaction(n_features, n_basis) for _ in range(n_layers))

    half_lists = True
    centres: Tensor

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        blocks = ["embedding.", *(f"blocks.{i}." for i in range(len(self.blocks))), "heads."]
        return [name for block in blocks for name in names if name.startswith(block)]

    def represent(self, batch: Batch, pairs: Neighbours | HalfList, cutoff: float) -> Tensor:
        """Return the features (B, N, F) after the last block."""
        if isinstance(pairs, HalfList):
            squared, inverse = pairs.distances(batch.positions)
        else:
            squared, inverse = pair_distances(pairs, cutoff)
        offsets = (squared * inverse)[..., None] - self.centres
        gaussians = torch.exp((-0.5 / self._width**2) * offsets.square())
        fading = envelope(squared, cutoff)[..., None]
        x = self.embedding(batch.numbers)
        for block in self.blocks:
            x = x + block(x, gaussians, fading, pairs)
        return x


class _Interaction(nn.Module):
    def __init__(self, f: int, n_basis: int) -> None:
        super().__init__()
        self.filter_in = nn.Linear(n_basis, f)
        self.filter_out = nn.Linear(f, f)
        self.send = nn.Linear(f, f, bias=False)
        self.receive_in = nn.Linear(f, f)
        self.receive_out = nn.Linear(f, f)

    def forward(
        self, x: Tensor, gaussians: Tensor, fading: Tensor, pairs: Neighbours | HalfList
    ) -> Tensor:
        filters = self.filter_out(_shifted_softplus(self.filter_in(gaussians))) * fading
        sent = self.send(x)
        if isinstance(pairs, HalfList):
            got = pair_sum(pairs, filters[None], sent.flatten(0, 1)[:, None], (0,)).view_as(sent)
        else:
            near = sent[:, None] if pairs.index is None else pairs.gather(sent)
            got = (filters * near).sum(2)
        return self.receive_out(_shifted_softplus(self.receive_in(got)))


def _shifted_softplus(x: Tensor) -> Tensor:
    return softplus(x) - math.log(2.0)
