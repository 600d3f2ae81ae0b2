"""Progress: one interface for a terminal, a notebook and a log."""

from types import SimpleNamespace
from xml.etree import ElementTree

import IPython
import IPython.display
import pytest

from breadth.studies import progress_bar


class Display:
    """Stands for a place in a notebook, and keeps what was drawn there."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def update(self, content: IPython.display.HTML) -> None:
        self.drawn.append(content.data)


@pytest.fixture
def notebook(monkeypatch) -> Display:
    """Pretend that a kernel runs the test."""
    place = Display()
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", lambda content, display_id: place)
    return place


def _rows(html: str) -> list[list[str]]:
    return [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(html).iter("tr")
    ]


def test_a_notebook_shows_a_line_for_each_phase(notebook):
    with progress_bar() as show:
        show("<labels>", 1, 4)
        show.of("fit")(2, 4, 0.3)
        show("<labels>", 4, 4)
    names = [(row[0], row[2]) for row in _rows(notebook.drawn[-1])]
    assert names == [("<labels>", "100 %"), ("fit", "50 %")]
    bars = ElementTree.fromstring(notebook.drawn[-1]).iter("progress")
    assert [float(bar.get("value")) for bar in bars] == [1.0, 0.5]


def test_a_notebook_is_not_drawn_at_every_step(notebook):
    with progress_bar() as show:
        for step in range(1000):
            show("fit", step, 999)
    assert len(notebook.drawn) < 100
    assert _rows(notebook.drawn[-1])[0][2] == "100 %"


def test_where_it_stopped_stays_when_something_fails(notebook):
    def fails() -> None:
        with progress_bar() as show:
            show("fit", 1, 4)
            show("fit", 2, 4)
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        fails()
    assert _rows(notebook.drawn[-1])[0][2] == "50 %"


def test_a_phase_without_steps_is_done(notebook):
    with progress_bar() as show:
        show("nothing", 0, 0)
    assert _rows(notebook.drawn[-1])[0][2] == "100 %"


def test_a_log_stays_silent(capsys):
    with progress_bar() as show:
        show("labels", 1, 4)
        show.of("fit")(4, 4)
    assert capsys.readouterr() == ("", "")
