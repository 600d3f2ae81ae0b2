"""What a study of fine-tuning predicted: the layout of its ``predictions.nc``, checked.

=====================  ======================  ====================================================
variable               dimensions              meaning
=====================  ======================  ====================================================
``arm``                (model)                 naive, periodic, nonperiodic, chosen, …, or
                                               ``universal``, the model that all start from
``iteration``          (model)                 1, 2, …; 0 for the universal model
``replicate``          (model)                 of the dynamics; −1 for the universal model, which
                                               is the same in all
``n_frames``           (model), optional       training frames of it
``test_run``           (structure)             arm of the model whose own dynamics this is, or
                                               ``independent`` (a run at the reference's level, or
                                               conformers; never trained on), or
                                               ``original_domain`` (other molecules, labelled by
                                               the untouched universal model)
``test_iteration``,    (structure)             iteration and replicate of the model of that run;
``test_replicate``                             −1 for a set that all models are tested on
``frame``, ``time``    (structure)             place in its run, and fs; frames of one run follow
                                               each other
``conformer_id``       (structure)             content id of the conformer, text
``molecule``           (structure), optional   name of its molecule: of sets with several, molecules
                                               are what intervals resample
``n_atoms``            (structure)             atoms of it; attribute ``sample_dimension`` is
                                               ``atom``
``atomic_number``      (atom)
``energy_reference``   (structure)             label, eV
``forces_reference``   (atom, xyz)             label, eV/Å
``energy``             (model, structure)      prediction, eV; NaN: not evaluated there
``forces``             (model, atom, xyz)      prediction, eV/Å; NaN: not evaluated there
``score``              (model, detector,       how far outside the model's own training set the
                       atom), optional         atom lies, higher = farther: ``q``, ``t2``, …; NaN:
                                               not scored
``detector``           (detector), optional    its name
``limit``              (model, detector,       held-out limit of the score for atoms of an element;
                       element), optional      NaN: no such atom in the training set
``element``            (element), optional     atomic number
=====================  ======================  ====================================================

A model and the runs of its own replicate belong together: replicate 2 of one arm is tested on the
runs of replicate 2 of the other arms, and on the sets that are common to all. Frames of an arm that
are of no replicate, such as those of released sets, test all; a model has NaN for frames that it
was trained on.
"""

import numpy as np
import xarray as xr

from ...diversity.errors import DataError
from ..errors import structure_starts
from ..layouts import check_layout

LAYOUT: dict[str, tuple[str, ...]] = {
    "arm": ("model",),
    "iteration": ("model",),
    "replicate": ("model",),
    "test_run": ("structure",),
    "test_iteration": ("structure",),
    "test_replicate": ("structure",),
    "frame": ("structure",),
    "n_atoms": ("structure",),
    "atomic_number": ("atom",),
    "energy_reference": ("structure",),
    "forces_reference": ("atom", "xyz"),
    "energy": ("model", "structure"),
    "forces": ("model", "atom", "xyz"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "n_frames": ("model",),
    "time": ("structure",),
    "conformer_id": ("structure",),
    "molecule": ("structure",),
    "score": ("model", "detector", "atom"),
    "limit": ("model", "detector", "element"),
}
#: The model that every arm starts from.
UNIVERSAL = "universal"
#: Structures that all models are tested on, at the level of the labels.
INDEPENDENT = "independent"
#: Structures of the universal model's own domain, where its own predictions are the reference.
ORIGINAL_DOMAIN = "original_domain"


def check_finetuning(predictions: xr.Dataset) -> None:
    """Raise unless the Dataset has the layout above.

    Raises
    ------
    DataError
        Naming the first variable that is absent or has other dimensions; no universal model, or
        two models of one arm, iteration and replicate; a label that is not finite; or a model that
        was evaluated on a part of a structure's atoms.
    """
    check_layout(predictions, LAYOUT | OPTIONAL, optional=OPTIONAL)
    if "limit" in predictions.variables and not {"detector", "element"} <= set(predictions.coords):
        raise DataError("predictions: 'limit' needs the coordinates 'detector' and 'element'")
    names = [predictions[name].values for name in ("arm", "iteration", "replicate")]
    models = [(str(a), int(i), int(r)) for a, i, r in zip(*names, strict=True)]
    if (UNIVERSAL, 0, -1) not in models:
        raise DataError(f"predictions: no model '{UNIVERSAL}', of iteration 0 and replicate -1")
    if len(set(models)) < len(models):
        double = next(m for m in models if models.count(m) > 1)
        raise DataError(
            "predictions: two models of arm '{}', iteration {}, replicate {}".format(*double)
        )
    n_atoms = predictions["n_atoms"].values
    if (n_atoms < 1).any() or n_atoms.sum() != predictions.sizes["atom"]:
        raise DataError(
            f"predictions: 'n_atoms' sums to {n_atoms.sum()} for {predictions.sizes['atom']} atoms"
        )
    starts = structure_starts(n_atoms)

    def known(forces: np.ndarray, every: np.ufunc) -> np.ndarray:
        return every.reduceat(np.isfinite(forces).all(axis=-1), starts)

    reference = predictions["forces_reference"].values
    absent = ~(
        known(reference, np.logical_and) & np.isfinite(predictions["energy_reference"].values)
    )
    if absent.any():
        at = int(np.argmax(absent))
        raise DataError(
            f"predictions: structure {at}, of '{predictions['test_run'].values[at]}', has no "
            "finite label"
        )
    energy = np.isfinite(predictions["energy"].values)
    for m, model in enumerate(models):
        forces = predictions["forces"].values[m]
        partly = known(forces, np.logical_or) & ~known(forces, np.logical_and)
        partly |= known(forces, np.logical_and) != energy[m]
        if partly.any():
            at = int(np.argmax(partly))
            raise DataError(
                "predictions: arm '{}', iteration {}, replicate {}: ".format(*model)
                + f"structure {at} has some finite predictions and some that are not"
            )
