"""Damaged files and files that would do harm: an answer or a clear error, within limits."""

import json
import os
import re
import resource
from pathlib import Path

import pytest

from breadth.diversity import ConfigurationError, DataError
from breadth.studies.configuration import options
from breadth.training import load_potential

from .bombs import MARKER, armed
from .corpus import subjects
from .trials import MEMORY, attempt, forget_peak, peak_memory, run_cases

#: Cases of every subject; `make soak` tries more.
CASES = 17


@pytest.fixture
def no_more_memory():
    """Refuse private memory beyond what the process has and 2 GB."""
    used = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def test_five_hundred_mutations_are_answered_or_refused_in_words(tmp_path, no_more_memory):
    outcomes = [
        outcome
        for i, subject in enumerate(subjects())
        for outcome in run_cases(subject, range(CASES), tmp_path / str(i))
    ]
    assert len(outcomes) >= 500
    assert [one for one in outcomes if one.kind == "fault"] == []
    # Neither all whole nor all broken: the damage is of use.
    counts = {kind: sum(one.kind == kind for one in outcomes) for kind in ("answer", "error")}
    assert min(counts.values()) > 100, counts


def test_nothing_is_executed_and_nothing_fills_the_memory(tmp_path, monkeypatch, no_more_memory):
    marker = tmp_path / "executed"
    monkeypatch.setenv(MARKER, str(marker))
    before = forget_peak()
    for case, (subject, pattern, content) in enumerate(armed(subjects())):
        folder = tmp_path / str(case)
        folder.mkdir()
        subject.make(folder)
        for path in [p for p in folder.rglob(pattern) if p.is_file()]:
            path.write_bytes(content)
        outcome = attempt(subject, folder, 0)
        assert outcome.kind != "fault", (pattern, content[:80], outcome)
        assert not marker.exists(), (subject.name, pattern, content[:80])
    assert peak_memory() - before < MEMORY


def test_the_bombs_are_live(tmp_path, monkeypatch):
    import pickle

    from .bombs import Bomb

    monkeypatch.setenv(MARKER, str(tmp_path / "executed"))
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "executed").exists()


def test_a_saved_potential_names_no_file_to_unpickle(tmp_path):
    told = {"format": 1, "name": "mace", "hyper": {"path": os.devnull}, "meta": {}}
    (tmp_path / "potential.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=r"potential\.json names a file of weights"):
        load_potential(tmp_path)


@pytest.mark.parametrize("value", ["[", "\t", "\x00", "2026-99-99", "[" * 5000])
def test_an_override_that_is_no_yaml_is_told(value):
    with pytest.raises(ConfigurationError, match=r"not valid YAML|100 levels") as told:
        options([f"seed={value}"])
    assert "\n" not in str(told.value)
