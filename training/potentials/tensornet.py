"""A kin of TensorNet: each channel a tensor of rank 2; neighbours add, atoms multiply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ...diversity.errors import ConfigurationError
from ..batches import Batch, HalfList, Neighbours
from .base import Potential
from .elements import ElementTable
from .pair_sums import pair_sum
from .radial import ExponentialBasis, envelope, from_centre, pair_distances
from .tensor_products import SIZES, Tensors, fast_product

# Inside, tensors are (9, A, F): components, atoms of the padded batch, channels. A part of a
# tensor is then one block of memory, and a linear map of it one matrix product.

#: Which of the three filters each component of a tensor takes.
_FILTER = (0, 1, 1, 1, 2, 2, 2, 2, 2)


class TensorNet(Potential):
    """A kin of TensorNet, G. Simeon and G. De Fabritiis, arXiv:2306.06482.

    Each atom carries F tensors X = I + A + S: a scalar, a vector (as an antisymmetric matrix) and
    a symmetric traceless matrix. They begin as Σ_j w(r_ij) z_j {1, r̂_ij, r̂_ij r̂_ijᵀ − 1/3}, z a
    vector for the element. In each round Y = W X, M = Σ_j w(r_ij) Y_j, and the products YM + MY
    enter X. Products of both orders keep parity, so that reflections are symmetries too.

    What differs from the paper: filters w are linear in the radial functions, M holds a share of
    the atom's own Y, whose square the paper adds at the end of a round, and tensors are kept in
    bounds not by X / (1 + ‖X‖²) but by scaling parts with what a network of two layers makes of
    scalars and norms, in the first round and in all others; the same network feeds the scalars.

    Parameters
    ----------
    cutoff : float
        In Å.
    n_features : int
        F.
    n_layers : int
        Rounds of messages after the first sum over neighbours.
    n_basis : int
        K, number of radial functions.
    levels : sequence of str
    """

    half_lists = True

    def __init__(
        self,
        *,
        cutoff: float = 5.0,
        n_features: int = 64,
        n_layers: int = 2,
        n_basis: int = 24,
        levels: Sequence[str] = ("default",),
    ) -> None:
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        if n_layers < 1 or n_basis < 1:
            raise ConfigurationError(
                f"TensorNet needs at least one layer and one radial function, not {n_layers} and "
                f"{n_basis}."
            )
        self._hyper = {
            "cutoff": float(cutoff),
            "n_features": n_features,
            "n_layers": n_layers,
            "n_basis": n_basis,
            "levels": tuple(levels),
        }
        self.tensors = Tensors()
        self.basis = ExponentialBasis(n_basis, cutoff)
        # Beside the radial functions, the envelope: a constant that fades.
        self.embedding = _Embedding(n_features, n_basis + 1)
        self.layers = nn.ModuleList(_Layer(n_features, n_basis + 1) for _ in range(n_layers))

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        rounds = [f"layers.{i}." for i in range(len(self.layers))]
        blocks = ["embedding.", *rounds, "heads."]
        return [name for block in blocks for name in names if name.startswith(block)]

    @torch.no_grad()
    def takes_half_lists(self, batch: Batch, cutoff: float) -> bool:
        """Tell whether structures are small enough for second moments about their centres.

        These lose digits with the square of the distance: at ten cutoffs forces are good to 1e-5
        in single precision, at two hundred to 1e-3.
        """
        return float(from_centre(batch).square().sum(-1)[batch.mask].max()) < (10 * cutoff) ** 2

    def represent(self, batch: Batch, pairs: Neighbours | HalfList, cutoff: float) -> Tensor:
        """Return the scalars (B, N, F) after the last round."""
        sums: _Sums | _HalfSums
        if isinstance(pairs, HalfList):
            sums, times = _HalfSums(batch, pairs, self.basis, cutoff, self.tensors), fast_product
        else:
            sums, times = _Sums(pairs, self.basis, cutoff, self.tensors), self.tensors.product
        x = self.embedding(batch.numbers.flatten(), sums)
        for layer in self.layers:
            x = layer(x, sums, times, last=layer is self.layers[-1])
        return x[0].view(*batch.numbers.shape, -1)


class _Sums:
    """Sums over neighbours, from all pairs or padded lists."""

    def __init__(
        self, pairs: Neighbours, basis: ExponentialBasis, cutoff: float, tensors: Tensors
    ) -> None:
        squared, inverse = pair_distances(pairs, cutoff)
        radial = basis(squared, inverse, cutoff, dim=-1)
        self.radial = torch.cat([radial, envelope(squared, cutoff)[..., None]], -1)
        # (B, N, 9, K)
        self.directions = tensors.harmonics(pairs.vectors * inverse[..., None]).transpose(2, 3)
        self.pairs = pairs

    def densities(self, weight: Tensor, z: Tensor) -> Tensor:
        """Return Σ_j w_ij z_j {1, r̂_ij, r̂_ij r̂_ijᵀ − 1/3}."""
        near = self._near(z.view(*self.radial.shape[:2], -1))
        filters = (self.radial @ weight.t()).chunk(3, -1)
        found = [
            part @ (w * near)
            for part, w in zip(self.directions.split(SIZES, 2), filters, strict=True)
        ]
        return torch.cat(found, 2).flatten(0, 1).transpose(0, 1)

    def messages(self, weight: Tensor, y: Tensor) -> Tensor:
        """Return Σ_j w_ij Y_j."""
        b, n = self.radial.shape[:2]
        sent = y.transpose(0, 1).reshape(b, n, 9, -1)
        filters = (self.radial @ weight.t()).chunk(3, -1)
        found = [
            (w[..., None, :] * self._near(part)).sum(2)
            for part, w in zip(sent.split(SIZES, 2), filters, strict=True)
        ]
        return torch.cat(found, 2).flatten(0, 1).transpose(0, 1)

    def _near(self, x: Tensor) -> Tensor:
        return x[:, None] if self.pairs.index is None else self.pairs.gather(x)


class _HalfSums:
    """The same, from a half list.

    Because r_ij is a difference, moments are taken about the centre of the structure and then
    moved to atom i.
    """

    def __init__(
        self,
        batch: Batch,
        pairs: HalfList,
        basis: ExponentialBasis,
        cutoff: float,
        tensors: Tensors,
    ) -> None:
        squared, inverse = pairs.distances(batch.positions)
        radial = basis(squared, inverse, cutoff, dim=-1)
        radial = torch.cat([radial, envelope(squared, cutoff)[..., None]], -1)
        self.radial, self.inverse = radial.expand(3, -1, -1), inverse[:, None]
        self.moments = tensors.harmonics(from_centre(batch).flatten(0, 1))
        self.pairs, self.tensors = pairs, tensors

    def densities(self, weight: Tensor, z: Tensor) -> Tensor:
        """Return Σ_j w_ij z_j {1, r̂_ij, r̂_ij r̂_ijᵀ − 1/3}."""
        powers = torch.stack([torch.ones_like(self.inverse), self.inverse, self.inverse.square()])
        moments = self.moments
        sent = torch.cat([moments[:, :1], moments[:, :4], moments], 1)
        near = pair_sum(
            self.pairs,
            self._filters(weight, self.radial * powers),
            sent[..., None] * z[:, None],
            (0, 1, 1, 1, 1, *[2] * 9),
        )
        return self.tensors.moved(near, moments).transpose(0, 1)

    def messages(self, weight: Tensor, y: Tensor) -> Tensor:
        """Return Σ_j w_ij Y_j."""
        filters = self._filters(weight, self.radial)
        return pair_sum(self.pairs, filters, y.transpose(0, 1), _FILTER).transpose(0, 1)

    def _filters(self, weight: Tensor, radial: Tensor) -> Tensor:
        return torch.bmm(radial, weight.view(3, -1, weight.shape[1]).transpose(1, 2))


class _Update(nn.Module):
    """Let a tensor of each atom enter its scalars, and give the new tensors."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.mix = nn.ModuleList(nn.Linear(f, f, bias=False) for _ in SIZES)
        self.gate_in = nn.Linear(4 * f, f)
        self.gate_out = nn.Linear(f, 3 * f)

    def forward(
        self, s: Tensor, p: Tensor, x: Sequence[Tensor] = (), *, last: bool = False
    ) -> Tensor:
        """Return tensors (9, A, F), or (1, A, F) after the last round.

        Parameters
        ----------
        s : Tensor, shape (A, F)
        p : Tensor, shape (9, A, F)
            What enters.
        x : sequence of Tensor, shapes (3, A, F) and (5, A, F)
            What the vectors and matrices are added to; empty for zeros.
        """
        scalars, vectors, matrices = (
            m(part) for m, part in zip(self.mix, p.split(SIZES), strict=True)
        )
        # The offset keeps the norm differentiable where a tensor vanishes by symmetry.
        sizes = [(v.square().sum(0) + 1.0).sqrt() for v in (vectors, matrices)]
        hidden = silu(self.gate_in(torch.cat([s, scalars[0], *sizes], -1)))
        if last:
            f = s.shape[-1]
            gate = self.gate_out
            return (s + nn.functional.linear(hidden, gate.weight[:f], gate.bias[:f]))[None]
        own, turn, bend = self.gate_out(hidden).chunk(3, -1)
        new = [(s + own)[None], vectors * turn, matrices * bend]
        if x:
            new[1:] = [old + change for old, change in zip(x, new[1:], strict=True)]
        return torch.cat(new)


class _Embedding(nn.Module):
    """Tensors of each atom from the elements and directions around it."""

    def __init__(self, f: int, n_basis: int) -> None:
        super().__init__()
        self.elements = ElementTable(f)
        self.filters = nn.Linear(n_basis, 3 * f, bias=False)
        self.update = _Update(f)

    def forward(self, numbers: Tensor, sums: _Sums | _HalfSums) -> Tensor:
        z = self.elements(numbers)
        return self.update(z, sums.densities(self.filters.weight, z))


class _Layer(nn.Module):
    """One round: messages, products and what they change."""

    def __init__(self, f: int, n_basis: int) -> None:
        super().__init__()
        self.filters = nn.Linear(n_basis, 3 * f, bias=False)
        self.own = nn.Parameter(torch.ones(3, f))
        self.mix = nn.ModuleList(nn.Linear(f, f, bias=i == 0) for i in range(3))
        self.update = _Update(f)

    def forward(
        self,
        x: Tensor,
        sums: _Sums | _HalfSums,
        times: Callable[[Tensor, Tensor], Tensor],
        *,
        last: bool,
    ) -> Tensor:
        s, *rest = x.split(SIZES)
        y = torch.cat([m(part) for m, part in zip(self.mix, (s, *rest), strict=True)])
        # By sums in one order, where the gradient of an index adds by atomic operations.
        own = torch.cat([w.expand(n, 1, -1) for w, n in zip(self.own, SIZES, strict=True)])
        m = sums.messages(self.filters.weight, y) + own * y
        return self.update(s[0], times(y, m), rest, last=last)
