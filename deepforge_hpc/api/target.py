"""What `dfh doctor` looks at: a site, and the pipeline that is to run there if there is one."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import DeepforgeHpcError, InvalidInputError

if TYPE_CHECKING:
    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.runtime.base.notice import Notice
    from deepforge_hpc.runtime.base.plan import Plan
    from deepforge_hpc.site.model import SiteSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is looked at."""

    site: SiteSpec
    account: str
    project: Path
    executions: Path
    plan: Plan | None
    problems: tuple[Notice, ...]
    named: str
    """What one calls the site on the command line; quoted for a shell."""
    proof: str
    """The command that tries it with two tiny jobs."""


def target_of(request: Request, cwd: Path) -> Target:
    """Return what is there to be looked at; InvalidInputError if there is no such site."""
    from deepforge_hpc.api.site import find_site
    from deepforge_hpc.doctor.finding import error
    from deepforge_hpc.paths import project_root, user_folder
    from deepforge_hpc.pipeline.precedence import Layers
    from deepforge_hpc.pipeline.settings import load_user_settings
    from deepforge_hpc.runtime.base.advice import file_word

    layers = Layers(
        options={"site": request.site, "account": request.account},
        environ=os.environ,
        user=load_user_settings(user_folder()),
    )
    base = request.pipeline.parent if request.pipeline.exists() else cwd
    found = find_site(layers.site_name().value, base)
    found.require_machine()
    problems: list[Notice] = []
    if request.pipeline.exists():
        try:
            return _with_pipeline(request)
        except InvalidInputError as fault:
            file = file_word(str(request.pipeline))
            words = ["dfh", "check", file, *request.options()]
            problems.append(error("pipeline", fault.message, f"{shlex.join(words)} shows it whole"))
    project = project_root(base, layers.user.trust)[0]
    layers = replace(layers, site=found)
    return Target(
        site=found.spec,
        account=layers.account().value,
        project=project,
        executions=layers.executions(project, project)[0],
        plan=None,
        problems=tuple(problems),
        named=shlex.quote(request.site or found.spec.name),
        proof=proof_command(*request.options(found.spec.name)),
    )


def proof_command(*words: str) -> str:
    """Return the command that tries a site, given what names it and a pipeline."""
    return shlex.join(["dfh", "doctor", *words, "--submit"])


def _with_pipeline(request: Request) -> Target:
    from deepforge_hpc.api.pipelines import load, planned
    from deepforge_hpc.doctor.finding import error, of_plan, ok
    from deepforge_hpc.runtime.base.advice import file_word

    loaded = load(request)
    assert loaded.site is not None
    problems: list[Notice] = []
    words = ["dfh", "plan", file_word(str(request.pipeline)), *request.options(), "--origins"]
    explained, plan = shlex.join(words), None
    try:
        plan = planned(loaded)
    except DeepforgeHpcError as fault:
        problems.append(error("pipeline", fault.message, fault.hint))
    else:
        jobs = len(plan.jobs)
        problems.append(ok("pipeline", f"{plan.pipeline}: {jobs} jobs fit on {plan.site}"))
        problems += [of_plan(warning, loaded.site.name, explained) for warning in plan.warnings]
    return Target(
        site=loaded.site,
        account=loaded.account,
        project=loaded.project,
        executions=loaded.executions,
        plan=plan,
        problems=tuple(problems),
        named=shlex.quote(request.site or loaded.site.name),
        proof=proof_command(file_word(str(request.pipeline)), *request.options(loaded.site.name)),
    )
