"""What the commands share: options, and the way of bytes from and to files, stdin and stdout."""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from nvpcodec import storage, urls
from nvpcodec.cli.terminal import overwrite
from nvpcodec.errors import FormatError, InputError, NvpError, OutputError
from nvpcodec.options import (
    DEFAULT_EFFORT,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MODEL,
    DEVICE_VARIABLE,
    DEVICES,
    EFFORTS,
)

STANDARD = "-"

Command = TypeVar("Command", bound=Callable[..., Any])


class InputPlace(click.Path):
    """A file that exists, -, or a URL: only reading can tell whether something is there."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, allow_dash=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click says, but for URLs."""
        return value if urls.is_url(value) else super().convert(value, param, ctx)


input_argument = click.argument("source", metavar="IN", type=InputPlace())
output_argument = click.argument("target", metavar="[OUT]", required=False, type=click.Path(allow_dash=True))

effort_option = click.option(
    "--effort",
    type=click.IntRange(*EFFORTS),
    default=DEFAULT_EFFORT,
    show_default=True,
    help="More looks longer for what suits the image, 8 and 9 for minutes; decoding hardly takes longer.",
)

_MODEL_OPTIONS = (
    click.option(
        "--model",
        default=DEFAULT_MODEL,
        show_default=True,
        metavar="NAME|PATH",
        help="The flow: fast, best, realnvp, or a weights file.",
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
)

_CODING_OPTIONS = (
    *_MODEL_OPTIONS,
    click.option("-f", "--force", is_flag=True, help="Replace OUT if it exists."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
)


def model_options(command: Command) -> Command:
    """Give ``command`` the options that say which model runs where, on which images."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


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
        OUT has another suffix, is IN, is a terminal, or is left out where IN does not suggest it.
    OutputExistsError, OutputError, InputError
        As for ``storage.check_target``.
    """
    if target is None:
        target = _target_beside(source, suffix)
    if target == STANDARD:
        if sys.stdout is None or sys.stdout.isatty():
            is_what = "closed" if sys.stdout is None else "a terminal"
            raise click.UsageError(f"the output is binary and stdout is {is_what}; name OUT or redirect it")
        return target
    name = shown(target, "stdout")
    if posixpath.splitext(target)[1].lower() not in (suffix, ""):
        raise click.UsageError(f"the output is a {suffix} file; {name} has another suffix")
    if source != STANDARD and _are_same(source, target):
        raise click.UsageError(f"{name} is the input itself; choose another name")
    storage.check_target(target, overwrite=force)
    return target


def _target_beside(source: str, suffix: str) -> str:
    """IN with the suffix of OUT."""
    if source == STANDARD:
        return STANDARD
    if not urls.is_url(source):
        return str(Path(source).with_suffix(suffix))
    if "::" in source or "?" in source:
        raise click.UsageError(f"{urls.shown(source)} does not say where the output should go; name OUT")
    return posixpath.splitext(source)[0] + suffix


def _are_same(source: str, target: str) -> bool:
    """Whether both name one file, or are one URL."""
    first, second = storage.locate(source), storage.locate(target)
    if isinstance(first, Path) and isinstance(second, Path):
        return os.path.exists(first) and os.path.exists(second) and first.samefile(second)
    return first == second


def read_source(source: str) -> bytes:
    """All bytes of IN."""
    if source == STANDARD:
        if sys.stdin is None:
            raise click.UsageError("stdin is closed; name IN or redirect it")
        return sys.stdin.buffer.read()
    with existing():
        return storage.read(source)


def write_target(target: str, data: bytes, *, force: bool) -> None:
    """All bytes of OUT."""
    if target != STANDARD:
        storage.write(target, data, overwrite=force)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would try to flush the rest once more at exit, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"stdout cannot be written: {error.strerror}") from error


def shown(name: str, standard: str) -> str:
    """A file's name for a message."""
    return standard if name == STANDARD else urls.shown(name)


@contextmanager
def existing() -> Iterator[None]:
    """An input that is not there is a mistake in the command line."""
    try:
        yield
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise click.UsageError(str(error)) from error
        raise


@contextmanager
def named(source: str, errors: tuple[type[NvpError], ...] = (InputError, FormatError)) -> Iterator[None]:
    """Put the name of IN before what is wrong with it."""
    try:
        yield
    except errors as error:
        raise type(error)(f"{shown(source, 'stdin')}: {error}") from error


def progress_line(quiet: bool, unit: str = "regions") -> Callable[[int, int], None]:
    """Tells how many of something are done, over and over in one line, where a terminal shows it."""

    def tell(done: int, total: int) -> None:
        if not quiet and total > 1:
            overwrite(f"{done} of {total} {unit}" if done < total else "")

    return tell
