"""One name, colour and line for each method, kind of shift and measure, in every figure."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ...refinement.fine_tuning import labels_used
from ...refinement.groups import IN_DISTRIBUTION
from ..style import CYCLE, GREY, MARKERS, Column, legend_columns, legend_length, pt, type_size

SKY, BLUE, GREEN, RED, ORANGE, PINK, BLACK, _ = CYCLE

#: Name, colour and line style, in the order in which methods are drawn.
METHODS: dict[str, tuple[str, str, Any]] = {
    "none": ("no refinement", BLACK, "-"),
    "joint": ("joint, no steps", GREY, (0, (4, 1.5))),
    "pretrain_freeze": ("pre-trained, frozen", GREY, (0, (1, 1))),
    "radius": ("radius", SKY, "-"),
    "random_cutoff": ("random cutoffs", SKY, (0, (1, 1))),
    "radius_random_cutoff": ("radius, random cutoffs", SKY, (0, (4, 1.5))),
    "test_time": ("test-time training", RED, "-"),
    "test_time_frozen": ("test time, pre-trained", RED, (0, (4, 1.5))),
    "test_time_noisy_prior": ("test time, noisy prior", ORANGE, (0, (1, 1))),
    "test_time_wrong_prior": ("test time, wrong prior", ORANGE, (0, (4, 1.5))),
    "both": ("radius + test time", PINK, "-"),
    "delta": ("Δ on the prior", GREEN, "-"),
    "prior": ("the prior itself", GREEN, (0, (1, 1))),
    "weight_decay": ("weight decay", BLUE, (0, (4, 1.5))),
    "early_stopping": ("early stopping", BLUE, (0, (1, 1))),
}
#: What a title says of an experiment.
EXPERIMENTS = {"pools": "GFN2-xTB pools", "rmd17": "rMD17", "acac": "acetylacetone"}
#: What an axis says of a measure.
MEASURES = {
    "force_norm": "Mean force norm (eV/Å)",
    "predicted_force_norm": "Predicted force norm (eV/Å)",
    "connectivity": "Eigenvalues in [0.9, 1.1] (share)",
    "composition": "Distance in composition",
    "elements": "Share of unseen elements",
    "size": "Distance in size",
    "knn": "Distance to nearest neighbours",
    "mahalanobis": "Mahalanobis distance",
    "mahalanobis_per_element": "Mahalanobis distance, per element",
    "density": "Negative log-density",
    "frechet": "Fréchet distance",
    "mmd": "Maximum mean discrepancy",
    "sliced_wasserstein": "Sliced Wasserstein distance",
    "energy_distance": "Energy distance",
    "classifier": "Classifier (2·AUC − 1)",
    "committee_variance": "Disagreement of the committee",
}


def method_look(method: str) -> tuple[str, str, Any]:
    """Return the name, colour and line style of a method.

    Fine-tuning is named by its labels, a method with another prior by that (``joint_uff``).
    """
    n = labels_used(method)
    if n is not None:
        return f"fine-tuned, {n}\u00a0label{'s' if n > 1 else ''}", BLUE, "-"
    if method in METHODS:
        return METHODS[method]
    stem = _stem(method)
    if stem in METHODS:
        name, colour, _ = METHODS[stem]
        other = words(method[len(stem) + 1 :])
        if stem != "radius":  # forms of refinement are words, priors are names
            other = other.upper()
        return f"{name}, {other}", colour, (0, (3, 1, 1, 1))
    return words(method), BLUE, "-"


def _stem(method: str) -> str:
    """Return the longest known method that the name of another begins with; empty: none."""
    found = [known for known in METHODS if method.startswith(f"{known}_")]
    return max(found, key=len, default="")


def in_order(methods: Sequence[str]) -> list[str]:
    """Return methods as they are drawn: those above first, fine-tuning by its labels."""
    known = list(METHODS)

    def place(method: str) -> tuple[int, int]:
        n = labels_used(method)
        if n is not None:
            return len(known), n
        stem = method if method in METHODS else _stem(method)
        return (known.index(stem) if stem else len(known) + 1), int(stem != method)

    return sorted(methods, key=place)


def named(results: xr.Dataset, wanted: Sequence[str] = ()) -> list[str]:
    """Return the methods present, in order; of those wanted, if any are."""
    present = in_order(results["method"].values.astype(str).tolist())
    return [m for m in present if m in wanted] if wanted else present


def measure_label(measure: str) -> str:
    """Return what an axis says of a measure."""
    return MEASURES.get(measure, words(measure).capitalize())


def experiment_label(experiment: str) -> str:
    """Return what a title says of an experiment."""
    return EXPERIMENTS.get(experiment, words(experiment))


def experiments(results: xr.Dataset) -> list[str]:
    """Return the experiments that have a force error, in the order of their systems."""
    table = results["force_mae"]
    known = table.notnull().any([d for d in table.dims if d != "system"]).values
    return list(dict.fromkeys(results["experiment"].values[known].astype(str).tolist()))


def group_looks(results: xr.Dataset, experiment: str) -> list[tuple[int, str, str, str]]:
    """Return row, name, colour and marker of each group of an experiment: black in distribution."""
    shifts = results["group_shift"].values.astype(str)
    rows = np.flatnonzero(results["group_experiment"].values.astype(str) == experiment)
    free = iter(zip((BLUE, RED, GREEN, ORANGE, PINK, SKY), MARKERS[1:], strict=False))
    looks = []
    for row in rows:
        known = shifts[row] == IN_DISTRIBUTION
        colour, marker = (BLACK, "o") if known else next(free, (GREY, "X"))
        looks.append((int(row), words(shifts[row]), colour, marker))
    return looks


def legend_below(
    figure: Figure, handles: Sequence[Any], column: Column, title: str | None = None
) -> None:
    """Put a legend under all panels, as many columns as fit."""
    labels = [str(handle.get_label()) for handle in handles]
    one_line = sum(len(label) + 5 for label in labels) <= legend_length(column)
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=len(labels) if one_line else legend_columns(labels, column, handle=4),
        frameon=False,
        fontsize=type_size(6.5),
        title=title,
        title_fontsize=type_size(6.5),
        labelspacing=0.25,
        columnspacing=1.1,
        handlelength=2.2,
    )


def group_handles(looks: Sequence[tuple[int, str, str, str]]) -> list[Line2D]:
    """Return a legend's handles of groups."""
    return [
        Line2D([], [], color=colour, marker=marker, lw=pt(0.8), label=label)
        for _, label, colour, marker in looks
    ]


def method_handles(methods: Sequence[str]) -> list[Line2D]:
    """Return a legend's handles of methods."""
    looks = [method_look(m) for m in methods]
    return [Line2D([], [], color=c, ls=ls, lw=pt(1.1), label=label) for label, c, ls in looks]


def extent(means: np.ndarray, bounds: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest of means and bounds, the bounds at most a factor 3 beyond.

    An interval from two systems can span decades; it would leave the means no room.
    """
    means, bounds = (x[np.isfinite(x)] for x in (np.ravel(means), np.ravel(bounds)))
    if not means.size:
        return float("nan"), float("nan")
    low, high = float(means.min()), float(means.max())
    both = np.append(means, bounds)
    return max(float(both.min()), low / 3.0), min(float(both.max()), high * 3.0)


def wrapped(text: str, column: Column, width: int = 16) -> str:
    """Break a title over lines of so many characters where panels are narrow."""
    return fill(text, width) if column == "single" else text


def nothing(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)
    axes.set(xticks=[], yticks=[])
