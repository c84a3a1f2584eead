"""A network built: what the framework said before or says now, and what that means for layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph, GraphInput, LayerCall
from deepforge_hpc.libraries.networks.trial import cache
from deepforge_hpc.libraries.networks.trial.judge import (
    Advice,
    Finding,
    Judge,
    Outcome,
    was_ended,
)
from deepforge_hpc.libraries.networks.trial.request import BuildRequest
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, NoTrial, Objection, Trial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.plugins.library import Software

NOT_ASKED = NoTrial("not asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLayer:
    """An error of a layer, or of the network as a whole."""

    call: LayerCall | None
    fault: Fault
    objection: Objection


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What is known of a network now."""

    judge: Judge
    graph: Graph
    request: BuildRequest
    trial: Trial
    is_cached: bool
    job_backend: str

    @property
    def layers(self) -> Iterator[tuple[str, LayerCall, BuiltLayer | None]]:
        """Yield all layer calls, those of nested models too, by their whole name."""
        built = self.trial.layers
        for index, (item, call) in enumerate(
            zip(self.request.network["items"], self.request.calls, strict=True)
        ):
            if call is not None:
                yield item["name"], call, built[index] if index < len(built) else None

    def refused(self) -> Iterator[RefusedLayer]:
        """Yield every error, at its layer."""
        for _, call, built in self.layers:
            objection = built.error if built else None
            if built is not None and objection is not None and not self._is_doubtful(objection):
                words = self.judge.said(call, built, objection)
                fault = call.fault(words.message, words.hint)
                yield RefusedLayer(call=call, fault=fault, objection=objection)
        for item, objection in self._inputs():
            if not self._is_doubtful(objection):
                said = was_ended(objection) or Advice(f"it is refused: {objection.text}")
                fault = item.fault(said.message, said.hint)
                yield RefusedLayer(call=None, fault=fault, objection=objection)
        if (whole := self.trial.error) is not None:
            at = next((call for call in reversed(self.request.calls) if call is not None), None)
            message = f"the layers fit, and the network as a whole is refused: {whole.text}"
            fault = at.place.fault(message) if at else Fault(message)
            yield RefusedLayer(call=None, fault=fault, objection=whole)

    def _inputs(self) -> Iterator[tuple[GraphInput, Objection]]:
        """Yield the inputs that were refused."""
        for index, item in self.request.inputs.items():
            built = self.trial.layers[index : index + 1]
            if built and (objection := built[0].error):
                yield item, objection

    @property
    def unseen(self) -> int:
        """Return how many layers were not looked at, since the trial ended before."""
        return sum(call is not None for call in self.request.calls[len(self.trial.layers) :])

    def doubtful(self) -> Iterator[GraphInput | LayerCall]:
        """Yield layers and inputs that this backend refuses, where the job's may not."""
        yield from (item for item, why in self._inputs() if self._is_doubtful(why))
        for _, call, built in self.layers:
            if built is not None and built.error and self._is_doubtful(built.error):
                yield call

    def _is_doubtful(self, objection: Objection) -> bool:
        if self.job_backend in {"", self.trial.backend}:
            return False
        # Code of the project that cannot be made has computed nothing yet.
        of_call = objection.stage == "call" and objection.by == "code"
        return of_call or (objection.stage in {"make", "call"} and objection.by == "backend")

    def findings(self, loss: object = None) -> Iterator[Finding]:
        """Yield what it accepts and a learning curve does not forgive."""
        outcome: Outcome = {name: one for name, _, one in self.layers if one}
        yield from self.judge.findings(self.graph, outcome)
        if loss is not None:
            yield from self.judge.of_loss(self.graph, outcome, loss)


def try_out(
    graph: Graph, setting: TrialSetting, software: Software, *, may_start: bool = True
) -> Tried | NoTrial:
    """Return what the framework says of a network; of user code it is asked each time.

    `software` empty: nobody knows what the environment has, so nothing is remembered.
    """
    request = BuildRequest(graph, user_code=bool(setting.folders))
    name = cache.key(request.network, setting, software) if software else ""
    can_cache = bool(name) and not setting.folders
    known = cache.get(name, len(request.calls)) if can_cache else None
    if known is None and not may_start:
        return NOT_ASKED
    trial = known or _ask(request, setting)
    if isinstance(trial, NoTrial):
        return trial
    if can_cache and known is None and _is_whole(trial, len(request.calls)):
        cache.put(name, trial)
    return Tried(
        judge=setting.judge,
        graph=graph,
        request=request,
        trial=trial,
        is_cached=known is not None,
        job_backend=setting.job_backend,
    )


def _ask(request: BuildRequest, setting: TrialSetting) -> Trial | NoTrial:
    from deepforge_hpc.libraries.networks.trial.run import ask

    found = ask([request.network], setting)
    return found if isinstance(found, NoTrial) else found[0]


def _is_whole(trial: Trial, layers: int) -> bool:
    """Tell whether the trial came to its end: what it says would be the same again."""
    objections = (trial.error, *(layer.error for layer in trial.layers))
    was_ended = any(objection.stage in {"time", "end"} for objection in objections if objection)
    return len(trial.layers) == layers and not was_ended
