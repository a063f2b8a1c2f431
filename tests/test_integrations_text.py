"""The examples of docs/integrations.md are run, as they stand there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from nvpcodec import cli, fileinfo, png
from nvpcodec.integrations import chunks
from tests.helpers import gradient

ROOT = Path(__file__).resolve().parent.parent
TEXT = ROOT / "docs" / "integrations.md"


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(TEXT), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 10


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory store stands in for the bucket of the text; tests/test_urls.py has a real one."""
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(png.write(gradient()))
    commands = re.findall(r"^    nvpcodec (.*)$", TEXT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert cli.run(command.replace("s3://", "memory://").split()) == 0
    assert Path("copy.png").exists()


def test_names_and_numbers_are_those_of_the_code() -> None:
    text = TEXT.read_text(encoding="utf-8")
    assert f"`{chunks.MAGIC.hex(' ')}`" in text
    assert f"at most {chunks.MAX_LEADING_AXES}" in text
    assert fileinfo.HEAD_BYTES == 64 * 1024
    assert "the first 64 KiB" in text
