"""CHGNet: messages over atoms, bonds and angles of crystals."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import resources
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....diversity.errors import ConfigurationError
from ...batches import Batch
from ..base import AtomicOutput
from .edges import Edges, edges
from .pretrained import Domain, PretrainedPotential, package, reading

#: Version of the weights, and what this file computes: weights of others are another model's.
VERSION = "0.3.0"
FACTS = {
    "version": VERSION,
    "is_intensive": True,
    "mlp_first": True,
    "mlp_out_bias": False,
    "non_linearity": "silu",
    "gMLP_norm": "layer",
    "readout_norm": "layer",
    "update_bond": True,
    "update_angle": True,
}

#: Elements of the Materials Project trajectories: 89, without Po, At, Rn, Fr and Ra.
ELEMENTS = frozenset({*range(1, 84), *range(89, 95)})


class Readout(nn.Module):
    """Energies of atoms from their features."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Return energies (A,) in eV of features (A, F); elements enter through the features."""
        found: Tensor = self.layers(features)
        return found.squeeze(-1)


class Angles(NamedTuple):
    """Ordered pairs of different short bonds of one atom.

    Attributes
    ----------
    short : Tensor of int64, shape (S,)
        Bonds, undirected, that are short enough for the bond graph.
    atom : Tensor of int64, shape (angles,)
        Where both bonds begin.
    first, second : Tensor of int64, shape (angles,)
        Places in `short`; the first one gets the message.
    cosines : Tensor, shape (angles,)
        Differentiable.
    """

    short: Tensor
    atom: Tensor
    first: Tensor
    second: Tensor
    cosines: Tensor


class CHGNet(PretrainedPotential):
    """CHGNet 0.3.0 with the weights of `chgnet`.

    Atoms exchange messages along bonds of up to 6 Å, bonds of up to 3 Å along the angles between
    them. Trained at PBE (+U) on trajectories of inorganic crystals of 89 elements (MPtrj), so
    that molecules in a liquid are far from its training set; isolated molecules are refused.
    Total charge does not enter. Magnetic moments, and the update of angles that nothing reads
    after the last message between bonds, are left out.

    The weights are a pickle in the installed package, which loading trusts.

    Parameters
    ----------
    levels : sequence of str
        Each level's head is a copy of the pretrained readout.

    Notes
    -----
    The package concatenates the features of atoms, bonds and angles at each edge or angle and
    multiplies the long rows by one matrix. Here the blocks of the matrix meet atoms and bonds
    before they are gathered, which is the same sum with a fraction of the work.

    References
    ----------
    B. Deng, P. Zhong, K. Jun et al., Nat. Mach. Intell. 5, 1031 (2023), arXiv:2302.14231.
    """

    own_level = "chgnet"
    atoms_per_batch = 512  # 3 MB an atom in a liquid
    domain = Domain(ELEMENTS, charges=(0,), periodic="always", closed_shell=False)

    def __init__(self, *, levels: Sequence[str] = ("chgnet",)) -> None:
        module = package("chgnet.model", "chgnet")
        folder = str(resources.files("chgnet") / "pretrained" / VERSION)
        # It prints how many parameters it has.
        with reading(folder, "chgnet"), redirect_stdout(io.StringIO()):
            model: Any = module.CHGNet.load(model_name=VERSION, use_device="cpu", verbose=False)
        for key, value in FACTS.items():
            if model.model_args.get(key) != value:
                raise ConfigurationError(
                    f"The weights of chgnet have {key} = {model.model_args.get(key)!r}, not "
                    f"{value!r}: they are of another version. Install chgnet 0.4."
                )
        table = model.composition_model.fc.weight.detach()[0].tolist()
        super().__init__(
            cutoff=float(model.graph_converter.atom_graph_cutoff),
            levels=levels,
            readout=Readout(model.mlp.layers),
            n_features=model.atom_fea_dim,
            shifts={z: float(table[z - 1]) for z in self.domain.elements},
        )
        self._hyper = {"levels": self.levels}
        self.bond_cutoff = float(model.graph_converter.bond_graph_cutoff)
        self.embedding = model.atom_embedding.embedding
        self.basis: Any = nn.ModuleDict(
            {
                "length": model.bond_basis_expansion.rbf_expansion_ag,
                "short_length": model.bond_basis_expansion.rbf_expansion_bg,
                "angle": model.angle_basis_expansion.fourier_expansion,
                "bond": model.bond_embedding,
                "bond_weight": model.bond_weights_ag,
                "short_weight": model.bond_weights_bg,
                "angle_features": model.angle_embedding,
            }
        )
        parts = {
            "atoms": model.atom_conv_layers,
            "bonds": model.bond_conv_layers,
            "angles": model.angle_layers[:-1],
        }
        self.blocks: Any = nn.ModuleList(
            nn.ModuleDict({name: layers[i] for name, layers in parts.items() if i < len(layers)})
            for i in range(len(model.atom_conv_layers))
        )
        self.norm = model.readout_norm

    def evaluate(self, batch: Batch, place: int) -> AtomicOutput:
        """Return energies above the references and features."""
        bonds = edges(batch, self.cutoff, halves=True)
        features = self._features(bonds)
        energies = self.heads[place](features, bonds.numbers) * self.scales[place]
        return AtomicOutput(bonds.padded(energies), bonds.padded(features))

    def _features(self, bonds: Edges) -> Tensor:
        """Return the features (A, F) after the last block."""
        lengths = torch.linalg.vector_norm(bonds.vectors, dim=-1)
        angles = angles_between(bonds, lengths, self.bond_cutoff)
        atom_i = torch.cat([bonds.receivers, bonds.senders])  # of both directions
        atom_j = torch.cat([bonds.senders, bonds.receivers])
        either = torch.arange(len(lengths), device=lengths.device).repeat(2)
        basis = self.basis
        radial = basis["length"](lengths)
        bond, weight = basis["bond"](radial), basis["bond_weight"](radial)
        weight = weight.index_select(0, either)
        reach = basis["short_weight"](basis["short_length"](lengths[angles.short]))
        reach = reach.index_select(0, angles.first) * reach.index_select(0, angles.second)
        angle = basis["angle_features"](self._angular(angles.cosines))
        x = self.embedding(bonds.numbers - 1)
        for block in self.blocks:
            layer = block["atoms"]
            message = _gated(layer.twoBody_atom, (x, atom_i), (bond, either), (x, atom_j)) * weight
            x = x + layer.mlp_out(torch.zeros_like(x).index_add(0, atom_i, message))
            for name in ("bonds", "angles"):
                if name not in block:
                    continue
                layer = block[name]
                near = bond.index_select(0, angles.short)
                rows = (near, angles.first), (near, angles.second), (angle, None), (x, angles.atom)
                found = _gated(layer.twoBody_bond, *rows)
                if name == "angles":
                    angle = angle + found
                else:
                    heard = torch.zeros_like(near).index_add(0, angles.first, found * reach)
                    bond = bond.index_add(0, angles.short, layer.mlp_out(heard))
        features: Tensor = self.norm(x)
        return features

    def _angular(self, cosines: Tensor) -> Tensor:
        """Return the Fourier series of the angles, (angles, 2 orders + 1)."""
        # The factor keeps the derivative of the arc cosine finite at straight angles.
        phases = torch.outer(torch.acos(cosines * (1 - 1e-6)), self.basis["angle"].frequencies)
        constant = torch.full_like(phases[:, :1], math.sqrt(0.5))
        return torch.cat([constant, phases.sin(), phases.cos()], 1) / math.sqrt(math.pi)


def _gated(layer: Any, *parts: tuple[Tensor, Tensor | None]) -> Tensor:
    """Return silu(norm(core(rows))) · sigmoid(norm(gate(rows))), both perceptrons at once.

    The rows are the parts side by side, each gathered by its index where it has one.
    """
    core, gate = (
        [part for part in side.layers if isinstance(part, nn.Linear)]
        for side in (layer.mlp_core, layer.mlp_gate)
    )
    weights = torch.cat([core[0].weight, gate[0].weight]).split([x.shape[1] for x, _ in parts], 1)
    rows = torch.cat([core[0].bias, gate[0].bias])
    for (x, index), weight in zip(parts, weights, strict=True):
        mapped = functional.linear(x, weight)
        rows = rows + (mapped if index is None else mapped.index_select(0, index))
    if len(core) > 1:
        value, opening = functional.silu(rows).chunk(2, 1)
        value, opening = core[1](value), gate[1](opening)
    else:
        value, opening = rows.chunk(2, 1)
    found: Tensor = functional.silu(layer.bn1(value)) * torch.sigmoid(layer.bn2(opening))
    return found


def angles_between(bonds: Edges, lengths: Tensor, cutoff: float) -> Angles:
    """Find all ordered pairs of different bonds below a cutoff that share an atom.

    Parameters
    ----------
    bonds : Edges
        Halves.
    lengths : Tensor, shape (H,)
        In Å.
    cutoff : float
        In Å.
    """
    device = lengths.device
    short = (lengths < cutoff).nonzero().squeeze(1)
    begin = torch.cat([bonds.receivers[short], bonds.senders[short]])
    order = torch.argsort(begin, stable=True)
    counts = torch.bincount(begin, minlength=len(bonds.numbers))
    begin = begin[order]
    partners = counts[begin]
    first = torch.arange(len(order), device=device).repeat_interleave(partners)
    rank = torch.arange(len(first), device=device) - (partners.cumsum(0) - partners)[first]
    second = (counts.cumsum(0) - counts)[begin[first]] + rank
    apart = first != second
    first, second = first[apart], second[apart]
    unit = bonds.vectors[short] / lengths[short, None]
    unit = torch.cat([unit, -unit])[order]
    cosines = (unit.index_select(0, first) * unit.index_select(0, second)).sum(-1)
    bond = order % len(short) if len(short) else order
    return Angles(short, begin[first], bond[first], bond[second], cosines)
