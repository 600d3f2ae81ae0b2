"""Figures of fine-tuning: functions from results to a matplotlib Figure."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ...finetuning import element_parity, energy_bins, set_growth
from ...finetuning.layout import INDEPENDENT, UNIVERSAL
from ...finetuning.runs import OTHER_ARMS, OWN
from ..files import FORMATS, Format, save_all
from ..style import Column
from .arms import arm_differences, element_errors
from .components import components
from .cross_tests import cross_tests
from .energies import energy_histograms
from .errors import energy_residuals, errors
from .foresight import foresight, frame_foresight, risk_coverage
from .forgetting import coverage, forgetting
from .look import test_run_label
from .parity import force_parity

__all__ = [
    "arm_differences",
    "components",
    "coverage",
    "cross_tests",
    "draw_finetuning",
    "element_errors",
    "energy_histograms",
    "energy_residuals",
    "errors",
    "force_parity",
    "foresight",
    "forgetting",
    "frame_foresight",
    "risk_coverage",
]

#: What each of these figures needs to know.
_FORESIGHT = {foresight: "spearman", frame_foresight: "frame_spearman", risk_coverage: "risk"}


def draw_finetuning(
    run: Path,
    directory: Path,
    *,
    column: Column = "single",
    formats: Sequence[Format] = FORMATS,
) -> list[Path]:
    """Draw every figure of a study that its folder has data for, and write each with its
    numbers.

    Parameters
    ----------
    run : Path
        Folder of the study, with ``results.nc`` and, each optional, ``predictions.nc``,
        ``training.nc`` and ``foresight.nc``.
    directory : Path
        Made if absent; files of equal names are replaced.
    column : {'single', 'double'}
        Width, 3.35 or 7.0 in.
    formats : sequence of {'pdf', 'png', 'svg'}

    Returns
    -------
    list of Path
        The files of each figure.
    """
    results, predictions = _read(run / "results.nc"), _read(run / "predictions.nc")
    training = _read(run / "training.nc")
    assert results is not None
    figures: dict[str, Figure] = {}
    test_runs = results["test_run"].values.astype(str).tolist()
    tested = [run for run in (INDEPENDENT, OWN, OTHER_ARMS) if run in test_runs]
    if OWN in test_runs:
        figures["energy_residuals"] = energy_residuals(results, column=column)
    figures["errors"] = errors(results, column=column)
    if len(set(test_runs) & {UNIVERSAL, *results["arm"].values.astype(str).tolist()}) > 1:
        figures["cross_tests"] = cross_tests(results, column=column)
    if tested and results.sizes["arm"] > 1:
        figures["arm_differences"] = arm_differences(results, column=column)
    if tested:
        figures["element_errors"] = element_errors(results, test_run=tested[0], column=column)
    if "force_mae_original_domain" in results:
        figures["forgetting"] = forgetting(results, column=column)
    if "coverage" in results:
        figures["coverage"] = coverage(results, column=column)
    if predictions is not None and tested:
        if set(tested) & {INDEPENDENT, OWN}:
            bins = energy_bins(predictions)
            figures["energy_histograms"] = energy_histograms(bins, column=column)
        points = {
            name: element_parity(predictions, series=name, test_run=tested[0])
            for name in (UNIVERSAL, *results["arm"].values.astype(str).tolist())
        }
        label = test_run_label(tested[0]).capitalize()
        figures["force_parity"] = force_parity(points, test_run=label, column=column)
    foreseen = _read(run / "foresight.nc")
    if foreseen is not None:
        for test_run in tested[:2]:
            ending = test_run if test_run != INDEPENDENT else ""
            for draw, of in _FORESIGHT.items():
                name = "_".join(filter(None, (draw.__name__, ending)))
                if foreseen[of].sel(test_run=test_run).notnull().any():
                    figures[name] = draw(foreseen, test_run=test_run, column=column)
    if training is not None:
        figures["components"] = components(set_growth(training, predictions), column=column)
    return save_all(figures, directory, formats=formats)


def _read(path: Path) -> xr.Dataset | None:
    """Read a Dataset whole; None where there is no file."""
    if not path.exists():
        return None
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.load()
