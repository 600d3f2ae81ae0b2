"""Pages that the code writes itself: commands, configuration keys and presets, formats.

They are made anew by every build in ``docs/reference``, which git ignores.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
from cyclopts import App
from cyclopts.docs.markdown import generate_markdown_docs
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from breadth.diversity import BreadthError, ConformerSet, Molecules, formats
from breadth.studies import STUDIES, configuration, registry, study_named
from breadth.studies.cli.app import GROUPS, app
from breadth.studies.cli.commands import COMMANDS

#: Of commands that take keys: the configuration, and the folder of its presets.
KEYS: dict[str, tuple[str, str | None]] = {
    "pool": ("breadth.studies.pooling:PoolConfiguration", None),
    "train": ("breadth.studies.single:TrainConfiguration", None),
    "finetune": ("breadth.studies.tuning:TuneConfiguration", None),
    "refine test-time": ("breadth.studies.adapting:AdaptConfiguration", None),
    "refine radius": ("breadth.studies.radii:RadiusConfiguration", None),
    "sweep": ("breadth.studies.sweep:SweepConfiguration", None),
}
for _name in STUDIES:
    _study = study_named(_name)
    _kind = _study.configuration
    KEYS[f"study {_name}"] = (f"{_kind.__module__}:{_kind.__name__}", _study.presets)


def _write_pages(sphinx: Sphinx) -> None:
    folder = Path(sphinx.srcdir) / "reference"
    pages = {"commands.md": commands_page(), "formats.txt": formats_table()}
    for name in _commands():
        pages[f"commands/{_file(name)}.md"] = command_page(name)
    pages["configuration.md"] = _index(
        "Configuration keys",
        "What `--set KEY=VALUE`, the YAML files of `--config` and the plan of a sweep may hold. A "
        "misspelt key is an error that names the nearest.",
        {_file(name): f"`breadth {name}`" for name in KEYS},
        "configuration",
    )
    for name in KEYS:
        pages[f"configuration/{_file(name)}.md"] = configuration_page(name)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A page that did not change keeps its time, so that it is not read again.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in pages:
            path.unlink()


def _commands() -> list[str]:
    """Return every command as it is typed, in the order of the help."""
    return [f"{GROUPS[name].name[0]} {name}" if name in GROUPS else name for name in COMMANDS]


def _file(name: str) -> str:
    return name.replace(" ", "-")


def _index(title: str, lead: str, entries: dict[str, str], folder: str) -> str:
    tree = "\n".join(f"{folder}/{name}" for name in entries)
    rows = "\n".join(f"- [{text}]({folder}/{name}.md)" for name, text in entries.items())
    return f"# {title}\n\n{lead}\n\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"


def commands_page() -> str:
    """Return the list of all commands."""
    lead = (
        "Made from the code. Every command has `--help`; `--debug` before or after it shows the "
        "traceback of an error. With `--json` the standard output is one JSON object, and all "
        "else goes to standard error. A command ends with 0, with 1 and one paragraph that says "
        "what to do, or with 130 after Ctrl-C."
    )
    entries = {
        _file(name): f"`breadth {name}`: {COMMANDS[name.split()[-1]][1].splitlines()[0]}"
        for name in _commands()
    }
    page = _index("Commands", lead, entries, "commands")
    return re.sub(r"\[(`[^`]*`): (.*)\]\((.*)\)", r"[\1](\3): \2", page)


def command_page(name: str) -> str:
    """Return the page of one command: usage, what it does, examples, arguments, options."""
    chain = name.split()
    command: App = app
    for part in chain:
        command = command[part]
    text = generate_markdown_docs(
        command, generate_toc=False, recursive=False, command_chain=["breadth", *chain]
    )
    examples = [_folded(found) for found in re.findall(r"Example: `([^`]*)`", text)]
    text = re.sub(r"Example: `[^`]*`\n*", "", text)
    text = text.replace(" *[default: False]*", "").replace("```console", "```text")
    # Options in sentences are code, as those in the list are.
    usage, fence, rest = text.partition("```\n\n")
    text = usage + fence + re.sub(r"(?<![`\w-])--[a-z][a-z-]*(?![^`\n]*`)", r"`\g<0>`", rest)
    shown = "## Examples\n\n```bash\n" + "\n".join(examples) + "\n```\n\n" if examples else ""
    first = re.search(r"^\*\*(Arguments|Parameters)\*\*:", text, re.MULTILINE)
    place = first.start() if first else len(text)
    text = text[:place] + shown + text[place:]
    text = text.replace("**Arguments**:", "## Arguments").replace("**Parameters**:", "## Options")
    text = text.replace(f"# breadth {name}", f"# `breadth {name}`", 1)
    if name in KEYS:
        text += f"\n[All its keys](../configuration/{_file(name)}.md)\n"
    return text


def _folded(line: str, width: int = 84) -> str:
    """Fold a long command line before its options."""
    rows = [""]
    for part in re.split(r" (?=--)", " ".join(line.split())):
        if rows[-1] and len(rows[-1]) + len(part) > width:
            rows[-1] += " \\"
            rows.append("   ")
        rows[-1] = f"{rows[-1]} {part}" if rows[-1] else part
    return "\n".join(rows)


def configuration_page(name: str) -> str:
    """Return the keys that a command's configuration may hold, and its presets."""
    model, presets = KEYS[name]
    rows = "\n".join(
        f"| `{key}` | {_cell(default)} | {_cell(meaning)} |"
        for key, default, meaning in _keys(registry.resolve(model))
    )
    page = f"# Keys of `breadth {name}`\n\n| key | default | |\n|---|---|---|\n{rows}\n"
    page += f"\nThe command: [`breadth {name}`](../commands/{_file(name)}.md)\n"
    if presets is None:
        return page
    page += "\n## Presets\n"
    folder = Path(configuration.__file__).parent / "presets" / presets
    for path in sorted(folder.glob("*.yaml")):
        text = configuration.preset_text(path.stem, presets)
        page += f"\n### `--preset {path.stem}`\n\n```yaml\n{text.strip()}\n```\n"
    return page


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, default and meaning of every field, sections opened."""
    for name, field in model.model_fields.items():
        options = get_args(field.annotation)
        section = next((k for k in (field.annotation, *options) if _is_section(k)), None)
        default = field.get_default(call_default_factory=True)
        meaning = field.description or (section.__doc__ if section else "") or ""
        choices = [str(value) for value in _choices(field.annotation)]
        if choices and not all(choice in meaning for choice in choices):
            meaning = f"One of {', '.join(choices)}. {meaning}"
        if section is None or default is None:
            shown = "**required**" if field.is_required() else f"`{_plain(default)}`"
        else:
            shown = "a section" + ("; `null` leaves it out" if type(None) in options else "")
        yield prefix + name, shown, meaning
        if section is not None:
            yield from _keys(section, f"{prefix}{name}.")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _choices(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [value for inner in get_args(kind) for value in _choices(inner)]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False, default=str).strip('"') or '""'


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def formats_table() -> str:
    """Return the table of formats, and a section on the keys and units of each."""
    rows = ["| format | suffixes | written too | |", "|---|---|---|---|"]
    sections = []
    for name, (module, suffixes) in formats.FORMATS.items():
        told = import_module(module, formats.__name__).__doc__ or ""
        ends = ", ".join(f"`{suffix}`" for suffix in suffixes if suffix)
        if "" in suffixes:
            ends = "a folder"
        written = "yes" if _is_written(name) else "–"
        first = _cell(re.sub(r"``", "`", told.split("\n\n")[0]))
        rows.append(f"| `{name}` | {ends or 'by content'} | {written} | {first} |")
        inside = f".. automodule:: {formats.__name__}{module}\n   :no-index:"
        sections.append(f"## `{name}`\n\n```{{eval-rst}}\n{inside}\n```\n")
    return "\n".join([*rows, "", *sections])


def _is_written(name: str) -> bool:
    """Tell whether a format takes a set, by giving it one."""
    hydrogen = ConformerSet(
        molecules=Molecules(key=np.array(["H2"])),
        molecule=np.zeros(1, dtype=np.int64),
        numbers=np.ones(2, dtype=np.int64),
        positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]]),
        offsets=np.array([0, 2]),
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            formats.write(hydrogen, Path(folder, "set"), format=name)
        except BreadthError:
            return False
    return True


def setup(sphinx: Sphinx) -> ExtensionMetadata:
    """Write the pages before sphinx looks for them."""
    sphinx.connect("builder-inited", _write_pages)
    return {"version": "1", "parallel_read_safe": True}
