"""An architecture file as one would type it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from deepforge_hpc.libraries.keras.imports.model import SavedCall, SavedModel

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
_TURN = re.compile(r"(.+)_r(\d+)")
_LEAST_COMMON = 3
Common = dict[str, dict[str, object]]
"""Kind of layer to the arguments that all of that kind have."""


def to_yaml(model: SavedModel, about: str) -> str:
    """Return the file of a network."""
    lines = [f"# {about}", "library: keras", f"architecture: {model.name}"]
    lines += _inputs(model, "")
    common = _common([call for one in (model, *model.blocks.values()) for call in one.calls])
    if common:
        lines.append("defaults:")
        lines += [f"  {kind}: {flow(arguments)}" for kind, arguments in common.items()]
    if model.blocks:
        lines.append("blocks:")
        for name, block in model.blocks.items():
            lines += [f"  {name}:", "    nested: true", *_inputs(block, "    ")]
            lines += _body(block, common, "    ")
    return "\n".join([*lines, *_body(model, common, ""), ""])


def _inputs(model: SavedModel, indent: str) -> list[str]:
    lines = [f"{indent}inputs:"]
    for name, said in model.inputs.items():
        value = said["shape"] if said.keys() == {"shape"} else said
        lines.append(f"{indent}  {name}: {flow(value)}")
    return lines


def _body(model: SavedModel, common: Common, indent: str) -> list[str]:
    """Return the layers of a network and its outputs."""
    lines = [f"{indent}layers:"]
    before = next(iter(model.inputs)) if len(model.inputs) == 1 else ""
    names: dict[str, str] = {}
    reads = Counter(name for call in model.calls for name in _reads(call))
    calls, outputs = list(model.calls), model.outputs
    reads.update(name.partition(".")[0] for name in outputs)
    while calls:
        turns = _turns(calls, reads)
        step = dict(_step(calls[0], common, before, names))
        name = calls[0].name
        if turns:
            step["repeat"] = turns
            name = names[calls[turns - 1].name] = _TURN.sub(r"\1", name)
        lines.append(f"{indent}  - {name}: {flow(step)}")
        before = calls[max(turns, 1) - 1].name
        del calls[: max(turns, 1)]
    if outputs != [before]:
        lines.append(f"{indent}outputs: {flow([names.get(name, name) for name in outputs])}")
    return lines


def _reads(call: SavedCall) -> Iterator[str]:
    """Yield the names of all that a call is given, and of a layer that it calls again."""
    given = [*call.sources, *call.keywords.values(), call.arguments]
    for item in given:
        for one in item if isinstance(item, list) else [item]:
            if isinstance(one, str):
                yield one.partition(".")[0]


def _common(calls: Sequence[SavedCall]) -> Common:
    """Return what all layers of a kind have in common, if there are several."""
    by_kind: dict[str, list[dict[str, object]]] = {}
    for call in calls:
        if isinstance(call.arguments, dict) and ":" not in call.kind:  # `defaults` are of Keras'
            by_kind.setdefault(call.kind, []).append(call.arguments)
    found = {}
    for kind, several in by_kind.items():
        first = several[0] if len(several) >= _LEAST_COMMON else {}
        common = {
            name: item
            for name, item in first.items()
            if all(name in one and repr(one[name]) == repr(item) for one in several)
        }
        if common:
            found[kind] = common
    return found


def _step(
    call: SavedCall, common: Common, before: str, names: Mapping[str, str]
) -> Iterator[tuple[str, object]]:
    arguments = call.arguments
    if isinstance(arguments, dict):
        usual = common.get(call.kind, {})
        arguments = {name: item for name, item in arguments.items() if name not in usual}
    yield call.kind, arguments
    if call.sources != (before,):
        sources = [names.get(name, name) for name in call.sources]
        yield "from", sources[0] if len(sources) == 1 else sources
    if call.keywords:
        yield "call", {key: _renamed(value, names) for key, value in call.keywords.items()}


def _renamed(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _turns(calls: Sequence[SavedCall], reads: Mapping[str, int]) -> int:
    """Return how many calls, named `NAME_r1`, `NAME_r2`, ..., are one that is repeated."""
    match = _TURN.fullmatch(calls[0].name)
    if match is None or match[2] != "1" or len(calls[0].sources) != 1:
        return 0
    count = 1
    for call, after in pairwise(calls):
        expected = after._replace(name=call.name, sources=call.sources)
        is_next = after.name == f"{match[1]}_r{count + 1}" and after.sources == (call.name,)
        if not is_next or expected != call or reads[call.name] != 1:
            break
        count += 1
    return count if count > 1 and calls[0].kind != "reuse" else 0


def flow(value: object) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str):
        is_plain = _WORD.fullmatch(value) and value.lower() not in _RESERVED
        return value if is_plain else json.dumps(value)
    return json.dumps(value)
