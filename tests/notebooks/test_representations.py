"""What designs, hold-outs, fits, shifts and molecules show in a notebook."""

from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from breadth.analysis.figures.style import new_figure, styled
from breadth.analysis.shift.report import HEADS, ShiftReport
from breadth.diversity import Molecules
from breadth.sampling import Design, Partition
from breadth.training import FitResult, SchNet


def texts(html: str) -> list[str]:
    """Return the texts between tags, of HTML that must be well-formed."""
    return [t for t in ElementTree.fromstring(f"<div>{html}</div>").itertext() if t.strip()]


def test_a_design_shows_its_counts():
    design = Design(
        train=np.arange(9), validation=np.arange(2), molecules=np.arange(5),
        n_conformers=np.array([3, 2, 2, 2, 2]), n_labels_read=40,
    )  # fmt: skip
    said = texts(design._repr_html_())
    assert said[0] == "5 molecules, budget 11"
    assert dict(zip(said[1::2], said[2::2], strict=True)) == {
        "conformers of each": "2 or 3",
        "frames to train on": "9",
        "frames to validate on": "2",
        "labels read to choose": "40",
    }
    assert "labels read" not in replace(design, n_labels_read=0)._repr_html_()


def test_hold_outs_show_molecules_and_conformers():
    partition = Partition(
        conformers=None,  # not looked at
        pool=np.array(["trainable", "trainable", "unseen_molecules", "unused"]),
        available=np.array([True, True, False, False]),
        tests={"unseen_molecules": np.arange(4), "seen_conformers": np.arange(3), "larger": []},
    )
    said = texts(partition._repr_html_())
    assert said[3:6] == ["trainable", "2", "2"]
    assert said[6:9] == ["unseen molecules", "1", "4"]
    assert said[9:12] == ["seen conformers", "of the trainable", "3"]
    assert len(said) == 12


def test_a_fit_shows_the_potential_and_how_far_the_loss_fell():
    potential = SchNet(n_features=4, n_layers=1, levels=("gfn2", "mmff94"))
    history = {"loss": np.linspace(2.0, 1.0, 100), "validation_loss": np.array([])}
    said = texts(FitResult(potential, history, 100)._repr_html_())
    assert said[0] == "SchNet"
    facts = dict(zip(said[1::2], said[2::2], strict=True))
    assert facts["levels of theory"] == "gfn2, mmff94"
    assert int(facts["weights"].replace(",", "")) == sum(p.numel() for p in potential.parameters())
    first, last = map(float, facts["loss, first and last tenth"].split(", "))
    assert first == pytest.approx(history["loss"][:10].mean(), rel=1e-3)
    assert last == pytest.approx(history["loss"][-10:].mean(), rel=1e-3)


def test_a_shift_shows_a_line_for_each_measure_under_its_verdict():
    measure = {
        "distance": 0.25,
        "interval": [0.125, 0.5],
        "quantiles": {"0.5": 0.9},
        "outside": 0.75,
    }
    found = ShiftReport(
        measures={
            "force_norm": measure | {"unit": "eV/Å"},
            "size": measure | {"interval": None, "unit": "1"},
        },
        units="molecule", n_units=[8, 9], verdict="<shifted>",
    )  # fmt: skip
    said = texts(found._repr_html_())
    assert said[0] == "<shifted>"
    assert said[1:8] == list(HEADS)
    row = ["force norm", "0.25", "0.125 … 0.5", "eV/Å", "yes", "90 %", "75 %"]
    assert said[8:15] == row
    assert said[15:] == [
        "size", "0.25", "–", "90 %", "75 %", "Intervals from 8 and 9 molecules drawn independently."
    ]  # fmt: skip


def test_molecules_are_drawn_as_far_as_they_can_be_read():
    smiles = np.array(["CCO", "no SMILES <b>", "", "c1ccccc1", *["C" * n for n in range(2, 20)]])
    shown = Molecules(key=np.arange(len(smiles)).astype(str), smiles=smiles)._repr_html_()
    assert shown.count("<svg") == 12
    assert "CCO" in shown
    assert "no SMILES" not in shown
    assert "22 molecules</b>, 12 drawn" in shown


def test_a_figure_shows_itself_and_keeps_its_shape():
    with styled():
        figure = new_figure("single", 2.0)
        figure.subplots().plot([1, 2])
    data, said = figure._repr_png_()
    width, height = Image.open(BytesIO(data)).size
    assert width == pytest.approx(2 * said["width"], abs=2)
    assert height / width == pytest.approx(2.0 / 3.35, rel=0.02)
    wide = SimpleNamespace(get_figwidth=lambda: 13.3, savefig=lambda *_, **__: None)
    assert type(figure)._repr_png_(wide)[1]["width"] < 1000
