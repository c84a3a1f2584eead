"""Load the operation of a job from the frozen code, and call it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from ..base.failure import JobError
from ..base.plan import OperationSource, argument_of
from ..base.plugins import named_plugins
from ..formats.base import Format, FormatError, block_of, count_rows
from .imports import FrozenLoader
from .messages import RankInput, RankSpec


def load_operation(spec: RankSpec) -> Callable[..., Any]:
    """Return the class or function of the operation."""
    code, source = Path(spec.code), spec.job.source
    assert source is not None  # a job without code has no ranks
    sys.path[:0] = [str(code / folder) for folder in source.search]
    target: Callable[..., Any] = getattr(
        _load_module(code, source.module, source.search), source.object
    )
    return target


def run_start_up(code: Path) -> None:
    """Run what libraries want to be run before anything of the operation is imported."""
    for path in named_plugins(code, "start_up").values():
        _load_module(code, path, ())


def run_operation(
    spec: RankSpec, target: Callable[..., Any], formats: Mapping[str, Format]
) -> dict[str, Any]:
    """Return the outputs of the operation by name."""
    source = spec.job.source
    assert source is not None
    tasks = None if spec.task is None else spec.job.tasks
    known = {"seed": spec.job.seed, "shard": spec.task, "shards": tasks}
    known = {name: value for name, value in known.items() if value is not None}
    settings = _settings(spec, known, Path(spec.code))
    inputs = _load_inputs(spec, formats)
    if source.kind == "class":
        # One seed for both, also where an attribute has the name.
        taken = [name for name in known if f"execute.{name}" in source.parameters]
        given = {name: settings.get(name, known[name]) for name in taken}
        value = _call(target(**settings).execute, {**inputs, **given}, source.star)
    else:
        value = _call(target, {**settings, **inputs}, source.star)
    return _name_outputs(value, source, [item.name for item in spec.job.outputs])


def _call(function: Callable[..., Any], arguments: dict[str, Any], star: tuple[str, ...]) -> Any:
    """Call by name; with `*NAME`, that and what stands before it by position."""
    before = [arguments.pop(name) for name in star[:-1]]
    rest = arguments.pop(star[-1]) if star else ()
    return function(*before, *rest, **arguments)


def _load_module(code: Path, module: str, search: tuple[str, ...]) -> ModuleType:
    """Import a file of the frozen code: by dotted name in a package, else under its own name."""
    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    path = code / module
    for folder in search:
        if path.is_relative_to(code / folder):
            packages = path.relative_to(code / folder).parts[:-1]
            folders = [(code / folder).joinpath(*packages[: n + 1]) for n in range(len(packages))]
            if packages and all((place / "__init__.py").is_file() for place in folders):
                return import_module(".".join((*packages, path.stem)))
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"dfh_operation_{name}"  # an operation in json.py must not replace Python's json
    spec = spec_from_file_location(name, path, loader=FrozenLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    sys.modules[name] = loaded  # for pickle and for Keras, which look classes up by module name
    spec.loader.exec_module(loaded)
    return loaded


def _settings(spec: RankSpec, known: Mapping[str, Any], code: Path) -> dict[str, Any]:
    """Return the arguments that are no inputs: attributes, references, and what the job knows."""
    source = spec.job.source
    assert source is not None
    taken = {name: value for name, value in known.items() if name in source.parameters}
    settings = {**taken, **dict(spec.job.attributes)}
    for reference in spec.job.references:
        build: Callable[[], Any] = _load_module(code, reference.module, ()).build
        settings[reference.name] = build()
    return settings


def _load_inputs(spec: RankSpec, formats: Mapping[str, Format]) -> dict[str, Any]:
    """Return the inputs by argument; a list of them as a list, in its order."""
    if len(spec.inputs) > _MANY:
        _allow_open_files()
    inputs: dict[str, Any] = {}
    for item in spec.inputs:
        value, argument = _load_input(spec, item, formats), argument_of(item.port)
        if argument == item.port:
            inputs[argument] = value
        else:
            inputs.setdefault(argument, []).append(value)
    return inputs


_MANY = 100
"""Inputs that a login shell's limit of open files may be too small for: one may be open in each."""


def _allow_open_files() -> None:
    """Raise the limit of open files as far as this process may: arrays and tables stay open."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # a system that refuses its own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _load_input(spec: RankSpec, item: RankInput, formats: Mapping[str, Format]) -> Any:
    path = Path(item.path)
    try:
        fmt = formats[item.format]
        rows = None
        if item.mapped and spec.task is not None:
            total = count_rows(fmt, path, parts=item.parts)
            _refuse_idle_tasks(item.port, path, total, spec.job.tasks)
            rows = block_of(spec.task, spec.job.tasks, total)
        return fmt.load_parts(path, rows) if item.parts else fmt.load(path, rows)
    except (OSError, ValueError, FormatError, KeyError) as error:
        if isinstance(error, OSError) and error.errno == errno.EMFILE:
            raise  # nothing is wrong with the file: it is told as the limit that it is
        what = (error.strerror if isinstance(error, OSError) else "") or str(error).rstrip(".")
        reason = f"Input {item.port} ({path}) cannot be read as {item.format}: {what}."
        hint = "Check the file, and the input's `type:` or the operation's `types:`."
        raise JobError(reason, hint) from error


def _refuse_idle_tasks(port: str, path: Path, rows: int, tasks: int) -> None:
    """Refuse an array with more tasks than rows, in each of its tasks: it cannot be whole."""
    if rows == 0:
        reason = f"Input {port} ({path}) has no rows, so there is nothing to share out."
        raise JobError(reason, "See what made it; then submit again.")
    if rows < tasks:
        reason = (
            f"Input {port} ({path}) has fewer rows ({rows}) than the array has tasks ({tasks})."
        )
        raise JobError(reason, f"Set `shards:` under `map:` to {rows} or less, then submit again.")


def _name_outputs(value: Any, source: OperationSource, names: list[str]) -> dict[str, Any]:
    """Return the outputs by name from what the operation returned."""
    returns = source.returns
    expected = ", ".join(names)
    hint = f"The pipeline was checked with the outputs {expected}; every `return` must agree."
    if not names:
        return {}
    if value is None and returns != "one":
        raise JobError(f"{source.object} returned nothing, and its outputs are {expected}.", hint)
    if returns == "dict":
        if not isinstance(value, dict) or set(value) != set(names):
            got = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise JobError(f"{source.object} returned {got}, and its outputs are {expected}.", hint)
        return value
    if returns == "tuple":
        if not isinstance(value, (tuple, list)) or len(value) != len(names):
            got = (
                f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
            )
            raise JobError(f"{source.object} returned {got}, and its outputs are {expected}.", hint)
        return dict(zip(names, value, strict=True))
    return {names[0]: value}
