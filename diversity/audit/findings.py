"""What a check says: whether it passed, how many records it blames, and the worst by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..conformers import ConformerSet
from ..html import table

#: Most records that a check names.
N_WORST = 5


class Finding(NamedTuple):
    """One record that a check blames.

    Attributes
    ----------
    row : int
        Its row in the set.
    severity : float
        Larger is worse; of meaning within one check only.
    what : str
        What is wrong, with numbers and units.
    """

    row: int
    severity: float
    what: str


class Entries(list[dict[str, Any]]):
    """The entries of an audit, each made by :func:`report`; a notebook shows them as a table."""

    def rows(self) -> list[list[str]]:
        """Return a line for each check: its name, its verdict, the worst record or a note."""
        return [_row(entry) for entry in self]

    def _repr_html_(self) -> str:
        return table(["audit", "verdict", "worst records"], self.rows(), left=3)


def _row(entry: Mapping[str, Any]) -> list[str]:
    verdict = {True: "ok", None: "not judged"}.get(
        entry["passed"], f"{entry['count']} of {entry['n_checked']}"
    )
    worst = "; ".join(f"{one['record']}: {one['what']}" for one in entry["worst"][:1])
    others = [one["record"].rpartition("#")[2] for one in entry["worst"][1:]]
    if others:
        worst += f" (then #{', #'.join(others)})"
    return [entry["check"].replace("_", " "), verdict, worst or entry["note"]]


def report(
    check: str,
    conformers: ConformerSet,
    found: Sequence[Finding],
    n_checked: int,
    note: str = "",
) -> dict[str, Any]:
    """Return the entry of a check.

    Parameters
    ----------
    check : str
    conformers : ConformerSet
    found : sequence of Finding
        A record that several findings blame counts once, with the most severe.
    n_checked : int
        Records that the check could judge; with none of them it neither passes nor fails.
    note : str, optional

    Returns
    -------
    dict
        ``check``; ``passed`` (None where no record could be judged and none is blamed); ``count``
        of records blamed; ``n_checked``; ``worst``, at most `N_WORST` records with ``record``
        (source and place in it), ``row``, ``molecule``, ``what``; ``note``.
    """
    by_row: dict[int, Finding] = {}
    for one in sorted(found, key=lambda f: (-f.severity, f.row)):
        by_row.setdefault(one.row, one)
    blamed = list(by_row.values())
    return {
        "check": check,
        "passed": not blamed if blamed or n_checked else None,
        "count": len(blamed),
        "n_checked": int(n_checked),
        "worst": [
            {
                "record": record_name(conformers, f.row),
                "row": f.row,
                "molecule": str(conformers.molecules.key[conformers.molecule[f.row]]),
                "what": f.what,
            }
            for f in blamed[:N_WORST]
        ],
        "note": note,
    }


def record_name(conformers: ConformerSet, row: int) -> str:
    """Return such as ``train.xyz#12``: the source of a record and its place there, from 0."""
    record = int(conformers.record[row])
    return f"{conformers.source[row]}#{record if record >= 0 else row}"
