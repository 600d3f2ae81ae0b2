"""Rank-2 tensors as nine numbers, and their product.

A 3 × 3 matrix is X = Σ_a x_a B_a in an orthonormal basis that keeps its irreducible parts apart:
one number for the multiple of the identity, three for the antisymmetric part and five for the
symmetric traceless one. A norm is then a sum of squares, and a linear map of the channels that
keeps the symmetry has one matrix for each part.

The symmetrised product {X, Y} = XY + YX is z_c = Σ_ab k_abc x_a y_b with k_abc = tr(B_cᵀ {B_a,
B_b}). Its gradients are sums of the same kind with the roles of a, b and c changed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from .threads import share

#: Numbers in each part.
SIZES = (1, 3, 5)
#: Fewest numbers of a tensor's product that are worth a thread.
SHARE = 2**14


def _basis() -> np.ndarray:
    e = np.eye(3)
    turn = [np.outer(e[b], e[a]) - np.outer(e[a], e[b]) for a, b in ((1, 2), (2, 0), (0, 1))]
    mixed = [np.outer(e[a], e[b]) + np.outer(e[b], e[a]) for a, b in ((0, 1), (1, 2), (2, 0))]
    straight = [np.diag([1.0, -1.0, 0.0]), np.diag([-1.0, -1.0, 2.0])]
    matrices = np.array([e, *turn, *mixed, *straight])
    return matrices / np.linalg.norm(matrices, axis=(1, 2), keepdims=True)


#: The nine matrices B_a, shape (9, 3, 3).
BASIS = _basis()
_TABLE = np.einsum("aij,bjk,cik->abc", BASIS, BASIS, BASIS)
#: k_abc, shape (9, 9, 9).
TABLE = np.where(np.abs(_TABLE) < 1e-12, 0.0, _TABLE)
TABLE = TABLE + TABLE.transpose(1, 0, 2)


def _shift() -> np.ndarray:
    out = np.zeros((9, 9, 14))
    out[0, 0, 0] = 1
    for x in range(3):
        out[0, 1 + x, 2 + x] = 1
        out[1 + x, 1 + x, 1] = -1
    for m in range(5):
        out[0, 4 + m, 9 + m] = 1
        out[4 + m, 4 + m, 5] = 1
        out[1:4, 4 + m, 6:9] = -2 * BASIS[4 + m]
    return out


class Tensors(nn.Module):
    """The constants, in double precision until they are cast, and what needs them."""

    table: Tensor
    quadratic: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        arrays = {
            "table": TABLE.transpose(2, 0, 1).reshape(9, 81),
            "quadratic": BASIS[4:].reshape(5, 9).T,
            "shift": _shift().reshape(9, 9 * 14),
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.tensor(array), persistent=False)

    def harmonics(self, r: Tensor) -> Tensor:
        """Return 1, r and the symmetric traceless part of r rᵀ, shape (…, 9), of r (…, 3) in Å."""
        square = (r[..., None] * r[..., None, :]).flatten(-2) @ self.quadratic.to(r.dtype)
        return torch.cat([torch.ones_like(r[..., :1]), r, square], -1)

    def moved(self, sums: Tensor, places: Tensor) -> Tensor:
        """Turn moments about the origin into moments about r_i.

        Parameters
        ----------
        sums : Tensor, shape (A, 14, F)
            Of each atom i: Σ_j u_ij; Σ_j v_ij {1, r_j}; Σ_j w_ij {1, r_j, r_j r_jᵀ}, of the
            products the symmetric traceless part.
        places : Tensor, shape (A, 9)
            Harmonics of r_i.

        Returns
        -------
        Tensor, shape (A, 9, F)
            Σ_j u_ij, Σ_j v_ij (r_j − r_i), and Σ_j w_ij (r_j − r_i)(r_j − r_i)ᵀ without its trace.
        """
        return torch.bmm((places @ self.shift.to(places.dtype)).view(-1, 9, 14), sums)

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """Return {X, Y} of tensors (9, A, F)."""
        outer = (x[:, None] * y).flatten(0, 1)
        return (self.table.to(x.dtype) @ outer.flatten(1)).view(x.shape)


def fast_product(x: Tensor, y: Tensor) -> Tensor:
    """Return {X, Y} of tensors (9, A, F) on a CPU, outside of transforms."""
    return _Product.apply(x, y, (0, 1, 2))


@cache
def _terms(order: tuple[int, int, int], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    table = TABLE.transpose(order)
    abc = np.argwhere(table.transpose(2, 0, 1))[:, [1, 2, 0]]
    return abc, table[tuple(abc.T)].astype(dtype)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _multiply(abc, k, begin, end, x, y, out):  # type: ignore[no-untyped-def]
    for i in range(x.shape[1]):
        # As bounds of the loop they would cost 6 %: i might be negative then, and be wrapped.
        if begin <= i < end:
            for t in range(len(k)):
                a, b, c, weight = abc[t, 0], abc[t, 1], abc[t, 2], k[t]
                for f in range(x.shape[2]):
                    out[c, i, f] += weight * x[a, i, f] * y[b, i, f]


class _Product(Function):
    """Σ k_abc x_a y_b, where a, b and c stand in `order` in the table."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, order: tuple[int, int, int]) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.order = order
        x, y = x.detach().contiguous(), y.detach().contiguous()
        out = torch.zeros_like(x)
        abc, k = _terms(order, x.numpy().dtype)
        arrays = x.numpy(), y.numpy(), out.numpy()
        # Atoms by themselves: bits do not depend on the number of threads.
        n, threads = x.shape[1], min(torch.get_num_threads(), x.numel() // SHARE)
        if threads < 2:
            _multiply(abc, k, 0, n, *arrays)
        else:
            bounds = [n * i // threads for i in range(threads + 1)]
            share(lambda begin, end: _multiply(abc, k, begin, end, *arrays), bounds)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        a, b, c = ctx.order
        return _Product.apply(g, y, (c, b, a)), _Product.apply(g, x, (c, a, b)), None
