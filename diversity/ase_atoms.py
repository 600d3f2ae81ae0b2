"""A `ConformerSet` as a list of ASE's `Atoms`, and any list of `Atoms` as a `ConformerSet`.

The atoms carry what the frames of our extended XYZ files carry, under the same names: the labels
of one level in a `SinglePointCalculator`, other levels as ``<level>_energy`` and ``<level>_stress``
in `info` and ``<level>_forces`` in `arrays`, extras in `info` and `arrays`, identity and provenance
in `info` as ``breadth_*``. So the way back is exact, also for some of the frames, in another order,
or after ASE wrote and read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import compare_atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from .conformers import ConformerSet
from .errors import DataError
from .formats.extxyz import UNNAMED_LEVEL, name_references, record_of
from .formats.extxyz_frames import Fault, Frame
from .formats.extxyz_writer import FrameParts
from .formats.header import Header, coded, fitting, joined_headers, restored
from .identity import build
from .records import Record, plain_value

_LABELS = ("energy", "forces", "stress")
#: Results of ASE's calculators that have a row per atom.
_BY_ATOM = ("forces", "energies", "stresses", "charges", "magmoms")
#: The six numbers of ASE's calculators are those of a symmetric stress; another stands here.
_STRESS = "breadth_stress"
_NUMBER = (int, float, np.number)
#: Keys of frames that atoms do not use, so that a foreign one may have another meaning.
_UNUSED = ("Lattice", "Properties", "pbc", "pos", "species", "Z")


def to_ase(conformers: ConformerSet, level: str | None = None) -> list[Atoms]:
    """Return one `Atoms` for each conformer, then one for each isolated atom.

    Parameters
    ----------
    conformers : ConformerSet
    level : str, optional
        The level in the calculators; the first where none is named.

    Returns
    -------
    list of ase.Atoms
        `info` holds `charge`, `multiplicity` and `spin` (2S + 1 both; calculators look for either),
        `smiles`, `level`, ``breadth_molecule`` and so on where known. Isolated atoms, with the
        reference energies, have ``config_type='IsolatedAtom'``. Texts of atoms are one word each,
        percent-encoded where they have spaces, since ASE's files need that.

    Raises
    ------
    DataError
        If there is no such level.

    Notes
    -----
    A calculator that takes the charge from initial charges, or the spin from initial magnetic
    moments, must be told: these arrays are not set.
    """
    if level is not None:
        conformers.labels(level)
    levels = sorted(conformers.levels, key=lambda name: name != level)
    parts = FrameParts(conformers, levels, taken=frozenset(("spin", "numbers", "positions")))
    # What was set aside may be a long list: it is told once.
    short = {k: v for k, v in parts.header.metadata.items() if k != "set_aside"}
    light = json.dumps({**parts.header.__dict__, "metadata": short})
    made = []
    for i in range(len(conformers)):
        columns, values = parts.conformer(i)
        values |= {"spin": values["multiplicity"], "breadth": light}
        table = conformers.molecules.bond_table(int(conformers.molecule[i]))
        if table is not None:
            values["breadth_bonds"] = table
        made.append(_atoms(conformers.numbers[conformers.atoms_slice(i)], columns, values))
    for z in parts.isolated:
        columns, values = parts.atom(z)
        made.append(_atoms(np.array([z]), columns, {**values, "breadth": light}))
    if made:
        made[0].info["breadth"] = json.dumps(parts.header.__dict__)
    return made


def from_ase(
    frames: Iterable[Atoms], *, level: str | None = None, identity: str = "auto"
) -> ConformerSet:
    """Return the set of a list of `Atoms`, those of :func:`to_ase` or any others.

    Labels are taken from the calculators' results; nothing is calculated. Forces are taken as the
    calculator has them, whatever the constraints, which are not kept. ``REF_energy`` in `info`
    and ``REF_forces`` in `arrays` belong to the level ``REF``. The charge is `charge` in `info`,
    else the sum of initial charges; the multiplicity is `multiplicity` or `spin` in `info`, else
    that of the initial magnetic moments; 0 and 1 where nothing is told.

    Parameters
    ----------
    frames : iterable of ase.Atoms
        Frames of one atom beside larger ones are isolated atoms, and their energies references.
    level : str, optional
        Name of the level of the calculators' labels. Without it, `level` in `info` names the
        level of stored results, and ``unknown`` is that of all others.
    identity : {'auto', 'identifier', 'formula', 'ordered', 'graph'}
        How molecules are told apart; see :mod:`breadth.diversity.identity`.

    Returns
    -------
    ConformerSet
        Equal in every column to the one that `to_ase` was given, where the atoms are its.

    Raises
    ------
    DataError
        If a frame cannot be used: the message names it. A calculator whose results belong to
        another geometry is such a fault.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from_ase([molecule("CH3CH2OH"), molecule("H2O")])
    <ConformerSet: 2 conformers of 2 molecules, 12 atoms; no labels>
    """
    header, told = Header(), dict[str, Header]()
    records = []
    for i, atoms in enumerate([frames] if isinstance(frames, Atoms) else frames):
        place = f"frame {i}"
        if (text := atoms.info.get("breadth")) is not None:
            text = text if isinstance(text, str) else json.dumps(text)
            if text not in told:
                told[text] = Header()
                told[text].take(text, level)
            header = told[text]
        try:
            records.append(_record(atoms, i, place, header, level))
        except Fault as fault:
            raise DataError(f"{place} of the list of Atoms: {fault}.") from None
    name_references(records, level)
    joined = joined_headers(list(told.values()))
    source = "the list of Atoms"
    made = build(records, identity=identity, source=source, metadata=joined.metadata)
    return restored(made, fitting(joined, made))


def record_of_atoms(atoms: Atoms, i: int, place: str, level: str | None = None) -> Record:
    """Return the record of any `Atoms`; `from_ase` says what is taken from where.

    Raises
    ------
    Fault
        If they cannot be used.
    """
    return _record(atoms, i, place, Header(), level)


# -- to ASE --------------------------------------------------------------------------------------


def _atoms(numbers: np.ndarray, columns: dict[str, np.ndarray], values: dict[str, Any]) -> Atoms:
    atoms = Atoms(
        numbers=numbers,
        positions=columns.pop("pos"),
        cell=values.pop("Lattice", None),
        pbc=values.pop("pbc"),
    )
    results = {k: store.pop(k) for store in (columns, values) for k in _LABELS if k in store}
    for name, column in columns.items():
        text = column.dtype.kind == "U"
        atoms.set_array(name, np.vectorize(coded, otypes=[np.str_])(column) if text else column)
    if (stress := results.get("stress")) is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(stress)
        if (stress != stress.T).any():
            values[_STRESS] = stress
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info = {
        k: v.item() if isinstance(v, np.generic) else np.array(v) if np.ndim(v) else v
        for k, v in values.items()
    }
    return atoms


# -- from ASE ------------------------------------------------------------------------------------


def _record(atoms: Atoms, i: int, place: str, header: Header, level: str | None) -> Record:
    values = {str(k): v for k, v in atoms.info.items() if v is not None}
    own = ("numbers", "positions")
    columns = {k: _column(v) for k, v in atoms.arrays.items() if k not in own}
    if not len(atoms):
        raise Fault("it has no atoms", 0)
    # Only the first frame of our files has a header; of other frames it tells nothing.
    ours = values.pop("breadth", None) is not None or "breadth_molecule" in values
    ours |= "config_type" in values and values.get("level") == header.prefixes.get("", 0)
    header = header if ours else Header()
    # Names that mean something in a file and nothing in Atoms.
    foreign = [{k: have.pop(k) for k in _UNUSED if k in have} for have in (values, columns)]
    if _take_results(atoms, values, columns):
        values.pop("level", None)  # it names stored labels, not those of a live calculator
        if header.prefixes:
            prefixes = {**header.prefixes, "": level or UNNAMED_LEVEL}
            header = Header(**{**header.__dict__, "prefixes": prefixes})
    _state(values, atoms)
    values |= {"Lattice": np.array(atoms.cell), "pbc": np.array(atoms.pbc)}
    columns |= {"Z": atoms.numbers, "pos": atoms.positions}
    record = record_of(Frame(i, 0, values, columns), place, header, level=level)
    record.frame_extras = {
        k: plain_value(v) for k, v in {**record.frame_extras, **foreign[0]}.items()
    }
    record.atom_extras |= foreign[1]
    return record


def _take_results(atoms: Atoms, values: dict[str, Any], columns: dict[str, Any]) -> bool:
    """Put a calculator's results under the keys of a frame; tell whether it is a live one."""
    results = {k: v for k, v in getattr(atoms.calc, "results", {}).items() if v is not None}
    if not results:
        return False
    changed = compare_atoms(getattr(atoms.calc, "atoms", None), atoms)
    if changed:
        raise Fault(
            f"its calculator has results of other atoms ({', '.join(sorted(changed))} differ). "
            "Calculate them again and keep them in a SinglePointCalculator for each frame, or set "
            "atoms.calc = None to leave them out",
            0,
        )
    exact = np.asarray(values.pop(_STRESS, 0.0))
    six: Any = results.get("stress")
    if exact.shape == (3, 3) and np.array_equal(full_3x3_to_voigt_6_stress(exact), six):
        results["stress"] = exact
    for name, value in results.items():
        where, store = ("arrays", columns) if name in _BY_ATOM else ("info", values)
        if name in store and not _alike(store[name], value):
            raise Fault(
                f"it has two values of {name}: one of its calculator, one in {where}. Give the "
                f"latter another name, such as REF_{name}",
                0,
            )
        store[name] = np.asarray(value)
    return not isinstance(atoms.calc, SinglePointCalculator)


def _alike(first: Any, second: Any) -> bool:
    try:
        return bool(np.allclose(np.asarray(first, dtype=float), second, rtol=0, atol=1e-6))
    except (TypeError, ValueError):  # no numbers, or of another shape
        return False


def _state(values: dict[str, Any], atoms: Atoms) -> None:
    """Complete charge and multiplicity from what else ASE's users tell them by."""
    if not {"charge", "total_charge"} & values.keys() and atoms.has("initial_charges"):
        charge = float(atoms.get_initial_charges().sum())
        if abs(charge - round(charge)) < 0.01:
            values["charge"] = round(charge)
    known = next((values[k] for k in ("multiplicity", "spin_multiplicity") if k in values), None)
    spin = values.get("spin")
    if known is not None:
        if spin is not None and np.ndim(spin) == 0 and spin == known:
            del values["spin"]
        return
    charge = values.get("charge", values.get("total_charge", 0))
    electrons = int(atoms.numbers.sum()) - (charge if isinstance(charge, _NUMBER) else 0)
    # Some write 2S as `spin`, some 2S + 1: the number of electrons tells which is meant.
    if isinstance(spin, _NUMBER) and spin >= 1 and (electrons + spin) % 2 == 1:
        values["multiplicity"] = int(values.pop("spin"))
    elif atoms.has("initial_magmoms") and atoms.get_initial_magnetic_moments().ndim == 1:
        unpaired = abs(float(atoms.get_initial_magnetic_moments().sum()))
        if abs(unpaired - round(unpaired)) < 0.01 and (electrons + round(unpaired)) % 2 == 0:
            values["multiplicity"] = round(unpaired) + 1


def _column(array: np.ndarray) -> np.ndarray:
    # ASE reads texts as objects.
    return array if array.dtype.kind in "biufU" else array.astype(np.str_)
