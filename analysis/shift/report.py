"""What a shift between two sets says, as rows of a table: in notebooks and on terminals."""

from __future__ import annotations

from ...diversity.html import Report, escape, table

#: Heads of the rows.
HEADS = ("measure", "distance", "95 %", "unit", "shifted", "B's median", "B beyond 95 % of A")


class ShiftReport(Report):
    """Measures of the shift from a set A to a set B; see :func:`breadth.analysis.shift.shift`.

    A dictionary that notebooks show as a table, under its ``verdict`` where it has one.
    """

    def rows(self) -> list[list[str]]:
        """Return a line for each measure, in the order of `HEADS`."""
        rows = []
        for name, one in self["measures"].items():
            low, high = one["interval"] or (None, None)
            seen = "" if low is None else ("yes" if low > 0 else "no")
            rows.append(
                [
                    name.replace("_", " "),
                    f"{one['distance']:.3g}",
                    "–" if low is None else f"{low:.3g} … {high:.3g}",
                    "" if one["unit"] == "1" else one["unit"],
                    seen,
                    f"{100 * one['quantiles']['0.5']:.0f} %",
                    f"{100 * one['outside']:.0f} %",
                ]
            )
        return rows

    def units(self) -> str:
        """Return what the intervals rest on, in words."""
        units = {"molecule": "molecules", "block": "blocks of consecutive conformers"}
        n = " and ".join(f"{k}" for k in self["n_units"])
        return f"{n} {units[self['units']]}"

    def _repr_html_(self) -> str:
        said = f"<p><b>{escape(self['verdict'])}</b></p>" if "verdict" in self else ""
        drawn = f"<p>Intervals from {escape(self.units())} drawn independently.</p>"
        return said + table(HEADS, self.rows()) + drawn
