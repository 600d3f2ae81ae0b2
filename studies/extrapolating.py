"""Extrapolation from a reference set: descriptors by name, Q and T² by element, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ..analysis.blocks import blocks_of_frames
from ..analysis.bootstrap import CrossedBootstrap, log_odds
from ..analysis.extrapolation import AtomScores, ExtrapolationModel
from ..analysis.limits import held_out_quantile
from ..diversity import ConfigurationError, ConformerSet, DataError, Featurizer
from ..diversity.descriptors import bound, feature_chunks
from .registry import featurizer as named_featurizer

Progress = Callable[[str, float, float], None]

#: Most blocks of consecutive frames that are resampled for an interval.
_BLOCKS = 20
#: Fewest frames of a block.
_FRAMES = 2


def fit_reference(
    reference: Sequence[ConformerSet],
    featurizer: Featurizer,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> ExtrapolationModel:
    """Fit to all environments of sets, whose frames are described once.

    A frame that is there twice counts twice, and both copies are held out together.

    Parameters
    ----------
    reference : sequence of ConformerSet
        One after the other.
    featurizer : Featurizer
        Bound to all sets that are to be compared.
    progress : callable, optional
    **options
        Of `ExtrapolationModel.fit`.
    """
    rows = _rows(reference, featurizer, "reference", progress)
    frame = np.unique(_ids(reference), return_inverse=True)[1]
    frame = np.repeat(frame, np.concatenate([one.counts for one in reference]))
    return ExtrapolationModel.fit(rows, _numbers(reference), frame, **options)


def score_sets(
    model: ExtrapolationModel,
    sets: Sequence[ConformerSet],
    featurizer: Featurizer,
    *,
    unknown: str = "error",
    progress: Progress | None = None,
) -> AtomScores:
    """Return the statistics of all environments of sets, a chunk of frames in memory at a time."""
    numbers, parts, begin = _numbers(sets), [], 0
    for rows in _rows(sets, featurizer, "evaluation", progress):
        end = begin + len(rows)
        parts.append(model.score(rows, numbers[begin:end], unknown=unknown))
        begin = end
    return AtomScores.joined(parts)


def extrapolate(
    reference: Sequence[ConformerSet],
    evaluation: Sequence[ConformerSet],
    *,
    descriptor: str = "soap",
    n_components: int = 5,
    level: float = 0.95,
    n_folds: int = 5,
    unknown: str = "error",
    progress: Progress | None = None,
) -> tuple[dict[str, Any], ExtrapolationModel]:
    """Say how far the environments of some sets lie outside those of others.

    Parameters
    ----------
    reference, evaluation : sequence of ConformerSet
        Each is taken as one set.
    descriptor : str
        Of `registry.featurizer`: soap, or model:PATH of a potential.
    n_components, level, n_folds
        See `ExtrapolationModel.fit`.
    unknown : {'error', 'outside'}
        What becomes of elements that the reference lacks.
    progress : callable, optional

    Returns
    -------
    content : dict
        What `breadth extrapolation` prints with ``--json``.
    model : ExtrapolationModel

    Raises
    ------
    DataError
        If the evaluation has an element that the reference lacks, unless those count as outside.
    """
    if unknown not in ("error", "outside"):
        raise ConfigurationError(f"unknown = {unknown!r}: it is 'error' or 'outside'.")
    if unknown == "error":
        _check_elements(reference, evaluation)
    featurizer = bound(named_featurizer(descriptor), *reference, *evaluation)
    described = _described(featurizer, descriptor)
    model = fit_reference(
        reference,
        featurizer,
        n_components=n_components,
        level=level,
        n_folds=n_folds,
        metadata={"descriptor": described},
        progress=progress,
    )
    scores = score_sets(model, evaluation, featurizer, unknown=unknown, progress=progress)
    numbers = _numbers(evaluation)
    outside = {name: model.beyond(scores, numbers, name) for name in ("q", "t2")}
    ids = {"reference": _ids(reference), "evaluation": _ids(evaluation)}
    content: dict[str, Any] = {
        "descriptor": described,
        "n_components": n_components,
        "level": level,
        "n_folds": n_folds,
        "explained_variance_ratio": model.components.explained_variance_ratio_.tolist(),
        "sets": {
            name: {
                "n_frames": len(ids[name]),
                "n_distinct": len(np.unique(ids[name])),
                "n_environments": len(_numbers(sets)),
            }
            for name, sets in (("reference", reference), ("evaluation", evaluation))
        },
        "shared_frames": len(np.intersect1d(ids["reference"], ids["evaluation"])),
        "elements": _by_element(model, _numbers(reference), scores, numbers, outside),
        "outside": {
            name: {"share": float(one.mean()), "interval": _interval(one, _frames(evaluation))}
            for name, one in outside.items()
        },
    }
    return {**content, "verdict": verdict(content)}, model


def verdict(content: dict[str, Any]) -> str:
    """Say in one sentence whether the evaluation lies outside the reference, and where most."""
    found, promised = content["outside"]["q"], 1.0 - content["level"]
    said = (
        f"{100 * found['share']:.1f} % of the evaluation's environments have a Q beyond the limit "
        f"that {100 * promised:.0f} % of held-out reference environments exceed"
    )
    if found["interval"] is None:
        return f"{said}; too few frames tell how certain that is."
    low, high = found["interval"]
    said += f" (95 % interval {100 * low:.1f} … {100 * high:.1f} %)"
    if low <= promised:
        kind = "no more than" if high >= promised else "fewer than"
        return f"{said}: {kind} would lie there were it of the reference's kind."
    shares = {
        symbol: one["q"]["evaluation"]["outside"]
        for symbol, one in content["elements"].items()
        if one["q"]["evaluation"] is not None
    }
    most = max(shares, key=lambda symbol: shares[symbol])
    return (
        f"{said}: it reaches outside the reference, most for {most}, of whose environments "
        f"{100 * shares[most]:.0f} % lie beyond."
    )


def _by_element(
    model: ExtrapolationModel,
    of_reference: np.ndarray,
    scores: AtomScores,
    numbers: np.ndarray,
    outside: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Return mean, SD and quantile of Q and T² by element, in and out of the reference."""
    table: dict[str, Any] = {}
    for z in sorted({*model.limits, *np.unique(numbers).tolist()}):
        limits, ours = model.limits.get(z), numbers == z
        entry: dict[str, Any] = {"n": {"reference": limits.n if limits else 0, "evaluation": 0}}
        entry["n"]["evaluation"] = int(ours.sum())
        if limits is None or not ours.any():
            lacking = "reference" if limits is None else "evaluation"
            entry["reason"] = f"the {lacking} has no such atom"
        for name in ("q", "t2"):
            one: dict[str, Any] = {"reference": None, "held_out": None, "evaluation": None}
            if limits is not None:
                fitted, held = (getattr(part, name) for part in (model.reference, model.held_out))
                one["reference"] = _summary(fitted[of_reference == z], model.level)
                one["held_out"] = _summary(held[of_reference == z], model.level)
                alarms = getattr(limits, f"{name}_false_alarms")
                one["limits"] = {
                    method: {"limit": limit, "false_alarm_rate": alarms[method]}
                    for method, limit in getattr(limits, f"{name}_limits").items()
                }
            if ours.any():
                values = getattr(scores, name)[ours]
                share = float(outside[name][ours].mean())
                one["evaluation"] = {**_summary(values, model.level), "outside": share}
            entry[name] = one
        table[chemical_symbols[z]] = entry
    return table


def _summary(values: np.ndarray, level: float) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "limit": held_out_quantile(values, level),
    }


def _interval(outside: np.ndarray, frame: np.ndarray) -> list[float] | None:
    """Return the 95 % interval of a share, from blocks of consecutive frames."""
    n_blocks = min(_BLOCKS, len(np.unique(frame)) // _FRAMES)
    if n_blocks < 2:
        return None
    block = blocks_of_frames(frame, n_blocks)
    total, beyond = np.bincount(block), np.bincount(block, outside)

    def share(weights: np.ndarray) -> np.ndarray:
        return (weights @ beyond / (weights @ total))[:, None, None]

    link = log_odds(0.5 / len(outside))
    low, high = CrossedBootstrap().bounds(share, n_blocks, link=link)[0]
    return [float(low), float(high)] if np.isfinite(low + high) else None


def _check_elements(reference: Sequence[ConformerSet], evaluation: Sequence[ConformerSet]) -> None:
    known = np.unique(_numbers(reference))
    for one in evaluation:
        new = np.setdiff1d(one.elements, known)
        if len(new):
            names, have = (", ".join(chemical_symbols[z] for z in kinds) for kinds in (new, known))
            at = int(one.atom_conformer[np.isin(one.numbers, new)][0])
            raise DataError(
                f"Frame {at} of {one.source[at] or 'the evaluation'} has atoms of {names}, and the "
                f"reference only of {have}: no limit is known for them. Leave such frames out, add "
                "such atoms to the reference, or count them as outside (--unknown outside)."
            )


def _described(featurizer: Featurizer, name: str) -> dict[str, Any]:
    """Return a descriptor's name and options, as JSON holds them."""
    if not is_dataclass(featurizer) or isinstance(featurizer, type):
        return {"name": name}
    options = asdict(featurizer)
    return {"name": name, **options, "elements": [int(z) for z in options["elements"]]}


def _numbers(sets: Sequence[ConformerSet]) -> np.ndarray:
    return np.concatenate([one.numbers for one in sets]).astype(np.int64)


def _ids(sets: Sequence[ConformerSet]) -> np.ndarray:
    return np.concatenate([one.id for one in sets])


def _frames(sets: Sequence[ConformerSet]) -> np.ndarray:
    return np.repeat(np.arange(sum(map(len, sets))), np.concatenate([one.counts for one in sets]))


def _rows(
    sets: Sequence[ConformerSet], featurizer: Featurizer, phase: str, progress: Progress | None
) -> Iterator[np.ndarray]:
    done, total = 0, sum(map(len, sets))
    for one in sets:
        for rows, offsets in feature_chunks(one, featurizer):
            yield rows
            done += len(offsets) - 1
            if progress is not None:
                progress(phase, done, total)
