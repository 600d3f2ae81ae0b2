"""A run watched: scores by element and frame, energies, events, and what the summary tells."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from breadth.analysis.figures import files
from breadth.analysis.figures.finetuning import trajectory
from breadth.analysis.monitor import kinetic_energies, monitor, worst_element
from breadth.analysis.run_summary import run_summary
from breadth.diversity import ConformerSet
from breadth.diversity.errors import ConfigurationError, DataError

T = 40


@pytest.fixture(scope="module")
def run() -> ConformerSet:
    """Ethanol that vibrates and in the end loses the hydrogen of its hydroxyl group."""
    random = np.random.default_rng(0)
    frames = []
    for k in range(T):
        atoms = molecule("CH3CH2OH")
        atoms.positions += random.normal(size=(9, 3)) * 0.03
        if k >= 30:
            atoms.positions[3] += (atoms.positions[3] - atoms.positions[2]) * 2.0
        atoms.set_momenta(
            random.normal(size=(9, 3)) * np.sqrt(300 * units.kB * atoms.get_masses())[:, None]
        )
        atoms.info["energy"] = -10.0 + 0.01 * k
        frames.append(atoms)
    return ConformerSet.from_ase(frames)


def scored(run: ConformerSet) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    q = random.chisquare(4, run.n_atoms)
    q[run.atom_conformer >= 30] *= 10
    return {"q": q, "t2": random.chisquare(5, run.n_atoms)}


LIMITS = {"q": {1: 9.5, 6: 9.5, 8: 9.5}, "t2": {1: 11.1, 6: 11.1, 8: 11.1}}


def test_scores_are_told_by_element_and_frame(run: ConformerSet) -> None:
    scores = scored(run)
    found = monitor(run, scores=scores, limits=LIMITS, interval=5.0)
    assert found["time"].values[-1] == 5.0 * (T - 1)
    q = scores["q"].reshape(T, 9)
    hydrogen = run.numbers[:9] == 1
    of = found.sel(element="H")
    np.testing.assert_allclose(of["q_mean"], q[:, hydrogen].mean(axis=1))
    np.testing.assert_allclose(of["q_max"], q[:, hydrogen].max(axis=1))
    np.testing.assert_allclose(of["q_outside"], (q[:, hydrogen] > 9.5).mean(axis=1))
    np.testing.assert_allclose(found["coverage"], (q <= 9.5).mean(axis=1))
    assert found.attrs["mean_coverage"] == pytest.approx((q <= 9.5).mean())
    assert float(of["t2_limit"]) == 11.1
    # An element without a limit lies outside, whatever its score.
    less = {"q": {1: 9.5, 6: 9.5}}
    without = monitor(run, scores={"q": scores["q"]}, limits=less)
    assert (without["q_outside"].sel(element="O") == 1.0).all()
    assert np.isinf(without["frame_score"]).all()
    both = {name: {1: 9.5, 6: 9.5} for name in LIMITS}
    told = monitor(run, scores=scores, limits=both).assign_attrs(descriptor="soap", limit_level=0.9)
    summary = run_summary(told)
    assert "The reference has no O, which counts as outside." in summary["verdict"]
    assert summary["elements"]["O"]["q"]["limit"] is None
    with pytest.raises(DataError, match="scores for 360 atoms of the run"):
        monitor(run, scores={"q": scores["q"][:-1]}, limits=LIMITS)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_worst_element_is_the_worst_of_a_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(1, 8, 5)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    numbers = random.choice([1, 6, 8], offsets[-1])
    scores = random.chisquare(3, offsets[-1])
    limits = {1: 2.0, 6: 3.0, 8: 4.0}
    wanted = []
    for a, b in itertools.pairwise(offsets):
        kinds = set(numbers[a:b].tolist())
        wanted.append(max(scores[a:b][numbers[a:b] == z].mean() / limits[z] for z in kinds))
    np.testing.assert_allclose(worst_element(numbers, offsets, scores, limits), wanted)


def test_a_score_that_is_nan_is_outside() -> None:
    scores = np.array([1.0, np.nan, 1.0, 1.0])
    found = worst_element(np.array([1, 1, 8, 1]), np.array([0, 2, 4]), scores, {1: 2.0, 8: 4.0})
    assert found.tolist() == [np.inf, 0.5]


def test_energies_temperature_and_bonds_are_told(run: ConformerSet) -> None:
    found = monitor(run, interval=5.0)
    frames = run.to_ase()
    masses = frames[0].get_masses()
    momenta = run.atom_extras["momenta"].values.reshape(T, 9, 3)
    kinetic = ((momenta**2).sum(-1) / masses / 2).sum(1)
    np.testing.assert_allclose(kinetic_energies(run), kinetic)
    np.testing.assert_allclose(found["temperature"], 2 * kinetic / (27 * units.kB))
    line = np.polyfit(np.arange(T) * 5e-3, -10 + 0.01 * np.arange(T) + kinetic, 1)
    assert found.attrs["drift"] == pytest.approx(line[0])
    assert 200 < found.attrs["mean_temperature"] < 400
    assert "volume" not in found
    broken = found.isel(event=found["event_kind"].values == "bond broken")
    assert broken["event_time"].values.tolist() == [150.0]
    assert broken["event_pair"].values.tolist() == ["H–O"]
    assert broken["event_lasting"].all()
    assert float((found["h"] * np.diff(found["r"].values)[0]).sum()) == pytest.approx(1.0)
    again = monitor(run, reference=run)
    assert again.attrs["hr_error"] == 0.0
    assert "drift" not in again.attrs  # no time, no drift
    np.testing.assert_allclose(again["radial"], again["radial_reference"])


def test_the_summary_says_what_happened_and_json_holds_it(run: ConformerSet) -> None:
    found = monitor(run, scores=scored(run), limits=LIMITS, reference=run, interval=5.0)
    found = found.assign_attrs(descriptor="soap", limit_level=0.95, frame_limit=2.0)
    content = json.loads(json.dumps(run_summary(found), allow_nan=False))
    events = content["bond_events"]
    assert [(e["time"], e["kind"], e["elements"], e["atoms"]) for e in events if e["lasting"]] == [
        (150.0, "bond broken", "H–O", [2, 3])
    ]
    assert content["n_bonds"]["H–O"] == {"first": 1, "least": 0, "most": 1}
    assert content["frames_outside"]["share"] == pytest.approx(0.25, abs=0.03)
    assert content["elements"]["C"]["q"]["limit"] == 9.5
    assert content["coordination_events"] == 0
    for words in ("of the run's environments lie within", "lie outside", "1 bond broke or formed"):
        assert words in content["verdict"]
    bare = run_summary(monitor(run.select(np.arange(5))))
    assert "coverage" not in bare
    assert bare["verdict"] == "No bond broke or formed."


def test_an_exploded_run_is_kept_and_said(run: ConformerSet) -> None:
    frames = run.to_ase()[:6]
    for atoms in frames:
        atoms.calc = None
    for k, atoms in enumerate(frames[3:]):
        atoms.positions *= 10.0 ** (k + 2)
        atoms.set_momenta(atoms.get_momenta() * 1e4 if k else np.full((9, 3), np.inf))
    found = monitor(ConformerSet.from_ase(frames), interval=1.0)
    assert found.sizes["time"] == 6
    content = run_summary(found)
    assert content["exploded"] == 3.0
    assert "exploded at 3 fs" in content["verdict"]
    assert {e["time"] for e in content["bond_events"]} == {3.0}


def test_times_must_rise_and_belong_to_one_run(run: ConformerSet) -> None:
    back = replace(run, time=np.r_[np.arange(20), np.arange(20)].astype(float))
    with pytest.raises(DataError, match="Frame 20 is at 0 fs"):
        monitor(back)
    two = replace(run, trajectory=np.arange(T) // 20)
    with pytest.raises(DataError, match="2 runs"):
        monitor(two)
    assert monitor(replace(run, time=np.arange(T) * 2.0)).attrs["time_unit"] == "fs"
    assert monitor(run).attrs["time_unit"] == "frame"
    with pytest.raises(ConfigurationError, match="interval of 0"):
        monitor(run, interval=0.0)


def test_every_figure_is_drawn(run: ConformerSet, tmp_path, monkeypatch) -> None:
    found = monitor(run, scores=scored(run), limits=LIMITS, reference=run, interval=5.0)
    found = found.assign_attrs(descriptor="soap", limit_level=0.95, frame_limit=2.0)
    drawn = {}

    def laid_out(figure: Figure, stem: Path, **_: object) -> list[Path]:
        figure.draw_without_rendering()  # to write all of them would take long
        drawn[stem.name] = figure
        return []

    monkeypatch.setattr(files, "save", laid_out)
    trajectory.draw_trajectory(found, tmp_path)
    names = ["q_over_time", "t2_over_time", "state_over_time", "radial", "bond_length"]
    assert list(drawn) == names
    titles = [axes.get_title(loc="left").split(":")[0] for axes in drawn["q_over_time"].axes]
    assert titles == ["H", "C", "O", ""]  # the fourth place stays empty
    assert len(drawn["state_over_time"].axes) == 5
    assert len(drawn["bond_length"].axes) == 4  # C–C, C–H, C–O, H–O
    wide = trajectory.distances(found, "radial", column="double")
    assert len([axes for axes in wide.axes if axes.get_visible()]) == 5  # no pair of oxygens
    drawn.clear()
    trajectory.draw_trajectory(monitor(run.select(np.arange(1))), tmp_path)
    assert list(drawn) == ["state_over_time", "radial"]  # no lengths of five bonds
    monkeypatch.undo()
    box = Atoms("Ar4", [[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]], cell=np.eye(3) * 7, pbc=True)
    still = monitor(ConformerSet.from_ase([box, box.copy()]))
    written = trajectory.draw_trajectory(still, tmp_path)
    assert [path.name for path in written] == ["radial.pdf", "radial.png", "radial.csv"]
    assert all(path.stat().st_size > 5000 for path in written[:2])
