"""Names to objects: the only place where a wing's parts get their names."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

from ..diversity import ConfigurationError, LabelEngine
from ..diversity.protocols import Featurizer

if TYPE_CHECKING:
    from ..sampling.selectors import Selector

#: Label engines by level of theory.
LABEL_ENGINES: dict[str, str] = {
    "gfn2": "breadth.sampling.engines:Gfn2",
    "gfn1": "breadth.sampling.engines:Gfn1",
    "mmff94": "breadth.sampling.engines:Mmff94",
    "uff": "breadth.sampling.engines:Uff",
}

#: Label engines that run a program, by what stands before the colon in the level's name.
PROGRAMS: dict[str, str] = {
    "orca": "breadth.sampling.programs:Orca",
    "psi4": "breadth.sampling.programs:Psi4",
    "xtb": "breadth.sampling.programs:Xtb",
}

#: Selectors by name.
SELECTORS: dict[str, str] = {
    name: f"breadth.sampling.selectors:{kind}"
    for name, kind in {
        "random": "Random",
        "scaffold": "Scaffold",
        "butina": "Butina",
        "maxmin": "MaxMin",
        "fps": "FarthestPoint",
        "kmedoids": "KMedoids",
        "direct": "Direct",
        "kennard_stone": "KennardStone",
        "cur": "Cur",
        "entropy_greedy": "EntropyGreedy",
        "force_fps": "ForceFarthestPoint",
        "energy_strata": "EnergyStrata",
        "force_strata": "ForceStrata",
        "boltzmann": "Boltzmann",
        "minima": "DiverseMinima",
    }.items()
}

#: Featurizers by name; `model:PATH` is one too, of the potential in that folder.
FEATURIZERS: dict[str, str] = {
    "compact": "breadth.diversity.descriptors:CompactDescriptor",
    "soap": "breadth.diversity.descriptors:SoapDescriptor",
}


def resolve(path: str) -> Any:
    """Import what ``module:name`` points to."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def label_engine(name: str) -> LabelEngine:
    """Return a new label engine.

    Parameters
    ----------
    name : str
        In `LABEL_ENGINES`; or a level of density functional theory such as ``b3lyp-d3bj/6-31g*``,
        see :class:`breadth.sampling.dft.Dft`; or PROGRAM:LEVEL with a program out of `PROGRAMS`,
        such as ``orca:b3lyp-d3bj/def2-svp``, see :mod:`breadth.sampling.programs`.

    Raises
    ------
    ConfigurationError
        If there is none of this name, or what it needs is not installed.
    """
    program, colon, level = name.partition(":")
    if colon and program in PROGRAMS:
        run: LabelEngine = resolve(PROGRAMS[program])(level)
        return run
    if "/" in name:
        from ..sampling.dft import Dft

        return Dft(name)
    engine: LabelEngine = _kind("label engine", name, LABEL_ENGINES)()
    return engine


def selector(name: str, **options: Any) -> Selector:
    """Return a new selector.

    Parameters
    ----------
    name : str
        In `SELECTORS`.
    **options
        Of its constructor.

    Raises
    ------
    ConfigurationError
        If there is none of this name, or it has no such option.
    """
    kind: type[Selector] = _kind("selector", name, SELECTORS)
    defaults = kind().get_params()
    if unknown := sorted(options.keys() - defaults.keys()):
        raise ConfigurationError(
            f"The selector {name!r} has no option {unknown[0]!r}. Options: "
            f"{', '.join(sorted(defaults))}."
        )
    for option, value in options.items():
        default = defaults[option]
        if value == default or callable(value):
            continue
        whole = isinstance(default, int) or option == "n_to_select"
        fits = isinstance(value, int) if whole else isinstance(value, int | float)
        if isinstance(value, bool) or not fits or not math.isfinite(value):
            raise ConfigurationError(
                f"{name}: {option} = {value!r} is no {'whole ' if whole else ''}number."
            )
    return kind(**options)


def featurizer(name: str) -> Featurizer:
    """Return a new featurizer: one of `FEATURIZERS`, or a potential's by ``model:PATH``.

    Raises
    ------
    ConfigurationError
        If there is none of this name.
    DataError
        If the folder holds no potential.
    """
    if name.startswith("model:"):
        # torch takes seconds to load, which the others do not need.
        from ..training.features import PotentialFeaturizer

        return PotentialFeaturizer(name.removeprefix("model:"))
    if name not in FEATURIZERS:
        known = ", ".join(FEATURIZERS)
        raise ConfigurationError(
            f"There is no featurizer {name!r}. Featurizers: {known}, model:FOLDER of a potential."
        )
    made: Featurizer = resolve(FEATURIZERS[name])()
    return made


_OTHER_ENGINES = (
    " Also FUNCTIONAL/BASIS, by PySCF, and orca:METHOD/BASIS, psi4:METHOD/BASIS and xtb:gfn2 by "
    "programs that are installed."
)


def _kind(what: str, name: str, table: dict[str, str]) -> Any:
    if name not in table:
        raise ConfigurationError(
            f"There is no {what} {name!r}. {what.capitalize()}s: {', '.join(table)}."
            + (_OTHER_ENGINES if table is LABEL_ENGINES else "")
        )
    return resolve(table[name])
