"""A padded batch as flat lists of atoms and edges, which universal potentials compute on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...batches import Batch, pairs_within


@dataclass(frozen=True, eq=False)
class Edges:
    """A atoms of B structures without padding, and E edges between them.

    Parameters
    ----------
    numbers : Tensor of int64, shape (A,)
    positions : Tensor, shape (A, 3)
        In Å, as in the batch.
    structure : Tensor of int64, shape (A,)
        Place in the batch; ascending.
    receivers, senders : Tensor of int64, shape (E,)
        Atoms. Each pair stands there in both directions unless halves were asked for.
    vectors : Tensor, shape (E, 3)
        From receiver to sender, Å, differentiable in positions and cell.
    shifts : Tensor, shape (E, 3)
        Cells between the two as written in the batch: ``vectors = x[sender] − x[receiver] +
        shifts @ cell``.
    batch : Batch
    """

    numbers: Tensor
    positions: Tensor
    structure: Tensor
    receivers: Tensor
    senders: Tensor
    vectors: Tensor
    shifts: Tensor
    batch: Batch

    @property
    def edge_structure(self) -> Tensor:
        """Place in the batch of each edge, shape (E,)."""
        return self.structure[self.receivers]

    def select(self, keep: Tensor) -> Edges:
        """Return the edges where a mask (E,) is True, or at some places; atoms stay."""
        rows = keep.nonzero().squeeze(1) if keep.dtype == torch.bool else keep
        return Edges(
            self.numbers,
            self.positions,
            self.structure,
            self.receivers[rows],
            self.senders[rows],
            self.vectors[rows],
            self.shifts[rows],
            self.batch,
        )

    def padded(self, x: Tensor) -> Tensor:
        """Return what atoms carry, (A, …), in the places of the batch, (B, N, …), zeros beside."""
        mask = self.batch.mask
        rows = mask.flatten().nonzero().squeeze(1)
        flat = x.new_zeros(mask.numel(), *x.shape[1:]).index_copy(0, rows, x)
        return flat.view(*mask.shape, *x.shape[1:])


def edges(batch: Batch, cutoff: float, *, halves: bool = False) -> Edges:
    """Find all edges within a cutoff, to periodic images too.

    Parameters
    ----------
    batch : Batch
    cutoff : float
        In Å.
    halves : bool
        Keep one direction of each pair: what is symmetric in the two is then computed once.

    Returns
    -------
    Edges
        Ordered by receiver.
    """
    mask = batch.mask
    rows = mask.flatten().nonzero().squeeze(1)
    n = mask.shape[1]
    structure = torch.div(rows, n, rounding_mode="floor")
    positions = batch.positions.flatten(0, 1)[rows]
    with torch.no_grad():
        place, atom, other, shifts = pairs_within(batch, cutoff)
        if halves:
            # Of an atom and its own image, the image whose first nonzero shift is positive.
            first = (shifts * shifts.new_tensor([4.0**20, 4.0**10, 1.0])).sum(-1)
            keep = ((atom < other) | ((atom == other) & (first > 0))).nonzero().squeeze(1)
            place, atom, other, shifts = place[keep], atom[keep], other[keep], shifts[keep]
        compact = mask.flatten().cumsum(0) - 1
        receivers, senders = compact[place * n + atom], compact[place * n + other]
    vectors = positions[senders] - positions[receivers]
    if batch.periodic:
        vectors = vectors + torch.einsum("ec,ecx->ex", shifts, batch.cell[place])
    return Edges(
        batch.numbers.flatten()[rows],
        positions,
        structure,
        receivers,
        senders,
        vectors,
        shifts,
        batch,
    )
