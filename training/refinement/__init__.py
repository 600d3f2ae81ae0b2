"""Refinement of trained potentials for systems unlike those that they learnt."""

from ..starting import adopt_level, original_level, with_level
from ..tasks import Replay
from .delta import add_prior, difference, difference_level
from .fine_tuning import FINE_TUNING, UNIVERSAL_TUNING, fine_tune, fine_tuning_config
from .freezing import blocks, early, head, late, representation
from .pretraining import pretrain_freeze
from .radius import (
    ForceJumps,
    RadiusChoice,
    SpectrumReference,
    candidate_radii,
    choose_radii,
    force_jumps,
    predict_at_radii,
)
from .replay import Forgetting, forgetting, pseudo_labels
from .test_time import Adaptation, TestTimeConfig, adapt, prior_loss

__all__ = [
    "FINE_TUNING",
    "UNIVERSAL_TUNING",
    "Adaptation",
    "ForceJumps",
    "Forgetting",
    "RadiusChoice",
    "Replay",
    "SpectrumReference",
    "TestTimeConfig",
    "adapt",
    "add_prior",
    "adopt_level",
    "blocks",
    "candidate_radii",
    "choose_radii",
    "difference",
    "difference_level",
    "early",
    "fine_tune",
    "fine_tuning_config",
    "force_jumps",
    "forgetting",
    "head",
    "late",
    "original_level",
    "predict_at_radii",
    "pretrain_freeze",
    "prior_loss",
    "pseudo_labels",
    "representation",
    "with_level",
]
