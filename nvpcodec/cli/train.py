"""``nvpcodec train``: maximum likelihood, then the integer model."""

from __future__ import annotations

import click

from nvpcodec.options import DEVICES


@click.command()
@click.argument("config", metavar="CONFIG")
@click.argument("data", metavar="DATA...", nargs=-1, required=True)
@click.option(
    "-o", "--out", default="training", show_default=True, help="Folder of checkpoint, log and weights."
)
@click.option(
    "--init",
    metavar="STATE",
    type=click.Path(exists=True, dir_okay=False),
    help="Start a new training from the averaged weights of this checkpoint.",
)
@click.option("--minutes", type=float, help="Time budget over all sessions, instead of the configuration's.")
@click.option("--session-minutes", type=float, help="Stop this session after so long; the next one goes on.")
@click.option(
    "--device",
    "device_name",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where the flow is trained.",
)
def train(
    config: str,
    data: tuple[str, ...],
    out: str,
    init: str | None,
    minutes: float | None,
    session_minutes: float | None,
    device_name: str,
) -> None:
    """Train a flow, or go on with a training, and export its weights.

    CONFIG is the name of a configuration in the package or the path of a TOML file, DATA are folders of
    images. A training that was stopped goes on from its last checkpoint. At the end of the time budget the
    integer model is written beside it; encode with it by --model PATH.

    \b
    nvpcodec train fast ~/pictures ~/scans -o run1
    nvpcodec train best ~/pictures ~/scans -o run2 --init run1/state.pt
    nvpcodec train my.toml ~/pictures -o run3 --minutes 30
    """
    from nvpcodec.train import main

    main.run(
        config,
        data,
        out=out,
        init=init,
        minutes=minutes,
        session_minutes=session_minutes,
        device_name=device_name,
    )
