"""Where sets stand: figures that hold what they draw."""

import pytest

from breadth.analysis.figures.diversity import bandwidth_curves, diversity_plane
from breadth.analysis.partitions import gather_partitions

TERMS = ("conformational", "intramolecular", "structural", "total")


def _partition(value: float) -> dict:
    term = {"value": value, "interval": (value / 2, value * 2), "ceiling": 3 * value}
    curve = {"bandwidth": [0.2, 0.8], **{t: [2 * value, value] for t in TERMS}}
    return {
        "level": "environments",
        "descriptor": "compact",
        "bandwidth": 0.4,
        "curve": curve,
        **{name: {**term, "at_ceiling": value > 1} for name in TERMS},
    }


@pytest.mark.parametrize("column", ["single", "double"])
@pytest.mark.parametrize("n_sets", [1, 3, 9])
def test_long_names_of_sets_stay_within_the_figure(column, n_sets):
    names = [f"runs/choline_nonperiodic/with_many_conformers/{i}/pool.xyz" for i in range(n_sets)]
    found = gather_partitions({n: _partition(0.5 + i) for i, n in enumerate(names)}, size="")
    for figure in (diversity_plane(found, column=column), bandwidth_curves(found, column=column)):
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert figure.axes[0].get_position().height * figure.get_figheight() > 0.9
