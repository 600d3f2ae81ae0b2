"""SO3LR: a pretrained SO(3)-equivariant transformer with universal pairwise terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....diversity.errors import ConfigurationError
from ...batches import Batch
from ..base import AtomicOutput
from .edges import Edges, edges
from .pairwise import coulomb, dispersion, nuclear_repulsion
from .pretrained import Domain, PretrainedPotential, package, per_structure, trusted_load

#: What this file computes; weights of a model with other facts are another version's.
FACTS = {
    "degrees": [1, 2, 3, 4],
    "cutoff_fn_name": "phys",
    "radial_basis_fn": "bernstein",
    "message_normalization": "avg_num_neighbors",
    "qk_non_linearity": "identity",
    "activation_fn_name": "silu",
    "energy_activation_fn_name": "silu",
    "final_mlp_layers": 2,
    "initialize_ev_to_zeros": True,
    "use_charge_embed": True,
    "layer_normalization_1": True,
    "layer_normalization_2": True,
    "residual_mlp_1": True,
    "residual_mlp_2": False,
    "zbl_repulsion_bool": True,
    "electrostatic_energy_bool": True,
    "dispersion_energy_bool": True,
}

#: Range of electrostatics and dispersion, and the width in which dispersion fades, in Å: those
#: of the package's calculator.
LONG_RANGE, FADING = 12.0, 2.0


class Readout(nn.Module):
    """Energies of atoms from their features: two layers and a scale for each element."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.hidden, self.out = block.layers[0], block.final_layer
        self.element_scales = nn.Parameter(block.energy_scales.weight.detach()[0].clone())

    def forward(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Return energies (A,) in eV of features (A, F) and atomic numbers (A,)."""
        raw = self.out(functional.silu(self.hidden(features))).squeeze(-1)
        return raw * self.element_scales[numbers - 1]


class SO3LR(PretrainedPotential):
    """SO3LR with the weights of `so3krates-torch`.

    A transformer over invariant features and spherical harmonics of the neighbours within
    4.5 Å, beside nuclear repulsion (ZBL), electrostatics of partial charges that it predicts, and
    dispersion from Hirshfeld ratios that it predicts, both up to 12 Å. Trained at PBE0+MBD on
    neutral and charged molecules and their complexes, of H, C, N, O, F, P, S and Cl. The total
    charge enters; unpaired electrons do not, since batches carry none.

    The weights are a pickle in the installed package, which loading trusts.

    Parameters
    ----------
    levels : sequence of str
        Each level's head is a copy of the pretrained readout.

    References
    ----------
    A. Kabylda, J. T. Frank, S. Suárez-Dou et al., J. Am. Chem. Soc. 147, 33723 (2025),
    doi:10.1021/jacs.5c09558; the transformer: J. T. Frank et al., Nat. Commun. 15, 6539 (2024).
    """

    own_level = "so3lr"
    domain = Domain(frozenset({1, 6, 7, 8, 9, 15, 16, 17}), charges=None, periodic="any")

    def __init__(self, *, levels: Sequence[str] = ("so3lr",)) -> None:
        package("so3krates_torch", "so3lr")
        path = resources.files("so3krates_torch") / "pretrained" / "so3lr" / "so3lr.model"
        model: Any = trusted_load(str(path), "so3lr")
        for key, value in FACTS.items():
            if getattr(model, key, None) != value:
                raise ConfigurationError(
                    f"The weights of so3krates-torch have {key} = {getattr(model, key, None)!r}, "
                    f"not {value!r}: they are of another version. Install so3krates-torch 0.2."
                )
        block = model.atomic_energy_output_block
        table = block.energy_shifts.detach().tolist()
        super().__init__(
            cutoff=float(model.r_max),
            levels=levels,
            readout=Readout(block),
            n_features=model.num_features,
            shifts={z: float(table[z - 1]) for z in self.domain.elements},
        )
        self._hyper = {"levels": self.levels}
        self.embedding = model.inv_feature_embedding.embedding
        self.charge_embedding = model.charge_embedding
        self.radial_basis = model.radial_embedding.radial_basis_fn
        self.layers = model.euclidean_transformers
        for layer in self.layers:  # named twice in the package
            del layer.euclidean_attention_block.filter_net_inv
            del layer.euclidean_attention_block.filter_net_ev
        self.repulsion = model.zbl_repulsion
        self.partial_charges = model.partial_charges_output_block
        self.hirshfeld = model.hirshfeld_output_block
        self.mean_neighbours = float(model.avg_num_neighbors)
        self.embedding_scale = float(model.embedding_scale)
        self.screening = float(model.electrostatic_energy_scale)
        self.damping = float(model.dispersion_energy_scale)
        parity = torch.cat([torch.full((2 * d + 1,), (-1.0) ** d) for d in FACTS["degrees"]])  # type: ignore[attr-defined]
        self.register_buffer("parity", parity, persistent=False)

    parity: Tensor

    def evaluate(self, batch: Batch, place: int) -> AtomicOutput:
        """Return energies above the references and features."""
        far = edges(batch, LONG_RANGE, halves=True)
        lengths = torch.linalg.vector_norm(far.vectors, dim=-1)
        close = (lengths < self.cutoff).nonzero().squeeze(1)
        near, r = far.select(close), lengths[close]
        features = self._features(near, r)
        z, n = far.numbers, len(batch.charge)

        energies = self.heads[place](features, z) * self.scales[place]
        touching = (r < 1.5).nonzero().squeeze(1)  # nuclear repulsion ends there
        some = near.select(touching)
        repulsion = nuclear_repulsion(self.repulsion, z, some, r[touching], self.cutoff)
        energies = energies + _shared(some, repulsion)

        charges = self._charges(features, far, batch.charge, n)
        ratios = self.hirshfeld(features, z)
        pairs = coulomb(charges, far, lengths, self.screening, LONG_RANGE) + dispersion(
            ratios, far, lengths, self.damping, LONG_RANGE, FADING
        )
        energies = energies + _shared(far, pairs)
        return AtomicOutput(far.padded(energies), far.padded(features))

    def _charges(self, features: Tensor, atoms: Edges, total: Tensor, n: int) -> Tensor:
        """Return partial charges (A,) in e that sum to the total charges (B,)."""
        block = self.partial_charges
        raw = block.atomic_embedding(atoms.numbers) + block.transform_inv_features(features)
        raw = raw.squeeze(-1)
        counts = per_structure(torch.ones_like(raw), atoms.structure, n)
        missing = (total - per_structure(raw, atoms.structure, n)) / counts.clamp(min=1)
        return raw + missing[atoms.structure]

    def _features(self, pairs: Edges, lengths: Tensor) -> Tensor:
        """Return invariant features (A, F), eqs 10-27 of Frank et al. (2024).

        Filters are symmetric in the two atoms of a pair, so that edges are halves: each is
        computed once and used in both directions.
        """
        z = pairs.numbers
        invariant = functional.embedding(z - 1, self.embedding.weight.T)
        if bool((pairs.batch.charge != 0).any()):  # without charge it adds exactly nothing
            invariant = invariant + self._charge_features(pairs)
        invariant = invariant / self.embedding_scale
        harmonics = spherical_harmonics(pairs.vectors / lengths[:, None])
        x = lengths / self.cutoff
        envelope = (1 - x**3 * (10 - 15 * x + 6 * x * x))[:, None]
        near = envelope * harmonics / self.mean_neighbours
        both = torch.stack([near, near * self.parity])
        basis = self.radial_basis(lengths[:, None])
        equivariant = harmonics.new_zeros(len(z), harmonics.shape[1])
        for layer in self.layers:
            invariant, equivariant = self._layer(
                layer, invariant, equivariant, pairs, basis, envelope, both
            )
        return invariant

    def _charge_features(self, pairs: Edges) -> Tensor:
        block, structure = self.charge_embedding, pairs.structure
        charge = pairs.batch.charge
        q = functional.embedding(pairs.numbers - 1, block.Wq.weight.T)
        sign = (charge < 0).long()[structure]
        weight = functional.softplus((q * block.Wk[sign]).sum(-1) / block.sqrt_dim)
        total = per_structure(weight, structure, len(charge)) + 1e-6
        value = (charge[structure] * weight / total[structure])[:, None] * block.Wv[sign]
        found: Tensor = value + block.mlp(value)
        return found

    def _layer(
        self,
        layer: Any,
        invariant: Tensor,
        equivariant: Tensor,
        pairs: Edges,
        basis: Tensor,
        envelope: Tensor,
        harmonics: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return features after attention and interaction of one layer."""
        i, j = pairs.receivers, pairs.senders
        attention = layer.euclidean_attention_block
        n, width = invariant.shape
        # Filters of both attentions: (H, 2 F).
        difference = equivariant.index_select(0, j) - equivariant.index_select(0, i)
        squares = difference.square() * attention.so3_conv_invariants.cg_rep
        contrast = squares @ attention.so3_conv_invariants.segment_sum_matrix
        filters = torch.cat(
            [
                net.mlp_rbf(basis) + net.mlp_ev(contrast)
                for net in (layer.filter_net_inv, layer.filter_net_ev)
            ],
            dim=-1,
        )
        # Queries, keys and values of all heads in one product: (heads, A, 5 F / heads).
        heads = attention.inv_heads
        weights = torch.cat(
            [attention.W_q_inv, attention.W_q_ev, attention.W_k_inv, attention.W_k_ev,
             attention.W_v_inv], dim=-1,
        )  # fmt: skip
        d = width // heads
        mixed = torch.bmm(invariant.view(n, heads, d).transpose(0, 1), weights)
        mixed = mixed.view(heads, n, 5, d).permute(1, 2, 0, 3).flatten(1)  # (A, 5 heads d)
        sizes = (2 * width, 2 * width, width)
        at_i, at_j = (mixed.index_select(0, x).split(sizes, dim=-1) for x in (i, j))
        there = (at_i[0] * at_j[1] * filters).view(-1, 2, heads, d).sum(-1)
        back = (at_j[0] * at_i[1] * filters).view(-1, 2, heads, d).sum(-1)
        scale = envelope / self.mean_neighbours
        message = invariant.new_zeros(n, heads, d)
        message = message.index_add(
            0, i, (scale * there[:, 0])[..., None] * at_j[2].view(-1, heads, d)
        )
        message = message.index_add(
            0, j, (scale * back[:, 0])[..., None] * at_i[2].view(-1, heads, d)
        )
        spread = attention.so3_conv_invariants.segment_sum_matrix.T  # degrees to components
        turned = torch.zeros_like(equivariant)
        turned = turned.index_add(0, i, there[:, 1] @ spread * harmonics[0])
        turned = turned.index_add(0, j, back[:, 1] @ spread * harmonics[1])

        invariant = layer.layer_norm_inv_1(invariant + message.flatten(1))
        equivariant = equivariant + turned
        invariant = invariant + layer.mlp_1(invariant)
        norms = (equivariant.square() * attention.so3_conv_invariants.cg_rep) @ spread.T
        change = layer.interaction_block.linear_layer(torch.cat([invariant, norms], dim=-1))
        invariant = layer.layer_norm_inv_2(invariant + change[:, :width])
        return invariant, equivariant + (change[:, width:] @ spread) * equivariant


def _shared(pairs: Edges, energies: Tensor) -> Tensor:
    """Return energies of atoms (A,): half of each pair's (H,) goes to either atom."""
    half = 0.5 * energies
    found = half.new_zeros(len(pairs.numbers)).index_add(0, pairs.receivers, half)
    return found.index_add(0, pairs.senders, half)


def spherical_harmonics(unit: Tensor) -> Tensor:
    """Return real spherical harmonics of degrees 1 to 4, (E, 24), of unit vectors (E, 3)."""
    x, y, z = unit.unbind(-1)
    xx, yy, zz, xy = x * x, y * y, z * z, x * y
    minus, plus3, minus3 = xx - yy, 3 * xx - yy, xx - 3 * yy
    five, seven, seven3 = 5 * zz - 1, 7 * zz - 1, 7 * zz - 3
    terms = (
        (3 / 4, y), (3 / 4, z), (3 / 4, x),
        (15 / 4, xy), (15 / 4, y * z), (5 / 16, 3 * zz - 1), (15 / 4, x * z), (15 / 16, minus),
        (35 / 32, y * plus3), (105 / 4, xy * z), (21 / 32, y * five), (7 / 16, (five - 2) * z),
        (21 / 32, x * five), (105 / 16, minus * z), (35 / 32, x * minus3),
        (315 / 16, xy * minus), (315 / 32, y * plus3 * z), (45 / 16, xy * seven),
        (45 / 32, y * seven3 * z), (9 / 256, (35 * zz - 30) * zz + 3), (45 / 32, x * seven3 * z),
        (45 / 64, minus * seven), (315 / 32, x * minus3 * z),
        (315 / 256, xx * minus3 - yy * plus3),
    )  # fmt: skip
    norms = unit.new_tensor([math.sqrt(square / math.pi) for square, _ in terms])
    return torch.stack([term for _, term in terms], dim=-1) * norms
