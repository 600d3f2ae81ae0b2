"""Figures of an audit: what is drawn, and where."""

from pathlib import Path

import numpy as np
import pytest

from breadth.analysis.figures import audit as drawn
from breadth.diversity.audit.distributions import Distributions

NONE = {"energy": np.zeros(0), "force_norm": np.zeros(0), "nearest": np.zeros(0)}


def shown(seed: int, **named: list[float]) -> Distributions:
    random = np.random.default_rng(seed)
    return Distributions(
        level="made",
        energy=0.01 * random.normal(size=400),
        relative_to="the molecule's median",
        force_norm=random.gamma(2.0, 1.0, 900),
        nearest=random.gamma(9.0, 0.02, 400),
        named=NONE | {name: np.array(values) for name, values in named.items()},
    )


def pattern(name: str, missing: list[float], counts: list[int]) -> dict:
    return {
        "pattern": name, "minima": [60.0, 180.0], "missing": missing, "judged": True,
        "counts": counts, "n_conformers": sum(counts), "n_molecules": 3,
    }  # fmt: skip


def regions(*patterns: dict) -> dict:
    worst = [p for p in patterns if p["missing"]]
    return {"patterns": {"frequent": list(patterns[:8]), "worst": worst[:5]}}


@pytest.mark.parametrize("column", ["single", "double"])
@pytest.mark.parametrize("n_files", [1, 5])
@pytest.mark.filterwarnings("error")
def test_every_figure_fits_whatever_the_number_of_files(column, n_files, tmp_path):
    """A layout that does not fit warns, and collapses."""
    names = [f"a rather long name of a file, number {k}.xyz" for k in range(n_files)]
    sets = {name: shown(k, force_norm=[50.0 * k] * k) for k, name in enumerate(names)}
    found = {
        n: regions(pattern("[C:1][C:2]!@;-[C:3][O:4]", [60.0], [0, 0, 1, 0, 1, 9])) for n in names
    }
    pairs = [
        {"files": [a, b], "contained": [3, 2], "molecules": 1}
        for k, a in enumerate(names)
        for b in names[k + 1 :]
    ]
    sizes = dict.fromkeys(names, (400, 1))
    paths = drawn.draw_audit(sets, found, pairs, sizes, tmp_path, column=column)
    stems = {"labels", "nearest_frames", "torsions"} | ({"leakage"} if n_files > 1 else set())
    assert {path.stem for path in paths} == stems
    assert {path.suffix for path in paths} == {".pdf", ".png", ".csv"}


def test_named_records_stand_where_they_are():
    figure = drawn.labels({"a": shown(0, energy=[0.25], force_norm=[40.0, 90.0])})
    energies, forces = figure.axes
    crosses = [
        [line.get_xdata() for line in axes.lines if line.get_marker() == "x"]
        for axes in (energies, forces)
    ]
    np.testing.assert_allclose(crosses[0], [[250.0]])  # meV
    np.testing.assert_allclose(crosses[1], [[40.0, 90.0]])
    assert forces.get_xlim()[1] > 90.0


def test_exact_copies_are_drawn_at_the_left_of_one_geometry():
    copies = shown(0, nearest=[0.0])
    (axes,) = drawn.nearest_frames({"a": copies}).axes
    (cross,) = [line.get_xdata() for line in axes.lines if line.get_marker() == "x"]
    assert 0 < cross[0] < 1e-3
    assert any("one geometry" in text.get_text() for text in axes.texts)


def test_minima_that_are_not_visited_are_hollow():
    both = {
        "a": regions(pattern("P", [60.0], [0, 0, 0, 0, 0, 9])),
        "b": regions(pattern("P", [], [0, 4, 4, 0, 0, 9])),
    }
    (axes,) = drawn.torsional_coverage(both).axes
    marks = [
        (float(line.get_xdata()[0]), line.get_markerfacecolor() == "white")
        for line in axes.lines
        if line.get_marker() == "v"
    ]
    assert marks == [(60.0, True), (180.0, False), (60.0, False), (180.0, False)]


def test_rare_patterns_that_lack_something_are_shown():
    many = [pattern(f"P{k}", [], [0, 0, 0, 0, 0, 90 - k]) for k in range(9)]
    rare = pattern("rare", [60.0], [0, 0, 0, 0, 0, 9])
    found = regions(*many)
    found["patterns"]["worst"] = [rare]
    figure = drawn.torsional_coverage({"a": found}, column="double")
    titles = [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes]
    assert titles == [f"P{k}" for k in range(7)] + ["rare"]


def test_what_two_files_share():
    pairs = [{"files": ["a", "b"], "contained": [399, 2], "molecules": 1}]
    figure = drawn.shared_records(pairs, {"a": (400, 1), "b": (400, 4)})
    cells = [[t.get_text() for t in axes.texts] for axes in figure.axes]
    assert cells == [["399\n> 99 %", "2\n< 1 %"], ["1\n100 %", "1\n25 %"]]


def test_sets_without_labels_have_no_such_figure(tmp_path: Path):
    bare = Distributions("", np.zeros(0), "", np.zeros(0), np.zeros(0), NONE)
    assert drawn.draw_audit({"a": bare}, {"a": regions()}, [], {"a": (2, 1)}, tmp_path) == []
