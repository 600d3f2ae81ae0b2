"""Universal potentials fine-tuned in dynamics: the bias that each way of sampling leaves."""

from .estimating import estimate
from .question import FinetuningConfiguration
from .run import check, draw_figures, run_finetuning

__all__ = ["FinetuningConfiguration", "check", "draw_figures", "estimate", "run_finetuning"]
