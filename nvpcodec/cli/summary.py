"""What a command says that it did: a line for people, or JSON for scripts."""

from __future__ import annotations

import json
from typing import Any

import click

from nvpcodec.cli.common import STANDARD

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what was done as one JSON object: on stdout, or on stderr if OUT is -.",
)


def tell(line: str, figures: dict[str, Any], target: str, *, as_json: bool, quiet: bool) -> None:
    """Print the figures if they are asked for, even by --quiet, and else the line."""
    if as_json:
        click.echo(json.dumps(figures), err=target == STANDARD)
    elif not quiet:
        click.echo(line, err=True)
