"""Stacks: models of equal shape, trained as one batched computation."""

from .fitting import Member, StackResult, fit_stack, why_not_stacked
from .memory import stack_size

__all__ = ["Member", "StackResult", "fit_stack", "stack_size", "why_not_stacked"]
