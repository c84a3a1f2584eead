"""The same pipeline, built in Python: it is checked as a file is, and either form writes the other.

pipeline = Pipeline("redshift")
pipeline.input("catalogue", "data/sdss.h5")
pipeline.operation("train", uses="train.py:Train", inputs={"table": "catalogue"})
pipeline.output("model", "train.model")
pipeline.save("pipeline.yaml")

Pipeline.from_yaml("pipeline.yaml").to_python() is the way back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.files.faults import Reader, nearest
from deepforge_hpc.files.kinds import VERSION
from deepforge_hpc.files.project import read_input
from deepforge_hpc.files.yaml12 import dump, load
from deepforge_hpc.pipeline.file import OPERATION, read_pipeline
from deepforge_hpc.runtime.base.files import publish_bytes

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.load import Loaded, Settings


_SECTIONS = ("inputs", "operations", "outputs")


def _with_keys(method: Callable[..., Pipeline]) -> Callable[..., Pipeline]:
    """Show the keys of an operation where `help` and notebooks look for arguments."""
    own = inspect.signature(method)
    named = [item for item in own.parameters.values() if item.name != "keys"]
    known = {item.name for item in named}
    keys = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None)
        for key in OPERATION.fields
        if key not in known
    ]
    vars(method)["__signature__"] = own.replace(parameters=[*named, *keys])
    return method


class Pipeline:
    """A pipeline under construction. Every method returns the pipeline, so that calls can chain."""

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        code: Sequence[str] = (),
        environment: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        executions: str = "",
    ) -> None:
        self._data: dict[str, Any] = _given(
            dfh=VERSION,
            pipeline=name,
            description=description,
            seed=seed,
            executions=executions,
            code=list(code),
            environment=_plain(environment),
            env=_plain(env),
        )

    def input(self, name: str, uri: str | Path, type: str | None = None) -> Pipeline:  # noqa: A002 - the key of the file
        """Add an external input."""
        return self._add("inputs", name, _given(uri=str(uri), type=type))

    @_with_keys
    def operation(self, name: str, *, uses: str = "", **keys: Any) -> Pipeline:
        """Add an operation; the arguments are the keys of the file."""
        given = {"uses": uses, **keys}
        for key in given.keys() - OPERATION.fields.keys():
            raise UsageError(f"operation() has no argument {key!r}", nearest(key, OPERATION.fields))
        values = {key: _plain(given[key]) for key in OPERATION.fields if key in given}
        return self._add("operations", name, _given(**values))

    def output(self, name: str, from_: str, to: str | Path | None = None) -> Pipeline:
        """Declare a result: `from_` is `OPERATION.OUTPUT`."""
        entry = {"from": from_, **({} if to is None else {"to": str(to)})}
        return self._add("outputs", name, entry)

    def to_yaml(self) -> str:
        """Return the text of the pipeline's file."""
        from yaml.representer import RepresenterError

        try:
            return dump(self._data)
        except RepresenterError as error:
            message = f"a value that JSON cannot hold: {error.args[-1]!r}"
            raise InvalidInputError([Fault(message=message, file="Pipeline")]) from error

    def to_python(self) -> str:
        """Return the source of a Python program that builds this pipeline."""
        data = {key: value for key, value in self._data.items() if key != "dfh"}
        name = data.pop("pipeline")
        inputs, operations, outputs = (data.pop(key, {}) for key in _SECTIONS)
        calls = [f"pipeline = {_call('Pipeline', name, data)}"]
        for key, entry in inputs.items():
            calls.append(_call("pipeline.input", key, _full(entry, "uri")))
        for key, entry in operations.items():
            calls.append(_call("pipeline.operation", key, entry))
        for key, entry in outputs.items():
            words = _full(entry, "from")
            calls.append(_call("pipeline.output", key, {"from_": words.pop("from"), **words}))
        return "\n".join(["from deepforge_hpc import Pipeline", "", *calls, ""])

    def save(self, path: str | Path) -> Path:
        """Write the pipeline's file, after a check of its form; the code is checked by `load`."""
        text = self.to_yaml()
        reader = Reader(load(text, str(path)))
        read_pipeline(reader)
        if reader.faults:
            raise InvalidInputError(reader.faults)
        publish_bytes(Path(path), text.encode())
        return Path(path)

    def load(
        self, folder: str | Path = ".", *, site: str | None = None, settings: Settings | None = None
    ) -> Loaded:
        """Check the pipeline as if its file stood in a folder; nothing is written."""
        from deepforge_hpc.pipeline.load import load_text

        path = Path(folder, "pipeline.yaml")
        return load_text(self.to_yaml().encode(), path, site=site, settings=settings)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Pipeline:
        """Return the pipeline of a file; InvalidInputError with all that is wrong in its form."""
        document = load(read_input(Path(path)), str(path))
        reader = Reader(document)
        read_pipeline(reader)
        if reader.faults:
            raise InvalidInputError(reader.faults)
        pipeline = cls("")
        pipeline._data = document.value()
        return pipeline

    def _add(self, section: str, name: str, entry: dict[str, Any]) -> Pipeline:
        entries = self._data.setdefault(section, {})
        if name in entries:
            message = f"{section}: {name!r} is there already"
            raise UsageError(message, "Give each a name of its own.")
        entries[name] = entry
        return self


def _call(function: str, name: str, words: Mapping[str, Any]) -> str:
    """Return the source of a call; what the file holds is written by `repr`."""
    parts = [repr(name), *(f"{key}={value!r}" for key, value in words.items())]
    line = f"{function}({', '.join(parts)})"
    if len(line) <= 100:
        return line
    return "\n".join([f"{function}(", *(f"    {part}," for part in parts), ")"])


def _full(entry: str | Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an entry whose text alone stands for one of its keys."""
    return {key: entry} if isinstance(entry, str) else dict(entry)


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that say something."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def _plain(value: Any) -> Any:
    """Return mappings as dicts, sequences and numpy's values as lists and numbers, all the way."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
