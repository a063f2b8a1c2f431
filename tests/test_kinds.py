"""The drawn images of the benchmarks: the same each time, what they claim to be, and the table of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kinds
import size
from common import Codec, Encoded, Picture, Samples, codec


@pytest.mark.parametrize("name", kinds.KINDS)
def test_a_maker_draws_the_same_each_time(name: str) -> None:
    samples = kinds.KINDS[name]()
    assert samples.dtype == (np.uint16 if name.startswith("medical") else np.uint8)
    assert samples.ndim == 3
    assert samples.flags.c_contiguous
    assert samples.shape[2] == (4 if name.endswith("rgba") or name == "hidden_colours" else samples.shape[2])
    np.testing.assert_array_equal(kinds.KINDS[name](), samples)


def colours(name: str) -> int:
    samples = kinds.KINDS[name]()
    return len(np.unique(samples.reshape(-1, samples.shape[2]), axis=0))


def test_kinds_have_what_they_are_called_for() -> None:
    assert colours("text_bilevel") == colours("dithered_bilevel") == 2
    assert colours("pixel_art") <= 16
    assert colours("dithered_colours") == 32
    assert colours("screenshot") > 256, "soft edges"
    assert colours("palette_photo") == 256
    assert 64 < colours("sepia") <= 256
    assert 64 < colours("false_colours") <= 256
    assert len(np.unique(kinds.contrast_stretched()[..., 0])) < 200
    hidden = kinds.hidden_colours()
    assert len(np.unique(hidden[hidden[..., 3] == 0], axis=0)) > 1000
    assert kinds.medical_12_in_16().max() < 4096


def bare(name: str) -> Codec:
    """Stores samples, in 8 or 16 bits, as they are; ``webp`` takes twice the bytes."""
    shapes: dict[bytes, Samples] = {}

    def encode(samples: Samples) -> Encoded:
        data = samples.tobytes() * (2 if name == "webp" else 1)
        shapes[data] = samples
        return Encoded(data)

    return Codec(name, encode, lambda data: shapes[data] if name != "broken" else shapes[data] + 1)


@pytest.mark.parametrize("model", ["whole", "broken"])
def test_the_table_of_kinds(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.zeros((4, 5, 1), np.uint8)
    monkeypatch.setattr(size, "KINDS", {"grey": lambda: grey, "deep": lambda: grey.astype(np.uint16)})
    monkeypatch.setattr(size, "codec", bare)
    assert size.main(["--kinds", "--models", model]) == int(model == "broken")
    output = capsys.readouterr()
    summary = json.loads(output.out.splitlines()[-1])
    assert summary["to_webp"] == {"grey": 0.5}
    assert summary["bytes"] == {
        "grey": {"png": 20, "webp": 40, "jxl-e7": 20, model: 20},
        "deep": {"png": 40, "jxl-e7": 40, model: 40},
    }
    assert summary["lossless"] is (model == "whole")
    assert ("grey (broken), deep (broken)" in output.err) is (model == "broken")


@pytest.mark.parametrize("name", ["icon_rgba", "microscopy_grey"])
def test_small_kinds_are_smaller_than_webp(name: str) -> None:
    picture = Picture(name, kinds.KINDS[name]())  # type: ignore[arg-type]
    ours, webp = (size.measure(picture, codec(each)) for each in ("fast", "webp"))
    assert ours.lossless
    assert ours.bits < webp.bits
