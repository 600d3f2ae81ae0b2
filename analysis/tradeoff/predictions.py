"""What a study predicted: the layout of ``predictions.nc``, checked before anything is computed.

One row per test structure of the whole study and one per atom of it, so that nothing is evaluated
twice: every error, interval and figure is made from this one Dataset.

========================  =========================  ===========================================
variable                  dimensions                 meaning
========================  =========================  ===========================================
``conformer_id``          (structure)                content id of the conformer, text
``molecule``              (structure)                key of its molecule, text
``n_atoms``               (structure)                atoms of it; attribute ``sample_dimension``
                                                     is ``atom`` (CF contiguous ragged array)
``energy_reference``      (structure)                label, eV
``energy_prior``          (structure), optional      a cheap force field's, eV; NaN: it has none
``atomic_number``         (atom)                     Z
``forces_reference``      (atom, xyz)                label, eV/Å
``forces_prior``          (atom, xyz), optional      a cheap force field's, eV/Å; NaN: it has none
``energy``                (model, structure)         prediction, eV; NaN: not evaluated there
``forces``                (model, atom, xyz)         prediction, eV/Å; NaN: not evaluated there
``member``                (model, test_set,          which structures stand in which test set of a
                          structure)                 model (own conformers differ by model)
``model_of``              (design, replicate)        row of ``model`` after all updates; −1: none
``model_of_quarter``      (design, replicate)        row of ``model`` after a quarter; −1: none
========================  =========================  ===========================================

Coordinates on ``design`` are ``experiment`` (one of `EXPERIMENTS`), ``n_molecules``,
``n_conformers``, ``molecule_selector`` and ``conformer_selector``; ``test_set`` has its names. One
model may serve two designs, since the experiments share a cell. The attribute ``prior`` names the
cheap force field, ``level`` the level of theory, ``budget`` the conformers of each design at a
fixed budget.
"""

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..errors import structure_starts
from ..layouts import check_layout

LAYOUT: dict[str, tuple[str, ...]] = {
    "conformer_id": ("structure",),
    "molecule": ("structure",),
    "n_atoms": ("structure",),
    "energy_reference": ("structure",),
    "atomic_number": ("atom",),
    "forces_reference": ("atom", "xyz"),
    "energy": ("model", "structure"),
    "forces": ("model", "atom", "xyz"),
    "member": ("model", "test_set", "structure"),
    "model_of": ("design", "replicate"),
    "model_of_quarter": ("design", "replicate"),
    "experiment": ("design",),
    "n_molecules": ("design",),
    "n_conformers": ("design",),
    "molecule_selector": ("design",),
    "conformer_selector": ("design",),
    "test_set": ("test_set",),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "energy_prior": ("structure",),
    "forces_prior": ("atom", "xyz"),
}
#: What each varies: molecules at a fixed budget, conformers of each molecule, both at will, how
#: molecules and how conformers are selected.
EXPERIMENTS = (
    *("fixed_budget", "fixed_molecules", "grid"),
    *("molecule_selectors", "conformer_selectors"),
)
#: What tells one training set from another.
CELL = ("n_molecules", "n_conformers", "molecule_selector", "conformer_selector")


def check_predictions(predictions: xr.Dataset) -> None:
    """Raise unless the Dataset has the layout above and every test structure was evaluated.

    Raises
    ------
    DataError
        Naming the first variable that is absent or has other dimensions, the structure whose
        reference is not finite, or the model and test set with a prediction that is not: a NaN
        where a model was tested would otherwise vanish from the mean.
    """
    check_layout(predictions, LAYOUT | OPTIONAL, optional=OPTIONAL)
    unknown = set(map(str, predictions["experiment"].values)) - set(EXPERIMENTS)
    if unknown:
        raise DataError(f"predictions: experiments {sorted(unknown)} are not in {EXPERIMENTS}")
    n_atoms = predictions["n_atoms"].values
    if (n_atoms < 1).any() or n_atoms.sum() != predictions.sizes["atom"]:
        raise DataError(
            f"predictions: 'n_atoms' sums to {n_atoms.sum()} for {predictions.sizes['atom']} atoms"
        )
    for name in ("model_of", "model_of_quarter"):
        rows = predictions[name].values
        if rows.min(initial=-1) < -1 or rows.max(initial=-1) >= predictions.sizes["model"]:
            raise DataError(f"predictions: '{name}' points outside the models")
    _check_finite(predictions)


def _check_finite(predictions: xr.Dataset) -> None:
    starts = structure_starts(predictions["n_atoms"].values)
    reference = np.isfinite(predictions["energy_reference"].values) & np.logical_and.reduceat(
        np.isfinite(predictions["forces_reference"].values).all(axis=-1), starts
    )
    if not reference.all():
        worst = str(predictions["conformer_id"].values[np.argmin(reference)])
        raise DataError(
            f"predictions: {np.sum(~reference)} structures have no finite reference label, "
            f"the first is conformer {worst}"
        )
    for model in range(predictions.sizes["model"]):
        finite = np.isfinite(predictions["energy"].values[model]) & np.logical_and.reduceat(
            np.isfinite(predictions["forces"].values[model]).all(axis=-1), starts
        )
        lost = predictions["member"].values[model] & ~finite
        if lost.any():
            test_set = int(np.argmax(lost.any(axis=-1)))
            raise DataError(
                f"predictions: model {model} has no finite prediction for {lost[test_set].sum()} "
                f"structures of its test set '{predictions['test_set'].values[test_set]}': it was "
                "not evaluated there, or its fit diverged; evaluate or fit it again"
            )
