"""Rich representations: escaped, of no colour, and quick on large sets."""

import time
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.diversity import ConformerSet, Labels, Molecules
from breadth.diversity.audit import audit
from breadth.diversity.describe import describe
from breadth.diversity.html import Report, facts, folded, table
from breadth.diversity.measures.partition import partition
from breadth.diversity.randomness import generator
from breadth.diversity.testing import conformer_sets

SCRIPT = "<script>alert('&')</script>"


def texts(html: str) -> list[str]:
    """Return the texts between tags, of HTML that must be well-formed."""
    return list(ElementTree.fromstring(f"<div>{html}</div>").itertext())


@pytest.fixture(scope="module")
def chains() -> ConformerSet:
    """Return six geometries each of three molecules of six carbon atoms in a row."""
    positions = np.zeros((18, 6, 3))
    positions[:, :, 0] = 1.5 * np.arange(6)
    noise = generator(3, "chains").normal(0, 0.1, positions.shape)
    return ConformerSet(
        molecules=Molecules(key=np.array(["a", "b", SCRIPT])),
        molecule=np.repeat([0, 1, 2], 6),
        numbers=np.full(18 * 6, 6),
        positions=(positions + noise).reshape(-1, 3),
        offsets=np.arange(0, 18 * 6 + 1, 6),
    )


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(words, words, words)
@settings(max_examples=30)
def test_any_text_comes_back_as_it_was(head, value, caption):
    made = table([head], [[value]], caption=caption) + folded(head, facts({"a_b": value}))
    assert texts(made) == [caption, head, value, head, "a b", value]


def test_numbers_stand_to_the_right_and_texts_to_the_left():
    root = ElementTree.fromstring(table(["name", "eV"], [["x", 1.0]]))
    aligned = [cell.get("style").split(";")[0] for cell in root.iter("td")]
    assert aligned == ["text-align:left", "text-align:right"]


def test_a_report_is_a_dictionary_whose_nested_parts_are_folded():
    inner = {"structural": {"richness": [1, 2]}}
    made = Report(n_molecules=3, spread={"min": 1, "max": 2}, part=inner, script=SCRIPT)
    assert made == {
        "n_molecules": 3,
        "spread": {"min": 1, "max": 2},
        "part": inner,
        "script": SCRIPT,
    }
    root = ElementTree.fromstring(f"<div>{made._repr_html_()}</div>")
    assert [s.text for s in root.iter("summary")] == ["part", "structural"]
    assert SCRIPT in texts(made._repr_html_())
    assert "min 1, max 2" in texts(made._repr_html_())


@given(conformer_sets())
@settings(max_examples=20, deadline=None)
def test_a_set_shows_its_counts_whatever_it_holds(conformers):
    said = texts(conformers._repr_html_())
    assert said[0] == (
        f"{conformers.n_conformers:,} conformers of {conformers.n_molecules:,} molecules"
    )
    for level, labels in conformers.levels.items():
        place = said.index(level)
        there = [int(labels.has_energy.sum()), int(labels.has_forces.sum())]
        assert said[place + 1 : place + 3] == [f"{n:,}" for n in there]


def test_what_a_file_says_is_no_markup(chains):
    labels = Labels(energy=np.zeros(len(chains)), forces=np.zeros((chains.n_atoms, 3)))
    named = replace(chains.with_level(SCRIPT, labels), metadata={"identity_rule": SCRIPT})
    for made in (named, describe(named), audit(named)):
        assert "<script" not in made._repr_html_()
    assert texts(named._repr_html_()).count(SCRIPT) == 2


def test_ten_million_conformers_take_a_moment():
    n = 10**7
    nothing = np.broadcast_to
    large = object.__new__(ConformerSet)
    for name, value in {
        "molecules": Molecules(key=np.array(["a", "b"])),
        "molecule": np.repeat([0, 1], n // 2),
        "offsets": np.arange(n + 1),
        "numbers": nothing(np.uint8(6), n + 1),  # one more than elements are looked for
        "positions": nothing(np.float32(0), (n, 3)),
        "pbc": nothing(np.False_, (n, 3)),
        "levels": {},
        "frame_extras": {},
        "atom_extras": {},
        "metadata": {},
    }.items():
        object.__setattr__(large, name, value)
    begun = time.process_time()
    made = large._repr_html_()
    assert time.process_time() - begun < 1.0
    assert len(made) < 2_000
    assert texts(made)[0] == "10,000,000 conformers of 2 molecules"


def test_a_partition_shows_each_term_with_its_interval(chains):
    found = partition(chains)
    said = texts(found._repr_html_())
    for name in ("conformational", "intramolecular", "structural", "total"):
        term = getattr(found, name)
        low, high = term.interval
        place = said.index(name)
        assert float(said[place + 1]) == pytest.approx(term.value, abs=5e-4)
        shown = [float(end) for end in said[place + 2].split(" … ")]
        assert shown == pytest.approx([low, high], abs=5e-4)
        assert float(said[place + 3]) == pytest.approx(term.ceiling, abs=5e-4)
