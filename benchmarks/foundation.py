"""Universal potentials against the packages that their weights come from, on the same batches.

Inference begins with structures on both sides: what the package needs to convert them and to find
their neighbours is part of its time, as it is of ours. A training step begins with the package's
finished graphs, which its trainer keeps, and with our batch, whose neighbours are found anew.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before any library asks

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from rows import alternate, emit
from torch import Tensor, nn

from breadth.diversity import ConformerSet
from breadth.training.batches import FrameStore
from breadth.training.potentials import build_potential, energy_and_forces

CELLS = Path(__file__).resolve().parents[1] / "../shared/data/umlip_bias/choline_naive/10.xyz"
#: Most time of a training step, in the package's.
LIMIT = 1.2
#: Energies (structures,) in eV and forces (atoms, 3) in eV/Å.
Found = tuple[Tensor, Tensor]


class CHGNetPeer:
    """The package chgnet."""

    package, name = "chgnet", "chgnet"

    def __init__(self) -> None:
        from chgnet.model import CHGNet
        from pymatgen.io.ase import AseAtomsAdaptor

        with contextlib.redirect_stdout(io.StringIO()):
            self.model: nn.Module = CHGNet.load(use_device="cpu", verbose=False)
        self.structure = AseAtomsAdaptor.get_structure

    def graphs(self, frames: Sequence[Atoms]) -> Any:
        """Return what the model takes."""
        return [self.model.graph_converter(self.structure(atoms)) for atoms in frames]

    def evaluate(self, graphs: Any, training: bool) -> Found:
        """Return energies and forces."""
        found = self.model(graphs, task="ef")
        sizes = torch.tensor([len(graph.atomic_number) for graph in graphs])
        return found["e"] * sizes, torch.cat(found["f"])


class SevenNetPeer:
    """The package sevenn."""

    package, name = "sevenn", "sevennet-0"

    def __init__(self) -> None:
        from sevenn.util import load_checkpoint, pretrained_name_to_path

        self.model: nn.Module = load_checkpoint(pretrained_name_to_path("7net-0")).build_model()

    def graphs(self, frames: Sequence[Atoms]) -> Any:
        """Return what the model takes."""
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph
        from torch_geometric.data import Batch

        found = []
        for atoms in frames:
            graph = unlabeled_atoms_to_graph(atoms, self.model.cutoff)
            graph.pop("data_info", None)
            found.append(AtomGraphData.from_numpy_dict(graph))
        return Batch.from_data_list(found)

    def evaluate(self, graphs: Any, training: bool) -> Found:
        """Return energies and forces."""
        found = self.model.train(training)(graphs.clone())
        return found["inferred_total_energy"], found["inferred_force"]


class SO3LRPeer:
    """The package so3krates-torch."""

    package, name = "so3krates-torch", "so3lr"

    def __init__(self) -> None:
        from so3krates_torch.calculator.so3 import SO3LRCalculator

        self.calculator = SO3LRCalculator(default_dtype="float32")
        self.model: nn.Module = self.calculator.models[0]
        for weight in self.model.parameters():
            weight.requires_grad_(True)

    def graphs(self, frames: Sequence[Atoms]) -> Any:
        """Return what the model takes."""
        from so3krates_torch.data.atomic_data import AtomicData
        from so3krates_torch.data.utils import config_from_atoms
        from so3krates_torch.tools.torch_geometric.dataloader import DataLoader

        own = self.calculator
        data = [
            AtomicData.from_config(
                config_from_atoms(atoms, key_specification=own.key_specification),
                z_table=own.z_table,
                cutoff=own.r_max,
                cutoff_lr=own.r_max_lr,
            )
            for atoms in frames
        ]
        return next(iter(DataLoader(dataset=data, batch_size=len(data))))

    def evaluate(self, graphs: Any, training: bool) -> Found:
        """Return energies and forces."""
        batch = graphs.clone().to_dict()
        found = self.model(batch, training=training, compute_stress=False)
        return found["energy"], found["forces"]


def loss(energies: Tensor, forces: Tensor) -> Tensor:
    """Return a loss that needs the gradient of both."""
    return forces.square().mean() + 1e-6 * energies.double().square().mean()


def compare(kind: Any, frames: Sequence[Atoms], where: str, *, runs: int = 3) -> bool:
    """Print the rows of inference and of a training step; tell whether results agree."""
    peer, potential = kind(), build_potential(kind.name)
    data = ConformerSet.from_ase(frames)
    rows = np.arange(len(data))

    def ours_inference() -> Found:
        batch = FrameStore(data).batch(rows)
        energies, forces = energy_and_forces(potential, batch)
        return energies, forces[batch.mask]

    def peer_inference() -> Found:
        return peer.evaluate(peer.graphs(frames), False)

    # Without their graphs, which are gigabytes for a few cells.
    mine, theirs = (
        [values.detach().double() for values in found()]
        for found in (ours_inference, peer_inference)
    )
    energy_gap, force_gap = (float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True))
    equal = energy_gap < 1e-4 * max(map(len, frames)) ** 0.5 and force_gap < 1e-3
    batch, graphs = FrameStore(data).batch(rows), peer.graphs(frames)

    def step(evaluate: Callable[[], Found], model: nn.Module) -> Callable[[], None]:
        def run() -> None:
            model.zero_grad()
            loss(*evaluate()).backward()

        return run

    def ours_found() -> Found:
        energies, forces = energy_and_forces(potential, batch, differentiable=True)
        return energies, forces[batch.mask]

    ours_step = step(ours_found, potential)
    peer_step = step(lambda: peer.evaluate(graphs, True), peer.model)
    facts: dict[str, Any] = {
        "peer_name": kind.package,
        "packages": (kind.package,),
        "structures": len(frames),
        "atoms": sum(map(len, frames)),
        "equal": equal,
        "energy_gap_ev": energy_gap,
        "force_gap_ev_per_ang": force_gap,
    }
    short = kind.name.partition("-")[0]
    ours, other = alternate(ours_inference, peer_inference, runs=runs)
    emit(f"foundation_inference_{short}{where}", ours=ours, peer=other, unit="s/batch", **facts)
    if len(frames) == 1 or kind is SO3LRPeer:  # a step of one cell takes gigabytes
        ours, other = alternate(ours_step, peer_step, runs=runs)
        emit(
            f"foundation_training_step_{short}{where}",
            ours=ours,
            peer=other,
            unit="s/step",
            of_the_package=round(ours / other, 2),
            limit=LIMIT,
            **facts,
        )
    return equal


def molecules() -> list[Atoms]:
    """Return 32 molecules of the elements and closed shells that SO3LR knows."""
    known = {"H", "C", "N", "O", "F", "P", "S", "Cl"}
    found = [molecule(name) for name in g2.names]
    found = [
        atoms
        for atoms in found
        if len(atoms) > 4 and set(atoms.symbols) <= known and sum(atoms.numbers) % 2 == 0
    ]
    return found[:32]


def main() -> int:
    """Print all rows; return 1 if a package disagrees."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    sound = [compare(SO3LRPeer, molecules(), "")]
    torch.set_default_dtype(torch.float32)  # the package changes it for all
    if CELLS.exists():
        for kind in (CHGNetPeer, SevenNetPeer):
            for n in (1, 4):
                cells = ase.io.read(CELLS, f":{n}")
                sound.append(compare(kind, cells, "" if n == 1 else f"_batch{n}"))
    else:
        print(f"{CELLS} is not there: no rows of CHGNet and SevenNet.", file=sys.stderr)
    if not all(sound):
        print(json.dumps({"row": "foundation", "error": "a package's energies or forces differ"}))
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())
