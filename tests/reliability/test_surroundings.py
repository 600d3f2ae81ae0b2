"""What goes wrong around a run: no room, a medium that takes nothing, a clock that jumps."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import h5py
import numpy as np
import pytest
import xarray as xr

from breadth.diversity import BreadthError, DataError
from breadth.studies import executor as executing
from breadth.studies.executor import run_units
from breadth.studies.results import damage_told, load, save
from breadth.studies.store import Store
from breadth.studies.units import Unit


def told(unit, store, folder):
    """Write the value of a unit and of those that it reads."""
    read = [(store.folder(key) / "value").read_text() for key in unit.inputs.values()]
    (folder / "value").write_text("".join([*read, str(unit.parameters["value"])]))


@pytest.fixture
def chain(monkeypatch):
    """Units that each read the one before."""
    monkeypatch.setitem(executing.KINDS, "told", f"{__name__}:told")
    units = [Unit("told", 1, {"value": 0})]
    for value in range(1, 5):
        units.append(Unit("told", 1, {"value": value}, {"before": units[-1].key}))
    return units


def run(store, units):
    with ThreadPoolExecutor(1) as pool:
        run_units(store, units, pool)
    return (store.folder(units[-1].key) / "value").read_text()


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, chain):
    real = time.time
    jumps = cycle([0.0, -3.2e8, 6.3e8])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    store = Store(tmp_path)
    with store.locked():
        assert run(store, chain[:3]) == "012"
    units = {path: path.stat().st_ino for path in (tmp_path / "units").iterdir()}
    # What was finished lies in the future, and what comes next in the past.
    for path in tmp_path.rglob("*"):
        os.utime(path, (real() + 6.3e8, real() + 6.3e8))
    with store.locked():
        assert run(store, chain) == "01234"
    assert {path: path.stat().st_ino for path in units} == units


def test_a_sweep_of_leftovers_takes_no_unit_apart(tmp_path, chain):
    """An orphan ends its unit while the next run sweeps: it is whole or not there."""
    store, unit = Store(tmp_path), chain[0]
    orphan = store.writing(unit)
    (orphan.__enter__() / "value").write_text("0")
    with Store(tmp_path).locked():
        pass
    with pytest.raises(FileNotFoundError):
        orphan.__exit__(None, None, None)
    assert not store.has(unit)
    assert list(tmp_path.glob(".swept-*")) == []
    assert run(store, [unit]) == "0"


def test_results_on_a_full_disk_leave_the_old_ones(tmp_path, monkeypatch):
    path = tmp_path / "results.nc"
    save(xr.Dataset({"a": 1.0}), path)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BreadthError, match="No space left"):
            save(xr.Dataset({"a": 2.0}), path)
    assert float(load(path)["a"]) == 1.0
    assert [one.name for one in tmp_path.iterdir()] == ["results.nc"]


def test_damaged_results_are_named(tmp_path):
    path = tmp_path / "results.nc"
    save(xr.Dataset({"a": ("x", np.arange(3000.0))}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"results\.nc is damaged.*finished\.json"):
        load(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", shape=(10**13,), chunks=(1000,), dtype="f8")
    with pytest.raises(DataError, match=r"results\.nc is damaged"):
        load(path)
    with pytest.raises(DataError, match=r"does not fit together \(KeyError"), damage_told(path):
        xr.Dataset()["force_mae"]
