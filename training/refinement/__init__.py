"""Refinement of trained potentials for systems unlike those that they learnt."""

from .delta import add_prior, difference, difference_level
from .fine_tuning import FINE_TUNING, fine_tune, pretrain_freeze
from .freezing import blocks, early, head, representation
from .radius import (
    ForceJumps,
    RadiusChoice,
    SpectrumReference,
    candidate_radii,
    choose_radii,
    force_jumps,
    predict_at_radii,
)
from .test_time import Adaptation, TestTimeConfig, adapt, prior_loss

__all__ = [
    "FINE_TUNING",
    "Adaptation",
    "ForceJumps",
    "RadiusChoice",
    "SpectrumReference",
    "TestTimeConfig",
    "adapt",
    "add_prior",
    "blocks",
    "candidate_radii",
    "choose_radii",
    "difference",
    "difference_level",
    "early",
    "fine_tune",
    "force_jumps",
    "head",
    "predict_at_radii",
    "pretrain_freeze",
    "prior_loss",
    "representation",
]
