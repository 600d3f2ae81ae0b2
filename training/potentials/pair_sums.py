"""Sums over neighbours on a CPU: each pair of atoms once, and no array of pairs for the backward.

Messages of most potentials are Σ_j w_ij x_j with filters w that are symmetric in the two atoms.
With T(w, x) that sum, and C(x, g)_ij = Σ (x_i g_j + x_j g_i) over what shares a filter,

- the gradient of ⟨g, T(w, x)⟩ is C(x, g) in w and T(w, g) in x, and
- the gradient of ⟨h, C(x, g)⟩ is T(h, g) in x and T(h, x) in g.

So two loops are closed under differentiation. They run over a half list, in which a pair stands
once: half the filters, half the memory to go through, and no gather.
"""

from __future__ import annotations

from typing import Any, cast

import numba
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..batches import HalfList
from .threads import share


def pair_sum(pairs: HalfList, filters: Tensor, x: Tensor, parts: tuple[int, ...]) -> Tensor:
    """Return Σ_j w_ij x_j of all atoms.

    Parameters
    ----------
    pairs : HalfList
    filters : Tensor, shape (C, P, F)
        w, C filters for each pair and channel.
    x : Tensor, shape (A, M, F)
        M components of every atom of the padded batch.
    parts : tuple of int, length M
        Which filter each component takes: every filter, in order.

    Returns
    -------
    Tensor, shape (A, M, F)
        Differentiable twice.
    """
    return cast(Tensor, _Sum.apply(filters, x, pairs, parts))


# The loops are written out: functions for what the three kernels share made the last of them
# half as slow again when measured.
compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@compiled
def _sum(first, second, begin, end, parts, w, x, out):  # type: ignore[no-untyped-def]
    n_parts, n = x.shape[1], x.shape[2]
    for p in range(begin, end):
        i, j = first[p], second[p]
        for m in range(n_parts):
            c = parts[m]
            for f in range(n):
                out[i, m, f] += w[c, p, f] * x[j, m, f]
            for f in range(n):
                out[j, m, f] += w[c, p, f] * x[i, m, f]


@compiled
def _gradients(first, second, begin, end, parts, w, x, g, dw, dx):  # type: ignore[no-untyped-def]
    n_parts, n = x.shape[1], x.shape[2]
    for p in range(begin, end):
        i, j = first[p], second[p]
        for m in range(n_parts):
            c = parts[m]
            for f in range(n):
                dx[i, m, f] += w[c, p, f] * g[j, m, f]
            for f in range(n):
                dx[j, m, f] += w[c, p, f] * g[i, m, f]
            if m > 0 and parts[m - 1] == c:
                for f in range(n):
                    dw[c, p, f] += x[i, m, f] * g[j, m, f] + x[j, m, f] * g[i, m, f]
            else:
                for f in range(n):
                    dw[c, p, f] = x[i, m, f] * g[j, m, f] + x[j, m, f] * g[i, m, f]


@compiled
def _second(first, second, begin, end, parts, w, x, g, hw, hx, dw, dx, dg):  # type: ignore[no-untyped-def]
    n_parts, n = x.shape[1], x.shape[2]
    for p in range(begin, end):
        i, j = first[p], second[p]
        for m in range(n_parts):
            c = parts[m]
            for f in range(n):
                dx[i, m, f] += hw[c, p, f] * g[j, m, f]
            for f in range(n):
                dx[j, m, f] += hw[c, p, f] * g[i, m, f]
            for f in range(n):
                dg[i, m, f] += w[c, p, f] * hx[j, m, f] + hw[c, p, f] * x[j, m, f]
            for f in range(n):
                dg[j, m, f] += w[c, p, f] * hx[i, m, f] + hw[c, p, f] * x[i, m, f]
            if m > 0 and parts[m - 1] == c:
                for f in range(n):
                    dw[c, p, f] += hx[i, m, f] * g[j, m, f] + hx[j, m, f] * g[i, m, f]
            else:
                for f in range(n):
                    dw[c, p, f] = hx[i, m, f] * g[j, m, f] + hx[j, m, f] * g[i, m, f]


def run_loops(kernel: Any, pairs: HalfList, *tensors: Tensor) -> None:
    """Run a compiled loop over all pairs, in as many threads as their list has runs."""
    first, second, *arrays = (t.numpy() for t in (pairs.first, pairs.second, *tensors))
    share(lambda begin, end: kernel(first, second, begin, end, *arrays), pairs.bounds)


class _Sum(Function):
    """T(w, x)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, x: Tensor, pairs: HalfList, parts: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(w, x)
        ctx.pairs, ctx.parts = pairs, parts
        w, x = w.detach().contiguous(), x.detach().contiguous()
        out = torch.zeros_like(x)
        run_loops(_sum, pairs, torch.tensor(parts), w, x, out)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        w, x = ctx.saved_tensors
        return *_Gradients.apply(w, x, g, ctx.pairs, ctx.parts), None, None


class _Gradients(Function):
    """C(x, g) and T(w, g)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, x: Tensor, g: Tensor, pairs: HalfList, parts: Any) -> Any:
        ctx.save_for_backward(w, x, g)
        ctx.pairs, ctx.parts = pairs, parts
        w, x, g = (t.detach().contiguous() for t in (w, x, g))
        dw, dx = torch.empty_like(w), torch.zeros_like(x)
        run_loops(_gradients, pairs, torch.tensor(parts), w, x, g, dw, dx)
        return dw, dx

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, hw: Tensor, hx: Tensor) -> Any:
        w, x, g, hw, hx = (t.contiguous() for t in (*ctx.saved_tensors, hw, hx))
        dw, dx, dg = torch.empty_like(w), torch.zeros_like(x), torch.zeros_like(g)
        run_loops(_second, ctx.pairs, torch.tensor(ctx.parts), w, x, g, hw, hx, dw, dx, dg)
        return dw, dx, dg, None, None
