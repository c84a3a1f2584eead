"""Rank 0 writes the outputs of the operation to the work folder; nobody reads them there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failure import JobError, disk_hint, explain_os_error
from .files import publish_json
from .formats import FORMATS
from .formats_base import FormatError, sync_path
from .formats_file import choose
from .layout import SAVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .formats_base import Format


def save_outputs(
    order: dict[str, Any], values: dict[str, Any], formats: Mapping[str, Format]
) -> None:
    """Write each output and sync it, then the list of them; JobError names the one that fails."""
    try:
        _save(order, values, formats)
    except OSError as error:
        what = "The outputs"
        raise _disk_error(what, error) from error


def _save(order: dict[str, Any], values: dict[str, Any], formats: Mapping[str, Format]) -> None:
    work = Path(order["work"])
    folder = work / "outputs"
    folder.mkdir()
    entries = {}
    for port in order["outputs"]:
        name, declared = port["name"], port["type"]
        try:
            chosen = choose(values[name]) if declared == "any" else declared
            fmt = _find(formats, chosen)
            path = fmt.save(values[name], folder / name)
            if chosen not in FORMATS:
                fmt.verify(path)  # the supervisor verifies the others; it has no foreign code
            sync_path(path)
            rows = fmt.part_rows(path) if order["shards"] else None
        except (FormatError, ValueError, TypeError, RecursionError) as error:
            reason = f"Output {name} cannot be saved: {error}."
            hint = f"Return another value, or name a format for {name} under `types:`."
            raise JobError(reason, hint) from error
        except OSError as error:
            what = f"Output {name}"
            raise _disk_error(what, error) from error
        entries[name] = {"path": path.name, "format": chosen, "rows": rows}
    publish_json(work / SAVED, {"outputs": entries})


def _find(formats: Mapping[str, Format], name: str) -> Format:
    if name not in formats:
        message = f"there is no format {name}"
        raise FormatError(message)
    return formats[name]


def _disk_error(what: str, error: OSError) -> JobError:
    hint = disk_hint(error)
    reason = f"{what} cannot be saved: {explain_os_error(error)}."
    return JobError(reason, hint, again=bool(hint))
