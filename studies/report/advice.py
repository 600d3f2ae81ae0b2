"""What a report says of advice that lies beside a run: how to spend the next labels."""

from __future__ import annotations

from typing import Any

from ...diversity.html import words
from .blocks import Block, Section, Table, Text, Value, bounds, change, number
from .opening import Run

#: Read where it lies in the run: `breadth advise RUN … --out RUN/advice.json`.
ADVICE = "advice.json"
_MILLI = 1e3


def advice_section(run: Run) -> list[Section]:
    """Return the advice that was kept beside a run; none where there is no file of it.

    Raises
    ------
    DataError
        If the file is damaged or holds something else.
    """
    path = run.root / ADVICE
    told = run.json_of(path)
    if not told:
        return []
    with run.reading(path):
        return [Section("Advice", _blocks(told))]


def _blocks(told: dict[str, Any]) -> list[Block]:
    molecules, conformers = (bounds(told[f"{n}_interval"]) for n in ("n_molecules", "n_conformers"))
    blocks: list[Block] = [
        Text(
            f"For {told['budget']:,g} {told['unit']}: {told['n_molecules']:,} molecules × "
            f"{told['n_conformers']:,} conformations (95 %: {molecules} molecules, {conformers} "
            f"conformations), with an expected force MAE of {_MILLI * told['force_mae']:.0f} "
            f"meV/Å of the mixture {_mixture(told['weights'])}.",
            "lead",
        )
    ]
    if not told["supported"]:
        blocks.append(Text(f"This advice is not supported. {told['reason']}", "warning"))
    blocks.append(
        Table(
            ("test set", "expected force MAE, meV/Å", "form of the surface", "error when left out"),
            [
                [
                    words(one["test_set"]),
                    Value(
                        number(_MILLI * _known(one["force_mae"])),
                        bounds(map(_known, one["interval"]), unit=_MILLI),
                    ),
                    words(one["form"]),
                    f"{100 * _known(one['left_out_error']):.0f} %",
                ]
                for one in told["errors"]
            ],
            "Expected at the advised cell",
        )
    )
    blocks.append(
        Table(
            ("molecules × conformations", "expected force MAE, meV/Å", "loss [95 %]"),
            [
                [
                    f"{one['n_molecules']:,} × {one['n_conformers']:,}",
                    number(_MILLI * _known(one["force_mae"])),
                    change(_known(one["loss"]), map(_known, one["interval"]), unit=_MILLI),
                ]
                for one in told["alternatives"]
            ],
            "Other ways to spend the same, and what each is expected to lose",
        )
    )
    return blocks


def _known(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _mixture(weights: dict[str, float]) -> str:
    return ", ".join(f"{weight:g} of {words(name)}" for name, weight in weights.items())
