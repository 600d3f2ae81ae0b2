"""What a sweep would do and cost, without doing it."""

from __future__ import annotations

from typing import Any

from ..catalogue import study_named
from .points import sweep_points, threads_of
from .question import SweepConfiguration

#: What studies count that can be added up.
_COUNTS = ("labels_at_most", "fits", "refinements_at_most", "runs")


def estimate_sweep(asked: SweepConfiguration, *, workers: int | None = None) -> dict[str, Any]:
    """Return what a sweep would do and about how long it would take.

    Numbers are sums over points. They are upper bounds: units that several points ask for, such as
    labels of the same molecules, run once.

    Parameters
    ----------
    asked : SweepConfiguration
    workers : int, optional
        Instead of the configuration's; a scheduler at an address counts as one.

    Raises
    ------
    ConfigurationError
        If a point cannot be run.
    """
    plan = asked.plan()
    study, points = study_named(plan.study), sweep_points(plan)
    each = [study.estimate(point.asked, workers=1) for point in points]
    count = asked.worker_count(workers, threads_of(points))
    minutes = sum(float(one["minutes"]) for one in each)
    counts = {
        name if name.endswith("at_most") else f"{name}_at_most": sum(one[name] for one in each)
        for name in _COUNTS
        if name in each[0]
    }
    return {
        "study": plan.study,
        "points": [point.name for point in points],
        **counts,
        "executor": asked.executor.kind,
        "workers": count,
        "core_hours_at_most": round(minutes / 60, 3),
        "minutes_at_most": round(minutes / count + 0.5, 1),
    }
