"""Batches of padded structures on a device, their neighbours, and the store they are cut from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..diversity.conformers import ConformerSet
from ..diversity.errors import DataError
from ..diversity.tables import ragged_index

#: Above this many atoms a padded neighbour list beats all pairs (measured on CPU, 5 Å).
DENSE_ATOMS = 64

Layout = Literal["auto", "dense", "list"]


@dataclass(frozen=True, eq=False)
class Batch:
    """B structures, padded to N atoms. It holds no neighbours: :func:`neighbours` builds them.

    Parameters
    ----------
    numbers : Tensor of int64, shape (B, N)
        Atomic numbers; 0 is padding.
    positions : Tensor, shape (B, N, 3)
        In Å; anything finite where there is no atom.
    mask : Tensor of bool, shape (B, N)
        Where an atom is.
    cell : Tensor, shape (B, 3, 3)
        Cell vectors as rows, Å; zeros where there is none.
    pbc : Tensor of bool, shape (B, 3)
    charge : Tensor, shape (B,)
        Total charge in e.
    periodic : bool
        Whether any structure is periodic; kept outside the tensors so that asking is free.
    """

    numbers: Tensor
    positions: Tensor
    mask: Tensor
    cell: Tensor
    pbc: Tensor
    charge: Tensor
    periodic: bool

    def with_positions(self, positions: Tensor, cell: Tensor | None = None) -> Batch:
        """Return the batch with other positions (and cells)."""
        return replace(self, positions=positions, cell=self.cell if cell is None else cell)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of each atom within a cutoff.

    Parameters
    ----------
    vectors : Tensor, shape (B, N, K, 3)
        From the atom to its neighbour, Å, differentiable in positions and cell; the nearest
        images included. Zero where `mask` is False.
    mask : Tensor of bool, shape (B, N, K)
        Where a neighbour is. In the dense layout it tells pairs of different atoms, and the
        envelope of the potential removes those beyond the cutoff.
    index : Tensor of int64, shape (B, N, K), or None
        Neighbouring atom; None means dense: K = N and neighbour k is atom k.
    """

    vectors: Tensor
    mask: Tensor
    index: Tensor | None

    def gather(self, x: Tensor) -> Tensor:
        """Return what the neighbours carry: (B, N, …) to (B, N, K, …), not for dense layouts."""
        assert self.index is not None
        b, n, k = self.index.shape
        rows = torch.arange(b, device=x.device)[:, None, None] * n + self.index
        return x.flatten(0, 1).index_select(0, rows.flatten()).view(b, n, k, *x.shape[2:])


def neighbours(batch: Batch, cutoff: float, layout: Layout = "auto") -> Neighbours:
    """Find the neighbours within a cutoff at call time.

    Parameters
    ----------
    batch : Batch
    cutoff : float
        In Å.
    layout : {'auto', 'dense', 'list'}
        'dense' keeps all pairs, without any gather: best for small molecules, impossible with
        periodic images. 'list' pads each atom's neighbours to the longest list. 'auto' chooses
        by size and periodicity.

    Returns
    -------
    Neighbours
        With all periodic images within the cutoff, an atom's own images too.
    """
    if layout == "auto":
        few = batch.numbers.shape[1] <= DENSE_ATOMS
        layout = "dense" if few and not batch.periodic else "list"
    if layout == "list":
        return _listed(batch, cutoff)
    if batch.periodic:
        raise ValueError("periodic structures need the layout 'list'")
    n = batch.numbers.shape[1]
    others = ~torch.eye(n, dtype=torch.bool, device=batch.mask.device)
    mask = batch.mask[:, :, None] & batch.mask[:, None, :] & others
    return Neighbours(batch.positions[:, None] - batch.positions[:, :, None], mask, None)


@torch.no_grad()
def _images(batch: Batch, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return the lattice shifts (M, 3) that a cutoff can reach, and each atom's own (B, N, 3).

    The own shift brings an atom back into the cell; between wrapped atoms, an image n cells
    away along an axis lies at least n − 1 heights of the cell away.
    """
    pbc = batch.pbc
    unit = torch.eye(3, dtype=batch.cell.dtype, device=batch.cell.device)
    cell = torch.where(pbc[:, :, None], batch.cell, unit)
    inverse = torch.linalg.inv(cell)
    home = -torch.floor(torch.einsum("bna,bac->bnc", batch.positions, inverse)) * pbc[:, None]
    heights = 1.0 / inverse.norm(dim=1)  # of the cell over each of its faces
    reach = torch.ceil(cutoff / heights) * pbc
    most = [int(r) for r in reach.amax(0)]
    shifts = torch.cartesian_prod(
        *(torch.arange(-m, m + 1, device=cell.device, dtype=cell.dtype) for m in most)
    )
    return shifts, home


@torch.no_grad()
def pairs_within(batch: Batch, cutoff: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find all ordered pairs of atoms within a cutoff, periodic images too.

    Parameters
    ----------
    batch : Batch
    cutoff : float
        In Å.

    Returns
    -------
    place, atom, other : Tensor of int64, shape (P,)
        Structure of the pair and its two atoms, ordered by structure and atom.
    shifts : Tensor, shape (P, 3)
        Cells from the atom to its neighbour, as written in the batch, zeros without cells.
    """
    positions, cell = batch.positions, batch.cell
    b, n = batch.numbers.shape
    device = positions.device
    if batch.periodic:
        shifts, home = _images(batch, cutoff)
    else:
        shifts, home = positions.new_zeros(1, 3), torch.zeros_like(positions)
    m = len(shifts)
    wrapped = positions + home @ cell
    images = wrapped[:, :, None] + torch.einsum("mc,bcx->bmx", shifts, cell)[:, None]
    images = images.flatten(1, 2)  # (B, N·M, 3), atom by atom
    # A shift along an axis that is not periodic is no image.
    real = ((shifts == 0)[None] | batch.pbc[:, None]).all(-1)  # (B, M)
    there = (batch.mask[:, :, None] & real[:, None]).flatten(1, 2)
    itself = (shifts == 0).all(-1)
    rows = max(1, int(2**25 / max(1, b * n * m)))
    found = []
    for start in range(0, n, rows):
        some = slice(start, min(start + rows, n))
        distance = (images[:, None] - wrapped[:, some, None]).square().sum(-1)
        near = (distance < cutoff**2) & there[:, None] & batch.mask[:, some, None]
        own = torch.arange(start, some.stop, device=device)
        near.view(b, -1, n, m)[:, own - start, own] &= ~itself
        hit = near.nonzero()
        hit[:, 1] += start
        found.append(hit)
    hits = torch.cat(found)
    if len(found) > 1:
        hits = hits[torch.argsort(hits[:, 0] * n + hits[:, 1], stable=True)]
    place, atom, image = hits.unbind(1)
    other = torch.div(image, m, rounding_mode="floor")
    return place, atom, other, shifts[image % m] + home[place, other] - home[place, atom]


def _listed(batch: Batch, cutoff: float) -> Neighbours:
    """Pad each atom's neighbours to the longest list."""
    b, n = batch.numbers.shape
    device = batch.positions.device
    place, atom, other, shifts = pairs_within(batch, cutoff)
    row = place * n + atom
    counts = torch.bincount(row, minlength=b * n)
    k = max(1, int(counts.max()))
    slot = torch.arange(len(row), device=device) - (counts.cumsum(0) - counts)[row]
    index = torch.zeros(b * n, k, dtype=torch.int64, device=device)
    mask = torch.zeros(b * n, k, dtype=torch.bool, device=device)
    crossing = shifts.new_zeros(b * n, k, 3)
    index[row, slot] = other
    mask[row, slot] = True
    crossing[row, slot] = shifts
    index, mask, crossing = index.view(b, n, k), mask.view(b, n, k), crossing.view(b, n, k, 3)
    empty = Neighbours(batch.positions, mask, index)
    vectors = empty.gather(batch.positions) - batch.positions[:, :, None]
    if batch.periodic:
        vectors = vectors + torch.einsum("bnkc,bcx->bnkx", crossing, batch.cell)
    return Neighbours(vectors * mask[..., None], mask, index)


@dataclass(frozen=True, eq=False)
class HalfList:
    """All pairs of atoms within a cutoff, each once, of structures without periodicity.

    Parameters
    ----------
    first, second : Tensor of int64, shape (P,)
        The two atoms, counted through the padded batch; pairs of a structure stand together.
    bounds : tuple of int, length T + 1
        Where runs of pairs begin that share no atom, one for each thread.
    """

    first: Tensor
    second: Tensor
    bounds: tuple[int, ...]

    def distances(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (P,), Å², and their inverse roots, from positions (B, N, 3)."""
        x = positions.flatten(0, 1)
        squared = (x.index_select(0, self.second) - x.index_select(0, self.first)).square().sum(1)
        return squared, squared.rsqrt()


@torch.no_grad()
def half_list(batch: Batch, cutoff: float) -> HalfList:
    """Find the pairs of a batch without periodic structures within a cutoff, in Å, each once."""
    b, n = batch.numbers.shape
    if n > DENSE_ATOMS:
        place, atom, other, _ = pairs_within(batch, cutoff)
        place, atom, other = (x[atom < other] for x in (place, atom, other))
    else:
        x = batch.positions
        # So written that what is not a number stays a pair, and does not pass for no neighbour.
        near = ~((x[:, None] - x[:, :, None]).square().sum(-1) >= cutoff**2)
        near &= batch.mask[:, :, None] & batch.mask[:, None]
        place, atom, other = near.triu(1).nonzero().unbind(1)
    shares = torch.linspace(0, len(place), torch.get_num_threads() + 1)[1:-1]
    ends = torch.bincount(place, minlength=b).cumsum(0)
    inner = ends[torch.searchsorted(ends, shares)].tolist()
    return HalfList(place * n + atom, place * n + other, (0, *inner, len(place)))


@dataclass(frozen=True, eq=False)
class Targets:
    """The labels of a batch.

    Parameters
    ----------
    energy : Tensor of float64, shape (B,)
        Total energies, eV.
    forces : Tensor, shape (B, N, 3)
        In eV/Å; zero where there is no atom.
    has_energy, has_forces : Tensor of bool, shape (B,)
    molecule : Tensor of int64, shape (B,)
        Equal where structures are of one molecule.
    """

    energy: Tensor
    forces: Tensor
    has_energy: Tensor
    has_forces: Tensor
    molecule: Tensor


class FrameStore:
    """Structures, and labels of one level, resident on a device; batches are cut by index.

    Parameters
    ----------
    data : ConformerSet
    index : array of int, shape (n,), optional
        Which conformers, in which order; all of them by default.
    level : str, optional
        Level of theory of the labels; None keeps no labels.
    device : torch.device or str
    dtype : torch.dtype
        Of positions and forces; energies stay in float64.

    Raises
    ------
    DataError
        If a position or cell vector is NaN or infinite in this precision, which lists of
        neighbours would pass over; or, with a level, a conformer has no label.
    """

    def __init__(
        self,
        data: ConformerSet,
        index: np.ndarray | None = None,
        *,
        level: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        rows = np.arange(len(data)) if index is None else np.asarray(index, dtype=np.int64)
        atoms, offsets = ragged_index(data.offsets, rows)

        def put(array: np.ndarray, kind: torch.dtype | None = None) -> Tensor:
            return torch.tensor(np.asarray(array), dtype=kind, device=device)

        self.data, self.rows, self.counts = data, rows, np.diff(offsets)
        self._offsets = put(offsets[:-1])
        self._counts = put(self.counts)
        self._numbers = put(data.numbers[atoms], torch.int64)
        self._positions = put(data.positions[atoms], dtype)
        self._cell = put(data.cell[rows], dtype)
        self._pbc = put(data.pbc[rows])
        for what, there, owners in (
            ("position", self._positions, np.repeat(rows, self.counts)),
            ("cell vector", self._cell, rows),
        ):
            finite = torch.isfinite(there.flatten(1)).all(1)
            if not bool(finite.all()):
                bad = int(owners[int(finite.int().argmin())])
                kind = str(dtype).removeprefix("torch.")
                raise DataError(f"Conformer {bad} has a {what} that is NaN or infinite in {kind}.")
        self._charge = put(data.charge[rows], dtype)
        self._periodic: np.ndarray = np.any(data.pbc[rows], axis=1)
        self._labelled = level is not None
        if level is not None:
            labels = data.labels(level)
            self._energy = put(labels.energy[rows], torch.float64)
            self._forces = put(labels.forces[atoms], dtype)
            self._has_energy = put(labels.has_energy[rows])
            self._has_forces = put(labels.has_forces[rows])
            self._molecule = put(data.molecule[rows])
            if not (labels.has_energy[rows] | labels.has_forces[rows]).all():
                bad = int(rows[~(labels.has_energy[rows] | labels.has_forces[rows])][0])
                raise DataError(
                    f"Conformer {bad} has neither energy nor forces at level {level!r}: "
                    "leave conformers without labels out of the index."
                )

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def periodic(self) -> bool:
        """Whether any structure is periodic."""
        return bool(self._periodic.any())

    def batch(self, index: np.ndarray) -> Batch:
        """Return the structures at some places, padded to the largest of them."""
        return self._cut(index)[0]

    def labelled(
        self, index: np.ndarray | Tensor, longest: int | None = None
    ) -> tuple[Batch, Targets]:
        """Return the structures at some places with their labels.

        With `longest`, the number of atoms to pad to, the index may be a tensor on the device:
        nothing is then asked of the device, so that the host need not wait for it.
        """
        batch, rows, atoms = self._cut(index, longest)
        forces = self._forces[atoms] * batch.mask[..., None]
        return batch, Targets(
            self._energy[rows],
            forces,
            self._has_energy[rows],
            self._has_forces[rows],
            self._molecule[rows],
        )

    def _cut(
        self, index: np.ndarray | Tensor, longest: int | None = None
    ) -> tuple[Batch, Tensor, Tensor]:
        rows = torch.as_tensor(index, device=self._offsets.device)
        if longest is None:
            longest = int(self.counts[index].max())
            periodic = bool(np.any(self._periodic[index]))
        else:
            periodic = self.periodic
        place = torch.arange(longest, device=rows.device)
        mask = place < self._counts[rows][:, None]
        atoms = torch.where(mask, self._offsets[rows][:, None] + place, 0)
        batch = Batch(
            numbers=self._numbers[atoms] * mask,
            positions=self._positions[atoms] * mask[..., None],
            mask=mask,
            cell=self._cell[rows],
            pbc=self._pbc[rows],
            charge=self._charge[rows],
            periodic=periodic,
        )
        return batch, rows, atoms
