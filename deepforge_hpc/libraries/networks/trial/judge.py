"""How a framework is asked what it thinks of a network, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Objection, Shape

Outcome = Mapping[str, BuiltLayer]
"""By the name of the layer call."""
_PARTS = ("sealed", "contained")
"""What every trial has, each after what it imports."""
_PACKAGE = "deepforge_hpc.libraries.networks.trial"
_FUTURE = "from __future__ import annotations\n"
_PRELUDE = """\
import sys, types
_part = types.ModuleType({name!r})
exec(compile({text!r}, "<trial>", "exec"), _part.__dict__)
sys.modules[{name!r}] = _part
del _part
"""


def within(outcome: Outcome, name: str) -> Outcome:
    """Return what is known of the layers of a nested model, by their names in it."""
    start = f"{name}."
    return {one[len(start) :]: built for one, built in outcome.items() if one.startswith(start)}


class Advice(NamedTuple):
    """What is wrong with a layer, and what to do."""

    message: str
    hint: str = ""


class Finding(NamedTuple):
    """A layer that may be as it is wanted, and mostly is not."""

    kind: str
    call: LayerCall
    said: Advice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judge:
    """One framework."""

    framework: str
    """As messages name it."""
    packages: tuple[str, ...]
    """What an environment has of these decides what is said in it; the first is the framework."""
    child: Path
    """What is sent to the Python of an environment."""
    said: Callable[[LayerCall, BuiltLayer, Objection], Advice]
    """Its objection in words that a beginner understands."""
    findings: Callable[[Graph, Outcome], Iterator[Finding]]
    """What it accepts and a learning curve does not forgive."""
    of_loss: Callable[[Graph, Outcome, object], Iterator[Finding]]
    """What does not fit between the outputs and a loss: its name, or {name: arguments}."""
    of_ranks: Callable[[Graph], Iterator[Fault]]
    """What is wrong where several ranks train the network."""
    adds_axis: bool = False
    """Whether rows may lack an axis of length 1 at the end, or have one more."""
    losses: Callable[[], Mapping[str, str]]
    """The class of each loss, by all names of it."""
    operations: Callable[[BuiltLayer], int | None]
    """The multiply-accumulates of a layer for one example; None where they are not known."""
    inside: Callable[[BuiltLayer], int | None] = lambda _: 0
    """The numbers that a layer keeps besides its output, for one example; None: not known."""
    precisions: tuple[str, ...] = ()
    """What layers may compute in by a policy for all of them."""
    optimizers: Callable[[], Mapping[str, str]] = dict
    """The class of each optimizer, by all names of it."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """The numbers that each class of optimizer keeps for a weight that is trained."""
    needs: str
    """What is to be installed, in words."""
    backends: str = ""
    """What it works with, if that is another package; in words."""
    backend_variable: str = ""
    """Of the environment: which of these it takes."""
    variables: tuple[str, ...] = ()
    """Of the environment: how the names of those begin that change what it says."""
    settings: Callable[[], str] = str
    """What else of the user changes that, as text."""
    job_backend: str = ""
    """Which of these a job takes, if nothing says so."""

    @property
    def package(self) -> str:
        """Return the package of the framework."""
        return self.packages[0]

    def script(self) -> str:
        """Return what is sent: the part that every trial has, and its own."""
        here, parts = Path(__file__).parent, []
        for name in _PARTS:
            text = (here / f"{name}.py").read_text(encoding="utf-8")
            parts.append(_PRELUDE.format(name=f"{_PACKAGE}.{name}", text=text))
        return self.child.read_text(encoding="utf-8").replace(_FUTURE, "".join(parts), 1)


def shape_words(shape: Shape) -> str:
    """Return `64 x 64 x 5` for a shape with its batch; `?` is any size."""
    return " x ".join("?" if size is None else str(size) for size in shape[1:]) or "one number"


def gets(call: LayerCall, built: BuiltLayer) -> str:
    """Return `flat gives 192` for each input of a layer."""
    pairs = zip(call.reads, built.inputs, strict=False)
    return ", ".join(f"{tensor} gives {shape_words(shape)}" for tensor, shape in pairs)


def was_ended(objection: Objection) -> Advice | None:
    """Return what to say of a layer at which the trial came to an end; None of another."""
    if objection.stage == "time":
        hint = "look for a loop without end, or for a wait, in its code"
        return Advice(f"it was not ready after {objection.text}, so the check was ended here", hint)
    if objection.stage == "end":
        what = "the check ended here by itself: out of memory or time, or a crash"
        return Advice(f"{what} ({objection.text})" if objection.text else what)
    return None
