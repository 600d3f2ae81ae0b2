"""Make each chunk of a file as those before it: molecules, their names, types of extras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..conformers import ConformerSet
from ..errors import DataError
from ..identity import NAMERS, assembled, composition, perceived_constitution, steadiest
from ..protocols import SetAside
from ..records import Record, reference_energies, value_text
from ..tables import Labels
from .grouped import as_told_before
from .settled import Settled, StartOver


class Told:
    """What the chunks so far have told; of one reading."""

    def __init__(self, path: Path, settled: Settled, identity: str) -> None:
        self.path = path
        self.settled = settled
        self.identity = identity
        self.atoms: list[Record] = []
        self.molecules: dict[str, tuple[str, str]] = {}
        self.compositions: dict[str, dict[str, int]] = {}
        self.order: tuple[bytes, int, int] | None = None
        self.types: dict[str, tuple[tuple[int, ...], bool]] = {}
        self.steadiest: tuple[str, float, str] | None = None
        self.key = settled.key
        self.incomplete = False

    def take_atoms(self, atoms: Sequence[Record]) -> None:
        """Keep isolated atoms, of each element and level one; raise if two contradict."""
        for atom in atoms:
            known = reference_energies(self.atoms)
            reference_energies([*self.atoms, atom])
            z = int(atom.numbers[0])
            if any(z not in known.get(level, {}) for level in atom.levels):
                self.atoms.append(atom)

    def with_references(self, made: ConformerSet) -> ConformerSet:
        """Add the energies of all isolated atoms to a set."""
        levels = dict(made.levels)
        for level, energies in reference_energies(self.atoms).items():
            labels = levels.get(level) or Labels.empty(len(made), made.n_atoms)
            joined = {**energies, **labels.reference_energies}
            levels[level] = replace(labels, reference_energies=joined)
        return replace(made, levels=levels)

    def assembled(
        self, frames: list[Record], aside: Sequence[SetAside], metadata: dict[str, Any]
    ) -> ConformerSet:
        """Make the set of a chunk."""
        rule = self._rule(frames) if frames else self.identity
        made = self._made(frames, rule, aside, metadata)
        mixed = [
            (group, name)
            for group in ("frame_extras", "atom_extras")
            for name, extra in getattr(made, group).items()
            if not self._of_one_type(group, name, extra.values)
        ]
        if mixed:
            for group, name in mixed:
                _make_text(frames, group, name)
            made = self._made(frames, rule, aside, metadata)
        return made

    def _made(
        self,
        frames: list[Record],
        rule: str,
        aside: Sequence[SetAside],
        metadata: dict[str, Any],
    ) -> ConformerSet:
        made = assembled(frames, self.atoms, identity=rule, set_aside=aside, metadata=metadata)
        if rule == "ordered" and frames:
            self._keep_steadiest(frames)
            names = np.array([self.key], dtype=np.str_)
            made = replace(made, molecules=replace(made.molecules, key=names, constitution=names))
        return as_told_before(self._with_smiles(made), self.molecules)

    def _with_smiles(self, made: ConformerSet) -> ConformerSet:
        """Give molecules the SMILES that only a later chunk has."""
        table, known = made.molecules, self.settled.smiles
        for key, smiles in zip(table.key.tolist(), table.smiles.tolist(), strict=True):
            if smiles and self.molecules.get(key, (smiles, ""))[0] == "":
                known.setdefault(key, smiles)
                self.incomplete = True
        smiles = [
            known.get(k, own) for k, own in zip(table.key.tolist(), table.smiles, strict=True)
        ]
        return replace(made, molecules=replace(table, smiles=np.array(smiles, dtype=np.str_)))

    # -- the rule of identity ------------------------------------------------------------------

    def _rule(self, frames: list[Record]) -> str:
        """Return the rule for a chunk; records are given the names that the rule goes by."""
        if self.identity in ("auto", "identifier"):
            for title, name in NAMERS.items():
                names = [name(r) for r in frames] if name(frames[0]) else [""]
                whole = all(names) and self._of_one_composition(title, names, frames)
                if self.settled.holds(f"all are named by {title}", whole):
                    for record, its in zip(frames, names, strict=True):
                        record.identifier = its
                        if title == "smiles":
                            record.smiles = its
                    return "identifier"
        if self.identity != "auto":
            if self.identity == "identifier":
                raise DataError(
                    f"{self.path}: identity by identifier: no key names the molecule of every "
                    "record, and none of two different ones. Choose another rule."
                )
            if self.identity == "ordered" and not self._in_one_order(frames):
                raise DataError(
                    f"{self.path}: identity by atom order: the records differ in their atoms, "
                    "their order, charge or multiplicity. Choose the rule 'graph'."
                )
            return self.identity
        if not self.settled.holds("none is periodic", not any(r.pbc.any() for r in frames)):
            return "formula"
        return (
            "ordered"
            if self.settled.holds("all are in one order", self._in_one_order(frames))
            else "graph"
        )

    def _of_one_composition(self, title: str, names: list[str], frames: list[Record]) -> bool:
        """Tell whether no name stands for two compositions, here and before."""
        known = self.compositions.setdefault(title, {})
        return all(
            known.setdefault(name, own) == own
            for name, own in zip(names, (hash(composition(r)) for r in frames), strict=True)
        )

    def _in_one_order(self, frames: list[Record]) -> bool:
        orders = {(r.numbers.tobytes(), r.charge, r.multiplicity) for r in frames}
        self.order = self.order or next(iter(orders))
        return orders == {self.order}

    def _keep_steadiest(self, frames: list[Record]) -> None:
        """Keep the constitution of the record of lowest energy, of all so far."""
        best = steadiest(frames)
        level = next((k for k, v in best.levels.items() if "energy" in v), "")
        energy = float(best.levels[level]["energy"]) if level else np.inf
        first = self.steadiest
        labelled = first is not None and first[0] in ("", level)
        if first is None or (labelled and energy < first[1]):
            self.steadiest = first = (level, energy, perceived_constitution(best))
        self.key = self.key or first[2]

    def finish(self) -> None:
        """Start over if an early chunk lacked a SMILES, or told another molecule than the file."""
        if self.incomplete:
            raise StartOver
        if self.steadiest is not None and self.steadiest[2] != self.key:
            self.settled.key = self.steadiest[2]
            raise StartOver

    # -- the types of extras -------------------------------------------------------------------

    def _of_one_type(self, group: str, name: str, values: np.ndarray) -> bool:
        own = (values.shape[1:], values.dtype.kind == "U")
        first = self.types.setdefault(f"{group} {name}", own)
        if group == "atom_extras" and first[0] != own[0]:
            raise DataError(
                f"{self.path}: the per-atom values {name!r} have shape {own[0]} per atom, and "
                f"{first[0]} in records before. Give them different names."
            )
        alike = self.settled.holds(f"{group} {name} is of one type", first == own)
        # What is text already needs no change: of frames, one text each.
        return alike or (own[1] and (group == "atom_extras" or own[0] == ()))


def _make_text(frames: list[Record], group: str, name: str) -> None:
    """Make texts of an extra, as happens where values of several types are read at once."""
    for record in frames:
        extras = getattr(record, group)
        if name in extras:
            value = np.asarray(extras[name])
            extras[name] = value_text(value) if group == "frame_extras" else value.astype(np.str_)
