"""What a study of refinement predicted: the layout of its ``predictions.nc``, checked.

=====================  ================================  ==========================================
variable               dimensions                        meaning
=====================  ================================  ==========================================
``conformer_id``       (structure)                       content id of the conformer, text
``system_of``          (structure)                       row of ``system``
``adapted``            (structure)                       bool: its geometry was given to a method
                                                         (its label to fine-tuning); the others
                                                         are held back and give the headline error
``n_atoms``            (structure)                       atoms of it; attribute
                                                         ``sample_dimension`` is ``atom``
``energy_reference``   (structure)                       label, eV
``forces_reference``   (atom, xyz)                       label, eV/Å; NaN for every atom of a system
                                                         that has energies alone
``energy_prior``,      as the references, optional       the prior's; NaN: it has none
``forces_prior``
``energy``             ([design,] method, replicate,     prediction, eV; NaN: the method predicts
                       structure)                        no energy there
``forces``             ([design,] method, replicate,     prediction, eV/Å; NaN: the method does not
                       atom, xyz)                        predict this half of the system
``system``             (system)                          its name, unique: a coordinate
``experiment``         (system)                          pools, rmd17, acac, …
``shift``              (system)                          in_distribution, new_element, larger, …
``method``             (method)                          none, joint, radius, test_time, …
``base_of_method``     (method), optional                the method that is the same model without
                                                         test-time steps; empty: there is none
=====================  ================================  ==========================================

Further coordinates along ``system`` (SMILES, formula, atoms) and along ``design`` (``n_molecules``,
``n_conformers``, ``design_experiment``) are carried into the results as they are. One method is
``data.sel({"method": "joint"})``: ``data.sel(method="joint")`` sets xarray's own option `method`,
and returns every method.
"""

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..errors import structure_starts
from ..layouts import check_layout

LAYOUT: dict[str, tuple[str, ...]] = {
    "conformer_id": ("structure",),
    "system_of": ("structure",),
    "adapted": ("structure",),
    "n_atoms": ("structure",),
    "energy_reference": ("structure",),
    "forces_reference": ("atom", "xyz"),
    "energy": ("method", "replicate", "structure"),
    "forces": ("method", "replicate", "atom", "xyz"),
    "system": ("system",),
    "experiment": ("system",),
    "shift": ("system",),
    "method": ("method",),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "energy_prior": ("structure",),
    "forces_prior": ("atom", "xyz"),
    "base_of_method": ("method",),
}
#: The same model without test-time steps, where the predictions do not say it themselves.
BASE_OF_METHOD = {"test_time": "joint", "test_time_wrong_prior": "joint", "both": "joint"}
#: What every gain is measured against.
PLAIN = "none"


def check_refinement(predictions: xr.Dataset) -> None:
    """Raise unless the Dataset has the layout above and nothing vanishes from a mean unseen.

    Raises
    ------
    DataError
        Naming the first variable that is absent or has other dimensions; a system without a
        structure that was held back; a reference that is missing for part of a system; or a method
        that predicts part of a half of a system. A structure that the prior itself cannot treat is
        the one exception: methods that need it may leave it out, and priors are labels themselves.
    """
    layout = LAYOUT | OPTIONAL
    for name in ("energy", "forces"):
        if name in predictions.variables and "design" in predictions[name].dims:
            layout |= {name: ("design", *layout[name])}
    check_layout(predictions, layout, optional=OPTIONAL)
    methods = predictions["method"].values.astype(str).tolist()
    if PLAIN not in methods:
        raise DataError(
            f"predictions: no method '{PLAIN}' among {methods}: every gain is measured against it"
        )
    unknown = set(bases(predictions).values()) - set(methods)
    if "base_of_method" in predictions.variables and unknown:
        raise DataError(f"predictions: 'base_of_method' names {sorted(unknown)}, not a method")
    systems = predictions["system"].values.astype(str)
    if len(set(systems.tolist())) < len(systems):
        raise DataError("predictions: two systems have one name")
    n_atoms, of = predictions["n_atoms"].values, predictions["system_of"].values
    if (n_atoms < 1).any() or n_atoms.sum() != predictions.sizes["atom"]:
        raise DataError(
            f"predictions: 'n_atoms' sums to {n_atoms.sum()} for {predictions.sizes['atom']} atoms"
        )
    if of.min(initial=0) < 0 or of.max(initial=-1) >= len(systems):
        raise DataError("predictions: 'system_of' points outside the systems")
    held = np.bincount(of[~predictions["adapted"].values], minlength=len(systems))
    if (held == 0).any():
        raise DataError(
            f"predictions: system '{systems[np.argmin(held)]}' has no structure that was held back"
        )
    _check_finite(predictions)


def bases(predictions: xr.Dataset) -> dict[str, str]:
    """Return the method that is the same model without test-time steps, of each that has one."""
    methods = predictions["method"].values.astype(str).tolist()
    if "base_of_method" in predictions.variables:
        named = predictions["base_of_method"].values.astype(str).tolist()
        return {m: base for m, base in zip(methods, named, strict=True) if base}
    return {m: b for m, b in BASE_OF_METHOD.items() if m in methods and b in methods}


def cells(predictions: xr.Dataset) -> list[dict[str, int]]:
    """Return the indexers of every ([design,] method, replicate)."""
    dims = [d for d in predictions["energy"].dims if d != "structure"]
    shape = [predictions.sizes[d] for d in dims]
    return [dict(zip(map(str, dims), index, strict=True)) for index in np.ndindex(*shape)]


def _check_finite(predictions: xr.Dataset) -> None:
    starts = structure_starts(predictions["n_atoms"].values)

    def whole(forces: np.ndarray) -> np.ndarray:
        return np.logical_and.reduceat(np.isfinite(forces).all(axis=-1), starts)

    systems = predictions["system"].values.astype(str)
    of, adapted = predictions["system_of"].values, predictions["adapted"].values
    n_systems, half = len(systems), 2 * of + adapted
    reference = {
        "energy": np.isfinite(predictions["energy_reference"].values),
        "forces": whole(predictions["forces_reference"].values),
    }
    excused = {quantity: np.zeros(len(of), dtype=bool) for quantity in reference}
    if "energy_prior" in predictions:
        excused["energy"] = ~np.isfinite(predictions["energy_prior"].values)
    if "forces_prior" in predictions:
        excused["forces"] = ~whole(predictions["forces_prior"].values)
    for quantity, known in reference.items():
        part = _partly(known, of, n_systems)
        if part.any():
            raise DataError(
                f"predictions: some structures of system '{systems[np.argmax(part)]}' have no "
                f"finite reference {quantity}"
            )
    neither = ~(reference["energy"] | reference["forces"])
    if neither.any():
        worst = systems[of[np.argmax(neither)]]
        raise DataError(f"predictions: system '{worst}' has no finite reference label")
    for cell in cells(predictions):
        found = {
            "energy": np.isfinite(predictions["energy"].isel(cell).values),
            "forces": whole(predictions["forces"].isel(cell).values),
        }
        method = str(predictions["method"].values[cell["method"]])
        if method.startswith("prior"):  # labels, not a model: one that failed to converge is none
            continue
        for quantity, known in found.items():
            counted = ~excused[quantity]
            part = _partly(known[counted], half[counted], 2 * n_systems)
            if part.any():
                raise DataError(
                    f"predictions: method '{method}', replicate {cell['replicate']}: no finite "
                    f"{quantity} for some structures of system '{systems[np.argmax(part) // 2]}': "
                    "its fit or its test-time steps diverged, or it was not evaluated there"
                )


def _partly(known: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Return which groups, (n_groups,), are known for some of their members and not for all."""
    count = np.bincount(group, minlength=n_groups)
    found = np.bincount(group[known], minlength=n_groups)
    return (found > 0) & (found < count)
