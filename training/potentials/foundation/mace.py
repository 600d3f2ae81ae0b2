"""MACE from a file that the user names: higher-order equivariant message passing."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....diversity.errors import ConfigurationError, DataError
from ...batches import Batch
from ..base import N_ELEMENTS, AtomicOutput
from .edges import edges
from .pretrained import Domain, PretrainedPotential, trusted_load

#: Set by mace-torch for the whole process, which then unpickles whatever `torch.load` is given.
_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
#: Classes and functions of an architecture, by the table of mace-torch that names them.
_NAMED = {
    "interaction_cls": "interaction_classes",
    "interaction_cls_first": "interaction_classes",
    "readout_cls": "readout_classes",
    "gate": "gate_dict",
}


class Readout(nn.Module):
    """Energies of atoms from their features after each layer, by one head of the file."""

    def __init__(self, readouts: nn.ModuleList, head: int, scale: float) -> None:
        super().__init__()
        self.readouts, self.head, self.scale = readouts, head, scale

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Return energies (A,) in eV of features (A, F) after each layer."""
        read = layers[-1:] if len(self.readouts) == 1 else layers
        # Readouts mask what belongs to other heads of a file with several.
        heads = torch.full((len(layers[0]),), self.head, dtype=torch.int64, device=layers[0].device)
        found = [
            readout(features, heads)[:, self.head]
            for readout, features in zip(self.readouts, read, strict=True)
        ]
        return self.scale * torch.stack(found).sum(0)


class MACE(PretrainedPotential):
    """A MACE model, such as MACE-MP-0 or MACE-OFF, computed by the blocks of `mace-torch`.

    The package needs e3nn 0.4.4, and so an environment without the other universal potentials:
    ``pip install 'breadth[mace]'``. Its models are pickles. A file is unpickled when `path` names
    it, which can run any code: name only files that you trust. `save_potential` keeps the
    architecture as JSON and the weights as safetensors, so that what was saved is read without
    the file and without unpickling.

    Computed in single precision, as all potentials; ``.double()`` changes that. The model sees no
    charge, so that charged structures are refused.

    Parameters
    ----------
    path : str, optional
        A file that ``torch.save`` wrote of a `ScaleShiftMACE`, trusted.
    levels : sequence of str
        Each level's head is a copy of the file's readouts.
    head : str, optional
        Which head of a file with several; that called 'default' where it is not given.
    architecture : mapping, optional
        In place of a path: as `hyper` has it. Weights are then unset.

    References
    ----------
    I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner, G. Csányi, NeurIPS 2022, arXiv:2206.07697.
    """

    own_level = "mace"

    def __init__(
        self,
        *,
        path: str | None = None,
        levels: Sequence[str] = ("mace",),
        head: str | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        package = _package()
        if (path is None) == (architecture is None):
            raise ConfigurationError(
                "A MACE model comes from a file: give its path, path=FILE, or in a command "
                "mace:FILE. It is unpickled, which can run any code, so name one that you trust."
            )
        weights = None
        if architecture is None:
            assert path is not None
            architecture, weights = _read(path, package)
        model = _built(architecture, package)
        if weights is not None:
            model.load_state_dict(weights)
        place = _head(list(model.heads), head)
        # From the file, and not the model: single precision would cost 1e-4 eV an atom.
        energies, scales, shifts = (
            np.array(architecture[key], dtype=float)
            for key in ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")
        )
        alone = np.atleast_2d(energies)[place] + np.atleast_1d(shifts)[place]
        elements = [int(z) for z in model.atomic_numbers]
        self.domain = Domain(frozenset(elements), charges=(0,), periodic="any")
        irreps = [product.linear.irreps_out for product in model.products]
        super().__init__(
            cutoff=float(model.r_max),
            levels=levels,
            readout=Readout(model.readouts, place, float(np.atleast_1d(scales)[place])),
            n_features=sum(one.count("0e") for one in irreps),
            shifts=dict(zip(elements, alone.tolist(), strict=True)),
        )
        self._hyper = {
            "levels": self.levels,
            "head": model.heads[place],
            "architecture": dict(architecture),
        }
        #: Columns of the invariants among the features after each layer.
        self.invariant = [_scalars(one) for one in irreps]
        self.embedding = model.node_embedding
        self.harmonics = model.spherical_harmonics
        self.radial = model.radial_embedding
        self.repulsion = getattr(model, "pair_repulsion_fn", None)
        # Round by round, so that the last ones are what `depth` names last.
        self.blocks: Any = nn.ModuleList(
            nn.ModuleDict({"interaction": interaction, "product": product})
            for interaction, product in zip(model.interactions, model.products, strict=True)
        )
        places = torch.full((N_ELEMENTS,), -1)
        places[elements] = torch.arange(len(elements))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("elements", torch.tensor(elements), persistent=False)

    places: Tensor
    elements: Tensor

    def evaluate(self, batch: Batch, place: int) -> AtomicOutput:
        """Return energies above the references and features."""
        graph = edges(batch, self.cutoff)
        kind = self.places[graph.numbers]
        if bool((kind < 0).any()):
            raise DataError("The MACE model was trained on other elements: check the conformers.")
        attributes = nn.functional.one_hot(kind, len(self.elements)).to(graph.vectors.dtype)
        # Messages of the package run along vectors from sender to receiver.
        pairs, vectors = torch.stack([graph.senders, graph.receivers]), -graph.vectors
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        angular = self.harmonics(vectors)
        radial, fading = self.radial(lengths, attributes, pairs, self.elements)
        x = self.embedding(attributes)
        layers: list[Tensor] = []
        for block in self.blocks:
            x, before = block["interaction"](
                node_attrs=attributes,
                node_feats=x,
                edge_attrs=angular,
                edge_feats=radial,
                edge_index=pairs,
                cutoff=fading,
                first_layer=not layers,
            )
            x = block["product"](node_feats=x, sc=before, node_attrs=attributes)
            layers.append(x)
        energies = self.heads[place](layers)
        if self.repulsion is not None:
            repulsion = self.repulsion(lengths, attributes, pairs, self.elements)
            energies = energies + self.heads[place].scale * repulsion
        features = torch.cat(
            [x[:, columns] for x, columns in zip(layers, self.invariant, strict=True)], dim=-1
        )
        return AtomicOutput(graph.padded(energies * self.scales[place]), graph.padded(features))


def _package() -> Any:
    """Import mace-torch, and take back what it changes for the whole process."""
    before = os.environ.get(_UNSAFE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module("mace.tools.scripts_utils")
            return importlib.import_module("mace.modules")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The potential 'mace' needs the package mace-torch ({error}), in an environment of "
            "its own, since it needs e3nn 0.4.4: pip install 'breadth[mace]'."
        ) from None
    finally:
        os.environ.pop(_UNSAFE, None)
        if before is not None:
            os.environ[_UNSAFE] = before


def _read(path: str, package: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the architecture of a model in a file, as JSON can hold it, and its weights."""
    if not Path(path).is_file():
        raise ConfigurationError(f"There is no file {path}: give that of a MACE model as path.")
    try:
        model: Any = trusted_load(path, "mace")
    except Exception as error:  # a pickle can raise anything
        raise DataError(f"{path} is no model that torch.save wrote: {error}") from error
    if type(model).__name__ != "ScaleShiftMACE":
        raise DataError(
            f"{path} holds a {type(model).__name__}, and only ScaleShiftMACE is known, the kind "
            "of MACE-MP and MACE-OFF."
        )
    if getattr(model, "embedding_specs", None) or getattr(model, "cueq_config", None):
        raise DataError(f"{path} holds a MACE with embeddings or kernels that are not known here.")
    from mace.tools.scripts_utils import extract_config_mace_model

    found = extract_config_mace_model(model.cpu())
    return {key: _plain(key, value, package) for key, value in found.items()}, model.state_dict()


def _plain(key: str, value: Any, package: Any) -> Any:
    """Return an option of an architecture as JSON can hold it."""
    if key in _NAMED:
        table = getattr(package, _NAMED[key])
        return next(name for name, known in table.items() if known is value)
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return value.tolist()
    return str(value) if type(value).__name__ == "Irreps" else value


def _built(architecture: Mapping[str, Any], package: Any) -> Any:
    """Return a model of an architecture, with random weights."""
    from e3nn.o3 import Irreps

    options = dict(architecture)
    for key, table in _NAMED.items():
        options[key] = getattr(package, table)[options[key]]
    for key in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        options[key] = options[key] and Irreps(options[key])
    options["atomic_energies"] = np.array(options["atomic_energies"])
    return package.ScaleShiftMACE(**options)


def _head(heads: Sequence[str], asked: str | None) -> int:
    """Return the place of the head asked for, of the only one, or of that called default."""
    if asked is None and len(heads) == 1:
        return 0
    names = [name.lower() for name in heads]
    if (asked or "default").lower() not in names:
        raise ConfigurationError(
            f"The MACE model has the heads {', '.join(heads)}, and not {asked or 'default'!r}: "
            "give one as head."
        )
    return names.index((asked or "default").lower())


def _scalars(irreps: Any) -> list[int]:
    """Return the columns of the invariants among features of some irreps."""
    parts = zip(irreps, irreps.slices(), strict=True)
    return [i for (_, ir), part in parts if str(ir) == "0e" for i in range(part.start, part.stop)]
