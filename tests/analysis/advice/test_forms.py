"""Forms of response surfaces against SciPy's solvers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from breadth.analysis.advice.forms import BY_NAME, EXPONENTS, FORMS, fit_form

from .conftest import CONFORMERS, MOLECULES


@pytest.mark.parametrize("name", ["molecules", "labels", "additive"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_fit_is_the_best_of_all_exponents_with_scipys_bounded_solver(name, seed):
    random = np.random.default_rng(seed)
    errors = random.uniform(0.5, 2.0, (1, 16))
    weights = random.uniform(0.5, 2.0, 16)
    form = BY_NAME[name]
    fit = fit_form(form, MOLECULES, CONFORMERS, errors, weights)
    root = np.sqrt(weights) / errors[0]

    def residual(predicted):
        return np.linalg.norm((predicted - errors[0]) * root)

    best = min(
        nnls(matrix * root[:, None], errors[0] * root)[1]
        for matrix in form.matrix(
            MOLECULES, CONFORMERS, np.array(list(product(EXPONENTS, repeat=form.exponents)))
        )
    )
    assert residual(fit.predict(MOLECULES, CONFORMERS)[0]) == pytest.approx(best, rel=1e-6)
    assert (fit.coefficients >= 0).all()


def test_a_law_without_noise_is_found_again():
    p, q = EXPONENTS[6], EXPONENTS[8]
    errors = 0.1 + 2.0 * MOLECULES**-p + 0.4 * CONFORMERS**-q
    fit = fit_form(BY_NAME["additive"], MOLECULES, CONFORMERS, errors[None], np.ones(16))
    np.testing.assert_allclose(fit.powers, [[p, q]])
    np.testing.assert_allclose(fit.coefficients, [[0.1, 2.0, 0.4]], rtol=1e-6)
    far = fit.predict(np.array([1000]), np.array([64]))[0, 0]
    assert far == pytest.approx(0.1 + 2.0 * 1000**-p + 0.4 * 64**-q)


def test_logarithmic_forms_are_plane_and_parabola():
    plane = np.exp(0.3 - 0.5 * np.log(MOLECULES) - 0.1 * np.log(CONFORMERS))[None]
    fit = fit_form(BY_NAME["product"], MOLECULES, CONFORMERS, plane, np.ones(16))
    np.testing.assert_allclose(fit.coefficients, [[0.3, -0.5, -0.1]], atol=1e-9)
    bent = plane * np.exp(0.05 * np.log(MOLECULES) ** 2)
    fit = fit_form(BY_NAME["log_quadratic"], MOLECULES, CONFORMERS, bent, np.ones(16))
    np.testing.assert_allclose(fit.predict(MOLECULES, CONFORMERS), bent, rtol=1e-8)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_surfaces_are_fitted_each_by_itself_and_weights_count(form):
    random = np.random.default_rng(1)
    errors = np.abs(random.normal(1.0, 0.1, (3, 16)))
    weights = random.uniform(0.5, 2.0, 16)
    together = fit_form(form, MOLECULES, CONFORMERS, errors, weights)
    alone = fit_form(form, MOLECULES, CONFORMERS, errors[[0, 2]], weights)
    np.testing.assert_allclose(
        together.predict(MOLECULES, CONFORMERS)[[0, 2]], alone.predict(MOLECULES, CONFORMERS)
    )
    heavy = np.where(np.arange(16) == 3, 1e8, 1.0)
    pulled = fit_form(form, MOLECULES, CONFORMERS, errors, heavy).predict(MOLECULES, CONFORMERS)
    assert pulled[0, 3] == pytest.approx(errors[0, 3], rel=1e-3)
