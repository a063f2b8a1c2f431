"""Pictures of maps: their colours, their legend, and the command that writes them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import cli, heat_picture, imagefile, png
from nvpcodec.pixels import Kind
from tests.helpers import image_of

CAT = Path(__file__).resolve().parent.parent / "demo" / "chelsea.png"


def slope(height: int = 20, width: int = 300) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.linspace(0, 12, width, dtype=np.float32)[None].repeat(height, 0)


def test_more_bits_are_lighter() -> None:
    row = np.asarray(heat_picture.draw(slope(), 12).convert("RGB"), np.float64)[0]
    lightness = row @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness) >= -1).all(), "but for rounding"
    assert tuple(row[0]) == heat_picture.COLOURS[0]
    assert tuple(row[-1]) == heat_picture.COLOURS[-1]


def test_more_bits_than_the_top_get_the_last_colour() -> None:
    picture = heat_picture.draw(np.array([[99.0]], np.float32), 12).convert("RGB")
    assert picture.getpixel((0, 0)) == heat_picture.COLOURS[-1]


def test_the_top_is_even_and_leaves_out_few() -> None:
    bits = slope(100, 100)
    bits[0, 0] = 1000
    assert heat_picture.top_of([bits]) == 12
    assert heat_picture.top_of([np.zeros((3, 3), np.float32)]) == 2


def test_a_smaller_map_has_the_same_mean() -> None:
    bits = np.random.default_rng(1).random((120, 90)).astype(np.float32)
    small = heat_picture.shrunk(bits, 40)
    assert small.shape == (40, 30)
    assert float(small.mean()) == pytest.approx(float(bits.mean()), rel=1e-4)
    assert heat_picture.shrunk(bits, 120) is bits


def test_a_sheet_shows_its_panels_whole() -> None:
    bits = slope()
    page = np.asarray(heat_picture.sheet([("all", bits), ("half", bits[::2, ::2])], 12))
    drawn = np.asarray(heat_picture.draw(bits, 12).convert("RGB"))
    rows = [top for top in range(len(page) - 20) if (page[top : top + 20, 12:312] == drawn).all()]
    assert len(rows) == 1
    height, width = page.shape[:2]
    assert width == 300 + 24
    assert height > 40


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "fur.png", tmp_path / "map.png"
    whole = imagefile.read(CAT.read_bytes(), max_pixels=10**6).image
    source.write_bytes(png.write(image_of(whole.samples[60:124, 90:170].copy(), Kind.RGB)))
    command = ["heatmap", "--device", "cpu", str(source), "-o", str(target)]
    assert cli.run(command) == 0
    assert "bits/pixel" in capsys.readouterr().err
    with PillowImage.open(io.BytesIO(target.read_bytes())) as picture:
        alone = picture.size
    assert cli.run(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.run([*command, "-f", "--scales", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mean_bits_per_pixel"] == pytest.approx(sum(said["scale_bits"]) / (64 * 80), rel=1e-5)
    with PillowImage.open(io.BytesIO(target.read_bytes())) as picture:
        assert picture.size[0] >= alone[0]
        assert picture.size[1] > 3 * 64
    assert cli.run(["heatmap", "--json", str(source), "-o", "-"]) == 2
