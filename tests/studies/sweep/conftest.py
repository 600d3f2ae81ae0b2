"""A study of a few units that add numbers, so that a sweep of it takes a moment."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import xarray as xr
from pydantic import Field

from breadth.diversity import BreadthError, ConfigurationError
from breadth.studies import catalogue
from breadth.studies import executor as executing
from breadth.studies.configuration import Section
from breadth.studies.executor import run_units
from breadth.studies.plan import finish, finished, open_plan
from breadth.studies.results import load, save
from breadth.studies.store import Store
from breadth.studies.sweep import estimating, points, run
from breadth.studies.units import Unit

#: Keys of the units that ran, in this process.
RAN = []


class Inner(Section):
    """A section."""

    rate: float = 1.0
    """A number."""


class Sum(Section):
    """All that the study of sums is asked."""

    seed: int = Field(0, ge=0)
    terms: int = Field(2, ge=1)
    threads: int = 1
    fails: str = ""
    warns: str = ""
    inner: Inner = Inner()


def run_term(unit, store, folder):
    """Write a number; fail where it is asked to."""
    RAN.append(unit.key)
    fails = unit.parameters.get("fails")
    if fails == "user":
        raise BreadthError("meant for the user")
    if fails and not (store.root / "mended").exists():
        raise RuntimeError(f"meant to fail: {fails}")
    (folder / "value").write_text(str(unit.parameters["value"]))


def run_total(unit, store, folder):
    """Write the sum of the inputs, times a factor."""
    RAN.append(unit.key)
    values = [float((store.folder(key) / "value").read_text()) for key in unit.inputs.values()]
    (folder / "value").write_text(str(sum(values) * unit.parameters["rate"]))


def run_sum(asked, out, *, workers=1, executor=None, progress=None):
    """Run the study of sums: terms that all points share, and a total for each of two rates."""
    store = Store(out)
    with store.locked():
        open_plan(out, "sum", asked)
        if finished(out):
            return load(out / "results.nc")
        terms = [Unit("term", 1, {"value": i}, seed=asked.seed) for i in range(asked.terms)]
        inputs = {str(i): unit.key for i, unit in enumerate(terms)}
        bad = [Unit("term", 1, {"value": -1, "fails": asked.fails})] if asked.fails else []
        totals = [
            Unit("total", 1, {"rate": asked.inner.rate * k}, {**inputs, **extra})
            for k, extra in ((1, {}), (2, {f"bad{i}": u.key for i, u in enumerate(bad)}))
        ]
        costs = {unit.key: 1.0 for unit in (*terms, *totals)}
        run_units(store, [*totals, *terms, *bad], executor, costs=costs)
        values = [float((store.folder(u.key) / "value").read_text()) for u in totals]
        results = xr.Dataset(
            {"total": ("factor", values, {"units": "eV"}), "n_terms": asked.terms},
            coords={"factor": [1, 2], "place": ("factor", ["a", "b"])},
        )
        if asked.warns:
            results.attrs["warnings"] = json.dumps([asked.warns])
        save(results, out / "results.nc")
        finish(out, workers=workers)
        return results


def check(asked):
    """Refuse what only the study knows to be wrong."""
    if asked.inner.rate > 100:
        raise ConfigurationError("inner.rate is too high.")


@pytest.fixture
def study(monkeypatch):
    """The study of sums in place of that of trade-offs; its units run in threads."""
    module = sys.modules[__name__]
    RAN.clear()
    kinds = {name: f"{module.__name__}:run_{name}" for name in ("term", "total")}
    monkeypatch.setattr(executing, "KINDS", kinds)
    made = replace(
        catalogue.study_named("tradeoff"),
        name="tradeoff",
        presets="",
        configuration=Sum,
        check=check,
        run=run_sum,
        estimate=lambda asked, workers: {"minutes": 1.5, "fits": asked.terms},
    )
    for place in (points, run, estimating):
        monkeypatch.setattr(place, "study_named", lambda name: made)
    monkeypatch.setattr(run, "Processes", lambda workers, threads: ThreadPoolExecutor(workers))
    monkeypatch.setattr(run, "_TICK", 0.02)
    return made


@pytest.fixture
def ran():
    """Keys of the units that ran."""
    return RAN


@pytest.fixture
def asked():
    """Return a sweep over values."""
    from breadth.studies.sweep import SweepConfiguration

    return partial(SweepConfiguration, study="tradeoff")
