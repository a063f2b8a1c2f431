"""The AUROC is right, the kinds are what they say, and the table is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anomaly
from anomaly import CHANGES, Scores, auroc, crops, detect, shuffled
from tests.models import small_options

DEMO = Path(__file__).resolve().parents[1] / "demo"


def numbers(*values: float) -> anomaly.Numbers:
    return np.array(values, np.float64)


def test_auroc_is_the_chance_of_a_higher_value() -> None:
    usual = numbers(1, 2, 3, 4)
    assert auroc(usual, numbers(5, 6)) == 1
    assert auroc(usual, numbers(0)) == 0
    assert auroc(usual, usual) == 0.5
    assert auroc(usual, numbers(3, 3, 3)) == (2 + 0.5) / 4


def test_low_bits_are_strange_on_two_sides_only() -> None:
    photographs = Scores(numbers(2.9, 3.0, 3.1, 3.2), numbers(-0.6, -0.5, -0.5, -0.4))
    smooth = Scores(numbers(0.3, 0.4), numbers(0.1, 0.2))
    bits, far_bits, corrected, far_corrected = detect(photographs, photographs, smooth)
    assert bits == 0
    assert far_bits == corrected == far_corrected == 1


def photograph(side: int = 64) -> anomaly.Samples:
    with Image.open(DEMO / "coffee.png") as image:
        return np.asarray(image.convert("RGB"))[100 : 100 + side, 200 : 200 + side]


def test_every_change_gives_another_image_of_that_size() -> None:
    image = photograph()
    for name, change in CHANGES.items():
        changed = change(image, np.random.default_rng(1))
        assert changed.shape == image.shape, name
        assert changed.dtype == np.uint8, name
        assert not np.array_equal(changed, image), name


def test_shuffling_moves_whole_patches() -> None:
    image = photograph()
    mixed = shuffled(image, np.random.default_rng(1))

    def patches(samples: anomaly.Samples) -> list[bytes]:
        blocks = [samples[y : y + 8, x : x + 8] for y in range(0, 64, 8) for x in range(0, 64, 8)]
        return sorted(block.tobytes() for block in blocks)

    assert patches(mixed) == patches(image)


def test_crops_of_grey_have_three_equal_colours() -> None:
    grey = np.arange(20 * 30, dtype=np.uint16).astype(np.uint8).reshape(20, 30, 1)
    (crop,) = crops(grey, 16, 1, np.random.default_rng(1))
    assert crop.shape == (16, 16, 3)
    assert (crop == crop[..., :1]).all()
    assert list(crops(grey, 24, 1, np.random.default_rng(1))) == []


def test_the_table_has_a_row_for_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Image.open(DEMO / "coffee.png") as image:
        for index in range(4):
            image.convert("RGB").crop((130 * index, 0, 130 * index + 120, 120)).save(
                tmp_path / f"{index}.png"
            )
    arguments = [str(tmp_path), "--others", str(tmp_path), "--model", small_options().model]
    assert anomaly.main([*arguments, "--side", "32", "--crops", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(found) == [*CHANGES, *anomaly.DRAWN, tmp_path.name]
    assert found["white noise"]["bits"] == 1


def test_too_few_photographs_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert anomaly.main([str(tmp_path)]) == 2
    assert "too few photographs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        anomaly.main([str(tmp_path), "--side", "30"])
