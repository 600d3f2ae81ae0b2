"""Models that diverged: the study goes on without them, and says which they were."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ...diversity import BreadthError
from ..models import divergence
from ..predictions import Evaluation
from ..specs import DesignSpec
from ..store import Store
from ..units import Unit


def diverged_models(
    store: Store, fits: Sequence[tuple[Evaluation, Unit]]
) -> list[tuple[Evaluation, str]]:
    """Return the evaluations whose model diverged, each with the reason.

    Raises
    ------
    BreadthError
        If all models with all updates did: there is nothing to compare.
    """
    reasons = [(one, divergence(store, one.predictions)) for one, _ in fits]
    found = [(evaluation, reason) for evaluation, reason in reasons if reason is not None]
    whole = [reason for evaluation, reason in reasons if evaluation.updates_fraction == 1.0]
    if None not in whole:
        raise BreadthError(
            f"All {len(whole)} models diverged, and there is nothing to compare. "
            f"{_named(*found[0])} Other options need another --out."
        )
    return found


def with_diverged(
    results: xr.Dataset, diverged: Sequence[tuple[Evaluation, str]], designs: Sequence[DesignSpec]
) -> xr.Dataset:
    """Return results with which models diverged, how many they are, and warnings in words.

    ``diverged`` and ``diverged_quarter`` (design, replicate) are of the models with all updates and
    with a quarter of them, whose errors are NaN; the attribute ``n_diverged`` counts both.
    """
    seen = {(e.spec.cell, e.replicate, e.updates_fraction == 1.0) for e, _ in diverged}
    shape = results["force_mae"].isel(test_set=0)
    for name, whole, which in (
        ("diverged", True, "all updates"),
        ("diverged_quarter", False, "a quarter of the updates"),
    ):
        table = [
            [(design.cell, replicate, whole) in seen for replicate in range(shape.shape[1])]
            for design in designs
        ]
        text = f"the model with {which} diverged, and its errors are NaN"
        attributes = {"units": "1", "long_name": text, "missing": "none"}
        results[name] = (shape.dims, np.array(table), attributes)
    results.attrs["n_diverged"] = len(diverged)
    if diverged:
        first = (
            f"Models that diverged: {len(diverged)}. They are left out: their errors are NaN, and "
            "means are those of the other replicates. A lower training.learning_rate, or a pool "
            "without absurd labels, needs another --out."
        )
        results.attrs["warnings"] = json.dumps([first, *(_named(*one) for one in diverged)])
    return results


def _named(evaluation: Evaluation, reason: str) -> str:
    which = "" if evaluation.updates_fraction == 1.0 else ", with a quarter of the updates"
    return f"{evaluation.spec}, replicate {evaluation.replicate}{which}: {reason}"
