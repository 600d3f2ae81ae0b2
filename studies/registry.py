"""Names to objects: the only place where a wing's parts get their names."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..diversity import ConfigurationError, DataError, LabelEngine
from ..diversity.protocols import Featurizer

if TYPE_CHECKING:
    from ..sampling.selectors import Selector
    from ..training import Potential

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

#: Featurizers by name; so is ``model:`` before the name or folder of a potential.
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
        such as ``orca:b3lyp-d3bj/def2-svp``, see :mod:`breadth.sampling.programs`; or ``model:``
        and the name or folder of a potential, whose predictions are then a teacher's labels.

    Raises
    ------
    ConfigurationError
        If there is none of this name, or what it needs is not installed.
    """
    if name.startswith("model:"):
        from ..training.teacher import Teacher

        return Teacher(potential(name.removeprefix("model:")), name)
    program, colon, level = name.partition(":")
    if colon and program in PROGRAMS:
        run: LabelEngine = resolve(PROGRAMS[program])(level)
        return run
    if "/" in name:
        from ..sampling.dft import Dft

        return Dft(name)
    engine: LabelEngine = _kind("label engine", name, LABEL_ENGINES)()
    return engine


def potential(name: str | Path) -> Potential:
    """Return a potential: a universal one by its name, or that of a folder.

    Raises
    ------
    ConfigurationError, DataError
        See :func:`potential_and_facts`.
    """
    return potential_and_facts(name)[0]


#: What a folder of potentials holds that are one committee; see `breadth.studies.committees`.
COMMITTEE = "committee.json"


def potential_and_facts(name: str | Path) -> tuple[Potential, dict[str, Any]]:
    """Return a potential with what was saved beside it, such as the `level` that it learnt.

    Parameters
    ----------
    name : str or Path
        Of a universal potential, such as ``so3lr``, whose facts are empty; or ``mace:`` and a
        file of a MACE model, which is unpickled and must be trusted; else a folder. A folder that
        is called like a universal potential is reached by its whole path.

    Raises
    ------
    ConfigurationError
        If there is none of this name, or the package with its weights is not installed.
    DataError
        If the folder holds no potential.
    """
    # torch takes seconds to load, which most names do not need.
    from ..training import PRETRAINED, build_potential, load_potential

    kind, _, file = str(name).partition(":")
    if kind == "mace":
        return build_potential(kind, path=file or None).eval(), {}
    if str(name) in PRETRAINED:
        return build_potential(str(name)).eval(), {}
    if (Path(name) / COMMITTEE).exists():
        raise DataError(f"{name} is a committee: name one of its members, {name}/seed-N.")
    if not Path(name).exists():
        raise ConfigurationError(
            f"{str(name)!r} is neither the folder of a potential nor the name of a universal one: "
            f"{', '.join(sorted(PRETRAINED))}."
        )
    return load_potential(name)


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
    """Return a new featurizer: one of `FEATURIZERS`, or that of a potential.

    Parameters
    ----------
    name : str
        In `FEATURIZERS`; or ``model:`` and the name or folder of a potential.

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

        place = name.removeprefix("model:")
        return PotentialFeaturizer(potential(place), name=f"model:{Path(place).name}")
    if name not in FEATURIZERS:
        known = ", ".join(FEATURIZERS)
        raise ConfigurationError(
            f"There is no featurizer {name!r}. Featurizers: {known}, model:NAME_OR_FOLDER of a "
            "potential."
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
