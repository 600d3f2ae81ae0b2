"""A kin of PaiNN with factorised filters: equivariant messages as batched matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ...diversity.errors import ConfigurationError
from ..batches import Batch, Neighbours
from .base import Potential
from .elements import ElementTable
from .radial import BesselBasis, from_centre, lengths, pair_distances

# Inside, channels come first and atoms last: scalars are (F, B·N), vectors (3, F, B·N), and
# channel f = c K + k belongs to radial function k. Elementwise work then runs over whole rows,
# every linear map is one matrix product, and the operands of the batched products are views.


class FactorisedPaiNN(Potential):
    """A kin of PaiNN (:class:`PaiNN`, arXiv:2102.03150) built for speed on small molecules.

    Atoms carry F scalars s and F vectors v. PaiNN's message multiplies each channel of each
    neighbour by its own filter, a learned sum of K radial functions. Here channels are dealt to
    the radial functions, F/K channels each, and linear maps stand before and after the sum over
    neighbours: a filter is then a matrix Σ_k e_k(r) M_k P_k with M_k P_k of rank F/K, instead of
    a diagonal one. The sum over neighbours needs no array of pairs × F and is one batched matrix
    product, which also yields Σ_j e_k(r_ij) r_ij·v_j, a message from vectors to scalars that
    PaiNN lacks. `benchmarks/training.py` compares time and error with PaiNN itself.

    Parameters
    ----------
    cutoff : float
        In Å.
    n_features : int
        F; a multiple of `n_basis`.
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
        n_layers: int = 2,
        n_basis: int = 8,
        levels: Sequence[str] = ("default",),
    ) -> None:
        super().__init__(cutoff=cutoff, levels=levels, n_features=n_features)
        if n_features % n_basis or n_layers < 1:
            raise ConfigurationError(
                "A factorised PaiNN needs n_layers ≥ 1 and n_features a multiple of n_basis, not "
                f"{n_layers} layers, {n_features} features and {n_basis} radial functions."
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
        self.layers = nn.ModuleList(
            _Layer(n_features, first=i == 0, last=i == n_layers - 1) for i in range(n_layers)
        )

    def depth(self) -> list[str]:
        """Return the names of all parameters from the input to the heads."""
        names = [name for name, _ in self.named_parameters()]
        blocks = ["embedding.", *(f"layers.{i}." for i in range(len(self.layers))), "heads."]
        return [name for block in blocks for name in names if name.startswith(block)]

    def represent(self, batch: Batch, pairs: Neighbours, cutoff: float) -> Tensor:
        """Return the scalars s (B, N, F) after the last round."""
        exchange = _exchange(batch, pairs, self.basis, cutoff)
        s = self.embedding(batch.numbers.flatten()).t()
        v: Tensor | None = None
        for layer in self.layers:
            s, v = layer(s, v, exchange)
        return s.t().view(*batch.numbers.shape, -1)


class _DenseExchange:
    """Sums over all atoms j of e_k(r_ij) x_j and e_k(r_ij) r_ij x_j, with r_ij = r_i − r_j.

    Because r_ij is a difference, the sums with it are taken with r_j alone and completed on atom
    i: Σ e r_ij x_j = r_i Σ e x_j − Σ e r_j x_j. All sums are one product with one array of pairs.
    Positions are taken from the centre of the structure, so that little cancels.

    Parameters
    ----------
    radial : Tensor, shape (K, B, N, N)
        e_k, symmetric in the two atoms.
    places : Tensor, shape (3, 1, B·N)
        Positions.
    """

    def __init__(self, radial: Tensor, places: Tensor) -> None:
        self.shape = radial.shape[:3]
        self.radial = radial.flatten(0, 1)
        self.places = places

    def scalars(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take scalars (F, B·N) to Σ e x, (F, B·N), and Σ e r x, (3, F, B·N)."""
        f = len(x)
        near, moments = self._sums(torch.cat([x, (self.places * x).flatten(0, 1)])).split(
            [f, 3 * f]
        )
        return near, self.places * near - moments.view(3, f, -1)

    def both(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take scalars and vectors (3, F, B·N) to Σ e x, Σ e r·v, Σ e r x and Σ e v."""
        f = len(x)
        along = (self.places * v).sum(0)
        parts = torch.cat([x, along, (self.places * x).flatten(0, 1), v.flatten(0, 1)])
        near, along, moments, carried = self._sums(parts).split([f, f, 3 * f, 3 * f])
        carried = carried.view(3, f, -1)
        turned = (self.places * carried).sum(0) - along
        return near, turned, self.places * near - moments.view(3, f, -1), carried

    def _sums(self, x: Tensor) -> Tensor:
        k, b, n = self.shape
        out = torch.bmm(x.view(-1, k * b, n).transpose(0, 1), self.radial)
        return out.transpose(0, 1).reshape(-1, b * n)


class _ListedExchange:
    """The same sums over padded lists of J neighbours, periodic images among them.

    Parameters
    ----------
    pairs : Neighbours
    radial : Tensor, shape (K, B, N, J)
    vectors : Tensor, shape (B, N, J, 3)
        From the neighbour to the atom.
    """

    def __init__(self, pairs: Neighbours, radial: Tensor, vectors: Tensor) -> None:
        assert pairs.index is not None
        k, b, n, j = radial.shape
        self.shape = (k, b * n, j)
        rows = torch.arange(b, device=radial.device)[:, None, None] * n + pairs.index
        self.rows = rows.flatten()
        angular = torch.cat([torch.ones_like(vectors[..., :1]), vectors], -1)
        self.weights = (radial[..., None] * angular).view(k * b * n, j, 4)

    def scalars(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take scalars (F, B·N) to Σ e x, (F, B·N), and Σ e r x, (3, F, B·N)."""
        out = self._sums(x)
        return out[0], out[1:]

    def both(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take scalars and vectors (3, F, B·N) to Σ e x, Σ e r·v, Σ e r x and Σ e v."""
        out = self._sums(torch.cat([x, v.flatten(0, 1)])).view(4, 4, *x.shape)
        turned = out[1:, 1:].diagonal(dim1=0, dim2=1).sum(-1)
        return out[0, 0], turned, out[1:, 0], out[0, 1:]

    def _sums(self, x: Tensor) -> Tensor:
        k, atoms, j = self.shape
        near = x.index_select(1, self.rows).view(-1, k * atoms, j).transpose(0, 1)
        out = torch.bmm(near, self.weights)  # (K·B·N, R, 4)
        return out.permute(2, 1, 0).reshape(4, -1, atoms)


def _exchange(
    batch: Batch, pairs: Neighbours, basis: BesselBasis, cutoff: float
) -> _DenseExchange | _ListedExchange:
    squared, inverse = pair_distances(pairs, cutoff)
    radial = basis(squared, inverse, cutoff, dim=0)
    if pairs.index is not None:
        return _ListedExchange(pairs, radial, -pairs.vectors)
    places = from_centre(batch).flatten(0, 1).t()[:, None]
    return _DenseExchange(radial, places.contiguous())


class _Linear(nn.Module):
    """A linear map of channels: of scalars (F, A) with bias, of vectors (3, F, A) without."""

    def __init__(self, inward: int, outward: int, *, bias: bool = True) -> None:
        super().__init__()
        made = nn.Linear(inward, outward, bias=bias)
        self.weight, self.bias = made.weight, made.bias

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            # `matmul` would transpose the vectors to make one product of three.
            return torch.bmm(self.weight.expand(3, -1, -1), x)
        return torch.addmm(self.bias[:, None], self.weight, x)


class _Layer(nn.Module):
    """One round: exchange with the neighbours, then mix scalars and vectors on each atom.

    The first round has no vectors to send, the last one none to leave behind.
    """

    def __init__(self, f: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self.last = last
        self.send_in = _Linear(f, f)
        self.send_out = _Linear(f, f if first else 2 * f)
        if not first:
            self.send_vectors = _Linear(f, f, bias=False)
        self.mix_vectors = _Linear((1 if first else 3) * f, (1 if last else 2) * f, bias=False)
        self.update_in = _Linear((3 if first else 4) * f, f)
        self.update_out = _Linear(f, (1 if last else 2) * f)

    def forward(
        self, s: Tensor, v: Tensor | None, exchange: _DenseExchange | _ListedExchange
    ) -> tuple[Tensor, Tensor]:
        f = len(s)
        sent = self.send_out(silu(self.send_in(s)))
        if v is None:
            near, vectors = exchange.scalars(sent)
            scalars = [s, near]
        else:
            own, gate = sent.split(f)
            near, turned, spread, carried = exchange.both(own, self.send_vectors(v) * gate)
            scalars = [s, near, turned]
            vectors = torch.cat([spread, carried, v], 1)
        mixed = self.mix_vectors(vectors)
        if self.last:
            measured, moved = mixed, mixed
        else:
            measured, moved = mixed.split(f, 1)
        change = self.update_out(silu(self.update_in(torch.cat([*scalars, lengths(measured, 0)]))))
        if self.last:
            return s + change, mixed
        step, turn = change.split(f)
        update = moved * turn
        return s + step, update if v is None else v + update
