"""What the introspection of frameworks has in common: documentation that is read, files written.

    python -m deepforge_hpc.libraries.NAME.introspect FOLDER

writes `names.json` (what can be named, with arguments, defaults and sorts of value) and
`texts.json` (what documentation says of each), which `catalogue` reads.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def summary(text: str) -> str:
    """Return the first paragraph of a documentation, on one line."""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def once(texts: dict[str, Any]) -> dict[str, Any]:
    """Return the texts of arguments once each: by name, and by number where they are used."""
    shared: dict[str, list[str]] = {}
    for family in texts.values():
        for said in family.values():
            for name, text in said[1].items():
                known = shared.setdefault(name, [])
                if text not in known:
                    known.append(text)
                said[1][name] = known.index(text)
    return {"arguments": shared, **texts}


def plain(value: Any) -> Any:
    """Return a default as JSON; what is no literal as text."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def section(thing: Any, title: str, common: Collection[str] = ()) -> dict[str, str]:
    """Return what a section of the documentation says of each name.

    `common` are names at whatever indentation.
    """
    text = inspect.cleandoc(thing.__doc__ or "")
    # Keras adds examples at another indentation to some, which Python 3.13 takes off itself.
    indented = rf"^([ \t]*){title}:[ ]*\n((?:\1[ \t]+.*(?:\n|$)|[ \t]*\n)*)"
    found = re.search(indented, text, re.MULTILINE)
    said: dict[str, str] = {}
    name, depth = "", None
    for line in found[2].splitlines() if found else ():
        item = re.match(r"([ \t]+)`?\*{0,2}(\w+)`?(?: ?\([^)]*\))?:[ ]*(.*)", line)
        if item and (depth is None or len(item[1]) <= depth or item[2] in common):
            depth = depth or len(item[1])
            name, said[item[2]] = item[2], item[3]
        elif name:
            said[name] = f"{said[name]} {line.strip()}".strip()
    return said


def write(folder: str, names: Mapping[str, Any], texts: Mapping[str, Any]) -> None:
    """Write both files; one line for each thing, so that a change of a framework can be read."""
    for name, data in (("names", names), ("texts", texts)):
        (Path(folder) / f"{name}.json").write_text(written(data))


def written(data: Mapping[str, Any]) -> str:
    """Return JSON with a line for each thing."""
    parts = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"{json.dumps(k)}: {_line(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {_line(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
