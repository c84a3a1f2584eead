"""`dfh schema`."""

from __future__ import annotations

import json

import click

from deepforge_hpc.api.schemas import SCHEMAS
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display


@click.command("schema")
@click.argument("kind", type=click.Choice(list(SCHEMAS)))
@output_options
def command(display: Display, kind: str) -> None:
    """Print the JSON Schema of a kind of file.

    Editors that know YAML show names, texts and faults by it while one types. `dfh check` and
    `dfh site check` find more: what one part of a file says about another.

    \b
    Example:
      dfh schema site > site.schema.json
      # first line of a site file: # yaml-language-server: $schema=site.schema.json
    """
    display.write(json.dumps(SCHEMAS[kind](), indent=1, ensure_ascii=True) + "\n")
