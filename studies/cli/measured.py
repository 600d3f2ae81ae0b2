"""What `breadth measure` and `breadth compare` print for people."""

from __future__ import annotations

from typing import Any

from ...diversity.measures.chain_rule import TERMS
from .console import output, table


def print_measures(content: dict[str, Any]) -> None:
    """Print the report of one set, a table for each part."""
    output().print(
        f"[bold]{content['n_molecules']:,} molecules, {content['n_conformers']:,} conformers, "
        f"{content['n_environments']:,} environments of atoms[/]\n"
    )
    _print_structural(content["structural"])
    _print_conformational(content["conformational"])
    found = content["environments"]
    entropy, diversity = found["entropy"], found["diversity"]
    table(
        ["", "nats"],
        [
            ["entropy", f"{entropy['value']:.3f}{_error(entropy)}"],
            ["diversity (logarithm)", f"{diversity['value']:.3f}{_error(diversity)}"],
            ["ceiling of both, ln n", f"{found['ceiling']:.3f}"],
        ],
        title=f"Environments ({found['descriptor']}, bandwidth {found['bandwidth']:.3g})",
    )
    for part in (content["partition"], content["partition"]["structures"]):
        _print_partition({part["level"]: part}, part)
    for path in content.get("figures", ()):
        output().print(f"  {path}", soft_wrap=True)


def _print_structural(found: dict[str, Any], title: str = "Structural: between molecules") -> None:
    kinds = found["fingerprints"] or {}
    if kinds:
        rows = [
            ["mean Tanimoto distance", *(_value(k["internal_diversity"]) for k in kinds.values())],
            [
                "molecules farther apart than 0.75, at least",
                *(f"{k['circles']['value']:g}" for k in kinds.values()),
            ],
            ["Vendi score, order 1", *(_value(k["vendi"]["q1"]) for k in kinds.values())],
        ]
        table(["", *(name.replace("_", " ") for name in kinds)], rows, title=title)
    else:
        table(["", ""], [["fingerprints", f"none: {found['reason']}"]], title=title)
    if kinds and found["n_without_structure"]:
        output().print(f"{found['n_without_structure']:,} molecules without a structure left out\n")
    rows = []
    for name, one in found["richness"].items():
        if isinstance(one, dict) and one.get("q0") is not None:
            rows.append([name.replace("_", " "), *(f"{one[q]:.4g}" for q in ("q0", "q1", "q2"))])
    table(
        ["effective number of", "q = 0", "q = 1", "q = 2"],
        rows,
        title="Richness (Hill numbers: q = 0 counts all kinds, q = 2 the common ones)",
    )


#: Where each line of the conformational table stands in the report, and its unit.
_CONFORMATIONAL = (
    ("heavy-atom RMSD within a torsional basin", ("rmsd", "within_basin"), "Å"),
    ("heavy-atom RMSD across basins", ("rmsd", "across_basins"), "Å"),
    ("torsional basins, effective number (q = 1)", ("basins", "q1"), ""),
    ("torsion entropy", ("torsions", "entropy"), "nats"),
    ("torsions: 30° bins visited", ("torsions", "coverage"), "of 1"),
    ("bond lengths, SD", ("bonds", "sd"), "Å"),
    ("angles, SD", ("angles", "sd"), "°"),
    ("relative energies, SD", ("energies", "sd"), "eV"),
    ("mean force norm", ("forces", "mean_norm"), "eV/Å"),
)


def _print_conformational(found: dict[str, Any]) -> None:
    rows = []
    lacking: dict[str, list[str]] = {}
    for label, (group, key), unit in _CONFORMATIONAL:
        one = found[group][key]
        if one["mean"] is None:
            rows.append([label, "–", "", unit])
            lacking.setdefault(one["reason"], []).append(label.split(",")[0])
        else:
            spread = f"{one['q25']:.3g} … {one['q75']:.3g}" if one["n_molecules"] > 1 else ""
            rows.append([label, f"{one['mean']:.3g}", spread, unit])
    table(
        ["mean over molecules", "", "quartiles", ""],
        rows,
        title="Conformational: within molecules",
    )
    for reason, labels in lacking.items():
        which = "all" if len(labels) == len(rows) else "; ".join(labels)
        output().print(f"– {which}: {reason}", soft_wrap=True)
    for reason, count in found["left_out"].items():
        output().print(f"{count:,} molecules left out: {reason}")
    if lacking or found["left_out"]:
        output().print()


def _print_partition(
    partitions: dict[str, dict[str, Any]], first: dict[str, Any], size: str = ""
) -> None:
    flagged = False
    rows = []
    for name, one in partitions.items():
        shown = []
        for term in TERMS:
            if term == "intramolecular" and first["level"] == "structures":
                continue
            mark = "*" if one[term]["at_ceiling"] else ""
            flagged |= bool(mark)
            low, high = one[term]["interval"] or (None, None)
            spread = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            shown.append(f"{one[term]['value']:.2f}{mark}{spread}")
        rows.append([name, *shown])
    terms = [t for t in TERMS if not (t == "intramolecular" and first["level"] == "structures")]
    table(
        [f"nats [95 %]{size}", *terms],
        rows,
        title=f"Partition of {first['level']} ({first['descriptor']}, bandwidth "
        f"{first['bandwidth']:.3g})",
    )
    if flagged:
        output().print(
            "* near its ceiling: more molecules (structural) or conformers would raise it.\n"
        )


def print_comparison(content: dict[str, Any]) -> None:
    """Print how sets of one size compare, and what they share."""
    size = content["rarefied_to"]
    partitions = {name: one["partition"] for name, one in content["sets"].items()}
    output().print(
        f"All sets cut to {size['n_molecules']} molecules × {size['n_conformers']} conformers, "
        f"mean of {size['repeats']} random parts.\n"
    )
    _print_partition(partitions, next(iter(partitions.values())))
    rows = []
    for name, one in content["sets"].items():
        morgan = (one["structural"]["fingerprints"] or {}).get("morgan")
        inside = (one["conformational"].get("rmsd") or {}).get("all") or {}
        torsion = (one["conformational"].get("torsions") or {}).get("coverage") or {}
        rows.append(
            [
                name,
                f"{one['n_molecules']:,}",
                f"{one['n_conformers']:,}",
                _value(morgan["internal_diversity"]) if morgan else "–",
                _value(morgan["vendi"]["q1"]) if morgan else "–",
                _value({"value": inside.get("mean")}),
                _value({"value": torsion.get("mean")}),
            ]
        )
    table(
        [
            "",
            "molecules",
            "conformers",
            "Tanimoto distance",
            "Vendi score",
            "RMSD, Å",
            "torsion bins",
        ],
        rows,
        title="Whole sizes; measures of the parts",
    )
    rows = []
    for shared, found in zip(content["shared"], content["environments"], strict=True):
        a, b = shared["sets"]
        rows.append(
            [
                f"{a}, {b}",
                f"{shared['conformers']:,}",
                f"{shared['molecules']:,}",
                "–" if shared["scaffolds"] is None else f"{shared['scaffolds']:,}",
                *(_share(found[way]) for way in ("b_in_a", "a_in_b")),
            ]
        )
    table(
        ["sets", "conformers", "molecules", "scaffolds", "2nd known in 1st", "1st known in 2nd"],
        rows,
        title="Shared by two sets, and share of the environments of one that the other has",
    )
    for path in content.get("figures", ()):
        output().print(f"  {path}", soft_wrap=True)


def _value(one: dict[str, Any] | None) -> str:
    if not one or one.get("value") is None:
        return "–"
    return f"{one['value']:.3g}{_error(one)}"


def _error(one: dict[str, Any]) -> str:
    return f" ± {one['standard_error']:.2g}" if one.get("standard_error") else ""


def _share(found: dict[str, Any]) -> str:
    return f"{100 * found['pooled']['overlap']['value']:.1f} %"
