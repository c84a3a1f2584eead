"""`dfh site list | show | check | detect`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import site
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display, listing
from deepforge_hpc.cli.views.site import SITES, check_lines, site_lines
from deepforge_hpc.runtime.base.notice import Notice


@click.group(
    "site",
    cls=LazyGroup,
    entries=(
        LazyCommand("list", "List the sites.", "site", "list_"),
        LazyCommand("show", "Show what is known of a site.", "site", "show"),
        LazyCommand("check", "Check a site file.", "site", "check"),
        LazyCommand("detect", "Name the site this machine is.", "site", "detect"),
        LazyCommand("probe", "Draft a site file from what Slurm shows.", "site_probe", "probe"),
        LazyCommand("diff", "Show where a site file and the machine differ.", "site_probe", "diff"),
    ),
)
def command() -> None:
    """Show the known sites.

    A site is a machine that jobs can be sent to, described by a file: of the project
    (site-configs/), of the user (~/.config/deepforge-hpc/sites/), of a folder of
    $DEEPFORGE_HPC_PATH, or shipped. The first of them that has a name counts.

    \b
    Example:
      dfh site list
    """


@click.command("list")
@output_options
def list_(display: Display) -> None:
    """List the sites.

    \b
    Example:
      dfh site list
    """
    found = site.sites(Path.cwd())
    document = {"schema": "dfh/sites/1", "sites": [item.to_dict() for item in found]}
    display.result(document, listing(SITES, found))


@click.command("show")
@click.argument("name")
@click.option("--all", "all_", is_flag=True, help="Also hints to messages that are inherited.")
@output_options
def show(display: Display, name: str, *, all_: bool) -> None:
    """Show what is known of a site.

    NAME is that of a site, of a site with a variant, or the path of a site file. What the file
    itself says comes first, then what it inherits. Each section names its sources; ? marks what is
    unknown.

    \b
    Example:
      dfh site show frontier
      dfh site show perlmutter/cpu --json
    """
    found = site.find_site(name, Path.cwd())
    display.result(site.site_document(found), site_lines(found, with_inherited_errors=all_))


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
def check(display: Display, file: Path) -> None:
    """Check a site file.

    All faults are told at once, each with its line; those of all variants too.

    \b
    Example:
      dfh site check site-configs/ours.yaml
    """
    found = site.check_site(file, Path.cwd())
    display.result(found.to_dict(), check_lines(found))


@click.command("detect")
@output_options
def detect(display: Display) -> None:
    """Name the site this machine is.

    Looks at environment variables, the host's name, files and the cluster's name, as the site files
    ask. Exit code 4: none fits, or more than one.

    \b
    Example:
      dfh submit --site "$(dfh site detect)"
    """
    found = site.detect_site(Path.cwd())
    if not display.as_json:
        display.talk(f"by {'; '.join(found.evidence)}")
        for name in found.broken:
            text = f"site {name} could not be read; dfh site show {name} says why"
            display.notices([Notice("site_unreadable", text, name)])
    display.result(found.to_dict(), [found.site])
