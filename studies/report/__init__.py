"""The report of a run: one HTML page that says what was asked, found and spent."""

from .writing import write_report

__all__ = ["write_report"]
