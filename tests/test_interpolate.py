"""The ways between two photographs start and end there, and the flow's inverse holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="the examples need matplotlib, of the extra [examples]")

import interpolate

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_a_quick_run_draws_and_tells_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "interpolate.png"
    interpolate.main(["--quick", "-o", str(out)])
    lines = capsys.readouterr().out.splitlines()
    ways = [[float(word) for word in line[22:].split()] for line in lines[1:4]]
    assert [len(way) for way in ways] == [interpolate.STEPS] * 3
    for end in (0, -1):
        assert max(way[end] for way in ways) - min(way[end] for way in ways) < 0.01
    straight, circle = ways[1], ways[2]
    assert straight[3] < circle[3], "the chord is nearer to the mean than the circle"
    assert float(lines[4].split()[5]) < 1e-2
    with Image.open(out) as picture:
        assert picture.width >= 800


def test_the_committed_picture_is_there_and_small() -> None:
    assert (DOCS / "images" / "interpolate.png").stat().st_size < 200_000
    assert "images/interpolate.png" in (DOCS / "scores.md").read_text(encoding="utf-8")
