"""The studies by name: what each is asked, how it runs, and what it tells when it is done."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..diversity import ConfigurationError
from ..diversity.html import Report
from . import configuration as configurations
from .plan import study_of

if TYPE_CHECKING:
    import xarray as xr
    from pydantic import BaseModel

#: A study that is added needs a line here and one in `_PARTS`.
STUDIES = ("tradeoff", "refinement", "finetuning")
#: By study: folder of its presets, configuration, function that runs it, and the module of
#: commands that tells its results.
_PARTS = {
    "tradeoff": ("", "TradeoffConfiguration", "run_tradeoff", "learned"),
    "refinement": ("refinement", "RefinementConfiguration", "run_refinement", "refinement"),
    "finetuning": ("finetuning", "FinetuningConfiguration", "run_finetuning", "finetuning"),
}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study and all that is done with one.

    Parameters
    ----------
    name : str
    presets : str
        Folder of its bundled presets; empty for the top one.
    configuration : type of pydantic.BaseModel
        All that it is asked.
    check : callable
        ``check(asked)`` raises where a name is unknown or a file is not there, before any work.
    run : callable
        ``run(asked, out, *, workers=1, executor=None, progress=None, figures=True)`` returns
        ``results.nc``.
    estimate : callable
        ``estimate(asked, *, workers)`` returns what a run would do and cost.
    draw_figures : callable
        ``draw_figures(run, directory, *, column="single", style="paper", formats=("pdf", "png"))``
        returns paths.
    told : callable
        ``told(results)`` returns what ``--json`` tells of results.
    show : callable
        ``show(results)`` prints them for people.
    """

    name: str
    presets: str
    configuration: type[BaseModel]
    check: Callable[[Any], Any]
    run: Callable[..., xr.Dataset]
    estimate: Callable[..., Report]
    draw_figures: Callable[..., list[Path]]
    told: Callable[[xr.Dataset], dict[str, Any]]
    show: Callable[[xr.Dataset], None]

    def load(
        self,
        *,
        preset: str | None = None,
        path: Path | None = None,
        overrides: Sequence[str] = (),
    ) -> Any:
        """Build a configuration of this study; see `configuration.load`."""
        return configurations.load(
            self.configuration, preset=preset, study=self.presets, path=path, overrides=overrides
        )


@functools.cache
def study_named(name: str) -> Study:
    """Return a study by its name; its modules are imported now and not before.

    Raises
    ------
    ConfigurationError
        If there is no such study.
    """
    if name not in STUDIES:
        raise ConfigurationError(f"There is no study {name!r}. Studies: {', '.join(STUDIES)}.")
    presets, asked, run, telling = _PARTS[name]
    front = importlib.import_module(f"{__package__}.{name}")
    commands = importlib.import_module(f"{__package__}.cli.{telling}")
    return Study(
        name=name,
        presets=presets,
        configuration=getattr(front, asked),
        check=front.check,
        run=getattr(front, run),
        estimate=lambda asked, *, workers: Report(front.estimate(asked, workers=workers)),
        draw_figures=front.draw_figures,
        told=commands.told,
        show=commands.show,
    )


def study_in(run: Path) -> Study:
    """Return the study that a folder holds.

    Raises
    ------
    ConfigurationError
        If the folder has no plan that can be read, or of something else.
    """
    name = study_of(run)
    if name not in STUDIES:
        raise ConfigurationError(
            f"{run} is not the folder of a study: it has no plan.json of "
            f"{', '.join(STUDIES[:-1])} or {STUDIES[-1]}."
        )
    return study_named(name)
