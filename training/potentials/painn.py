"""PaiNN: equivariant messages with a filter for every channel of every pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ...diversity.errors import ConfigurationError
from ..batches import Batch, Neighbours
from .base import N_ELEMENTS, Potential
from .radial import BesselBasis, envelope, pair_distances


class PaiNN(Potential):
    """Polarisable atom interaction network, K. Schütt, O. Unke, M. Gastegger, arXiv:2102.03150.

    Equations 7–10 of the paper, with Bessel functions of the distance and this suite's envelope
    (1 − r²/c²)³ in place of the cosine, whose curvature jumps at the cutoff.

    Parameters
    ----------
    cutoff : float
        In Å.
    n_features : int
        F, scalars and vectors of each atom.
    n_layers : int
        Rounds of messages.
    n_basis : int
        K, number of radial functions.
    levels : sequence of str
    """

    def __init__(
        self,
        *,
        cutoff: float = 5.0,
        n_features: int = 64,
        n_layers: int = 3,
        n_basis: int = 20,
        levels: Sequence[str] = ("default",),
    ) -> None:
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        if n_layers < 1 or n_basis < 1:
            raise ConfigurationError(
                f"PaiNN needs at least one layer and one radial function, not {n_layers} and "
                f"{n_basis}."
            )
        self._hyper = {
            "cutoff": float(cutoff),
            "n_features": n_features,
            "n_layers": n_layers,
            "n_basis": n_basis,
            "levels": tuple(levels),
        }
        self.basis = BesselBasis(n_basis, cutoff)
        self.embedding = nn.Embedding(N_ELEMENTS, n_features)
        self.messages = nn.ModuleList(_Message(n_features, n_basis) for _ in range(n_layers))
        self.updates = nn.ModuleList(_Update(n_features) for _ in range(n_layers))

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        rounds = [
            f"{part}.{i}." for i in range(len(self.messages)) for part in ("messages", "updates")
        ]
        blocks = ["embedding.", *rounds, "heads."]
        return [name for block in blocks for name in names if name.startswith(block)]

    def represent(self, batch: Batch, pairs: Neighbours, cutoff: float) -> Tensor:
        """Return the scalars s (B, N, F) after the last round."""
        squared, inverse = pair_distances(pairs, cutoff)
        radial = self.basis(squared, inverse, cutoff, dim=-1)
        fading = envelope(squared, cutoff)[..., None]
        directions = (pairs.vectors * inverse[..., None])[..., None]  # (B, N, K, 3, 1)
        s = self.embedding(batch.numbers)
        v = s.new_zeros(*s.shape[:2], 3, s.shape[-1])
        for message, update in zip(self.messages, self.updates, strict=True):
            s, v = message(s, v, radial, fading, directions, pairs)
            s, v = update(s, v)
        return s


class _Message(nn.Module):
    """Equations 7 and 8: what the neighbours send."""

    def __init__(self, f: int, n_basis: int) -> None:
        super().__init__()
        self.filters = nn.Linear(n_basis, 3 * f, bias=False)
        self.constant = nn.Parameter(torch.zeros(3 * f))
        self.send_in = nn.Linear(f, f)
        self.send_out = nn.Linear(f, 3 * f)

    def forward(
        self,
        s: Tensor,
        v: Tensor,
        radial: Tensor,
        fading: Tensor,
        directions: Tensor,
        pairs: Neighbours,
    ) -> tuple[Tensor, Tensor]:
        # The radial functions hold the envelope already; the filter's constant takes it here.
        filters = self.filters(radial) + self.constant * fading
        sent = self.send_out(silu(self.send_in(s)))
        near_s = sent[:, None] if pairs.index is None else pairs.gather(sent)
        near_v = v[:, None] if pairs.index is None else pairs.gather(v)
        scalars, spread, carried = (filters * near_s).chunk(3, dim=-1)
        vectors = spread[..., None, :] * directions + carried[..., None, :] * near_v
        return s + scalars.sum(2), v + vectors.sum(2)


class _Update(nn.Module):
    """Equations 9 and 10: scalars and vectors of each atom mix."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.mix = nn.Linear(f, 2 * f, bias=False)
        self.gate_in = nn.Linear(2 * f, f)
        self.gate_out = nn.Linear(f, 3 * f)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        measured, moved = self.mix(v).chunk(2, dim=-1)
        # The offset keeps the norm differentiable where a vector vanishes by symmetry.
        norms = (measured.square().sum(2) + 1e-8).sqrt()
        own, along, turn = self.gate_out(silu(self.gate_in(torch.cat([s, norms], -1)))).chunk(3, -1)
        s = s + own + along * (measured * moved).sum(2)
        return s, v + moved * turn[..., None, :]
