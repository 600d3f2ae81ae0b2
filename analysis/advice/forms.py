"""Forms of a response surface, error over molecules × conformers, and their exact fits.

A form is linear in its coefficients once its exponents are known. Errors fall with molecules and
conformers, so the coefficients of the power laws are not negative: for a few columns that is
solved exactly by trying every subset of them (the constrained optimum is the best of the
unconstrained fits that happen to be feasible), and exponents by trying a grid of them. There is no
starting point, no local minimum and no tolerance, and many surfaces are fitted at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np

#: Exponents that are tried. Below a tenth a power law is a logarithm over any range of a study.
EXPONENTS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0])


@dataclass(frozen=True)
class Form:
    """One law for the error at M molecules × C conformers.

    Parameters
    ----------
    name : str
    formula : str
        With ``e0`` for the error that no data take away.
    columns : callable
        From M, C (shape (K,)) and exponents to the columns, shape (K, p).
    exponents : int
        How many exponents it has.
    logarithmic : bool
        The columns add up to the logarithm of the error, with any sign; otherwise to the error,
        with coefficients that are not negative.
    """

    name: str
    formula: str
    columns: Callable[..., list[np.ndarray]]
    exponents: int = 0
    logarithmic: bool = False
    extrapolates: bool = True
    """Whether it falls with M and C wherever it is asked; otherwise it is only compared with."""

    def matrix(
        self, molecules: np.ndarray, conformers: np.ndarray, powers: np.ndarray
    ) -> np.ndarray:
        """Return the columns at K cells for each of E choices of exponents, shape (E, K, p)."""
        m, c = np.asarray(molecules, float), np.asarray(conformers, float)
        columns = self.columns(m, c, *powers.T[..., None])
        shape = (len(powers), len(m))
        return np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1)

    @property
    def n_parameters(self) -> int:
        """Coefficients and exponents."""
        one = np.ones(1)
        return self.matrix(one, one, np.ones((1, self.exponents))).shape[2] + self.exponents


FORMS = (
    Form("constant", "e0", lambda m, c: [m**0]),
    Form("molecules", "e0 + a·M^-α", lambda m, c, p: [m**0, m**-p], 1),
    Form("conformers", "e0 + b·C^-β", lambda m, c, q: [m**0, c**-q], 1),
    Form("labels", "e0 + a·(M·C)^-α", lambda m, c, p: [m**0, (m * c) ** -p], 1),
    Form("additive", "e0 + a·M^-α + b·C^-β", lambda m, c, p, q: [m**0, m**-p, c**-q], 2),
    Form(
        "saturating",
        "e0 + d·M^-α·C^-β",
        lambda m, c, p, q: [m**0, m**-p * c**-q],
        2,
    ),
    Form(
        "interaction",
        "e0 + a·M^-α + b·C^-β + d·M^-α·C^-β",
        lambda m, c, p, q: [m**0, m**-p, c**-q, m**-p * c**-q],
        2,
    ),
    Form(
        "product",
        "a·M^-α·C^-β",
        lambda m, c: [m**0, np.log(m), np.log(c)],
        logarithmic=True,
    ),
    Form(
        "log_quadratic",
        "exp(quadratic in log M and log C)",
        lambda m, c: [
            *(m**0, np.log(m), np.log(c)),
            *(np.log(m) ** 2, np.log(c) ** 2, np.log(m) * np.log(c)),
        ],
        logarithmic=True,
        # Beyond the cells the sign of one noisy coefficient decides where it turns.
        extrapolates=False,
    ),
)
BY_NAME = {form.name: form for form in FORMS}


@dataclass(frozen=True)
class Fit:
    """A form fitted to D surfaces at once.

    Parameters
    ----------
    form : Form
    powers : ndarray, shape (D, form.exponents)
    coefficients : ndarray, shape (D, p)
    """

    form: Form
    powers: np.ndarray
    coefficients: np.ndarray

    def predict(self, molecules: np.ndarray, conformers: np.ndarray) -> np.ndarray:
        """Return the error at K cells of each surface, shape (D, K)."""
        matrix = self.form.matrix(molecules, conformers, self.powers)
        out = np.einsum("dkp,dp->dk", matrix, self.coefficients)
        return np.exp(out) if self.form.logarithmic else out


def fit_form(
    form: Form,
    molecules: np.ndarray,
    conformers: np.ndarray,
    errors: np.ndarray,
    weights: np.ndarray,
) -> Fit:
    """Fit a form to errors by weighted least squares of relative deviations.

    Parameters
    ----------
    form : Form
    molecules, conformers : ndarray, shape (K,)
        M and C of the cells.
    errors : ndarray, shape (D, K)
        Positive; D surfaces over the same cells.
    weights : ndarray, shape (K,)
        Inverse variances of the logarithms of the errors, up to a factor.
    """
    root = np.sqrt(weights)
    if form.logarithmic:
        matrix = form.matrix(molecules, conformers, np.empty((1, 0)))[0] * root[:, None]
        solved = np.linalg.lstsq(matrix, (np.log(errors) * root).T, rcond=None)[0]
        return Fit(form, np.empty((len(errors), 0)), solved.T)
    # Deviations relative to the first surface: with its own errors each, a draw with a low error
    # in one cell would weigh that cell more.
    root = root / errors[0]
    target = (errors * root).T
    grid = np.array(list(product(EXPONENTS, repeat=form.exponents)))
    matrices = form.matrix(molecules, conformers, grid) * root[:, None]
    n_columns, n_surfaces = matrices.shape[2], len(errors)
    best = np.full(n_surfaces, np.inf)
    powers = np.zeros((n_surfaces, form.exponents))
    coefficients = np.zeros((n_surfaces, n_columns))
    subsets = chain.from_iterable(
        combinations(range(n_columns), size) for size in range(1, n_columns + 1)
    )
    power = (target**2).sum(axis=0)
    along = matrices.transpose(0, 2, 1) @ target  # (exponents, columns, surfaces)
    gram = matrices.transpose(0, 2, 1) @ matrices
    # Columns are one where all cells have as many molecules or conformers.
    gram = gram + 1e-14 * gram * np.eye(n_columns)
    for subset in map(list, subsets):
        solved = np.linalg.inv(gram[:, subset][:, :, subset]) @ along[:, subset]
        left = power - (solved * along[:, subset]).sum(axis=1)
        left[(solved < 0).any(axis=1)] = np.inf
        place = left.argmin(axis=0)
        found = left[place, np.arange(n_surfaces)]
        # A larger subset is taken only for a better fit, not for the last bits of an equal one.
        better = np.flatnonzero(found < best - 1e-12 * power)
        best[better] = found[better]
        powers[better] = grid[place[better]]
        coefficients[better] = 0.0
        coefficients[better[:, None], np.array(subset)] = solved[place[better], :, better]
    return Fit(form, powers, coefficients)
