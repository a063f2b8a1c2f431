"""``nvpcodec train``: maximum likelihood, then the integer model."""

from __future__ import annotations

import click


@click.command()
@click.argument("config", metavar="CONFIG")
@click.argument("data", metavar="DATA...", nargs=-1, required=True)
def train(config: str, data: tuple[str, ...]) -> None:
    """Train a flow and export its weights.

    CONFIG names the flow's configuration, DATA are folders of images.

    \b
    nvpcodec train photo ~/pictures ~/scans
    """
    from nvpcodec.train import main

    main.run(config, data)
