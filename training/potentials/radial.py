"""Radial functions of pair distances that end smoothly at the cutoff."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..batches import Batch, Neighbours


def envelope(squared: Tensor, cutoff: float) -> Tensor:
    """Return (1 − r²/c²)³: value, slope and curvature vanish at the cutoff c.

    Parameters
    ----------
    squared : Tensor
        r², Å².
    cutoff : float
        c, Å.
    """
    # A division, because it makes an exact 1 of r = c, where pairs are put that are none.
    return (1.0 - squared / cutoff**2).clamp(min=0.0).pow(3)


def pair_distances(pairs: Neighbours, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return squared distances (B, N, K), and their inverse roots, safe to differentiate.

    Pairs that are none are put at the cutoff, where every envelope ends.
    """
    squared = torch.where(pairs.mask, pairs.vectors.square().sum(-1), cutoff**2)
    return squared, squared.rsqrt()


def from_centre(batch: Batch) -> Tensor:
    """Return positions (B, N, 3) from the centre of each structure.

    For sums that do not depend on the origin, but whose rounding does.
    """
    with torch.no_grad():
        there = batch.mask[..., None]
        centre = (batch.positions * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
    return batch.positions - centre


def lengths(vectors: Tensor, dim: int) -> Tensor:
    """Return √(|v|² + 10⁻⁸), which can be differentiated where v vanishes by symmetry."""
    # In half precision the offset would be zero, and the slope infinite.
    wide = vectors.float() if vectors.dtype == torch.float16 else vectors
    return (wide.square().sum(dim) + 1e-8).sqrt().to(vectors.dtype)


class BesselBasis(nn.Module):
    """sin(n π r / c₀) / r for n = 1 … K, times the envelope at the cutoff in use.

    The wave lengths stay those of the trained cutoff c₀, so that another cutoff changes which
    neighbours count and how they fade, and not what a distance looks like.
    J. Gasteiger, J. Groß, S. Günnemann, arXiv:2003.03123.

    Parameters
    ----------
    n_basis : int
        K.
    cutoff : float
        c₀ in Å.
    """

    def __init__(self, n_basis: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer(
            "waves", torch.arange(1, n_basis + 1) * (math.pi / cutoff), persistent=False
        )

    waves: Tensor

    def forward(self, squared: Tensor, inverse: Tensor, cutoff: float, dim: int) -> Tensor:
        """Return the basis with a new dimension K at `dim`, from r² and 1/r."""
        shape = [1] * (squared.dim() + 1)
        shape[dim] = -1
        distance = squared * inverse
        fading = envelope(squared, cutoff) * inverse
        return torch.sin(self.waves.view(shape) * distance.unsqueeze(dim)) * fading.unsqueeze(dim)


class ExponentialBasis(nn.Module):
    """exp(−β (exp(−5 r/c₀) − μ_k)²), μ_k even between exp(−5) and 1, times the envelope in use.

    Finest at short distances and ever smoother at long ones. O. Unke and M. Meuwly,
    arXiv:1902.08408. The trained cutoff c₀ sets the scale, as in :class:`BesselBasis`.

    Parameters
    ----------
    n_basis : int
        K.
    cutoff : float
        c₀ in Å.
    """

    def __init__(self, n_basis: int, cutoff: float) -> None:
        super().__init__()
        self.rate = 5.0 / cutoff
        lowest = math.exp(-5.0)
        self.sharpness = (n_basis / (2 * (1 - lowest))) ** 2
        self.register_buffer("means", torch.linspace(lowest, 1.0, n_basis), persistent=False)

    means: Tensor

    def forward(self, squared: Tensor, inverse: Tensor, cutoff: float, dim: int) -> Tensor:
        """Return the basis with a new dimension K at `dim`, from r² and 1/r."""
        shape = [1] * (squared.dim() + 1)
        shape[dim] = -1
        near = torch.exp(-self.rate * (squared * inverse)).unsqueeze(dim)
        fading = envelope(squared, cutoff).unsqueeze(dim)
        return torch.exp(-self.sharpness * (near - self.means.view(shape)).square()) * fading
