"""The command ``nvpcodec``: one line on stderr for every failure, and a status that scripts can test.

0    done
1    a file, its data or the machine would not do it
2    the command line asks for what cannot be: unknown option, missing input, existing output
130  interrupted
141  nobody reads stdout any more
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from nvpcodec import __version__
from nvpcodec.cli.terminal import coloured, overwrite
from nvpcodec.errors import NvpError, OutputExistsError

#: The commands and what the list in the help says of them. Each is a function in a module of its own name,
#: which is imported when the command is called.
COMMANDS = {
    "encode": "Encode an image file.",
    "decode": "Decode a .nvp file to a PNG file.",
    "info": "Show what a .nvp file holds and where its bytes went.",
    "pack": "Pack image files into one archive.",
    "unpack": "Unpack images of an archive as PNG files.",
    "ls": "List the images of an archive.",
    "bulk": "Encode a whole tree of images.",
    "report": "Compare sizes with PNG, WebP and JPEG XL, on a page.",
    "heatmap": "Draw where in an image the bits go.",
    "score": "Show how well images fit the model, without writing files.",
    "sample": "Draw samples of a model into one picture.",
    "latents": "Turn an image into its latents, or latents into their image.",
    "train": "Train a flow, or go on with a training, and export its weights.",
    "completion": "Print the script that completes commands and options.",
}

DEBUG_VARIABLE = "NVPCODEC_DEBUG"

_FAILURE, _USAGE, _INTERRUPTED, _UNREAD = 1, 2, 130, 141


class _UnreadError(Exception):
    """Nobody reads stdout any more: no fault, so nothing is said."""


@contextmanager
def _noticing_the_end() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _UnreadError from error


class _Commands(click.Group):
    """Imports a command when it is called; the help of all imports none."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _noticing_the_end():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _noticing_the_end():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"nvpcodec.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_versions(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from nvpcodec import zoo

    models = ", ".join(f"{name} ({model_id})" for name, model_id in zoo.CURRENT.items())
    click.echo(f"nvpcodec, version {__version__}\nmodels: {models}")
    context.exit()


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_versions,
    help="Show the version and the models, and exit.",
)
def cli() -> None:
    """Lossless image compression with a learned flow.

    \b
    nvpcodec encode photo.png          writes photo.nvp
    nvpcodec decode photo.nvp          writes photo.png
    nvpcodec info photo.nvp            tells where every byte went
    nvpcodec pack icons/ icons.nvpa    packs many images into one archive
    nvpcodec encode --help             tells more of a command, with examples

    IN and OUT may be - for stdin and stdout. Messages and progress go to stderr, progress to a terminal only.

    \b
    Exit status:
      0    done
      1    a file, its data or the machine would not do it
      2    the command line asks for what cannot be: unknown option,
           missing input, existing output
      130  interrupted; nothing half-written is left
      141  nobody reads stdout any more

    Environment: NVPCODEC_DEVICE is the default of --device; NO_COLOR turns colours off; NVPCODEC_DEBUG=1
    shows where an error came from.
    """


#: How threads of GNU's OpenMP, which torch comes with, wait for each other.
_WAITING = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
#: So often they look before they sleep. As often as they do unless told, one other program that keeps a core
#: busy makes coding ten times slower; with fewer tries an idle machine gets slower.
_TRIES = "10000"


def main() -> None:
    """Run the command line of this process."""
    if not _WAITING & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _TRIES
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status."""
    try:
        status = cli.main(list(arguments) or ["--help"], prog_name="nvpcodec", standalone_mode=False)
    except SystemExit:
        raise
    except _UnreadError:
        # Python flushes stdout once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREAD
    # Panics of compiled extensions are no Exception, and must not reach the terminal as a traceback either.
    except BaseException as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        message, status = _explain(error)
        overwrite("")
        click.echo(f"nvpcodec: {coloured('error:', 'red')} {' '.join(message.split())}", err=True)
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
        case OSError(errno=errno.ENOSPC):
            return f"the output cannot be written: {error.strerror}", _FAILURE
        case MemoryError():
            return "not enough memory for this image; close other programs or use a larger machine", _FAILURE
        case _:
            name = type(error).__name__
            hint = f"this is a bug, please report it ({DEBUG_VARIABLE}=1 shows where)"
            return f"unexpected {name}: {error}; {hint}", _FAILURE
