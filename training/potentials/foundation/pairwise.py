"""The pairwise terms of SO3LR, on halves of edges: each pair of atoms once."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from ase.units import Bohr, Hartree
from torch import Tensor
from torch.nn import functional

from .edges import Edges
from .pretrained import package

#: Coulomb's constant, eV Å / e².
COULOMB = 14.399645351950548
FINE_STRUCTURE = 0.0072973525693


def switch(x: Tensor, begin: float, end: float) -> Tensor:
    """Return a smooth step, with all derivatives, from 1 at `begin` to 0 at `end`."""
    c = (x - begin) / (end - begin)
    # Below 1e-3 it is zero in any precision, and its second derivative overflows.
    up, down = (torch.where(y > 0, torch.exp(-1 / y.clamp(min=1e-3)), 0.0) for y in (1 - c, c))
    return up / (up + down + 1e-12)


def nuclear_repulsion(
    block: Any, numbers: Tensor, pairs: Edges, lengths: Tensor, cutoff: float
) -> Tensor:
    """Return the repulsion of nuclei by Ziegler, Biersack and Littmark, (H,), in eV.

    Parameters
    ----------
    block : Module
        The package's, which holds the fitted constants.
    numbers : Tensor of int64, shape (A,)
    pairs : Edges
        Those within 1.5 Å, where it ends.
    lengths : Tensor, shape (H,)
        In Å.
    cutoff : float
        Of the envelope that it also has, in Å.
    """
    powers = functional.softplus(
        torch.cat([block.a1_raw, block.a2_raw, block.a3_raw, block.a4_raw])
    )
    shares = functional.softplus(
        torch.cat([block.c1_raw, block.c2_raw, block.c3_raw, block.c4_raw])
    )
    shares = shares / shares.sum()
    z = numbers.to(lengths.dtype)
    reach = z ** functional.softplus(block.p_raw) * functional.softplus(block.d_raw)
    i, j = pairs.receivers, pairs.senders
    x = lengths / cutoff
    envelope = 1 - x**3 * (10 - 15 * x + 6 * x * x)
    bare = COULOMB * envelope * z[i] * z[j] / lengths.clamp(min=1e-6)
    screened = torch.exp(-(lengths * (reach[i] + reach[j]))[:, None] * powers) @ shares
    return switch(lengths, 0.0, 1.5) * bare * screened


def coulomb(charges: Tensor, pairs: Edges, lengths: Tensor, width: float, cutoff: float) -> Tensor:
    """Return the interaction of smeared charges, (H,), in eV, with force shifted to zero.

    Parameters
    ----------
    charges : Tensor, shape (A,)
        In e.
    pairs : Edges
    lengths : Tensor, shape (H,)
        In Å, below the cutoff.
    width, cutoff : float
        Of the smearing, and where it ends, in Å.
    """
    bare = torch.erf(lengths / width) / lengths.clamp(min=1e-12)
    at = math.erf(cutoff / width) / cutoff
    slope = (
        2 * math.exp(-((cutoff / width) ** 2)) / (math.sqrt(math.pi) * width) - at
    ) / cutoff  # fmt: skip
    f = switch(lengths, 0.45 * cutoff, cutoff)
    smooth = bare - at - (1 - f) * slope * (lengths - cutoff)
    return COULOMB * charges[pairs.receivers] * charges[pairs.senders] * smooth


def dispersion(
    ratios: Tensor, pairs: Edges, lengths: Tensor, damping: float, cutoff: float, fading: float
) -> Tensor:
    """Return dispersion between quantum Drude oscillators, (H,), in eV.

    Parameters
    ----------
    ratios : Tensor, shape (A,)
        Hirshfeld ratios: volume of the atom over that of the free atom.
    pairs : Edges
    lengths : Tensor, shape (H,)
        In Å.
    damping : float
    cutoff, fading : float
        Where it ends, and the width of its fading before, in Å.

    References
    ----------
    O. Vaccarelli, D. V. Fedorov, M. Stöhr, A. Tkatchenko, J. Chem. Theory Comput. 19, 7895
    (2023), doi:10.1021/acs.jctc.3c00797.
    """
    i, j = pairs.receivers, pairs.senders
    free_alpha, free_c6 = (table.to(ratios)[pairs.numbers - 1] for table in _free_atoms())
    alpha, c6 = free_alpha * ratios, free_c6 * ratios.square()
    own = c6 / alpha.square()
    mean = 0.5 * (alpha[i] + alpha[j])
    c6_ij = 2 * c6[i] * c6[j] / (alpha[i] * alpha[j] * (own[i] + own[j]))
    seventh = mean ** (1 / 7)
    radius = FINE_STRUCTURE ** (-4 / 21) * seventh
    inverse = ((-0.00078893 * radius + 0.04125273) * radius + 0.24428889) * radius - 0.00433008
    spread = 2 * inverse.square()  # 1 / γ
    r2, p2 = (lengths / Bohr).square(), (damping * 2 * 2.54 * seventh).square()
    r4, p4 = r2 * r2, p2 * p2
    r6, p6 = r4 * r2, p4 * p2
    energy = c6_ij * (
        1 / (r6 + p6)
        + 5 * spread / (r4 * r4 + p4 * p4)
        + 245 / 8 * spread.square() / (r6 * r4 + p6 * p4)
    )
    return -Hartree * switch(lengths, cutoff - fading, cutoff) * energy


@functools.cache
def _free_atoms() -> tuple[Tensor, Tensor]:
    """Return polarisabilities and C6 of free atoms from hydrogen on, in atomic units."""
    tables = package("so3krates_torch.blocks.physical_potentials", "so3lr")
    return tables.ALPHAS, tables.C6_COEF
