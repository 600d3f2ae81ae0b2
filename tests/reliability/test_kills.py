"""Killed at three places and started again, a study ends as if nothing had happened."""

from functools import partial

from .kills import Killing, differences

#: A study that takes seconds: enough to be killed in, too small for anything else.
TINY = (
    *("study", "tradeoff", "--preset", "smoke", "--workers", "2", "--set"),
    *("training.n_updates=12", "pool.n_molecules=18", "hold_outs.n_molecules=2"),
    "fixed_molecules=null",
)


def test_three_kills_change_no_value_and_lose_no_unit(tmp_path):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    undisturbed = Killing((*TINY, "--out", str(whole)), whole, tmp_path / "log")
    assert undisturbed.start()
    run = Killing((*TINY, "--out", str(torn)), torn, tmp_path / "log")
    for stage, victim in (("labels-*", "run"), ("fit-*", "worker"), ("predictions-*", "all")):
        there = partial(lambda stage, passed: any(torn.glob(f"units/{stage}")), stage)
        assert not run.start([(there, victim)]), f"it ended before {stage}: {run.faults}"
        assert not (torn / "finished.json").exists()
    assert run.victims == {"run": 1, "worker": 1, "all": 1}
    assert run.start()
    assert run.faults == undisturbed.faults == []
    assert differences(whole, torn) == []
    assert [name for name in ("aside", "partial") if any((torn / name).glob("*/*"))] == []
