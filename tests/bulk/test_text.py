"""The commands of docs/bulk.md are run, as they stand there; its tables are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from nvpcodec import cli
from nvpcodec.bulk import plan
from nvpcodec.bulk.manifest import Entry
from tests.bulk.helpers import ROOT, lines, write_image
from tests.helpers import gradient, noise

TEXT = (ROOT / "docs" / "bulk.md").read_text(encoding="utf-8")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(Path("photos/a.png"), gradient())
    write_image(Path("photos/sub/b.png"), noise(1))
    commands = re.findall(r"^    nvpcodec (.*)$", TEXT, re.MULTILINE)
    local, [ray] = (
        [line for line in commands if "--ray" not in line],
        [line for line in commands if "--ray" in line],
    )
    assert len(local) == 3
    for command in local:
        assert cli.run(command.split()) == 0
    assert [entry.verified for entry in lines(Path("packed/manifest.jsonl"))] == [True, True]
    for name in ("a.png", "sub/b.png"):
        assert Path("copy", name).exists()
    assert cli.run([*ray.split(), "--help"]) == 0


def test_names_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `sub/(.*)` \| `sub/(.*)` \| `sub/(.*)` \|$", TEXT, re.MULTILINE)
    assert len(rows) == 2
    for source, encoded, decoded in rows:
        assert plan.output_of(source, decoding=False) == encoded
        assert plan.output_of(encoded, decoding=True) == decoded
    assert plan.output_of("b.nvp", decoding=True) == "b.png"
    assert ", ".join(suffix[1:] for suffix in plan.IMAGE_SUFFIXES) in " ".join(TEXT.split())


def test_fields_are_those_of_the_manifest() -> None:
    table = TEXT.split("| field | meaning |")[1].split("\n\n")[0]
    named = [
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1:2][0] if "|" in line else "")
    ]
    assert named == [field.name for field in fields(Entry)]


def test_versions_of_ray_are_those_of_the_extra() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'ray = ["ray[data]>=2.60,<2.64"]' in project
    assert "Ray 2.60 to 2.63" in TEXT
