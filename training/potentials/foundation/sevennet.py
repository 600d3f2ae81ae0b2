"""SevenNet-0: equivariant messages between neighbours, the architecture of NequIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....diversity.errors import ConfigurationError
from ...batches import Batch
from ..base import N_ELEMENTS, AtomicOutput
from .chgnet import ELEMENTS
from .edges import Edges, edges
from .pretrained import Domain, PretrainedPotential, package, reading

#: What this file computes; weights of a model with other facts are another version's.
FACTS = {
    "self_connection_type": "linear",
    "interaction_type": "nequip",
    "readout_as_fcn": False,
    "use_bias_in_linear": False,
    "is_parity": False,
}


class Readout(nn.Module):
    """Energies of atoms from their features: two linear maps and a scale."""

    def __init__(self, hidden: nn.Module, out: nn.Module, scale: float) -> None:
        super().__init__()
        self.hidden, self.out, self.scale = hidden, out, scale

    def forward(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Return energies (A,) in eV of features (A, F); elements enter through the features."""
        raw: Tensor = self.out(self.hidden(features))
        return raw.squeeze(-1) * self.scale


class Padded(NamedTuple):
    """Edges in rows of the atom that they lead to, K each; those missing are zero.

    Attributes
    ----------
    senders : Tensor of int64, shape (A K,)
    radial : Tensor, shape (A K, basis)
    harmonics : Tensor, shape (A K, 9)
    """

    senders: Tensor
    radial: Tensor
    harmonics: Tensor


@dataclass(frozen=True)
class Paths:
    """Couplings of the features of one degree with all harmonics.

    Parameters
    ----------
    columns : slice
        Of the features.
    channels, components : int
    coupling : Tensor of float64, shape (9, components · Σ sizes)
        Wigner 3j symbols times the path's weight, all paths side by side.
    places : tuple of int
        Of each path among all outputs.
    weights : tuple of slice
        Of each path's channels among the weights of an edge.
    sizes : tuple of int
        Components of each path's output.
    """

    columns: slice
    channels: int
    components: int
    coupling: Tensor
    places: tuple[int, ...]
    weights: tuple[slice, ...]
    sizes: tuple[int, ...]


def paths_of(product: Any) -> list[Paths]:
    """Read the couplings off a tensor product of e3nn whose paths are all of the kind 'uvu'."""
    wigner_3j = package("e3nn.o3", "sevennet-0").wigner_3j
    out, harmonics = product.irreps_out, product.irreps_in2
    ends = [0]
    for path in product.instructions:
        ends.append(ends[-1] + path.path_shape[0])
    found = []
    columns = product.irreps_in1.slices()
    for place, (channels, irrep) in enumerate(product.irreps_in1):
        mine = [(i, p) for i, p in enumerate(product.instructions) if p.i_in1 == place]
        blocks = []
        for _, path in mine:
            degree, end = harmonics[path.i_in2].ir.l, out[path.i_out].ir
            block = torch.zeros(harmonics.dim, irrep.dim, end.dim, dtype=torch.float64)
            # In this order: where the degrees' sum is odd, another would change the sign.
            symbols = wigner_3j(irrep.l, degree, end.l, dtype=torch.float64).transpose(0, 1)
            block[harmonics.slices()[path.i_in2]] = symbols * path.path_weight
            blocks.append(block)
        found.append(
            Paths(
                columns=columns[place],
                channels=channels,
                components=irrep.dim,
                coupling=torch.cat(blocks, 2).flatten(1),
                places=tuple(path.i_out for _, path in mine),
                weights=tuple(slice(ends[i], ends[i + 1]) for i, _ in mine),
                sizes=tuple(block.shape[2] for block in blocks),
            )
        )
    return found


class Convolution(nn.Module):
    """Messages of neighbours: their features times harmonics, weighted by the distance.

    The package makes the message of each edge, up to 3136 numbers, and adds them up. Here
    weighted features stand in rows of the receiving atom, so that one product of small matrices
    couples and adds; missing neighbours have harmonics and weights of zero.
    """

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.weights = convolution.weight_nn
        self.denominator = float(convolution.denominator)
        self.paths = paths_of(convolution.convolution)

    def forward(self, x: Tensor, near: Padded) -> Tensor:
        """Return the messages of features (A, D), as the package orders them."""
        n, weights = len(x), self.weights(near.radial)[:, None]
        k = len(near.senders) // n
        found: dict[int, Tensor] = {}
        for path in self.paths:
            c, d = path.channels, path.components
            sent = x[:, path.columns].view(n, c, d).transpose(1, 2).flatten(1)
            sent = sent.index_select(0, near.senders).view(-1, d, c)
            coupled = near.harmonics @ path.coupling.to(x)
            coupled = coupled.view(n, k * d, sum(path.sizes)).transpose(1, 2)
            for place, some, coupling in zip(
                path.places, path.weights, coupled.split(path.sizes, 1), strict=True
            ):
                rows = (sent * weights[..., some]).view(n, k * d, c)
                found[place] = torch.bmm(coupling, rows).transpose(1, 2).flatten(1)
        return torch.cat([found[place] for place in sorted(found)], 1) / self.denominator


class SevenNet(PretrainedPotential):
    """SevenNet-0 (11 July 2024) with the weights of `sevenn`.

    Five rounds of equivariant messages within 5 Å. Trained at PBE (+U) on trajectories of
    inorganic crystals of 89 elements (MPtrj). Isolated molecules can be computed, and lie outside
    of what it was trained on, as molecules in a liquid do. Total charge does not enter. Its
    features have no parity, so that mirror images get energies that differ a little.

    The weights are a pickle in the installed package, which loading trusts.

    Parameters
    ----------
    levels : sequence of str
        Each level's head is a copy of the pretrained readout.

    References
    ----------
    Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024),
    arXiv:2402.03789; the architecture: S. Batzner et al., Nat. Commun. 13, 2453 (2022).
    """

    own_level = "sevennet-0"
    atoms_per_batch = 256  # 6 MB an atom in a liquid
    domain = Domain(ELEMENTS, charges=(0,), closed_shell=False)

    def __init__(self, *, levels: Sequence[str] = ("sevennet-0",)) -> None:
        checkpoint = package("sevenn.checkpoint", "sevennet-0").SevenNetCheckpoint
        # By path: for a name, the package would look into the current folder and caches too.
        folder = resources.files("sevenn") / "pretrained_potentials" / "SevenNet_0__11Jul2024"
        path = str(folder / "checkpoint_sevennet_0.pth")
        with reading(path, "sevennet-0"):
            stored = checkpoint(path)
            config, model = stored.config, stored.build_model()
        rescale = model.rescale_atomic_energy
        facts = {key: config.get(key) for key in FACTS}
        scales = rescale.scale.unique().tolist()
        if facts != FACTS or set(model.type_map) != ELEMENTS or len(scales) != 1:
            raise ConfigurationError(
                f"The weights of sevenn have {facts}, {len(model.type_map)} elements and scales "
                f"{scales}, not {FACTS}, {len(ELEMENTS)} elements and one scale: they are of "
                "another version. Install sevenn 0.13."
            )
        known = dict(model.type_map)
        features = model.reduce_input_to_hidden.linear
        super().__init__(
            cutoff=float(model.cutoff),
            levels=levels,
            readout=Readout(features, model.reduce_hidden_to_energy.linear, scales[0]),
            n_features=features.irreps_in.dim,
            shifts={z: float(rescale.shift[known[z]]) for z in self.domain.elements},
        )
        self._hyper = {"levels": self.levels}
        self.embedding: Any = model.onehot_to_feature_x.linear
        self.basis: Any = model.edge_embedding
        parts = {
            "connection": "self_connection_intro",
            "mix_in": "self_interaction_1",
            "convolution": "convolution",
            "mix_out": "self_interaction_2",
            "gate": "equivariant_gate",
        }
        self.blocks: Any = nn.ModuleList()
        for i in range(config["num_convolution_layer"]):
            found = {name: getattr(model, f"{i}_{part}") for name, part in parts.items()}
            block = {name: found[name].linear for name in ("connection", "mix_in", "mix_out")}
            block |= {
                "convolution": Convolution(found["convolution"]),
                "gate": found["gate"].gate,
            }
            self.blocks.append(nn.ModuleDict(block))
        places = torch.tensor([known.get(z, 0) for z in range(N_ELEMENTS)])
        self.register_buffer("places", places, persistent=False)

    places: Tensor

    def evaluate(self, batch: Batch, place: int) -> AtomicOutput:
        """Return energies above the references and features."""
        pairs = edges(batch, self.cutoff)
        features = self._features(pairs)
        energies = self.heads[place](features, pairs.numbers) * self.scales[place]
        return AtomicOutput(pairs.padded(energies), pairs.padded(features))

    def _features(self, pairs: Edges) -> Tensor:
        """Return the features (A, F) after the last round."""
        near = self._padded(pairs)
        kinds = functional.one_hot(self.places[pairs.numbers], len(ELEMENTS))
        x: Tensor = self.embedding(kinds.to(pairs.vectors))
        for block in self.blocks:
            message = block["convolution"](block["mix_in"](x), near)
            x = block["gate"](block["mix_out"](message) + block["connection"](x))
        return x

    def _padded(self, pairs: Edges) -> Padded:
        """Return the edges in rows of their receivers."""
        n = len(pairs.numbers)
        lengths = torch.linalg.vector_norm(pairs.vectors, dim=-1)
        fading = self.basis.cutoff_function(lengths)
        radial = self.basis.basis_function(lengths) * fading[:, None]
        harmonics = self.basis.spherical(pairs.vectors)
        counts = torch.bincount(pairs.receivers, minlength=n)
        k = max(1, int(counts.max()))
        rank = torch.arange(len(pairs.receivers), device=counts.device)
        row = pairs.receivers * k + rank - (counts.cumsum(0) - counts)[pairs.receivers]

        def put(x: Tensor) -> Tensor:
            return x.new_zeros(n * k, *x.shape[1:]).index_copy(0, row, x)

        return Padded(put(pairs.senders), put(radial), put(harmonics))
