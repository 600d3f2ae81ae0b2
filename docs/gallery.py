"""Draw the pictures of gallery.md again, from finished studies: python docs/gallery.py [RUN …]

A picture figures/gallery/RUN-NAME.png is the figure NAME of runs/RUN. Pictures that exist are
replaced; they are made small enough for a repository.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
PAGE = DOCS / "gallery.md"
BREADTH = Path(sys.executable).with_name("breadth")
WIDTH = 800
COLOURS = 96
#: Commands of pictures that are no figures of a study; OUT is a folder.
OTHERS = {
    "audit": "describe runs/demo/pool --figures OUT",
    "advice": "advise runs/demo/results.nc --budget 10000 --figure OUT/error_surface.png",
}


def draw(run: str, out: Path) -> None:
    """Draw all figures of a run into a folder."""
    if run == "composed":
        code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert code is not None
        code_there = code[1].replace('"paper/', f'"{out}/')
        subprocess.run([sys.executable, "-c", code_there], cwd=DOCS.parent, check=True)
        return
    command = OTHERS.get(run, f"figures runs/{run} --format png --out OUT")
    words = [word.replace("OUT", str(out)) for word in command.split()]
    subprocess.run([BREADTH, *words], cwd=DOCS.parent, check=True, stdout=subprocess.DEVNULL)


def shrink(source: Path, target: Path) -> None:
    """Write a picture at a width for reading on a page, with few colours."""
    with Image.open(source) as picture:
        plain = picture.convert("RGB")
    height = round(plain.height * WIDTH / plain.width)
    small = plain.resize((WIDTH, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def main(chosen: list[str]) -> None:
    """Draw the pictures of the runs that are named, or of all."""
    page = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"figures/gallery/([\w-]+)-(\w+)\.png", page)
    for run in chosen or sorted({run for run, _ in names}):
        with tempfile.TemporaryDirectory() as folder:
            draw(run, Path(folder))
            for of, name in names:
                if of == run:
                    target = DOCS / "figures" / "gallery" / f"{run}-{name}.png"
                    shrink(Path(folder) / f"{name}.png", target)


if __name__ == "__main__":
    main(sys.argv[1:])
