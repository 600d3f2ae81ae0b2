"""Calculations that run elsewhere: inputs for a program, and its results matched to conformers."""

from .collecting import Collected, collect_jobs, reopen_jobs
from .writing import write_jobs

__all__ = ["Collected", "collect_jobs", "reopen_jobs", "write_jobs"]
