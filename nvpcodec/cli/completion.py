"""``nvpcodec completion``: scripts that let a shell complete command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_NVPCODEC_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options.

    The shell runs it once a session. bash needs version 4.4 or newer.

    \b
    eval "$(nvpcodec completion bash)"        in ~/.bashrc
    eval "$(nvpcodec completion zsh)"         in ~/.zshrc
    nvpcodec completion fish | source         in ~/.config/fish/config.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(script(context.find_root().command, {}, "nvpcodec", _VARIABLE).source())
