"""What fine-tuning in dynamics leaves: errors, intervals and foresight from predictions."""

from .errors import finetuning_errors
from .layout import check_finetuning

__all__ = ["check_finetuning", "finetuning_errors"]
