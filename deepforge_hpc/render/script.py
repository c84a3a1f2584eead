"""Plan to batch scripts: the same bytes for the same plan and templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.yaml12 import collector_paused
from deepforge_hpc.paths import data_folder
from deepforge_hpc.plugins.scheduler import Scheduler, scheduler_named
from deepforge_hpc.render.engine import Raw, faults_raised, load_template
from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan
from deepforge_hpc.site.kinds import VARIABLE
from deepforge_hpc.site.words import HARMLESS, SECRET

if TYPE_CHECKING:
    from jinja2 import Template


_NAME = re.compile(r"[a-z][a-z0-9-]*")
# sbatch splits a line at blanks and quotes and cuts it at "#".
_VALUE = re.compile(r"[A-Za-z0-9_.,:;/@+=%&|*!()\[\]{}~^<>?$-]*")
_PART = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]{0,100})|\$\{([A-Za-z_][A-Za-z0-9_]{0,100})\}")
# Nothing of these can end the quotes or start a command.
_PLAIN = re.compile(r"[^`\"\\$!]*")


def render_scripts(plan: Plan, *, templates: Path | None = None) -> dict[str, str]:
    """Return the script of each job of a plan, by job name, in the order of the plan.

    `templates` stands in for the folder `job-templates` of the installation. Raises
    InvalidInputError if a value cannot stand in a script, or if the template is wrong or missing.
    """
    folder = templates or data_folder("job-templates")
    with collector_paused(), faults_raised(folder, "base.sh.j2"):
        return _render(plan, load_template(folder, "base.sh.j2"))


def _render(plan: Plan, template: Template) -> dict[str, str]:
    tasks = {job.name: job.tasks if job.kind is JobKind.ARRAY else 0 for job in plan.jobs}
    scheduler = scheduler_named(plan.scheduler)
    scripts: dict[str, str] = {}
    directives: dict[tuple[tuple[str, str], ...], Raw] = {}
    for job in plan.jobs:
        if job.directives not in directives:  # most jobs of a large plan ask for the same
            directives[job.directives] = _directives(scheduler, job)
        values = _values(plan, job, tasks)
        scripts[job.name] = template.render(values, directives=directives[job.directives])
    return scripts


def _values(plan: Plan, job: Job, tasks: dict[str, int]) -> dict[str, Any]:
    """Return what the template may use: `job-templates/README.md` describes each."""
    environment = job.environment
    container = job.container
    inside = container is not None and container.around == "job"
    env = job.env
    if job.kind is JobKind.FINAL:  # runs no code of the user's, and must not fail for want of one
        env = tuple(pair for pair in env if not SECRET.fullmatch(pair[1]))
    return {
        "name": job.name,
        "pipeline": plan.pipeline,
        "site": plan.site,
        "is_array": job.kind is JobKind.ARRAY,
        "tasks": job.tasks,
        # The final job runs however the others ended.
        "upstream": []
        if job.kind is JobKind.FINAL
        else [(name, tasks[name]) for name in job.after],
        "module_init": job.module_init,
        "module_unload": job.module_unload,
        "modules": (*job.modules, *environment.modules),
        "exports": exports(env),
        "has_secrets": any(SECRET.fullmatch(value) for _, value in env),
        "conda": environment.conda,
        "container": environment.container if inside else "",
        "runtime": container.runtime if container is not None else "",
        "has_ranks_inside": container is not None and not inside,
        "container_flags": container.flags if container is not None else (),
        "container_bind": [Raw(in_quotes(p)) for p in container.bind] if container else [],
        "python": environment.python or ("python3" if environment.container else "python"),
    }


def _directives(scheduler: Scheduler, job: Job) -> Raw:
    for name, value in job.directives:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            message = f"job {job.name}: {name}={value!r} cannot stand in the header of its script"
            hint = "blanks, quotes, # and control characters are not possible there"
            raise InvalidInputError([Fault(message=message, hint=hint)])
    return Raw("\n".join(scheduler.header(job.directives)))


def exports(env: Iterable[tuple[str, str]]) -> Raw:
    """Return a line of shell for each variable; InvalidInputError for what is not harmless."""
    lines = []
    for name, value in env:
        if not VARIABLE.fullmatch(name):
            raise InvalidInputError([Fault(message=f"{name!r} is no name of a variable")])
        if secret := SECRET.fullmatch(value):
            lines.append(f"secret {name} {secret[1]}")
        else:
            lines.append(f'export {name}="{in_quotes(value)}"')
    return Raw("\n".join(lines))


def in_quotes(value: str) -> str:
    """Return a value as it stands between double quotes; its variables may be unset."""
    parts = []
    end = 0
    for match in _PART.finditer(value):
        name = match[1] or match[2]
        if not HARMLESS.fullmatch(name):
            raise InvalidInputError([Fault(message=f"${name} may not be used in a job's script")])
        parts += [value[end : match.start()], f"${{{name}:-}}"]
        end = match.end()
    parts.append(value[end:])
    if not value.isprintable() or not all(_PLAIN.fullmatch(part) for part in parts[::2]):
        message = f"{value!r} cannot stand in a job's script: quotes and commands are not possible"
        raise InvalidInputError([Fault(message=message)])
    return "".join(parts)
