"""The examples of docs/pillow.md are run, as they stand there."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Image.open(ROOT / "demo" / "coffee.png") as photograph:
        photograph.convert("RGB").crop((0, 0, 384, 256)).save("photo.png")
    result = doctest.testfile(str(ROOT / "docs" / "pillow.md"), module_relative=False)
    assert result.failed == 0
    assert result.attempted >= 9
