"""The benchmark of archives runs, compares every image, and counts what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import archive as benchmark
from common import Picture, codec
from tests.models import small_model_path

DEMO = Path(__file__).resolve().parent.parent / "demo"


def test_the_archive_is_the_smallest(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(small_model_path())
    arguments = [str(DEMO), "--crops", "6", "--sides", "12,16", "--models", model]
    assert benchmark.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert (summary["crops"], summary["lossless"]) == (6, True)
    for sizes in summary["bytes"].values():
        assert sizes[f"{model} archive"] < sizes[f"{model} files"]
        assert sizes["png files"] < sizes["zip of png"]
    assert sum(line.startswith("6 of ") for line in lines) == 2


def test_crops_are_the_same_again_and_taken_in_turns() -> None:
    pictures = [Picture(str(n), np.full((9, 9, 1), n, np.uint8)) for n in range(2)]
    crops = benchmark.crops_of(pictures, 4, 5)
    assert [int(crop[0, 0, 0]) for crop in crops.values()] == [0, 1, 0, 1]
    assert {crop.shape for crop in crops.values()} == {(5, 5, 1)}
    whole = [Picture("a", np.arange(900).reshape(30, 30, 1).astype(np.uint8))]
    again = benchmark.crops_of(whole, 3, 8)
    assert all(np.array_equal(a, again[name]) for name, a in benchmark.crops_of(whole, 3, 8).items())


def test_bytes_of_files_are_sums() -> None:
    crops = {"a": np.zeros((4, 4, 3), np.uint8), "b": np.ones((4, 4, 3), np.uint8)}
    sizes, lossless = benchmark.measure(crops, [])
    assert lossless
    assert sizes["png files"] == sum(len(codec("png").encode(crop).data) for crop in crops.values())


def test_images_smaller_than_their_crops_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main([str(DEMO), "--sides", "2000"])
    assert "smaller than its crops" in capsys.readouterr().err
