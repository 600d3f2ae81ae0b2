"""Refinement of trained potentials for systems unlike those that they learnt."""

from .delta import add_prior, difference, difference_level
from .fine_tuning import FINE_TUNING, fine_tune, pretrain_freeze
from .freezing import blocks, early, head, representation
from .test_time import Adaptation, TestTimeConfig, adapt, prior_loss

__all__ = [
    "FINE_TUNING",
    "Adaptation",
    "TestTimeConfig",
    "adapt",
    "add_prior",
    "blocks",
    "difference",
    "difference_level",
    "early",
    "fine_tune",
    "head",
    "pretrain_freeze",
    "prior_loss",
    "representation",
]
