"""PaiNN: equivariant messages with a filter for every channel of every pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from ...diversity.errors import ConfigurationError
from ..batches import Batch, HalfList, Neighbours
from .base import Potential
from .directed_sums import directed_sum
from .elements import ElementTable
from .radial import BesselBasis, envelope, lengths, pair_distances


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
        self.embedding = ElementTable(n_features)
        self.messages = nn.ModuleList(_Message(n_features, n_basis) for _ in range(n_layers))
        self.updates = nn.ModuleList(_Update(n_features) for _ in range(n_layers))

    half_lists = True

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        rounds = [
            f"{part}.{i}." for i in range(len(self.messages)) for part in ("messages", "updates")
        ]
        blocks = ["embedding.", *rounds, "heads."]
        return [name for block in blocks for name in names if name.startswith(block)]

    def represent(self, batch: Batch, pairs: Neighbours | HalfList, cutoff: float) -> Tensor:
        """Return the scalars s (B, N, F) after the last round."""
        messages: _Messages | _HalfMessages
        if isinstance(pairs, HalfList):
            messages = _HalfMessages(batch, pairs, self.basis, cutoff)
        else:
            messages = _Messages(pairs, self.basis, cutoff)
        s, v = self.embedding(batch.numbers), None
        for message, update in zip(self.messages, self.updates, strict=True):
            s, v = message(s, v, messages)
            s, v = update(s, v, last=update is self.updates[-1])
        return s


class _Messages:
    """What the neighbours send, from all pairs or padded lists."""

    def __init__(self, pairs: Neighbours, basis: BesselBasis, cutoff: float) -> None:
        squared, inverse = pair_distances(pairs, cutoff)
        radial = basis(squared, inverse, cutoff, dim=-1)
        # The radial functions hold the envelope already; the filter's constant takes it here.
        self.radial = torch.cat([radial, envelope(squared, cutoff)[..., None]], -1)
        self.directions = (pairs.vectors * inverse[..., None])[..., None]  # (B, N, K, 3, 1)
        self.pairs = pairs

    def __call__(self, weights: Tensor, sent: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is added to scalars, and vectors with what is added to them.

        `weights` (K + 1, 2F or 3F) make the filters, `sent` (B, N, 2F or 3F) are an atom's gates.
        """
        near = self._near(sent) * (self.radial @ weights)
        scalars, spread, *carried = near.chunk(2 if v is None else 3, dim=-1)
        vectors = spread[..., None, :] * self.directions
        if v is None:
            return scalars.sum(2), vectors.sum(2)
        vectors = vectors + carried[0][..., None, :] * self._near(v)
        return scalars.sum(2), v + vectors.sum(2)

    def _near(self, x: Tensor) -> Tensor:
        return x[:, None] if self.pairs.index is None else self.pairs.gather(x)


class _HalfMessages:
    """The same, from a half list."""

    def __init__(self, batch: Batch, pairs: HalfList, basis: BesselBasis, cutoff: float) -> None:
        places = batch.positions.flatten(0, 1)
        vectors = places.index_select(0, pairs.second) - places.index_select(0, pairs.first)
        squared = vectors.square().sum(1)
        inverse = squared.rsqrt()
        radial = basis(squared, inverse, cutoff, dim=-1)
        self.radial = torch.cat([radial, envelope(squared, cutoff)[..., None]], -1)
        self.directions = vectors * inverse[:, None]
        self.pairs = pairs

    def __call__(self, weights: Tensor, sent: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is added to scalars, and vectors with what is added to them."""
        parts = 2 if v is None else 3
        filters = (self.radial @ weights).unflatten(1, (parts, -1))
        gates = sent.flatten(0, 1).unflatten(1, (parts, -1))
        before = gates[:, :0] if v is None else v.flatten(0, 1)
        scalars, vectors = directed_sum(self.pairs, filters, self.directions, gates, before)
        return scalars.view(*sent.shape[:2], -1), vectors.view(*sent.shape[:2], 3, -1)


class _Message(nn.Module):
    """Equations 7 and 8: what the neighbours send."""

    def __init__(self, f: int, n_basis: int) -> None:
        super().__init__()
        self.filters = nn.Linear(n_basis, 3 * f, bias=False)
        self.constant = nn.Parameter(torch.zeros(3 * f))
        self.send_in = nn.Linear(f, f)
        self.send_out = nn.Linear(f, 3 * f)

    def forward(
        self, s: Tensor, v: Tensor | None, messages: _Messages | _HalfMessages
    ) -> tuple[Tensor, Tensor]:
        # In the first round there are no vectors to carry.
        n = (2 if v is None else 3) * s.shape[-1]
        weights = torch.cat([self.filters.weight.t(), self.constant[None]])[:, :n]
        sent = linear(silu(self.send_in(s)), *_first(self.send_out, n))
        scalars, vectors = messages(weights, sent, v)
        return s + scalars, vectors


class _Update(nn.Module):
    """Equations 9 and 10: scalars and vectors of each atom mix."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.mix = nn.Linear(f, 2 * f, bias=False)
        self.gate_in = nn.Linear(2 * f, f)
        self.gate_out = nn.Linear(f, 3 * f)

    def forward(self, s: Tensor, v: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
        measured, moved = self.mix(v).chunk(2, dim=-1)
        hidden = silu(self.gate_in(torch.cat([s, lengths(measured, 2)], -1)))
        # Nothing reads the vectors after the last round.
        n, f = 2 if last else 3, s.shape[-1]
        own, along, *turn = linear(hidden, *_first(self.gate_out, n * f)).chunk(n, -1)
        s = s + own + along * (measured * moved).sum(2)
        return s, v if last else v + moved * turn[0][..., None, :]


def _first(layer: nn.Linear, n: int) -> tuple[Tensor, Tensor]:
    return layer.weight[:n], layer.bias[:n]
