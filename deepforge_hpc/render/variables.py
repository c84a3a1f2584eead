"""Variables that a site sets in a job, as shell: text in double quotes, checked by code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.render.engine import Raw
from deepforge_hpc.site.words import HARMLESS, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_PART = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]{0,100})|\$\{([A-Za-z_][A-Za-z0-9_]{0,100})\}")
# Nothing of these can end the quotes or start a command.
_PLAIN = re.compile(r"[^`\"\\$!]*")


def exports(env: Iterable[tuple[str, str]]) -> Raw:
    """Return a line of shell for each variable; InvalidInputError for what is not harmless."""
    lines = []
    for name, value in env:
        if not _NAME.fullmatch(name):
            raise InvalidInputError([Fault(message=f"{name!r} is no name of a variable")])
        if secret := SECRET.fullmatch(value):
            lines.append(f"secret {name} {secret[1]}")
        else:
            lines.append(f'export {name}="{in_quotes(value)}"')
    return Raw("\n".join(lines))


def in_quotes(value: str) -> str:
    """Return a value as it stands between double quotes; its variables may be unset."""
    parts = []
    end = 0
    for match in _PART.finditer(value):
        name = match[1] or match[2]
        if not HARMLESS.fullmatch(name):
            raise InvalidInputError([Fault(message=f"${name} may not be used in a job's script")])
        parts += [value[end : match.start()], f"${{{name}:-}}"]
        end = match.end()
    parts.append(value[end:])
    if not value.isprintable() or not all(_PLAIN.fullmatch(part) for part in parts[::2]):
        message = f"{value!r} cannot stand in a job's script: quotes and commands are not possible"
        raise InvalidInputError([Fault(message=message)])
    return "".join(parts)
