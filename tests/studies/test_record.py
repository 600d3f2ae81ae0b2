"""What a run tells of itself: every session, also one that was stopped; of no clock's change."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from breadth.diversity import DataError
from breadth.studies import executor, record
from breadth.studies.configuration import Section
from breadth.studies.plan import finish, finished, open_plan
from breadth.studies.record import RECORD, accelerator, sessions
from breadth.studies.store import Store
from breadth.studies.units import Unit


class Asked(Section):
    """A configuration with nothing in it."""


def slow(unit, store, folder):
    time.sleep(0.05)


def test_a_stopped_session_stays_told_and_a_finished_study_tells_no_more(tmp_path):
    open_plan(tmp_path, "tradeoff", Asked())
    open_plan(tmp_path, "tradeoff", Asked())
    finish(tmp_path, workers=3, fits=2)
    open_plan(tmp_path, "tradeoff", Asked())
    finish(tmp_path, workers=1, fits=2)
    first, second = sessions(tmp_path)
    assert first["ended"] is None
    assert first["seconds"] is None
    assert second["ended"] >= second["began"]
    assert second["workers"] == 3
    assert second["versions"]["breadth"]
    assert second["machine"]["cores"] >= 1
    assert finished(tmp_path)
    assert json.loads((tmp_path / "finished.json").read_text()) == {"fits": 2}


def test_a_change_of_the_wall_clock_changes_no_duration(tmp_path, monkeypatch):
    class Backwards(record.datetime):
        @classmethod
        def now(cls, zone):
            return cls(2001, 1, 1, tzinfo=zone)

    open_plan(tmp_path, "tradeoff", Asked())
    monkeypatch.setattr(record, "datetime", Backwards)
    finish(tmp_path, workers=1)
    (told,) = sessions(tmp_path)
    assert 0 <= told["seconds"] < 60
    assert told["ended"] < told["began"]


def test_units_tell_their_seconds(tmp_path, monkeypatch):
    monkeypatch.setitem(executor.KINDS, "slow", f"{__name__}:slow")

    store, unit = Store(tmp_path), Unit("slow", 1)
    with ThreadPoolExecutor(1) as pool:
        executor.run_units(store, [unit], pool)
    told = json.loads((store.folder(unit.key) / RECORD).read_text())
    assert 0.05 <= told["seconds"] < 10
    assert told["processor"]
    assert told["accelerator"] == accelerator()


@pytest.mark.parametrize("text", ["{", "[]", '{"sessions": 3}', '{"sessions": [3]}', "\xff"])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / RECORD).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"record\.json is damaged.*remove it"):
        sessions(tmp_path)
