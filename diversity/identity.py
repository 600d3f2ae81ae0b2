"""Which records are conformers of one molecule, and the `ConformerSet` that follows.

Rules, in the order in which `auto` tries them:

``identifier``
    every record names its molecule, by one of `IDENTIFIERS` or by a SMILES;
``formula``
    some record is periodic: source and formula;
``ordered``
    all records have the same atomic numbers in the same order, one charge, one multiplicity: one
    molecule, however far its bonds stretch;
``graph``
    the connectivity of each record, perceived from its geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .bonds import covalent_bonds
from .conformers import ConformerSet
from .errors import ConfigurationError, DataError
from .graphs import connectivity_key, hill_formula
from .protocols import SetAside
from .records import Record, columns, label_columns, reference_energies
from .screening import bad_values, overlaps, plainly_sound
from .tables import Molecules

#: Per-frame keys that name the molecule, the first that every record has counts. `name` and
#: `config_type` are not among them: files use these for frames and for kinds of frames.
IDENTIFIERS = ("mol_id", "molecule_id", "molecule", "mol_name", "compound", "inchikey", "inchi")

#: Records that are screened at a glance.
_GLANCE = 500

RULES = ("identifier", "formula", "ordered", "graph")


def build(
    records: Sequence[Record],
    *,
    identity: str = "auto",
    source: str = "",
    set_aside: Sequence[SetAside] = (),
    metadata: Mapping[str, Any] | None = None,
) -> ConformerSet:
    """Turn records into a set: isolated atoms apart, bad values set aside, molecules told apart.

    Parameters
    ----------
    records : sequence of Record
    identity : {'auto', 'identifier', 'formula', 'ordered', 'graph'}
        The rule; see the module. ``metadata['identity_rule']`` names the one used.
    source : str
        What the records come from, for messages and for records that do not say.
    set_aside : sequence of SetAside
        What the reader set aside already.
    metadata : mapping, optional
        Of the set. ``set_aside`` is added: a list of records and reasons.

    Returns
    -------
    ConformerSet

    Raises
    ------
    DataError
        If no record can be used, the rule does not apply, or isolated atoms contradict each other.
    """
    if identity not in ("auto", *RULES):
        raise ConfigurationError(
            f"There is no identity rule {identity!r}; choose auto, {', '.join(RULES)}."
        )
    frames, atoms, unusable = parted(records)
    aside = [*set_aside, *unusable]
    if not frames and not atoms:
        details = f": {aside[0].record}: {aside[0].reason}" if aside else ""
        raise DataError(f"{source or 'The input'} has no record that can be used{details}.")
    return assembled(frames, atoms, identity=identity, set_aside=aside, metadata=metadata)


def parted(records: Sequence[Record]) -> tuple[list[Record], list[Record], list[SetAside]]:
    """Part records into conformers, isolated atoms, and those that cannot be used."""
    usable, aside = _screened(records)
    atoms = [r for r in usable if r.is_isolated_atom]
    frames = [r for r in usable if not r.is_isolated_atom]
    for atom in [a for a in atoms if a.charge != 0 or not _has_energy(a)]:
        why = "an isolated ion" if atom.charge else "an isolated atom without an energy"
        aside.append(SetAside(atom.place, why))
        atoms.remove(atom)
    return frames, atoms, aside


def assembled(
    frames: Sequence[Record],
    atoms: Sequence[Record],
    *,
    identity: str,
    set_aside: Sequence[SetAside],
    metadata: Mapping[str, Any] | None,
) -> ConformerSet:
    """Make a set of what :func:`parted` returned; the arguments are those of :func:`build`."""
    molecules, molecule, rule = identify(frames, identity)
    notes = dict(metadata or {})
    # A file that names each molecule may tell by which rule they were named.
    if frames and not (rule == "identifier" and "identity_rule" in notes):
        notes["identity_rule"] = rule
    if set_aside:
        notes["set_aside"] = [*notes.get("set_aside", []), *(a._asdict() for a in set_aside)]
    return ConformerSet(
        molecules=molecules,
        molecule=molecule,
        **columns(frames),
        levels=label_columns(frames, reference_energies(atoms)),
        metadata=notes,
    )


def identify(
    records: Sequence[Record], identity: str = "auto"
) -> tuple[Molecules, np.ndarray, str]:
    """Tell the molecules of records apart.

    Parameters
    ----------
    records : sequence of Record
    identity : str
        As in :func:`build`.

    Returns
    -------
    molecules : Molecules
        In order of first appearance.
    molecule : array of int64, shape (n,)
        Row of each record's molecule.
    rule : str
        The rule used.
    """
    names = _identifiers(records, strict=identity == "identifier")
    if identity == "auto":
        if names is not None:
            identity = "identifier"
        elif any(r.pbc.any() for r in records):
            identity = "formula"
        else:
            identity = "ordered" if _one_order(records) else "graph"
    keys: list[str]
    if identity == "identifier":
        if names is None:
            raise DataError(
                "Identity by identifier: not every record has one of the keys "
                f"{', '.join(IDENTIFIERS)} or a SMILES. Choose another rule."
            )
        keys = names
    elif identity == "formula":
        keys = [_formula_key(r, r.provenance.get("source", "")) for r in records]
    elif identity == "ordered":
        if not _one_order(records):
            raise DataError(
                "Identity by atom order: the records differ in their atoms, their order, charge "
                "or multiplicity. Choose the rule 'graph'."
            )
        keys = [perceived_constitution(steadiest(records))] * len(records) if records else []
    else:
        keys = [perceived_constitution(r) for r in records]
    rows: dict[str, int] = {}
    molecule = np.array([rows.setdefault(key, len(rows)) for key in keys], dtype=np.int64)
    members: list[list[Record]] = [[] for _ in rows]
    for record, row in zip(records, molecule, strict=True):
        members[row].append(record)
    _refuse_mixtures(list(rows), members)
    whole = identity in ("ordered", "graph")
    constitution = [
        key if whole else _constitution(group) for key, group in zip(rows, members, strict=True)
    ]
    tables = [next((r.bonds for r in group if r.bonds is not None), None) for group in members]
    table = [np.zeros((0, 3), np.int32) if t is None else t for t in tables]
    return (
        Molecules(
            key=np.array(list(rows), dtype=np.str_),
            smiles=np.array(
                [_smiles(key, group) for key, group in zip(rows, members, strict=True)],
                dtype=np.str_,
            ),
            constitution=np.array(constitution, dtype=np.str_),
            charge=np.array([group[0].charge for group in members], dtype=np.int32),
            multiplicity=np.array([group[0].multiplicity for group in members], dtype=np.int32),
            bonds=np.concatenate([np.zeros((0, 3), np.int32), *table]),
            bond_offsets=np.concatenate([[0], np.cumsum([len(t) for t in table])]),
            has_bonds=np.array([t is not None for t in tables], dtype=bool),
        ),
        molecule,
        identity,
    )


def perceived_constitution(record: Record) -> str:
    """Return the connectivity key of one record, from its geometry."""
    periodic = bool(record.pbc.any())
    bonds = covalent_bonds(
        record.numbers,
        record.positions,
        record.cell if periodic else None,
        record.pbc if periodic else None,
    )
    return connectivity_key(record.numbers, bonds, record.charge, record.multiplicity)


def _screened(records: Sequence[Record]) -> tuple[list[Record], list[SetAside]]:
    reasons: list[str | None] = []
    for start in range(0, len(records), _GLANCE):
        some = records[start : start + _GLANCE]
        columns_of = [[getattr(r, k) for r in some] for k in ("positions", "cell", "pbc", "levels")]
        if plainly_sound(*columns_of):
            reasons += [None] * len(some)
        else:
            reasons += [bad_values(r.positions, r.cell, r.pbc, r.levels) for r in some]
    sound = [r for r, why in zip(records, reasons, strict=True) if why is None]
    close = iter(
        overlaps([r.positions for r in sound], [r.cell for r in sound], [r.pbc for r in sound])
    )
    reasons = [next(close) if why is None else why for why in reasons]
    usable, aside = [], []
    for record, why in zip(records, reasons, strict=True):
        if why is None:
            usable.append(record)
        else:
            aside.append(SetAside(record.place, why))
    return usable, aside


def _identifiers(records: Sequence[Record], *, strict: bool) -> list[str] | None:
    """Return the molecule's name of each record, None where some has none that holds."""
    for name in NAMERS.values():
        if not records or not name(records[0]):
            continue
        names = [name(r) for r in records]
        if not all(names):
            continue
        # A name that stands for two formulas names something else, such as a data subset.
        first: dict[str, Record] = {}
        clash = next(
            (
                (first[n], r)
                for n, r in zip(names, records, strict=True)
                if composition(first.setdefault(n, r)) != composition(r)
            ),
            None,
        )
        if clash is None:
            return names
        if strict:
            raise DataError(
                f"Identity by identifier: {clash[0].place} and {clash[1].place} carry one "
                "identifier and have different atoms, charge or multiplicity. Choose another rule."
            )
    return None


def _named(key: str) -> Callable[[Record], str]:
    return lambda record: str(record.frame_extras.get(key, ""))


def composition(record: Record) -> tuple[bytes, int, int]:
    """Return what records of one molecule have in common: elements, charge, multiplicity."""
    return np.sort(record.numbers).tobytes(), record.charge, record.multiplicity


def _one_order(records: Sequence[Record]) -> bool:
    orders = {(r.numbers.tobytes(), r.charge, r.multiplicity) for r in records}
    return len(orders) <= 1


def _refuse_mixtures(keys: list[str], members: list[list[Record]]) -> None:
    for key, group in zip(keys, members, strict=True):
        for record in group:
            if composition(record) != composition(group[0]):
                raise DataError(
                    f"{group[0].place} and {record.place} carry one identifier {key!r} and have "
                    "different atoms, charge or multiplicity."
                )


def steadiest(records: Sequence[Record]) -> Record:
    """Return the record of lowest energy, in which bonds are least likely to be stretched."""
    for level in dict.fromkeys(k for r in records for k in r.levels):
        have = [r for r in records if "energy" in r.levels.get(level, {})]
        if have:
            return min(have, key=lambda r: float(r.levels[level]["energy"]))
    return records[0]


def _constitution(group: list[Record]) -> str:
    given = next((r.constitution for r in group if r.constitution), "")
    if given:
        return given
    if group[0].pbc.any():
        return _formula_key(group[0], "periodic")
    return _constitution_of_smiles(group[0]) or perceived_constitution(steadiest(group))


def _constitution_of_smiles(record: Record) -> str:
    """Return the connectivity key of a record's SMILES, '' if it is not of the record's atoms."""
    molecule = _parsed(record.smiles)
    if molecule is None:
        return ""
    from rdkit import Chem

    full = Chem.AddHs(molecule)
    numbers = np.array([a.GetAtomicNum() for a in full.GetAtoms()], dtype=np.uint8)
    if np.sort(numbers).tobytes() != np.sort(record.numbers).tobytes():
        return ""
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in full.GetBonds()]
    pairs = np.sort(np.array(bonds, dtype=np.int64).reshape(-1, 2), axis=1)
    return connectivity_key(numbers, pairs, record.charge, record.multiplicity)


def _by_smiles(record: Record) -> str:
    return _canonical(record.smiles)


#: What may name a record's molecule, in the order in which they are tried.
NAMERS: dict[str, Callable[[Record], str]] = {
    "identifier": lambda record: record.identifier,
    **{key: _named(key) for key in IDENTIFIERS},
    "smiles": _by_smiles,
}


@lru_cache(maxsize=65536)
def _canonical(smiles: str) -> str:
    from rdkit import Chem

    molecule = _parsed(smiles)
    return smiles if molecule is None else str(Chem.MolToSmiles(molecule))


def _parsed(smiles: str) -> Any:
    if not smiles:
        return None
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def _smiles(key: str, group: list[Record]) -> str:
    """Return a molecule's SMILES: the first given, or the canonical one where that is its key.

    Files that write one molecule in two ways join only if its SMILES is the same in both.
    """
    given = next((r.smiles for r in group if r.smiles), "")
    by_smiles = bool(given) and not group[0].identifier and _canonical(given) == key
    return key if by_smiles else given


def _formula_key(record: Record, source: str) -> str:
    formula = hill_formula(record.numbers)
    state = f" charge {record.charge}" if record.charge else ""
    state += f" multiplicity {record.multiplicity}" if record.multiplicity != 1 else ""
    return f"{source}:{formula}{state}"


def _has_energy(record: Record) -> bool:
    return any("energy" in labels for labels in record.levels.values())
