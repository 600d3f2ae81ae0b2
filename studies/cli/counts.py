"""Whole numbers on the command line: a count of 1.5 is an error, and not rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def _at_least(least: int) -> Any:
    def convert(_: Any, tokens: Sequence[Token]) -> int:
        try:
            value = int(tokens[0].value)
        except ValueError:
            raise ValueError(f"{tokens[0].value!r} is no whole number.") from None
        if value < least:
            raise ValueError(f"{value}: it must be {least} or more.")
        return value

    return convert


Count = Annotated[int, Parameter(converter=_at_least(1))]
"""1 or more."""
Natural = Annotated[int, Parameter(converter=_at_least(0))]
"""0 or more: zero of them is an answer; also for seeds."""
