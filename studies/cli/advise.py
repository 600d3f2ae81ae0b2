"""`breadth advise`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

from cyclopts import Parameter

from .counts import Count, Natural

if TYPE_CHECKING:
    from ...analysis import Advice
    from ...analysis.advice import Growth

#: Selectors along both axes, features and seed of what is to be labelled next, by default.
_CHOICE = ("random", "random", "compact", 0)


def advise(
    results: Path,
    *,
    budget: float | None = None,
    core_hours: float | None = None,
    weights: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    molecule_cost: float | None = None,
    engine: str | None = None,
    most_molecules: Count | None = None,
    have: Path | None = None,
    add: Count | None = None,
    candidates: Annotated[Path | None, Parameter(name="--from")] = None,
    molecules_by: str = _CHOICE[0],
    conformers_by: str = _CHOICE[1],
    descriptor: str = _CHOICE[2],
    random_state: Natural = _CHOICE[3],
    out: Path | None = None,
    figure: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say how to spend labels: how many molecules, and how many conformers of each.

    Parameters
    ----------
    results
        results.nc of a study, or its folder.
    budget
        Labels to spend.
    core_hours
        Hours of one core to spend instead, by what labels of the study's molecules cost.
    weights
        TEST_SET=WEIGHT, several after one --weights: what mixture of errors to minimise. Half
        unseen_molecules and half own_conformers by default.
    molecule_cost
        What one more molecule costs beside its labels, in labels or core hours: 0 labels, or the
        time of its conformer search, by default.
    engine
        Level of theory to be paid for by --core-hours; the study's by default.
    most_molecules
        Molecules that there are.
    have
        A labelled set to add to.
    add
        Labels to add to it, from the geometries in --from.
    candidates
        Geometries to choose from; with --core-hours, a set of molecules like those to be labelled.
    molecules_by
        Selector of new molecules; see breadth select.
    conformers_by
        Selector of the conformers of each.
    descriptor
        Features for selectors that need some: compact, soap or model:NAME_OR_FOLDER.
    random_state
        Of the choice.
    out
        With --add, where to write what to label next, in any format that breadth writes;
        otherwise a file for the advice as JSON.
    figure
        Draw the errors over molecules × conformers, with the advice: a .pdf, .png or .svg.
    json
        Print one JSON object.
    """
    from ...diversity import ConfigurationError
    from ..advising import read_results
    from ..results import damage_told

    growing = have is not None or add is not None
    if growing and (have is None or add is None or candidates is None):
        raise ConfigurationError("--have EXISTING, --add N and --from GEOMETRIES belong together.")
    if growing + (budget is not None) + (core_hours is not None) != 1:
        raise ConfigurationError("Give one of --budget, --core-hours, and --have with --add.")
    if growing and any(one is not None for one in (figure, molecule_cost, engine, most_molecules)):
        raise ConfigurationError(
            "--add counts labels of the molecules in --from: --figure, --molecule-cost, --engine "
            "and --most-molecules do not go with it."
        )
    if not growing and (molecules_by, conformers_by, descriptor, random_state) != _CHOICE:
        raise ConfigurationError(
            "--molecules-by, --conformers-by, --descriptor and --random-state say what --add "
            "chooses: give them with --have and --add."
        )
    if budget is not None and (engine is not None or candidates is not None):
        raise ConfigurationError("--budget counts labels: --engine and --from change no answer.")
    if figure is not None:
        _check_figure(figure)
    found = read_results(results)
    shares = _weights(weights)
    if have is not None and add is not None and candidates is not None:
        from ...diversity import write
        from ..advising import next_labels

        growth, chosen, counts = next_labels(
            found,
            have,
            candidates,
            add=add,
            weights=shares,
            molecules_by=molecules_by,
            conformers_by=conformers_by,
            descriptor=descriptor,
            random_state=random_state,
        )
        if out is not None:
            write(chosen, out)
        written = {"out": None if out is None else str(out)}
        _tell_growth(growth, {**growth.as_dict(), "chosen": counts, **written}, json=json)
        return
    from ...analysis import advise as advise_
    from ...analysis.advice import Cost

    if core_hours is None:
        cost = Cost(per_molecule=molecule_cost or 0.0)
    else:
        from ..advising import core_hours as cost_of
        from ..advising import pool_of
        from ..comparing import read_set

        level = engine or found.attrs.get("level")
        if level is None:
            raise ConfigurationError(f"{results} does not say its level: name one by --engine.")
        cost = cost_of(
            str(level), read_set(candidates or pool_of(results)), per_molecule=molecule_cost
        )
    spent = budget if core_hours is None else core_hours
    assert spent is not None
    with damage_told(results):
        advice = advise_(
            found, budget=spent, weights=shares, cost=cost, most_molecules=most_molecules
        )
    drawn = None if figure is None else _draw(found, advice, figure)
    if out is not None:
        from json import dumps

        from ..store import replace_file

        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, dumps(advice.as_dict(), indent=1))
    _tell(advice, drawn, json=json)


def _weights(given: list[str] | None) -> dict[str, float] | None:
    from ...diversity import ConfigurationError

    if given is None:
        return None
    shares: dict[str, float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            shares[name] = float(value) if equals else 1.0
        except ValueError:
            raise ConfigurationError(
                f"--weights {text}: write TEST_SET=WEIGHT, such as unseen_molecules=2."
            ) from None
    return shares


def _check_figure(figure: Path) -> None:
    """Raise now, and not after the surfaces are fitted, if no figure can be written like this."""
    from ...analysis.figures.files import Format
    from ...diversity import ConfigurationError

    if figure.suffix.removeprefix(".") not in get_args(Format):
        formats = ", ".join(f".{name}" for name in get_args(Format))
        raise ConfigurationError(f"{figure}: a figure ends with {formats}.")


def _draw(results: Any, advice: Advice, figure: Path) -> str:
    from ...analysis.figures import error_surface
    from ...analysis.figures.files import Format, save

    first = max(advice.weights, key=lambda name: advice.weights[name])
    drawn = error_surface(results, test_set=first, advice=advice)
    save(drawn, figure.with_suffix(""), formats=[cast("Format", figure.suffix.removeprefix("."))])
    return str(figure)


def _tell(advice: Advice, figure: str | None, *, json: bool) -> None:
    from .console import emit_json, output, table

    if json:
        emit_json({**advice.as_dict(), **({} if figure is None else {"figure": figure})})
        return
    rows = [(advice.n_molecules, advice.n_conformers, advice.force_mae, "advised", True)]
    rows += [
        (a.n_molecules, a.n_conformers, a.force_mae, _loss(a.loss, a.interval), False)
        for a in advice.alternatives
    ]
    mixed = " + ".join(
        f"{share:.0%} {name.replace('_', ' ')}" for name, share in advice.weights.items()
    )
    table(
        ["molecules × conformers", "force MAE, meV/Å", "loss [95 %]"],
        [[f"{m:,} × {c:,}", f"{1e3 * e:.1f}", told] for m, c, e, told, _ in sorted(rows)],
        title=f"Ways to spend {advice.budget:g} {advice.unit}: expected error on {mixed}",
    )
    table(
        ["force MAE, meV/Å, on", "expected", "95 %", "surface", "off in left-out cells"],
        [
            [
                e.test_set.replace("_", " "),
                f"{1e3 * e.force_mae:.1f}",
                f"{1e3 * e.interval[0]:.1f} to {1e3 * e.interval[1]:.1f}",
                e.form.replace("_", " "),
                f"{e.left_out_error:.1%}",
            ]
            for e in advice.errors
        ],
        title=f"At {advice.n_molecules:,} × {advice.n_conformers:,}",
    )
    low, high = advice.n_molecules_interval
    few, many = advice.n_conformers_interval
    lost = 1e3 * advice.expected_loss
    output().print(
        f"Spend {advice.budget:g} {advice.unit} on {advice.n_molecules:,} molecules (95 %: {low:,} "
        f"to {high:,}) with {advice.n_conformers} conformers each ({few} to {many}). As well as "
        f"the surfaces are known, it loses {lost:.1f} meV/Å against the best.",
        markup=False,
        soft_wrap=True,
    )
    if math.isfinite(advice.updates_gain):
        output().print(
            "All errors are those of as many updates as the pilot's: with a quarter of them the "
            f"largest cell's was {advice.updates_gain:.2f} times as high.",
            markup=False,
            soft_wrap=True,
        )
    _tell_support(advice)
    if figure is not None:
        output().print(figure, soft_wrap=True)


def _tell_growth(growth: Growth, told: dict[str, Any], *, json: bool) -> None:
    from .console import emit_json, output

    if json:
        emit_json(told)
        return
    chosen, (low, high) = told["chosen"], growth.n_new_molecules_interval
    output().print(
        f"Label {chosen['new_conformers']:,} conformers of {chosen['new_molecules']:,} new "
        f"molecules (95 %: {low:,} to {high:,} molecules) and {chosen['more_conformers']:,} more "
        f"of molecules that are there: from {1e3 * growth.force_mae_before:.1f} to "
        f"{1e3 * growth.force_mae:.1f} meV/Å.",
        markup=False,
        soft_wrap=True,
    )
    _tell_support(growth)
    if told["out"] is not None:
        output().print(told["out"], soft_wrap=True)


def _tell_support(advice: Advice | Growth) -> None:
    from .console import output

    for text in advice.reasons:
        output().print(f"not supported: {text}", markup=False, soft_wrap=True)


def _loss(loss: float, interval: tuple[float, float]) -> str:
    low, high = (1e3 * bound for bound in interval)
    return f"{1e3 * loss:+.1f} [{low:+.1f}, {high:+.1f}]"
