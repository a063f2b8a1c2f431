"""Maps of bits: every bit of the regions is somewhere, and where it belongs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nvpcodec import codec, container, imagefile
from nvpcodec.errors import InputError
from nvpcodec.heatmap import Heatmap, heatmap
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests.helpers import gradient, image_of

#: The model that nvpcodec encodes with: a random one would leave most images to plain coding.
OPTIONS = Options(device="cpu")
CAT = imagefile.read((Path(__file__).parent.parent / "demo/chelsea.png").read_bytes(), max_pixels=10**6).image


def cat(height: int = 96, width: int = 80) -> Image:
    """An eye and the fur around it."""
    return image_of(CAT.samples[80 : 80 + height, 100 : 100 + width].copy(), Kind.RGB)


def payload_bits(image: Image, options: Options) -> int:
    file = container.parse(codec.encode_image(image, options), max_samples=options.max_samples)
    return 8 * sum(len(part.payload) for part in file.regions)


def total(found: Heatmap) -> float:
    return sum(found.scale_bits) + found.shared_bits + found.unplaced_bits


@pytest.mark.parametrize("image", [cat(), image_of(cat(75, 33).samples[..., :1].copy(), Kind.GREY)])
def test_every_bit_is_counted_once(image: Image) -> None:
    found = heatmap(image, OPTIONS)
    assert found.bits.shape == image.samples.shape[:2]
    assert found.bits.dtype == np.float32
    assert total(found) == pytest.approx(payload_bits(image, OPTIONS))
    assert float(found.bits.sum()) == pytest.approx(sum(found.scale_bits) + found.shared_bits, rel=1e-5)


def test_scales_have_the_bits_of_their_pixels() -> None:
    found = heatmap(cat(), OPTIONS)
    rows, columns = np.mgrid[: found.bits.shape[0], : found.bits.shape[1]]
    for number, bits in enumerate(found.scale_bits[:-1]):
        here = (rows % (1 << number) == 0) & (columns % (1 << number) == 0)
        coarser = (rows % (2 << number) == 0) & (columns % (2 << number) == 0)
        assert float(found.bits[here & ~coarser].sum()) == pytest.approx(bits, rel=1e-5)


def test_the_model_accounts_for_what_belongs_to_no_pixel() -> None:
    image = cat(40, 40)  # no phase is large enough for a fit
    _, report = codec.encode_with_report(image, OPTIONS)
    found = heatmap(image, OPTIONS)
    assert sum(found.scale_bits) == pytest.approx(report.theory_bits, rel=1e-6)


def test_noise_costs_more_than_fur() -> None:
    image = cat()
    spoilt = image.samples.copy()
    spoilt[:, 40:] ^= np.random.default_rng(1).integers(0, 32, (96, 40, 3)).astype(np.uint8)
    before, after = heatmap(image, OPTIONS), heatmap(image_of(spoilt, Kind.RGB), OPTIONS)
    assert after.bits[:, 48:].mean() > before.bits[:, 48:].mean() + 6
    assert after.bits[:, :32].mean() < before.bits[:, :32].mean() + 1


def test_a_scales_map_is_the_mean_of_what_it_adds() -> None:
    bits = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = Heatmap(bits, (1.0, 2.0), 0.0, 0.0)
    expected = np.array([[(1 + 4 + 5) / 3, (3 + 6 + 7) / 3], [9, 11]])
    np.testing.assert_allclose(found.scale(0), expected, rtol=1e-6)
    np.testing.assert_allclose(found.scale(1), [[(2 + 8 + 10) / 3]], rtol=1e-6)


def test_plain_regions_share_their_bits_alike() -> None:
    image = gradient(Kind.RGB, np.uint16)
    found = heatmap(image, OPTIONS)
    assert found.scale_bits == ()
    assert len(np.unique(found.bits)) == 1
    assert total(found) == found.shared_bits == payload_bits(image, OPTIONS)


def test_alpha_is_shared() -> None:
    opaque = cat(48, 48)
    alpha = np.full((48, 48, 1), 255, np.uint8)
    image = image_of(np.concatenate([opaque.samples, alpha], 2), Kind.RGBA)
    found, without = heatmap(image, OPTIONS), heatmap(opaque, OPTIONS)
    assert found.shared_bits > without.shared_bits == 0
    assert found.scale_bits == without.scale_bits
    assert total(found) == pytest.approx(payload_bits(image, OPTIONS))


def test_a_model_that_gives_pixels_no_bits_is_refused() -> None:
    with pytest.raises(InputError, match="choose"):
        heatmap(cat(24, 24), Options(model="realnvp", device="cpu"))
