"""What only a terminal sees: colours, and one line that is written over and over."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

_CLEAR_LINE = "\r\x1b[K"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be watching, on something that understands escape sequences."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str) -> str:
    """``text`` for stderr: bold and in a colour on a terminal, unless NO_COLOR (no-color.org) is set."""
    if os.environ.get("NO_COLOR") or not is_terminal(sys.stderr):
        return text
    return click.style(text, fg=colour, bold=True)


def overwrite(line: str) -> None:
    """Show ``line`` in place of the line that stderr ends with; nothing where stderr is no terminal."""
    if is_terminal(sys.stderr):
        click.echo(f"{_CLEAR_LINE}{line}", nl=False, err=True)
