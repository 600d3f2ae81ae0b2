"""`breadth doctor`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter


def doctor(
    *,
    self_check: bool = True,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say what is installed, on what machine, and whether it works.

    Parameters
    ----------
    self_check
        Do a small piece of everything: sample, label, write, fit, draw, start workers. Some 10 s.
    json
        Print one JSON object.
    """
    from ..doctor import examine
    from ..self_check import self_check as check
    from .console import emit_json, progress_bar

    found = examine()
    found["checks"] = []
    if self_check:
        with progress_bar() as show:
            found["checks"] = check(show)
    failed = [one for one in found["checks"] if one["passed"] is False]
    found["passed"] = not found["problems"] and not failed
    if json:
        emit_json(found)
    else:
        _print(found)
    if not found["passed"]:
        sys.exit(1)


def _print(found: dict[str, Any]) -> None:
    from .console import listing, output, table

    device, disk = found["device"], found["disk"]
    gpus = [f"{one['name']}, {one['memory_gib']} GiB" for one in device["cuda"]]
    free = device["available_gib"]
    listing(
        {
            "breadth": f"{found['breadth']} in {found['folder']}",
            "python": f"{found['python']}, {device['system']}",
            "processor": f"{device['processor']}, {device['cores']} cores",
            "memory": f"{device['memory_gib']} GiB"
            + ("" if free is None else f", {free} GiB available"),
            "CUDA": "; ".join(gpus) or f"none: {device['cuda_reason']}",
            "threads": f"torch {device['threads']}; "
            + ", ".join(f"{k}={v}" for k, v in found["environment"].items() if v is not None),
            "free disk": "; ".join(f"{p['free_gb']} GB in {p['folder']}" for p in disk.values()),
            "packages": ", ".join(f"{k} {v or 'MISSING'}" for k, v in found["packages"].items()),
        },
        "this machine",
    )
    rows = [
        [
            name,
            "installed" if one["installed"] else f"pip install 'breadth[{name}]'",
            one["for"],
            ", ".join(one["lacks"][:4]) + (" and more" if one["lacks"][4:] else ""),
        ]
        for name, one in found["extras"].items()
    ]
    table(["extra", "", "for", "lacks"], rows, left=4)
    programs = [[name, path or "not found"] for name, path in found["programs"].items()]
    table(["program", ""], programs, left=2)
    words = {True: "pass", False: "FAIL", None: "–"}
    checks = [
        [one["step"], words[one["passed"]], one["told"], f"{one['seconds']:.1f} s"]
        for one in found["checks"]
    ]
    if checks:
        table(["self-check", "", "", "time"], checks, left=3)
    said = [f"problem: {text}" for text in found["problems"]]
    said += [f"{one['step']}: {one['do']}." for one in found["checks"] if one["do"]]
    said += [f"advice: {text}" for text in found["advice"]]
    for text in [*said, "All is well." if found["passed"] else "Something is wrong; see above."]:
        output().print(text, markup=False, soft_wrap=True)
