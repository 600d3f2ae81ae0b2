"""One study over many configurations, on this machine or beyond it."""

from .estimating import estimate_sweep
from .question import ExecutorSection, SweepConfiguration, SweepPlan, load_sweep
from .run import run_sweep
from .status import sweep_status

__all__ = [
    "ExecutorSection",
    "SweepConfiguration",
    "SweepPlan",
    "estimate_sweep",
    "load_sweep",
    "run_sweep",
    "sweep_status",
]
