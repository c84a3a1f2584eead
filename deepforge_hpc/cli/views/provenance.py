"""How records look as text."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator

from deepforge_hpc.api.provenance import Explanation
from deepforge_hpc.cli.views.display import Verbatim, listing
from deepforge_hpc.ledger.locate import Located
from deepforge_hpc.ledger.store import Record, short
from deepforge_hpc.ledger.trace import Line, Trace, tree
from deepforge_hpc.ledger.verify import Verification
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.base.text import count, listed, size
from deepforge_hpc.runtime.state.record_data import (
    RecordedInput,
    RecordedOutput,
    RecordedReference,
    Span,
    label,
)

_RECORDS = (
    ("JOB", "label"),
    ("STATUS", lambda record: record.data.status.value),
    ("RECORD", lambda record: short(record.id)),
    ("OUTPUTS", lambda record: ", ".join(output.name for output in record.data.outputs)),
)
_MANY = 6
_LONG = 60


def explanation_lines(found: Explanation, *, packages: bool = False) -> Iterator[str]:
    """Yield one screen: what it is, what made it, from what, with what; `packages`: with each."""
    located, record = found.located, found.record
    data = record.data
    if len(located.records) > 1:
        yield from _several(found)
        return
    name = str(located.path) if located.path else f"record {short(record.id)}"
    target = shlex.quote(str(located.path)) if located.path else short(record.id)
    yield f"{name}  {_content(found)}"
    if found.state == "modified":
        yield f"{'':11}not what its record says: dfh prov verify {target} tells more"
    if origin := _origin(located):
        yield f"{'':11}{origin}"
    rows = [
        ("record", f"{record.id}"),
        ("made by", _made_by(record)),
        ("code", _code(record)),
        *(("input", _input(item)) for item in data.inputs[:_MANY]),
    ]
    if len(data.inputs) > _MANY:
        rows.append(("", f"and {len(data.inputs) - _MANY} more inputs"))
    rows += [("params", line) for line in _parameters(record)]
    rows += [("reference", _reference(item)) for item in data.operation.references]
    rows.append(("env", _environment(record)))
    labels = itertools.chain(["packages"], itertools.repeat(""))
    rows += zip(labels, _packages(found, target, each=packages), strict=False)
    rows += [("output", _output(item)) for item in data.outputs[:_MANY]]
    if data.figures:
        rows.append(("figures", listed([item.name for item in data.figures])))
    if made := data.reused_from:
        rows.append(("reused", f"from {label(made.execution, made.job, made.task)}"))
    if data.status is not State.SUCCEEDED:
        rows.append((data.status.value, data.reason))
    rows.append(("history", count(found.ancestors, "earlier record")))
    rows += [("next", f"dfh prov trace {target}"), ("", f"dfh prov verify {target}")]
    for title, text in rows:
        line = f"{title:11}{text}".rstrip()
        yield Verbatim(line) if title == "params" else line


def _origin(located: Located) -> str:
    """Return by what a copy, which is not where it was made, was known."""
    if not located.made:
        return ""
    label, name = located.record.label, located.made.name
    if located.how == "figure_id":
        return (
            f"its id is that of {name} of {label}, its bytes are not: edited, saved anew,"
            " or copied before the last drawing"
        )
    if located.how != "content":
        return ""
    if located.is_figure:
        return f"a copy, byte for byte: {label} drew this figure as {name}"
    more = f", as {count(located.others, 'other record')} did" if located.others else ""
    return f"a copy: {label} made this content as {name}{more}"


def _content(found: Explanation) -> str:
    """Return what the one output is now, or how many there are if no single one was asked for."""
    if found.located.made:
        digest = f"sha256:{short(found.sha256)}" if found.sha256 else "cannot be read"
        return f"{digest}  {size(found.size)}  {found.state}"
    if not (outputs := found.record.data.outputs):
        return "no outputs"
    return f"{count(len(outputs), 'output')}  {size(found.size)}  not checked"


def _packages(found: Explanation, target: str, *, each: bool) -> list[str]:
    """Return what the operation could import: line by line, or how many and how to see them."""
    digest = found.record.data.environment.packages
    if not digest:
        return []
    if not found.packages:
        return [f"{short(digest)}  the list is not in this ledger, or was changed"]
    if each:
        return list(found.packages)
    return [f"{short(digest)}  {len(found.packages)} installed: dfh prov show {target} --packages"]


def _several(found: Explanation) -> Iterator[str]:
    yield f"{found.located.path}  {count(len(found.located.records), 'record')}"
    yield from listing(_RECORDS, found.located.records[::-1])


def trace_lines(closure: Trace, *, depth: int | None) -> Iterator[str]:
    """Yield the tree of what a result was made from."""
    for line in tree(closure, depth=depth):
        indent = "  " * line.depth
        port = f"{line.port} <- " if line.port else ""
        yield f"{indent}{port}{_node(line)}"


def _node(line: Line) -> str:
    record = line.record
    if record is None:
        if line.problem:
            return f"PROBLEM: {line.problem}"
        place = line.input.uri or line.input.path or "?"
        return f"{place}  {short(line.input.sha256) or 'not hashed'}  ({line.input.trust})"
    if line.is_repeat:
        return f"{record.label}  (see #{line.number})"
    tasks = f"  and {count(line.tasks - 1, 'more task')}" if line.tasks > 1 else ""
    what = record.data.operation.object
    return f"#{line.number} {record.label}{tasks}  {what}  {short(record.id)}"


def verification_lines(found: Verification) -> Iterator[str]:
    """Yield each finding by kind, then the verdict."""
    order = {"error": 0, "warning": 1, "info": 2}
    for finding in sorted(found.findings, key=lambda item: (order[item.level], item.kind)):
        yield f"{finding.level}: {finding.kind}: {finding.text}"
        yield f"    {finding.subject}"
    verdict = "NOT SOUND" if not found.is_sound else "sound" if found.is_checked else "NOT CHECKED"
    checked = [count(found.records, "record")]
    checked += [count(found.outputs, "output")] * bool(found.outputs)
    checked += [count(found.figures, "file of figures", "files of figures")] * bool(found.figures)
    code = f"the frozen code of {count(found.executions, 'execution')}"
    checked += [code] * bool(found.executions)
    verb = "was" if checked == ["1 record"] else "were"
    yield f"{verdict}: {listed(checked, last=' and ')} {verb} checked"


def _made_by(record: Record) -> str:
    data = record.data
    if data.reused_from:
        return f"{record.label}  taken over, not run"
    parts = [
        record.label,
        f"attempt {data.attempt}",
        f"job {data.scheduler.native_id} @{data.site}",
        _period(data.time),
        f"{data.world_size} ranks" if data.world_size > 1 else "",
        data.status.value,
    ]
    return "  ".join(part for part in parts if part)


def _period(time: Span) -> str:
    start, end = ((text or "?")[:19].replace("T", " ") for text in (time.start, time.end))
    is_same_day = start[:10] == end[:10]
    return f"{start} to {end[11:] if is_same_day else end} UTC"


def _code(record: Record) -> str:
    operation, seed = record.data.operation, record.data.seed
    if not operation.source:
        return "of deepforge-hpc itself"
    code = f"{operation.module}:{operation.object}" if operation.module else operation.object
    text = f"{code}  {short(operation.source)}"
    return text if seed is None else f"{text}  seed {seed}"


def _input(item: RecordedInput) -> str:
    origin = f"<- {item.by.job}.{item.by.output}" if item.by else item.uri
    trust = "" if item.trust == "content" else f"  ({item.trust})"
    return f"{item.port}  {short(item.sha256) or 'not hashed'}  {origin}{trust}"


def _output(item: RecordedOutput) -> str:
    return f"{item.name}  {short(item.sha256)}  {size(item.size)}  {item.path}"


def _parameters(record: Record) -> Iterator[str]:
    operation = record.data.operation
    texts = [f"{name}={value!r}" for name, value in sorted(operation.attributes.items())]
    known = {name: repr(value) for name, value in operation.defaults.items()}
    left = {**known, **operation.computed}
    texts += [f"{name}={text}  (default)" for name, text in sorted(left.items())]
    for text in texts[: 2 * _MANY]:
        yield text if len(text) <= _LONG else f"{text[:_LONG]}..."
    if len(texts) > 2 * _MANY:
        yield f"and {len(texts) - 2 * _MANY} more"


def _reference(item: RecordedReference) -> str:
    return f"{item.name}  {item.source}  {short(item.sha256)}"


def _environment(record: Record) -> str:
    found = record.data.environment
    return f"python {found.version}  {found.python}  {' '.join(found.modules)}"
