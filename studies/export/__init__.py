"""A design as the files and configurations that other packages train from."""

from .writing import export_design

__all__ = ["export_design"]
