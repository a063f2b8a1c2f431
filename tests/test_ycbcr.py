"""Colours that a JPEG decoder made are coded as what it made them from."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import codec, container, ycbcr
from nvpcodec.container import MODE_FLOW, MODE_FLOW_TOP_FIRST, MODE_RANKS, MODE_YCBCR, RegionPart
from nvpcodec.errors import DamagedFileError, FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from nvpcodec.ranks import Bytes
from nvpcodec.stack import Ints
from tests import second_decoder
from tests.golden import make
from tests.refusals import check_is_damage, file_of_region, shipped_models

OPTIONS = Options(device="cpu")


def through_jpeg(samples: Bytes, quality: int, subsampling: int) -> Bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(samples).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(PillowImage.open(stream)).copy()


def photograph() -> Bytes:
    return make.crop(Kind.RGB, make.FLOW).samples.astype(np.uint8)


def decoded() -> Bytes:
    return through_jpeg(photograph(), 90, 2)


def in_words(y: int, cb: int, cr: int) -> list[int]:
    """libjpeg's tables and rounding, one number after the other."""
    red = y + (91881 * cr + 32768) // 65536
    green = y + (-22554 * cb - 46802 * cr + 32768) // 65536
    blue = y + (116130 * cb + 32768) // 65536
    return [min(max(each, 0), 255) for each in (red, green, blue)]


def any_planes(count: int) -> Ints:
    generator = np.random.default_rng(1)
    lows, highs = np.array([[0, 256], [-128, 128], [-128, 128]]).T[..., None]
    return generator.integers(lows, highs, (3, count)).astype(np.int32)[:, None]


def test_to_colours() -> None:
    planes = any_planes(2000)
    assert ycbcr.to_colours(planes)[0].tolist() == [in_words(*each) for each in planes[:, 0].T.tolist()]
    corners = np.array([[0, -128, -128], [255, 127, 127], [76, -43, 127], [128, 0, 0]], np.int32)
    assert ycbcr.to_colours(corners.T[:, None])[0].tolist() == [in_words(*each) for each in corners.tolist()]


@pytest.mark.parametrize("plane", range(3))
@pytest.mark.parametrize("value", [-129, 256])
def test_planes_out_of_range_are_damage(plane: int, value: int) -> None:
    planes = np.zeros((3, 2, 2), np.int32)
    planes[plane, 1, 1] = value
    with pytest.raises(DamagedFileError, match="range"):
        ycbcr.to_colours(planes)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_what_a_jpeg_decoder_made_is_found(quality: int, subsampling: int) -> None:
    samples = through_jpeg(photograph(), quality, subsampling)
    planes = ycbcr.find(samples)
    assert planes is not None
    np.testing.assert_array_equal(ycbcr.to_colours(planes), samples, strict=True)


def test_cut_colours_are_found() -> None:
    """Most of these are cut at 0 or 255, many in two channels."""
    samples = ycbcr.to_colours(any_planes(100_000))
    planes = ycbcr.find(samples)
    assert planes is not None
    np.testing.assert_array_equal(ycbcr.to_colours(planes), samples, strict=True)


def test_other_colours_are_not_found() -> None:
    assert ycbcr.find(photograph()) is None
    assert ycbcr.find(decoded()[..., :1].copy()) is None
    assert ycbcr.find(decoded()[..., ::-1].copy()) is None
    one_pixel = decoded()
    one_pixel[50, 60] = 128, 128, 129
    assert ycbcr.find(one_pixel) is None


def test_one_colour_in_four() -> None:
    generator = np.random.default_rng(3)
    colours = generator.integers(0, 256, (1000, 1, 1, 3), np.uint8)
    found = sum(ycbcr.find(one) is not None for one in colours)
    assert 210 < found < 300


def test_a_quarter_less() -> None:
    samples = decoded()
    data = codec.encode_image(Image(samples, Kind.RGB), OPTIONS)
    off_by_a_pixel = samples.copy()
    off_by_a_pixel[0, 0] = 128, 128, 129
    plain = codec.encode_image(Image(off_by_a_pixel, Kind.RGB), OPTIONS)
    assert len(data) < 0.8 * len(plain)


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.RGBA])
def test_files_come_back(kind: Kind) -> None:
    image = make.jpeg_coloured(kind)
    data = codec.encode_image(image, OPTIONS)
    assert [part.mode for part in container.parse(data).regions] == [MODE_YCBCR]
    assert codec.decode_image(data, OPTIONS).equals(image)
    np.testing.assert_array_equal(second_decoder.decode(data, shipped_models()), image.samples)


@pytest.mark.parametrize("model", ["realnvp", "best"])
def test_other_models_code_them_too(model: str) -> None:
    image = Image(decoded(), Kind.RGB)
    options = Options(device="cpu", model=model)
    data = codec.encode_image(image, options)
    assert [part.mode for part in container.parse(data).regions] == [MODE_YCBCR]
    assert codec.decode_image(data, options).equals(image)


def test_both_flow_modes() -> None:
    part = RegionPart(MODE_FLOW_TOP_FIRST, b"coded")
    assert ycbcr.split(ycbcr.join(part)) == part


def with_payload(payload: bytes, kind: int = container.RGB) -> bytes:
    """A file of one region of Y, Cb and Cr."""
    return file_of_region(RegionPart(MODE_YCBCR, payload), kind, make.FLOW)


def coded(planes: Ints) -> bytes:
    """A payload of these planes, as if they were in range."""
    stack = codec.coder_of(OPTIONS).encode(planes)[0]
    return ycbcr.join(RegionPart(MODE_FLOW, stack))


def planes_beyond(value: int) -> Ints:
    planes = np.zeros((3, *make.FLOW), np.int32)
    planes[2, 5, 5] = value
    return planes


HOSTILE: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "a mode alone": lambda: bytes([MODE_FLOW]),
    "ranks": lambda: bytes([MODE_RANKS]) + coded(planes_beyond(0))[1:],
    "its own mode": lambda: bytes([MODE_YCBCR]) + coded(planes_beyond(0)),
    "a chroma too high": lambda: coded(planes_beyond(128)),
    "a chroma too low": lambda: coded(planes_beyond(-129)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_damage(name: str) -> None:
    check_is_damage(with_payload(HOSTILE[name]()))


def test_grey_has_no_chroma() -> None:
    with pytest.raises(FormatError, match="colour only"):
        with_payload(b"", container.GREY)
