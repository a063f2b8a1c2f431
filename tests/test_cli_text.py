"""docs/cli.md says what the commands say of themselves, and the list of commands what each one says."""

from __future__ import annotations

import click
import pytest

from nvpcodec import cli
from tests import cli_text

COMMANDS = cli_text.commands()


def test_the_page_lists_the_commands_as_they_are() -> None:
    written = cli_text.PAGE.read_text(encoding="utf-8").split(cli_text.MARK)[1]
    assert written == cli_text.reference(), "run python -m tests.cli_text, and read what it wrote"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_says_what_each_says(name: str) -> None:
    assert cli.COMMANDS[name] == cli_text.help_of(COMMANDS[name])[0]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_an_example_and_tells_of_every_option(name: str) -> None:
    command = COMMANDS[name]
    examples = [part for part in cli_text.help_of(command) if part.startswith("\b")]
    assert any(f"nvpcodec {name}" in part for part in examples)
    unsaid = [
        option.name for option in command.params if isinstance(option, click.Option) and not option.help
    ]
    assert unsaid == []


def test_statuses_in_the_help_and_on_the_page_agree() -> None:
    page = cli_text.PAGE.read_text(encoding="utf-8")
    described = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    help_lines = (cli.cli.help or "").split("Exit status:")[1].splitlines()
    told = {words[0] for line in help_lines if (words := line.split()) and words[0].isdigit()}
    assert told == {each for each in described if each.isdigit()}
    assert told == {"0", "1", "2", "130", "141"}
