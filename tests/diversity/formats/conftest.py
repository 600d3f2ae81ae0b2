"""What damages files in the tests of formats."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from breadth.diversity import DataError
from breadth.diversity.formats import read

#: Bytes that mean something in tables, XML and JSON: changes to these do the most harm.
_TELLING = b"0123456789-. eE\n<>$[]{},:|*"


def _damaged(content: bytes, random: np.random.Generator) -> bytes:
    place, length = int(random.integers(len(content))), int(random.integers(1, 60))
    kind = int(random.integers(5))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[: place + length] + content[place:]
    other = int(random.integers(256)) if kind == 3 else _TELLING[random.integers(len(_TELLING))]
    return content[:place] + bytes([other]) + content[place + 1 :]


@pytest.fixture(name="damaged")
def _damage() -> Callable[[bytes, np.random.Generator], bytes]:
    """Return what changes, cuts, loses or doubles bytes of a file."""
    return _damaged


@pytest.fixture
def survives_damage(tmp_path) -> Callable[[str, str, Iterable[int]], None]:
    """Return what reads a text with bytes changed, lost, doubled or cut, once for each seed.

    Each time there must be an answer with finite values, or a `DataError` of one paragraph that
    names the file.
    """

    def check(text: str, name: str, seeds: Iterable[int]) -> None:
        path = tmp_path / "damaged"
        answers, errors = 0, []
        for seed in seeds:
            path.write_bytes(_damaged(text.encode(), np.random.default_rng(seed)) or b"\n")
            try:
                made = read(path, format=name if seed % 3 else None, skip_bad=seed % 2 == 1)
            except DataError as error:
                errors.append(str(error))
                continue
            answers += 1
            assert np.isfinite(made.positions).all()
            for labels in made.levels.values():
                assert np.isfinite(labels.energy).all()
                assert np.isfinite(labels.forces).all()
        assert answers
        assert errors
        assert all(str(path) in error and "\n" not in error for error in errors)

    return check
