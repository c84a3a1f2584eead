"""Ask the machine itself: draft a site file, find drift, check that all is ready."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.api.target import proof_command
from deepforge_hpc.errors import InvalidInputError, SchedulerError, UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.errors import Fault
    from deepforge_hpc.probe.compare import Difference
    from deepforge_hpc.probe.read import Machine
    from deepforge_hpc.runtime.base.notice import Notice

_TIMEOUT_S = 20
"""A controller that needs longer to show its partitions is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A draft of a site file."""

    name: str
    data: dict[str, Any]
    text: str
    warnings: tuple[Notice, ...]
    notes: tuple[str, ...]
    """What a person may want to know who completes the draft."""
    machine: Machine

    def faults(self, file: str) -> list[Fault]:
        """Return what dfh itself would refuse of the draft, at its places in a file."""
        from tempfile import TemporaryDirectory

        from deepforge_hpc.paths import data_folder
        from deepforge_hpc.site.find import FOLDER, SHIPPED, SiteFolder, load_site

        with TemporaryDirectory() as folder:
            path = Path(folder, f"{self.name}.yaml")
            path.write_text(self.text, encoding="utf-8")
            try:
                load_site(str(path), [SiteFolder(SHIPPED, data_folder(FOLDER))])
            except InvalidInputError as error:
                return [fault._replace(file=file) for fault in error.faults]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "schema": "dfh/site-probe/2",
            "site": self.data,
            "warnings": [notice.to_dict() for notice in self.warnings],
            "notes": list(self.notes),
            "programs": list(self.machine.programs),
            "mpi": list(self.machine.mpi),
            "modules": list(self.machine.modules),
            "variables": dict(self.machine.variables),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(JsonResult, schema="dfh/site-diff/2"):
    """Where a site file and the machine differ."""

    site: str
    path: str
    differences: tuple[Difference, ...]
    warnings: tuple[Notice, ...]


def probe(*, date: str, name: str = "", named: str = "") -> Probed:
    """Return what Slurm shows of the machine as a draft of a site file.

    `date` (YYYY-MM-DD) stands beside each fact; `named`: the file that it goes to.
    SchedulerError if no Slurm answers, UsageError if no site may have the name.
    """
    from deepforge_hpc.probe.draft import draft, hidden_rules, module_notes, site_name, slurm_notes
    from deepforge_hpc.probe.write import site_yaml
    from deepforge_hpc.site.words import SITE_NAME

    if name and not SITE_NAME.fullmatch(name):
        message = f"{name!r} cannot be the name of a site"
        raise UsageError(
            message, "Take letters, digits and . _ -, beginning with one of the first two."
        )
    machine = read()
    name = name or site_name(machine.cluster)
    data = draft(machine, name=name, date=date)
    warnings = hidden_rules(machine, proof_command("--site", named or "FILE"))
    notes = (*module_notes(machine), *slurm_notes(machine))
    return Probed(
        name=name,
        data=data,
        text=site_yaml(data, warnings, notes),
        warnings=warnings,
        notes=notes,
        machine=machine,
    )


def drift(name: str, cwd: Path) -> Drift:
    """Return where a site's file and the machine differ; UsageError if the site is not of Slurm."""
    from deepforge_hpc.api.site import find_site
    from deepforge_hpc.plugins.scheduler import scheduler_named
    from deepforge_hpc.probe.compare import differences
    from deepforge_hpc.probe.draft import hidden_rules

    found = find_site(name, cwd)
    if not scheduler_named(found.spec.scheduler).is_probed:
        message = (
            f"site {found.spec.name} is of {found.spec.scheduler}, and only Slurm can be asked"
        )
        raise UsageError(
            message, "Give a site of Slurm: dfh site list names the scheduler of each."
        )
    machine = read(found.spec.submit.cluster)
    return Drift(
        site=found.spec.name,
        path=str(found.path),
        differences=differences(found.spec, machine),
        warnings=hidden_rules(machine, proof_command("--site", name)),
    )


def read(cluster: str = "", *, must_answer: bool = True) -> Machine:
    """Return what the machine says, or that cluster of it; SchedulerError if no controller does."""
    import getpass
    import grp

    from deepforge_hpc.probe.read import read_machine
    from deepforge_hpc.schedulers.command import CommandRunner, reaching

    runner = CommandRunner(timeout_s=_TIMEOUT_S, variables=reaching(cluster))
    numbers = {*os.getgroups(), os.getegid()}
    groups = frozenset(entry.gr_name for entry in grp.getgrall() if entry.gr_gid in numbers)
    machine = read_machine(runner, user=getpass.getuser(), environ=os.environ, groups=groups)
    if must_answer and not machine.config and not machine.partitions:
        message = f"no Slurm answers here: {machine.refusal}"
        hint = "Run this on a login node of the cluster (some need `module load slurm` first)."
        raise SchedulerError(message, hint)
    return machine
