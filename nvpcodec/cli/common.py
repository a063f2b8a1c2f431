"""What the commands share: options, and the way of bytes from and to files, stdin and stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from nvpcodec import files
from nvpcodec.errors import FormatError, InputError, OutputError
from nvpcodec.options import DEFAULT_MAX_PIXELS, DEFAULT_MODEL, DEVICE_VARIABLE, DEVICES

STANDARD = "-"

Command = TypeVar("Command", bound=Callable[..., Any])

input_argument = click.argument(
    "source", metavar="IN", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
output_argument = click.argument("target", metavar="[OUT]", required=False, type=click.Path(allow_dash=True))

_CODING_OPTIONS = (
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        metavar="NAME|PATH",
        help="The flow: photo, realnvp, or a weights file.",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        show_default=True,
        envvar=DEVICE_VARIABLE,
        show_envvar=True,
        help="Where the flow is computed; the result is the same.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=DEFAULT_MAX_PIXELS,
        show_default=True,
        metavar="N",
        help="Refuse larger images.",
    ),
    click.option("-f", "--force", is_flag=True, help="Replace OUT if it exists."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
)


def coding_options(command: Command) -> Command:
    """Give ``command`` the options that encode and decode have in common."""
    for option in reversed(_CODING_OPTIONS):
        command = option(command)
    return command


def choose_target(source: str, target: str | None, *, suffix: str, force: bool) -> str:
    """Where the output goes, refused now if it could not be written later.

    Raises
    ------
    click.UsageError
        OUT has another suffix, is IN, or is a terminal.
    OutputExistsError, OutputError
        As for ``files.check_target``.
    """
    if target is None:
        target = STANDARD if source == STANDARD else str(Path(source).with_suffix(suffix))
    if target == STANDARD:
        if sys.stdout.isatty():
            raise click.UsageError("the output is binary and stdout is a terminal; name OUT or redirect it")
        return target
    path = Path(target)
    if path.suffix.lower() not in (suffix, ""):
        raise click.UsageError(f"the output is a {suffix} file; {target} has another suffix")
    if source != STANDARD and os.path.exists(path) and path.samefile(source):
        raise click.UsageError(f"{target} is the input itself; choose another name")
    files.check_target(path, overwrite=force)
    return target


def read_source(source: str) -> bytes:
    """All bytes of IN."""
    return sys.stdin.buffer.read() if source == STANDARD else files.read(Path(source))


def write_target(target: str, data: bytes, *, force: bool) -> None:
    """All bytes of OUT."""
    if target != STANDARD:
        files.write(Path(target), data, overwrite=force)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would try to flush the rest once more at exit, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"stdout cannot be written: {error.strerror}") from error


def shown(name: str, standard: str) -> str:
    """A file's name for a message."""
    return standard if name == STANDARD else name


@contextmanager
def named(source: str) -> Iterator[None]:
    """Put the name of IN before what is wrong with it."""
    try:
        yield
    except (InputError, FormatError) as error:
        raise type(error)(f"{shown(source, 'stdin')}: {error}") from error


def progress_line(quiet: bool) -> Callable[[int, int], None]:
    """Tells how many regions are done, over and over in one line, where a terminal shows it."""
    followed = not quiet and sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if followed and total > 1:
            line = f"{done} of {total} regions" if done < total else ""
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)

    return tell
