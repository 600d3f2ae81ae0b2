"""What fine-tuning in dynamics leaves: errors, intervals and foresight from predictions."""

from .energies import energy_bins
from .errors import finetuning_errors
from .foresight import foresee_arms
from .layout import check_finetuning
from .parity import element_parity
from .sets import set_growth

__all__ = [
    "check_finetuning",
    "element_parity",
    "energy_bins",
    "finetuning_errors",
    "foresee_arms",
    "set_growth",
]
