"""The part of docs/cli.md that lists the commands, made from the commands themselves.

python -m tests.cli_text        writes it anew
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from nvpcodec import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
MARK = "<!-- What follows is written by python -m tests.cli_text. -->\n"


def commands() -> dict[str, click.Command]:
    """All commands, in the order of the help."""
    context = click.Context(cli.cli)
    found = {name: cli.cli.get_command(context, name) for name in cli.cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def reference() -> str:
    """A section for each command."""
    return "".join(section(name, command) for name, command in commands().items())


def section(name: str, command: click.Command) -> str:
    """What a command is called with, what it does, examples, and options."""
    operands = [value_of(each) for each in command.params if isinstance(each, click.Argument)]
    usage = " ".join(["nvpcodec", name, "[OPTIONS]", *operands])
    options = [entry(each) for each in command.params if isinstance(each, click.Option)]
    return (
        "\n".join(["", f"## {name}", "", f"    {usage}", "", *paragraphs(command), *options]).rstrip("\n")
        + "\n"
    )


def help_of(command: click.Command) -> list[str]:
    """The paragraphs of a command's help; those that click must not fill begin with a backspace."""
    return inspect.cleandoc(command.help or "").split("\n\n")


def paragraphs(command: click.Command) -> Iterator[str]:
    """Lines of the paragraphs as they are, and as code those that click must not fill: examples."""
    for paragraph in help_of(command):
        verbatim, lines = paragraph.startswith("\b"), paragraph.lstrip("\b\n").split("\n")
        yield from (f"    {line}" if verbatim else line for line in lines)
        yield ""


def entry(option: click.Option) -> str:
    """One option: its names, its value, what it does and what holds without it."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" `{value_of(option)}`"
    default = f" Default: `{option.default}`." if option.show_default and not option.is_flag else ""
    variable = f" Variable: `{option.envvar}`." if option.show_envvar else ""
    return f"- {names}{value}: {option.help or ''}{default}{variable}"


def value_of(parameter: click.Parameter) -> str:
    """What stands for a value."""
    if parameter.metavar is not None:
        return parameter.metavar
    if isinstance(parameter.type, click.Choice):
        return "|".join(str(choice) for choice in parameter.type.choices)
    if isinstance(parameter.type, click.IntRange) and parameter.type.max is not None:
        return f"{parameter.type.min}..{parameter.type.max}"
    return parameter.type.name.upper()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.split(MARK)[0] + MARK + reference(), encoding="utf-8")
