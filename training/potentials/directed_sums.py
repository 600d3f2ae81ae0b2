"""PaiNN's sums over neighbours on a CPU: each pair of atoms once, gates and directions in place.

Each pair of a half list is gone through from both ends. What atom i gets from atom j is linear in
the filters w, in the sender's gates y and vectors v, and in the direction u; so is its product with
what depends on it, g, of which the gradient and the gradient of the gradient are written out. All
sums over channels and atoms happen while a pair's numbers are near: nothing is made for each pair
and channel but filters and their gradients. See :mod:`.pair_sums` for sums without directions.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..batches import HalfList
from .pair_sums import compiled, run_loops


def directed_sum(
    pairs: HalfList, filters: Tensor, directions: Tensor, gates: Tensor, vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """Return Σ_j a_ij α_j, and v_i + Σ_j (b_ij β_j u_ij + c_ij γ_j v_j), of all atoms.

    Parameters
    ----------
    pairs : HalfList
    filters : Tensor, shape (P, 2 or 3, F)
        a, b and c of each pair and channel.
    directions : Tensor, shape (P, 3)
        u, unit vectors from the first atom to the second.
    gates : Tensor, shape (A, 2 or 3, F)
        α, β and γ of every atom of the padded batch.
    vectors : Tensor, shape (A, 3 or 0, F)
        v; none in the first round, and then neither c nor γ.

    Returns
    -------
    Tensor, shape (A, F)
    Tensor, shape (A, 3, F)
        Both differentiable twice.
    """
    return cast(tuple[Tensor, Tensor], _Sum.apply(filters, directions, gates, vectors, pairs))


def _no_overlap(typing: Any) -> Any:
    """Tell the compiler that no two arguments share memory, or it would not use vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for argument in builder.function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), generate


_apart: Any = intrinsic(_no_overlap)


# The compiler checks no more than some written rows against each other: hence two loops.


@compiled
def _sum(first, second, begin, end, w, u, y, v, s, out):  # type: ignore[no-untyped-def]
    _apart()
    n, carried = s.shape[1], v.shape[1] > 0
    for p in range(begin, end):
        i, j = first[p], second[p]
        ux, uy, uz = u[p, 0], u[p, 1], u[p, 2]
        for _ in range(2):
            for f in range(n):
                s[i, f] += w[p, 0, f] * y[j, 0, f]
            if carried:
                for f in range(n):
                    b, c = w[p, 1, f] * y[j, 1, f], w[p, 2, f] * y[j, 2, f]
                    out[i, 0, f] += b * ux + c * v[j, 0, f]
                    out[i, 1, f] += b * uy + c * v[j, 1, f]
                    out[i, 2, f] += b * uz + c * v[j, 2, f]
            else:
                for f in range(n):
                    b = w[p, 1, f] * y[j, 1, f]
                    out[i, 0, f] += b * ux
                    out[i, 1, f] += b * uy
                    out[i, 2, f] += b * uz
            i, j = j, i
            ux, uy, uz = -ux, -uy, -uz


@compiled
def _gradients(first, second, begin, end, w, u, y, v, gs, g, dw, du, dy, dv):  # type: ignore[no-untyped-def]
    _apart()
    n, carried = gs.shape[1], v.shape[1] > 0
    for p in range(begin, end):
        i, j = first[p], second[p]
        ux, uy, uz = u[p, 0], u[p, 1], u[p, 2]
        dw[p] = 0
        du[p] = 0
        for side in (1, -1):
            sx = sy = sz = u.dtype.type(0)
            for f in range(n):
                dw[p, 0, f] += y[j, 0, f] * gs[i, f]
                dy[j, 0, f] += w[p, 0, f] * gs[i, f]
                b, beta = w[p, 1, f], y[j, 1, f]
                along = ux * g[i, 0, f] + uy * g[i, 1, f] + uz * g[i, 2, f]
                dw[p, 1, f] += beta * along
                dy[j, 1, f] += b * along
                sx += b * beta * g[i, 0, f]
                sy += b * beta * g[i, 1, f]
                sz += b * beta * g[i, 2, f]
            if carried:
                for f in range(n):
                    c, gamma = w[p, 2, f], y[j, 2, f]
                    along = (
                        v[j, 0, f] * g[i, 0, f] + v[j, 1, f] * g[i, 1, f] + v[j, 2, f] * g[i, 2, f]
                    )
                    dw[p, 2, f] += gamma * along
                    dy[j, 2, f] += c * along
                    dv[j, 0, f] += c * gamma * g[i, 0, f]
                    dv[j, 1, f] += c * gamma * g[i, 1, f]
                    dv[j, 2, f] += c * gamma * g[i, 2, f]
            du[p, 0] += side * sx
            du[p, 1] += side * sy
            du[p, 2] += side * sz
            i, j = j, i
            ux, uy, uz = -ux, -uy, -uz


@compiled
def _second(  # type: ignore[no-untyped-def]
    first, second, begin, end, w, u, y, v, gs, g, hw, hu, hy, hv, dw, du, dy, dv, dgs, dg
):
    _apart()
    n, carried = gs.shape[1], v.shape[1] > 0
    for p in range(begin, end):
        i, j = first[p], second[p]
        ux, uy, uz = u[p, 0], u[p, 1], u[p, 2]
        tx, ty, tz = hu[p, 0], hu[p, 1], hu[p, 2]
        dw[p] = 0
        du[p] = 0
        for side in (1, -1):
            sx = sy = sz = u.dtype.type(0)
            for f in range(n):
                dw[p, 0, f] += hy[j, 0, f] * gs[i, f]
                dy[j, 0, f] += hw[p, 0, f] * gs[i, f]
                dgs[i, f] += w[p, 0, f] * hy[j, 0, f] + hw[p, 0, f] * y[j, 0, f]
                b, beta, hb, hbeta = w[p, 1, f], y[j, 1, f], hw[p, 1, f], hy[j, 1, f]
                gx, gy, gz = g[i, 0, f], g[i, 1, f], g[i, 2, f]
                along, turned = ux * gx + uy * gy + uz * gz, tx * gx + ty * gy + tz * gz
                dw[p, 1, f] += hbeta * along + beta * turned
                dy[j, 1, f] += hb * along + b * turned
                was, now = b * beta, hb * beta + b * hbeta
                dg[i, 0, f] += now * ux + was * tx
                dg[i, 1, f] += now * uy + was * ty
                dg[i, 2, f] += now * uz + was * tz
                sx += now * gx
                sy += now * gy
                sz += now * gz
            if carried:
                for f in range(n):
                    c, gamma = w[p, 2, f], y[j, 2, f]
                    hc, hgamma = hw[p, 2, f], hy[j, 2, f]
                    gx, gy, gz = g[i, 0, f], g[i, 1, f], g[i, 2, f]
                    vx, vy, vz = v[j, 0, f], v[j, 1, f], v[j, 2, f]
                    hx, hy_, hz = hv[j, 0, f], hv[j, 1, f], hv[j, 2, f]
                    along, turned = vx * gx + vy * gy + vz * gz, hx * gx + hy_ * gy + hz * gz
                    dw[p, 2, f] += hgamma * along + gamma * turned
                    dy[j, 2, f] += hc * along + c * turned
                    was, now = c * gamma, hc * gamma + c * hgamma
                    dv[j, 0, f] += now * gx
                    dv[j, 1, f] += now * gy
                    dv[j, 2, f] += now * gz
                    dg[i, 0, f] += now * vx + was * hx
                    dg[i, 1, f] += now * vy + was * hy_
                    dg[i, 2, f] += now * vz + was * hz
            du[p, 0] += side * sx
            du[p, 1] += side * sy
            du[p, 2] += side * sz
            i, j = j, i
            ux, uy, uz = -ux, -uy, -uz
            tx, ty, tz = -tx, -ty, -tz


def _begun(vectors: Tensor) -> Tensor:
    """Return what sums of vectors begin with: those that are carried on, or zeros."""
    if vectors.shape[1]:
        return vectors.clone(memory_format=torch.contiguous_format)
    return vectors.new_zeros(len(vectors), 3, vectors.shape[2])


class _Sum(Function):
    """What every atom gets."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, u: Tensor, y: Tensor, v: Tensor, pairs: HalfList) -> Any:
        ctx.save_for_backward(w, u, y, v)
        ctx.pairs = pairs
        arrays = [t.detach().contiguous() for t in (w, u, y, v)]
        s, out = y.new_zeros(len(y), v.shape[2]), _begun(v.detach())
        run_loops(_sum, pairs, *arrays, s, out)
        return s, out

    @staticmethod
    def backward(ctx: Any, gs: Tensor, g: Tensor) -> Any:
        return *_Gradients.apply(*ctx.saved_tensors, gs, g, ctx.pairs), None


class _Gradients(Function):
    """The gradient of its product with g."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        *inputs, ctx.pairs = arguments
        ctx.save_for_backward(*inputs)
        w, u, y, v, gs, g = (t.detach().contiguous() for t in inputs)
        dw, du, dy = torch.empty_like(w), torch.empty_like(u), torch.zeros_like(y)
        dv = g[:, : v.shape[1]].clone()
        run_loops(_gradients, ctx.pairs, w, u, y, v, gs, g, dw, du, dy, dv)
        return dw, du, dy, dv

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *h: Tensor) -> Any:
        inputs = [t.contiguous() for t in (*ctx.saved_tensors, *h)]
        w, u, y, v, gs, *_, hv = inputs
        out = [torch.empty_like(w), torch.empty_like(u), torch.zeros_like(y), torch.zeros_like(v)]
        out += [torch.zeros_like(gs), _begun(hv)]
        run_loops(_second, ctx.pairs, *inputs, *out)
        return *out, None
