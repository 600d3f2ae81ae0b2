"""Configurations with which MACE, NequIP and SchNetPack train on an exported design.

They are starting points that run as they are: the packages' own defaults for small organic
molecules where these exist, and the cutoff of 5 Å that all three share. The forms are those of
mace-torch 0.3, nequip 0.19 and SchNetPack 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from ase.data import chemical_symbols
from ruamel.yaml import YAML

from .structures import ENERGY, FORCES

CUTOFF = 5.0
"""Å."""


def mace(
    *, elements: Sequence[int], energies: Mapping[int, float], sizes: Mapping[str, int]
) -> str:
    """Return ``mace.yaml``.

    Parameters
    ----------
    elements : sequence of int
        Atomic numbers of all parts.
    energies : mapping of int to float
        Energy of the isolated atom of every element, eV; empty for a regression on the data.
    sizes : mapping of str to int
        Structures of ``train``, ``val`` and ``test``; 0 of the last where there is no such file.
    """
    tested = sizes["test"] > 0
    known = f"{{{', '.join(f'{z}: {float(e)!r}' for z, e in energies.items())}}}"
    settings: dict[str, Any] = {
        "name": "design",
        "seed": 0,
        "train_file": "train.xyz",
        "valid_file": "valid.xyz",
        **({"test_file": "test.xyz"} if tested else {}),
        "energy_key": ENERGY,
        "forces_key": FORCES,
        "total_charge_key": "charge",
        "total_spin_key": "multiplicity",
        "atomic_numbers": f"[{', '.join(map(str, elements))}]",
        "E0s": known if energies else "average",
        "model": "MACE",
        "r_max": CUTOFF,
        "num_channels": 64,
        "max_L": 1,
        # It leaves out a last batch that is not full, the only one of a small set.
        "batch_size": min(10, sizes["train"]),
        "valid_batch_size": 10,
        "max_num_epochs": 300,
        "patience": 50,
        "ema": True,
        "ema_decay": 0.99,
        "amsgrad": True,
        "error_table": "PerAtomMAE",
        "device": "cpu",
    }
    return _text(
        settings,
        "Train, in this folder:    mace_run_train --config mace.yaml",
        *(
            "Predict:    mace_eval_configs --configs test.xyz --model design.model "
            "--output predicted.xyz",
            "Measure:    breadth evaluate test.xyz --predictions predicted.xyz "
            "--energy-key MACE_energy --forces-key MACE_forces",
        )
        * tested,
        "On a GPU, set device: cuda.",
    )


def nequip(
    *, elements: Sequence[int], energies: Mapping[int, float], sizes: Mapping[str, int]
) -> str:
    """Return ``nequip.yaml``; see `mace` for the parameters."""
    tested = sizes["test"] > 0
    symbols = [chemical_symbols[z] for z in elements]
    metric = "val0_epoch/weighted_sum"
    mean_absolute = {
        "_target_": "nequip.train.EnergyForceMetrics",
        "coeffs": {"per_atom_energy_mae": 1.0, "forces_mae": 1.0},
    }
    settings: dict[str, Any] = {
        "run": ["train", "test"] if tested else ["train"],
        "cutoff_radius": CUTOFF,
        "elements": symbols,
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 0,
            "train_file_path": "train.xyz",
            "val_file_path": "valid.xyz",
            **({"test_file_path": "test.xyz"} if tested else {}),
            "key_mapping": {ENERGY: "total_energy", FORCES: "forces"},
            "transforms": [
                {
                    "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                    "model_type_names": "${elements}",
                },
                {
                    "_target_": "nequip.data.transforms.NeighborListTransform",
                    "r_max": "${cutoff_radius}",
                },
            ],
            "train_dataloader": {
                "_target_": "torch.utils.data.DataLoader",
                "batch_size": 5,
                "shuffle": True,
            },
            "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 10},
            "test_dataloader": "${data.val_dataloader}",
            "stats_manager": {
                "_target_": "nequip.data.CommonDataStatisticsManager",
                "dataloader_kwargs": {"batch_size": 10},
                "type_names": "${elements}",
            },
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "auto",
            "max_epochs": 300,
            "logger": {
                "_target_": "lightning.pytorch.loggers.CSVLogger",
                "save_dir": "${hydra:runtime.output_dir}",
            },
            "callbacks": [
                {
                    "_target_": "lightning.pytorch.callbacks.EarlyStopping",
                    "monitor": metric,
                    "patience": 50,
                },
                {
                    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "monitor": metric,
                    "dirpath": "${hydra:runtime.output_dir}",
                    "filename": "best",
                    "save_last": True,
                },
                *(
                    [
                        {
                            "_target_": "nequip.train.callbacks.TestTimeXYZFileWriter",
                            "out_file": "${hydra:runtime.output_dir}/predicted",
                            "chemical_symbols": "${elements}",
                        }
                    ]
                    * tested
                ),
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": 0.99,
            "loss": {
                "_target_": "nequip.train.EnergyForceLoss",
                "per_atom_energy": True,
                "coeffs": {"total_energy": 1.0, "forces": 1.0},
            },
            "val_metrics": mean_absolute,
            "train_metrics": "${training_module.val_metrics}",
            "test_metrics": "${training_module.val_metrics}",
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
            "lr_scheduler": {
                "scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "factor": 0.6,
                    "patience": 10,
                },
                "monitor": metric,
                "interval": "epoch",
                "frequency": 1,
            },
            "model": {
                "_target_": "nequip.model.NequIPGNNModel",
                "seed": 0,
                "model_dtype": "float32",
                "type_names": "${elements}",
                "r_max": "${cutoff_radius}",
                "num_layers": 4,
                "l_max": 1,
                "parity": True,
                "num_features": 32,
                "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
                "per_type_energy_scales": "${training_data_stats:forces_rms}",
                "per_type_energy_shifts": {
                    chemical_symbols[z]: float(e) for z, e in energies.items()
                }
                or "${training_data_stats:per_atom_energy_mean}",
            },
        },
    }
    return _text(
        settings,
        "Train, in this folder:    nequip-train -cp $PWD -cn nequip",
        *("Measure:    breadth evaluate test.xyz --predictions OUTPUTS/predicted_dataset0.xyz",)
        * tested,
        "On a GPU with a recent PyTorch, compile_mode: compile under model makes it faster.",
    )


def schnetpack(*, energies: Mapping[int, float], sizes: Mapping[str, int]) -> str:
    """Return the experiment ``design.yaml``.

    Parameters
    ----------
    energies : mapping of int to float
        Energy of the isolated atom of every element, eV; empty where they are not known.
    sizes : mapping of str to int
        See `mace`.
    """
    outputs = [
        {
            "_target_": "schnetpack.task.ModelOutput",
            "name": name,
            "loss_fn": {"_target_": "torch.nn.MSELoss"},
            "metrics": {"mae": {"_target_": "torchmetrics.regression.MeanAbsoluteError"}},
            "loss_weight": weight,
        }
        for name, weight in (("energy", 0.01), ("forces", 0.99))
    ]
    transform = "schnetpack.transform"
    known = bool(energies)
    settings: dict[str, Any] = {
        "defaults": [{"override /model": "nnp"}, {"override /logger": "csv"}],
        "seed": 0,
        "run": {"experiment": "design"},
        "globals": {"cutoff": CUTOFF, "lr": 5e-4},
        "data": {
            "datapath": "${run.work_dir}/data.db",
            "split_file": "${run.work_dir}/split.npz",
            "batch_size": 10,
            "num_train": sizes["train"],
            "num_val": sizes["val"],
            # It always tests what it has trained: on the validation set where there is no other.
            "num_test": sizes["test"] or sizes["val"],
            "num_workers": 0,
            "distance_unit": "Ang",
            "property_units": {"energy": "eV", "forces": "eV/Ang"},
            "transforms": [
                {"_target_": f"{transform}.SubtractCenterOfMass"},
                {
                    "_target_": f"{transform}.RemoveOffsets",
                    "property": "energy",
                    "remove_mean": True,
                    "remove_atomrefs": known,
                },
                {"_target_": f"{transform}.MatScipyNeighborList", "cutoff": "${globals.cutoff}"},
                {"_target_": f"{transform}.CastTo32"},
            ],
        },
        "model": {
            "output_modules": [
                {
                    "_target_": "schnetpack.atomistic.Atomwise",
                    "output_key": "energy",
                    "n_in": "${model.representation.n_atom_basis}",
                    "aggregation_mode": "sum",
                },
                {
                    "_target_": "schnetpack.atomistic.Forces",
                    "energy_key": "energy",
                    "force_key": "forces",
                },
            ],
            "postprocessors": [
                {"_target_": f"{transform}.CastTo64"},
                {
                    "_target_": f"{transform}.AddOffsets",
                    "property": "energy",
                    "add_mean": True,
                    "add_atomrefs": known,
                },
            ],
        },
        "task": {"outputs": outputs},
        "trainer": {"max_epochs": 300},
    }
    return "# @package _global_\n" + _text(
        settings,
        "Train, in the folder schnetpack/:    spktrain experiment=design",
        "SchNetPack 2.2 was not made for PyTorch 2.6 and later: install torch<2.6 beside it.",
    )


def _text(settings: Mapping[str, Any], *comments: str) -> str:
    yaml, stream = YAML(), StringIO()
    yaml.width = 1000
    # One list that stands in two places would become an anchor and an alias.
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump(dict(settings), stream)
    return "".join(f"# {line}\n" for line in comments) + stream.getvalue()
