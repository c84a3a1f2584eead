"""`dfh site probe` and `dfh site diff`."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from pathlib import Path

import click

from deepforge_hpc.api import probing
from deepforge_hpc.api.pipelines import write
from deepforge_hpc.api.probing import Probed
from deepforge_hpc.cli.options import output_options, waiting_options
from deepforge_hpc.cli.views.display import Display, listing
from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.runtime.base.text import count

DIFFERS = 8


@click.command("probe")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here.")
@click.option("--name", default="", metavar="NAME", help="Name of the site.  [default: by FILE]")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--submit", is_flag=True, help="Also run a job on each kind of node; asks first.")
@click.option("--account", default="", metavar="NAME", help="Account that pays for these jobs.")
@waiting_options
@output_options
def probe(
    display: Display,
    /,
    *,
    output: Path | None,
    name: str,
    force: bool,
    submit: bool,
    yes: bool,
    account: str,
    timeout: float,
) -> None:
    """Draft a site file from what Slurm shows.

    Only looks: sinfo, scontrol, sacctmgr, srun --mpi=list, what is on PATH. All that Slurm cannot
    know is `unknown` in the draft; `unknown` never refuses a job. With --submit, one job of a few
    seconds on each kind of node looks at its GPUs, interfaces and way out.

    \b
    Example:
      dfh site probe -o ~/.config/deepforge-hpc/sites/mycluster.yaml
    """
    if output is not None:
        _may_write(output, name, force=force)
    date = datetime.now(timezone.utc).date().isoformat()
    named = str(output or "")
    found = probing.probe(date=date, name=name or (output.stem if output else ""), named=named)
    if submit and _may_submit(display, found, yes=yes):
        from deepforge_hpc.api.visiting import visit

        found = visit(found, folder=Path.cwd(), date=date, account=account, limit_s=timeout)
    display.notices(found.warnings)
    document = found.to_dict()
    if output is None:
        display.result(document, found.text.splitlines())
        if faults := found.faults("the draft"):
            raise InvalidInputError(faults, "dfh does not take it as it is: correct these lines.")
        return
    write(output, found.text.encode(), "Give another file with -o.")
    if faults := found.faults(str(output)):
        hint = f"{output} is written, but dfh does not take it as it is: correct these lines."
        raise InvalidInputError(faults, hint)
    document["path"] = str(output)
    queues = count(len(found.data["queues"]), "queue")
    following = shlex.quote(str(output))
    lines = [f"{output}: site {found.name}, {queues}", f"Next: dfh doctor --site {following}"]
    display.result(document, lines)


def _may_write(output: Path, name: str, *, force: bool) -> None:
    if output.suffix not in {".yaml", ".yml"}:
        message = f"{output}: a site file ends in .yaml"
        raise UsageError(message, "Give -o NAME.yaml; the name of the file is that of the site.")
    if name and name != output.stem:
        message = f"--name {name} is not the name of {output}"
        raise UsageError(message, f"A site is called like its file: -o {name}.yaml, or no --name.")
    if output.exists() and not force:
        raise UsageError(f"{output} is there already", "Give another file, or --force.")


def _may_submit(display: Display, found: Probed, *, yes: bool) -> bool:
    """Show what the jobs would cost at most, and ask."""
    from deepforge_hpc.api.visiting import planned
    from deepforge_hpc.probe.visit import MINUTES

    jobs = planned(found)
    for job in jobs:
        part = "one core and a GPU of" if job.gpus else "one core of"
        taken = "all of" if job.takes_whole_node else part
        display.talk(
            f"{taken} a node {job.node_type} in partition {job.partition}, "
            f"at most {MINUTES} minutes"
        )
    if not jobs or yes:
        return bool(jobs)
    return click.confirm(f"Submit {count(len(jobs), 'job')}?", err=True)


@click.command("diff")
@click.argument("site", metavar="NAME")
@output_options
def diff(display: Display, /, *, site: str) -> int:
    """Show where a site file and the machine differ.

    Compares only what Slurm shows: partitions, limits, QOS, nodes, versions, MPI plugins. A limit
    on all jobs of a user or account that Slurm keeps must be in the file, other values may be left
    out. NAME is the name of a site or the path of its file. Exit code: 0 if they agree, 8 if they
    differ.

    \b
    Example:
      dfh site diff mycluster
    """
    found = probing.drift(site, Path.cwd())
    display.notices(found.warnings)
    columns = (("KEY", "key"), ("FILE", "file"), ("MACHINE", "machine"))
    lines = [f"{found.path}: no difference"]
    if found.differences:
        lines = listing(columns, found.differences)
    display.result(found.to_dict(), lines)
    return DIFFERS if found.differences else 0
