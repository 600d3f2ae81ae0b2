"""`breadth extrapolation`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .counts import Count


def extrapolation(
    *,
    reference: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    evaluation: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    descriptor: str = "soap",
    components: Count = 5,
    folds: Count = 5,
    limit: float = 0.95,
    unknown: Literal["error", "outside"] = "error",
    out: Path | None = None,
    identity: str = "auto",
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say how far environments of some sets lie outside those of others, by Q and T².

    Parameters
    ----------
    reference
        Sets in any format that breadth reads, such as a training set; several are one.
    evaluation
        Sets whose environments are judged; several are one.
    descriptor
        Of environments: soap (5 Å, n_max 8, l_max 6, σ 0.375 Å), or model:NAME_OR_FOLDER of a
        potential.
    components
        Principal components of the reference, elements pooled, columns not scaled.
    folds
        Contiguous blocks of reference frames that are held out in turn, for limits and the false
        alarms that they would have raised.
    limit
        Share of held-out environments that the limit of each element holds.
    unknown
        What becomes of elements that the reference lacks: an error, or environments outside.
    out
        Folder for the components and limits, as `ExtrapolationModel.load` reads them.
    identity
        How records are told to be of one molecule: auto, identifier, ordered, graph or formula.
    skip_bad
        Leave records out that cannot be read, and count them, instead of stopping.
    json
        Print one JSON object.
    """
    from ..comparing import read_set
    from ..extrapolating import extrapolate
    from ..store import check_folder
    from .console import emit_json, messages, progress_bar, tell_left_out

    if out is not None:
        check_folder(out)
    sets = [
        [read_set(path, identity=identity, skip_bad=skip_bad) for path in paths]
        for paths in (reference, evaluation)
    ]
    tell_left_out(*sets[0], *sets[1])
    with progress_bar() as show:
        found, model = extrapolate(
            *sets,
            descriptor=descriptor,
            n_components=components,
            level=limit,
            n_folds=folds,
            unknown=unknown,
            progress=show,
        )
    if out is not None:
        model.save(out)
    files = {"reference": [*map(str, reference)], "evaluation": [*map(str, evaluation)]}
    content = {"files": files, **found, "model": None if out is None else str(out)}
    if shared := content["shared_frames"]:
        messages().print(
            f"warning: {shared:,} frames are in both the reference and the evaluation; they cannot "
            "lie outside.",
            markup=False,
        )
    if json:
        emit_json(content)
        return
    _print(content)


def _print(content: dict[str, Any]) -> None:
    from .console import output, table

    for name, one in content["sets"].items():
        twice = one["n_frames"] - one["n_distinct"]
        output().print(
            f"{name}: {one['n_frames']:,} frames{f', {twice:,} of them copies' if twice else ''}, "
            f"{one['n_environments']:,} environments ({', '.join(content['files'][name])})",
            soft_wrap=True,
            markup=False,
        )
    ratios = content["explained_variance_ratio"]
    output().print(
        f"{len(ratios)} components of {content['descriptor']['name']} explain "
        f"{100 * sum(ratios):.1f} % of the reference's variance: "
        f"{', '.join(f'{r:.4f}' for r in ratios)}\n",
        soft_wrap=True,
        markup=False,
    )
    for name, title in (("q", "Q-residual"), ("t2", "Hotelling's T²")):
        rows = [_row(symbol, one, name) for symbol, one in content["elements"].items()]
        table(
            ["", "environments", "reference", "held out", "evaluation", "limit", "outside"],
            rows,
            title=f"{title}, mean ± SD by element",
        )
    rates = [["quantile", "chi2", "jackson_mudholkar"], ["quantile", "chi2", "f"]]
    for name, title, methods in zip(("q", "t2"), ("Q", "T²"), rates, strict=True):
        rows = [
            [symbol, *(_percent(one[name]["limits"][m]["false_alarm_rate"]) for m in methods)]
            for symbol, one in content["elements"].items()
            if "limits" in one[name]
        ]
        table(
            ["", *(m.replace("_", "–") for m in methods)],
            rows,
            title=f"Held-out environments beyond limits of {title} from the other blocks, "
            f"meant to be {100 * (1 - content['level']):.0f} %",
        )
    output().print(f"[bold]{content['verdict']}[/]", soft_wrap=True)
    if content["model"]:
        output().print(f"Components and limits: {content['model']}", soft_wrap=True, markup=False)


def _row(symbol: str, one: dict[str, Any], name: str) -> list[str]:
    seen = one[name]
    parts = [
        "–" if seen[k] is None else f"{seen[k]['mean']:.3g} ± {seen[k]['sd']:.2g}"
        for k in ("reference", "held_out", "evaluation")
    ]
    limit = f"{seen['limits']['quantile']['limit']:.3g}" if "limits" in seen else "–"
    outside = None if seen["evaluation"] is None else seen["evaluation"]["outside"]
    return [symbol, f"{one['n']['evaluation']:,}", *parts, limit, _percent(outside)]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
