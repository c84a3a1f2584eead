"""Where results may come to lie (`outputs.NAME.to`), and whether two of these are one place.

A place is an absolute path. One that ends in `.*` is a result whose ending nobody knows yet: the
job that makes it gives it one.
"""

from __future__ import annotations

import os

from deepforge_hpc.runtime.formats import FORMATS

_OPEN = ".*"


def ending_of(kind: str, *, is_one: bool) -> str:
    """Return what the name of a result of that format ends in; `is_one`: not an array's parts."""
    fmt = FORMATS.get(kind) if is_one else None
    return (fmt.suffix if fmt else "") or _OPEN


def places(to: str, name: str, ending: str) -> tuple[str, ...]:
    """Return where a result of that name may come to lie.

    `to` names the result itself, or a folder for it: if it ends in a slash, or is one by then.
    """
    folder, last = os.path.split(to.rstrip("/"))
    path = f"{os.path.realpath(folder)}/{last}"  # of a link its own name: it is what is replaced
    inside = f"{os.path.realpath(path)}/{name}{ending}"
    if to.endswith("/"):
        return (inside,)
    is_folder = os.path.isdir(path)  # noqa: PTH112
    if is_folder and not os.path.lexists(f"{path}.prov"):
        # A result that is a folder itself takes the place of an empty one.
        return (inside, path) if ending == _OPEN and _is_empty(path) else (inside,)
    has_ending = os.path.splitext(last)[1] != ""  # noqa: PTH122
    return (path,) if has_ending and not is_folder else (path, inside)


def _is_empty(folder: str) -> bool:
    try:
        return not os.listdir(folder)  # noqa: PTH208 - whether there is a name
    except OSError:
        return False


def may_be_one(one: str, other: str) -> bool:
    """Tell whether two results may get the same place."""
    return one == other or _is_named(one, other) or _is_named(other, one)


def overlap(one: str, other: str) -> bool:
    """Tell whether two places may be the same, or one lies in the result at the other."""
    return may_be_one(one, other) or _holds(one, other) or _holds(other, one)


def _is_named(one: str, other: str) -> bool:
    """Tell whether a place without an ending may get that of another."""
    stem = one.removesuffix(_OPEN)
    return stem != one and stem in {other, *os.path.splitext(other)[:1]}  # noqa: PTH122


def _holds(outer: str, inner: str) -> bool:
    return inner.startswith(f"{outer.removesuffix(_OPEN)}/")
