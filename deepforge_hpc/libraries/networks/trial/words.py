"""Objections in words that a beginner understands: what the tables of all frameworks share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from deepforge_hpc.libraries.networks.graph import LayerCall
from deepforge_hpc.libraries.networks.trial.judge import Advice, gets, was_ended
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Objection


class Case(NamedTuple):
    """A layer that was refused."""

    call: LayerCall
    built: BuiltLayer
    match: re.Match[str]

    @property
    def gets(self) -> str:
        """Return `flat gives 192` for each input."""
        return gets(self.call, self.built)

    def value(self, name: str) -> str:
        """Return an argument as it is written."""
        argument = self.call.arguments.get(name)
        return str(argument.data) if argument else "?"

    def size(self, dimension: int) -> int | None:
        """Return a size of the first input."""
        shape = self.built.inputs[0] if self.built.inputs else ()
        return shape[dimension] if -len(shape) <= dimension < len(shape) else None


Table = Mapping[str, Callable[[Case], Advice]]
"""What a framework says, as a pattern -> what that means; the first that fits counts."""


class Words(NamedTuple):
    """How a framework's objections are said."""

    table: Table
    flags: re.RegexFlag
    plain: frozenset[str]
    """Exceptions that need not be named."""
    shorten: Callable[[str], str]
    """Makes one sentence of what no pattern knows."""
    core: Callable[[str], str] = str
    """Takes away what the framework wraps around what it says."""

    def said(self, call: LayerCall, built: BuiltLayer, objection: Objection) -> Advice:
        """Return the objection of a layer in plain words."""
        if ended := was_ended(objection):
            return ended
        text, kind = self.core(objection.text), objection.type
        for pattern, words in (*_FIRST.items(), *self.table.items(), *_LAST.items()):
            if match := re.search(pattern, text, self.flags):
                return words(Case(call, built, match))
        what = self.shorten(text)
        said = f"refuses it: {what}" if kind in self.plain else f"fails: {kind}: {what}"
        return Advice(f"{call.kind} {said}")


def missing(example: str) -> Callable[[Case], Advice]:
    """Return what to say of a layer that is not given all of its inputs."""

    def words(case: Case) -> Advice:
        what = f"{case.call.kind} is called on several inputs, and {case.match[1]} is not given"
        return Advice(what, f"name them in from:, such as from: {example}")

    return words


def refused_code(what: str) -> Advice:
    """Return what to say of a layer's own code that a check does not let pass."""
    return Advice(what, "a layer makes weights and returns tensors; load data in the operation")


def _own(case: Case) -> Advice:
    return Advice(case.match[1])


def _denied(case: Case) -> Advice:
    return refused_code(f"its code tried what no check may do: {case.match[1]}")


def _no_module(case: Case) -> Advice:
    return Advice(f"its code needs {case.match[1]}, which is not installed where the check runs")


def _memory(_: Case) -> Advice:
    hint = "look for a size among its arguments that is far too large"
    return Advice("it takes more memory than a check may have", hint)


_FIRST: Table = {  # words of the trial itself
    r"\A(\S+ gives (?:one tensor|\d+ outputs, ).*)": _own,
    r"a check may not do this: (.*)": _denied,
    r"\AMemoryError\Z|Unable to allocate|OOM when|can't allocate memory|bad_alloc": _memory,
}
_LAST: Table = {r"No module named '([\w.]+)'": _no_module}
