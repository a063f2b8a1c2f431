"""The command ``nvpcodec``: one line on stderr for every failure, and a status that scripts can test.

0    done
1    a file, its data or the machine would not do it
2    the command line asks for what cannot be: unknown option, missing input, existing output
130  interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from nvpcodec import __version__
from nvpcodec.cli.decode import decode
from nvpcodec.cli.encode import encode
from nvpcodec.cli.info import info
from nvpcodec.cli.ls import ls
from nvpcodec.cli.pack import pack
from nvpcodec.cli.train import train
from nvpcodec.cli.unpack import unpack
from nvpcodec.errors import NvpError, OutputExistsError

DEBUG_VARIABLE = "NVPCODEC_DEBUG"

_FAILURE, _USAGE, _INTERRUPTED = 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nvpcodec")
def cli() -> None:
    """Lossless image compression with a learned flow.

    \b
    nvpcodec encode photo.png          writes photo.nvp
    nvpcodec decode photo.nvp          writes photo.png
    nvpcodec info photo.nvp            tells where every byte went
    nvpcodec pack icons/ icons.nvpa    packs many images into one archive

    Exit status: 0 done, 1 a file or its data would not do it, 2 the command line asks for what cannot be
    (unknown option, missing input, existing output), 130 interrupted.
    """


for command in (encode, decode, info, pack, unpack, ls, train):
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status."""
    try:
        status = cli.main(list(arguments) or ["--help"], prog_name="nvpcodec", standalone_mode=False)
    except SystemExit:
        raise
    # Panics of compiled extensions are no Exception, and must not reach the terminal as a traceback either.
    except BaseException as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        message, status = _explain(error)
        click.echo(f"nvpcodec: error: {' '.join(message.split())}", err=True)
    return status if isinstance(status, int) else 0


def _explain(error: BaseException) -> tuple[str, int]:
    """One line for a person, and the exit status."""
    match error:
        case click.ClickException():
            hint = (
                f" (see {error.ctx.command_path} --help)"
                if isinstance(error, click.UsageError) and error.ctx
                else ""
            )
            return error.format_message() + hint, error.exit_code
        case OutputExistsError():
            return str(error), _USAGE
        case NvpError():
            return str(error), _FAILURE
        case click.Abort() | KeyboardInterrupt():
            return "interrupted", _INTERRUPTED
        case MemoryError():
            return "not enough memory for this image; close other programs or use a larger machine", _FAILURE
        case _:
            name = type(error).__name__
            hint = f"this is a bug, please report it ({DEBUG_VARIABLE}=1 shows where)"
            return f"unexpected {name}: {error}; {hint}", _FAILURE
