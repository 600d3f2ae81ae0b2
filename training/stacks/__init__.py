"""Stacks: models of equal shape, trained as one batched computation."""

from .fitting import Member, StackResult, fit_stack, why_not_stacked
from .memory import free_memory, stack_size

__all__ = ["Member", "StackResult", "fit_stack", "free_memory", "stack_size", "why_not_stacked"]
