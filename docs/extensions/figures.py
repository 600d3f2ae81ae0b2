"""Figures half as large again as in print, whatever the dots an inch of their files."""

from pathlib import Path

from docutils.nodes import document, image
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

#: Points of a screen for an inch of paper.
_SCREEN = 144


def _size(sphinx: Sphinx, tree: document) -> None:
    for node in tree.findall(image):
        path = Path(sphinx.srcdir, node["uri"])
        if path.suffix == ".png" and "width" not in node:
            with Image.open(path) as picture:
                if "dpi" in picture.info:
                    inches = picture.width / picture.info["dpi"][0]
                    node["width"] = f"{inches * _SCREEN:.0f}px"


def setup(sphinx: Sphinx) -> ExtensionMetadata:
    """Give each figure its width when its page has been read."""
    sphinx.connect("doctree-read", _size)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
