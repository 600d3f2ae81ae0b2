"""One name, colour and marker for each arm and test run, in every figure of fine-tuning."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....diversity.html import words
from ...finetuning.layout import INDEPENDENT, UNIVERSAL
from ...finetuning.runs import OTHER_ARMS, OWN
from ..style import CYCLE, GREY, Column, legend_length, pt, stacked, type_size

SKY, BLUE, GREEN, RED, ORANGE, PINK, BLACK, _ = CYCLE
#: Name, colour and marker, in the order in which arms are drawn.
ARMS = {
    UNIVERSAL: ("universal", BLACK, "o"),
    "naive": ("naive", BLUE, "s"),
    "periodic": ("periodic", RED, "^"),
    "nonperiodic": ("nonperiodic", GREEN, "D"),
    "chosen": ("chosen by Q", ORANGE, "v"),
}
#: What axes and titles call a test run.
TEST_RUNS = {
    OWN: "own run",
    OTHER_ARMS: "other arms’ runs",
    INDEPENDENT: "independent set",
    UNIVERSAL: "universal run",
}
DETECTORS = {
    "q": "Q-residual",
    "t2": "Hotelling’s T²",
    "mahalanobis": "Mahalanobis",
    "knn": "nearest neighbours",
    "density": "density",
    "last_layer": "last layer",
    "committee": "committee",
}


def arm_look(arm: str) -> tuple[str, str, str]:
    """Return the name, colour and marker of an arm."""
    return ARMS.get(arm, (words(arm), PINK, "P"))


def test_run_label(test_run: str) -> str:
    """Return what a title calls a test run."""
    return TEST_RUNS.get(test_run, f"{arm_look(test_run)[0]} run")


def detector_label(detector: str) -> str:
    """Return what an axis calls a detector."""
    return DETECTORS.get(detector, words(detector))


def arms_in_order(arms: Sequence[str]) -> list[str]:
    """Return arms as they are drawn: those above first."""
    known = list(ARMS)
    return sorted(arms, key=lambda a: (known.index(a) if a in known else len(known), a))


def arm_handles(arms: Sequence[str]) -> list[Line2D]:
    """Return a legend's handles of arms."""
    looks = [arm_look(arm) for arm in arms]
    return [
        Line2D([], [], color=c, marker=m, ms=pt(3.5), lw=pt(1.0), label=name)
        for name, c, m in looks
    ]


def legend_below(figure: Figure, handles: Sequence[Line2D], column: Column) -> None:
    """Put a legend under all panels, in as many rows as it needs."""
    labels = [str(handle.get_label()) for handle in handles]
    rows = -(-sum(len(label) + 6 for label in labels) // legend_length(column))
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=-(-len(labels) // rows),
        frameon=False,
        fontsize=type_size(6.5),
        labelspacing=0.25,
        columnspacing=1.2,
        handlelength=1.8,
    )


def frame_ticks(axes: Axes, results: xr.Dataset) -> None:
    """Mark iterations by the training frames of their models, 0 for the universal model."""
    labels = [f"{n:.0f}" if np.isfinite(n) else "?" for n in frame_counts(results)]
    axes.set_xticks(results["iteration"].values, labels)
    axes.set_xlabel("Training frames" if "n_frames" in results else "Iteration")


def frame_counts(results: xr.Dataset) -> np.ndarray:
    """Return the training frames of each iteration's models, or the iterations."""
    if "n_frames" in results:
        return results["n_frames"].mean(["arm", "replicate"]).values
    return results["iteration"].values.astype(float)


def say(axes: Axes, text: str) -> None:
    """Say in a panel why nothing is drawn in it."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)


def beside(count: int, column: Column) -> tuple[int, int]:
    """Return rows and columns of panels: two in a row in single column, else all."""
    across = min(count, 2 if stacked(column) else 5)
    return -(-count // across), across
