"""Potentials, batches, trainer and checkpoints."""

from .batches import Batch, FrameStore, Neighbours, neighbours
from .calculator import PotentialCalculator
from .checkpoints import load_potential, save_potential
from .configuration import TrainingConfig
from .divergence import DivergedError
from .potentials import (
    POTENTIALS,
    PRETRAINED,
    AtomicOutput,
    FactorisedPaiNN,
    PaiNN,
    Potential,
    SchNet,
    TensorNet,
    build_potential,
    energy_and_forces,
    energy_forces_stress,
)
from .prediction import predict
from .profiling import Profile
from .references import References, reference_energies
from .stacks import Member, StackResult, fit_stack
from .state import FitResult
from .tasks import PriorTask
from .trainer import fit

__all__ = [
    "POTENTIALS",
    "PRETRAINED",
    "AtomicOutput",
    "Batch",
    "DivergedError",
    "FactorisedPaiNN",
    "FitResult",
    "FrameStore",
    "Member",
    "Neighbours",
    "PaiNN",
    "Potential",
    "PotentialCalculator",
    "PriorTask",
    "Profile",
    "References",
    "SchNet",
    "StackResult",
    "TensorNet",
    "TrainingConfig",
    "build_potential",
    "energy_and_forces",
    "energy_forces_stress",
    "fit",
    "fit_stack",
    "load_potential",
    "neighbours",
    "predict",
    "reference_energies",
    "save_potential",
]
