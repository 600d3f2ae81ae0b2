"""Roughness of surfaces of known roughness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.analysis.surfaces import roughness, surface_error
from breadth.diversity.errors import DataError

numbers = st.floats(-5, 5)


def plane(n: int = 21, reach: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-reach, reach, n)
    return tuple(np.meshgrid(axis, axis, indexing="ij"))  # type: ignore[return-value]


@settings(max_examples=50, deadline=None)
@given(numbers, numbers, numbers, numbers, numbers, st.floats(-1e3, 1e3))
def test_no_quadratic_is_rough(a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    x, y = plane()
    assert roughness(a * x * x + b * x * y + c * y * y + d * x + e * y + f).amplitude < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_offsets_do_not_matter_and_scales_do(seed: int, offset: float, scale: float) -> None:
    energy = np.random.default_rng(seed).normal(size=(9, 12))
    plain, other = roughness(energy), roughness(scale * energy + offset)
    assert other.amplitude == pytest.approx(scale * plain.amplitude, rel=1e-6)
    assert other.relative == pytest.approx(plain.relative, rel=1e-6)
    assert other.n_minima == plain.n_minima
    assert roughness(energy.T).amplitude == pytest.approx(plain.amplitude)


def test_noise_has_its_own_width() -> None:
    x, y = plane(60)
    noise = np.random.default_rng(0).normal(0, 0.02, x.shape)
    found = roughness(3 * x**2 + y**2 + noise)
    assert found.amplitude == pytest.approx(0.02, rel=0.05)
    # The least of nine is the middle one in a ninth of cases.
    assert roughness(noise).n_minima == pytest.approx(58**2 / 9, rel=0.1)


def test_a_ripple_has_its_closed_form() -> None:
    axis = np.arange(40) * 0.1
    k, amplitude = 2 * np.pi / 1.0, 0.03
    wave = np.repeat(amplitude * np.sin(k * axis)[:, None], 40, axis=1)
    # 37 third differences are not whole waves; their mean square is that of 3.7.
    expected = amplitude * 8 * np.sin(k * 0.1 / 2) ** 3 / np.sqrt(80)
    assert roughness(wave).amplitude == pytest.approx(expected, rel=0.05)


def test_a_smooth_anharmonic_surface_is_smoother_on_a_finer_grid() -> None:
    coarse, fine = (roughness(x**2 + y**2 + x**3).amplitude for x, y in (plane(11), plane(21)))
    # h³ ∂³E / √20 along one of two axes, exactly for a cubic.
    assert coarse == pytest.approx(0.2**3 * 6 / np.sqrt(40))
    assert fine == pytest.approx(coarse / 8)


def test_minima_are_counted() -> None:
    x, y = plane(41, 2.0)
    assert roughness((x**2 - 1) ** 2 + y**2).n_minima == 2
    assert roughness(np.zeros((5, 5))) == (0.0, 0.0, 0)


def test_error_of_surfaces_ignores_the_offset() -> None:
    x, y = plane()
    assert surface_error(x**2 + 7, x**2 - 3) == pytest.approx(0, abs=1e-12)
    assert surface_error(x + y**2, y**2) == pytest.approx(x.std())
    with pytest.raises(DataError, match="one grid"):
        surface_error(np.zeros((5, 5)), np.zeros((5, 6)))


def test_bad_surfaces_are_refused() -> None:
    with pytest.raises(DataError, match="4 by 4"):
        roughness(np.zeros((3, 9)))
    with pytest.raises(DataError, match="not finite"):
        roughness(np.full((5, 5), np.inf))
