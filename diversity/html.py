"""What notebooks show: tables in HTML, of one look, with every text escaped.

No colour is named, so that tables take those of the notebook, light or dark; a type that shows
itself has a ``_repr_html_`` made of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["Report", "escape", "facts", "folded", "shown", "table"]


def shown(value: Any) -> str:
    """Return a value as tables show it, in print and in notebooks.

    >>> shown(0.1234567), shown([1.0, 2.5]), shown({"C": 3, "H": 8}), shown(None)
    ('0.12346', '1 … 2.5', 'C 3, H 8', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 1000 else f"{value:.5g}"
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(v, float) for v in value):
            return f"{shown(value[0])} … {shown(value[1])}"
        return ", ".join(shown(v) for v in value) or "none"
    if isinstance(value, dict):
        parts = [f"{k} {shown(v)}" for k, v in value.items()]
        nested = any(isinstance(v, dict | list) for v in value.values())
        return ("\n" if nested else ", ").join(parts) or "none"
    return str(value)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", left: int = 1
) -> str:
    """Return a table whose first columns, `left` of them, are texts and the others numbers.

    Parameters
    ----------
    columns : sequence of str
        Heads; all empty: no row of heads.
    rows : iterable of sequence
        Values, which are shown by :func:`shown`.
    caption : str, optional
    left : int, optional
    """

    def cell(tag: str, i: int, value: Any) -> str:
        align = "left" if i < left else "right"
        return f'<{tag} style="text-align:{align};vertical-align:top">{_text(value)}</{tag}>'

    def row(tag: str, values: Sequence[Any]) -> str:
        return f"<tr>{''.join(cell(tag, i, value) for i, value in enumerate(values))}</tr>"

    said = (
        '<caption style="caption-side:top;text-align:left;font-weight:bold;padding:0.3em 0;'
        f'white-space:nowrap;color:inherit">{_text(caption)}</caption>'
    )
    head = f"<thead>{row('th', columns)}</thead>" if any(columns) else ""
    body = "".join(row("td", values) for values in rows)
    return f"<table>{said if caption else ''}{head}<tbody>{body}</tbody></table>"


def words(name: object) -> str:
    """Return a name of the data as words.

    >>> words("unseen_molecules")
    'unseen molecules'
    """
    return str(name).replace("_", " ")


def facts(values: Mapping[str, Any], *, caption: str = "") -> str:
    """Return names and values, a line each; underscores of names become spaces."""
    rows = [[words(key), value] for key, value in values.items()]
    return table(["", ""], rows, caption=caption, left=2)


def folded(title: str, body: str) -> str:
    """Return HTML that opens where its title is clicked."""
    return f"<details><summary>{_text(title)}</summary>{body}</details>"


class Report(dict[str, Any]):
    """A dictionary that a notebook shows as tables; nested ones are folded."""

    def _repr_html_(self) -> str:
        return _report(self)


def _report(content: Mapping[str, Any]) -> str:
    inner = {key: value for key, value in content.items() if _nests(value)}
    plain = {key: value for key, value in content.items() if key not in inner}
    parts = [facts(plain)] if plain else []
    parts += [folded(words(key), _report(value)) for key, value in inner.items()]
    return "".join(parts)


def _nests(value: Any) -> bool:
    # Three numbers by name read well on one line, such as smallest, median and largest.
    deep = isinstance(value, Mapping) and any(isinstance(v, dict | list) for v in value.values())
    return deep or (isinstance(value, Mapping) and len(value) > 6)


def _text(value: Any) -> str:
    return escape(shown(value)).replace("\n", "<br/>")
