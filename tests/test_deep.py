"""Deep regions: exact for every shape and content, smaller than plain ones, unmoved by hostile payloads."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from nvpcodec import codec, container, deep, plain
from nvpcodec.container import MODE_DEEP, MODE_STORED, Container, RegionPart, varint_to_bytes
from nvpcodec.deep import Samples
from nvpcodec.errors import DamagedFileError, FormatError
from nvpcodec.options import Options
from nvpcodec.pixels import Image, Kind
from tests import second_decoder
from tests.golden import make
from tests.hostile import makers
from tests.second_decoder import RefusedError

SIZES = [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (4, 4), (5, 4), (3, 17), (17, 3), (33, 31)]


def scene(height: int, width: int, channels: int, noise: float = 0.01, peak: int = 65535) -> Samples:
    """A smooth picture with an edge and noise that grows with brightness, channels alike."""
    generator = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width] / 40.0
    light = 0.4 + 0.25 * np.sin(x + y * y) + 0.2 * (x > y)
    gains = np.array([0.9, 1.0, 0.7, 0.5])[:channels]
    exact = light[..., None] * gains
    noisy = exact + generator.standard_normal(exact.shape) * np.sqrt(exact) * noise
    samples: Samples = np.rint(np.clip(noisy, 0, 1) * peak).astype(np.uint16)
    return samples


def contents(channels: int) -> dict[str, Samples]:
    """Named pictures, large enough that their finest scale is fitted."""
    size = (64, 66, channels)
    generator = np.random.default_rng(3)
    extremes = generator.integers(0, 2, size).astype(np.uint16) * 65535
    return {
        "scene": scene(*size),
        "12 bits": scene(*size, peak=4095),
        "stretched": scene(*size, peak=4095) * np.uint16(16),
        "8 bits": scene(*size, peak=255) * np.uint16(257),
        "flat": np.full(size, 777, np.uint16),
        "noise": generator.integers(0, 65536, size).astype(np.uint16),
        "extremes": extremes,
        "steps": np.repeat(generator.integers(0, 65536, (64, 11, channels)), 6, 1).astype(np.uint16),
    }


def assert_exact(samples: Samples) -> bytes:
    """Encode, decode by the program and by the second decoder, compare."""
    before = samples.copy()
    payload = plain._encode_deep(samples)
    decoded = plain.decode(MODE_DEEP, payload, samples.shape, 16)
    np.testing.assert_array_equal(decoded, samples, strict=True)
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(second_decoder.decode_plain(MODE_DEEP, payload, samples.shape, 16), samples)
    return payload


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_exact(size: tuple[int, int], channels: int) -> None:
    assert_exact(scene(*size, channels))


@pytest.mark.parametrize("name", contents(1))
@pytest.mark.parametrize("channels", [1, 3])
def test_exact_whatever_the_content(name: str, channels: int) -> None:
    assert_exact(contents(channels)[name])


def test_the_form_is_that_of_the_smoother_planes() -> None:
    alike = scene(40, 40, 3)
    assert deep.encode(alike)[0] == deep.FORM_COLOUR
    unlike = np.stack([alike[..., 0], alike[::-1, :, 1], 65535 - alike[:, ::-1, 2]], 2)
    assert deep.encode(unlike)[0] == deep.FORM_PLAIN


@pytest.mark.parametrize("channels", [1, 4])
def test_it_is_chosen_and_smaller_than_plain_coding(channels: int) -> None:
    kind = {1: Kind.GREY, 4: Kind.RGBA}[channels]
    samples = make.deep(kind).samples.astype(np.uint16)
    mode, payload = plain.encode(samples, 16)
    assert mode == MODE_DEEP
    others = min(
        len(compress(plain._to_bytes(samples, form), channels))
        for form in plain._forms(samples, 16)
        for _, compress in plain._COMPRESSORS
    )
    assert len(payload) < 0.93 * others


def test_noise_costs_about_what_it_is() -> None:
    """Of normal noise of 50 steps no coder can leave less than log2(50 sqrt(2 pi e)) bits a sample."""
    noise = np.random.default_rng(5).normal(20000, 50, (200, 200, 1))
    bits = 8 * len(deep.encode(np.rint(noise).astype(np.uint16))) / noise.size
    assert 0 < bits - np.log2(50 * np.sqrt(2 * np.pi * np.e)) < 0.15


def test_drawings_are_still_drawings() -> None:
    y, x = np.mgrid[:120, :160]
    samples = np.where(np.hypot(y - 60, x - 70) < 40, 60000, 300).astype(np.uint16)[..., None]
    assert plain.encode(samples, 16)[0] == container.MODE_DRAWING


@pytest.mark.parametrize("kind", [Kind.GREY, Kind.GREY_ALPHA, Kind.RGB, Kind.RGBA])
def test_images_come_back_through_files(kind: Kind) -> None:
    image = Image(scene(60, 50, container.CHANNELS[kind]), kind)
    data = codec.encode_image(image, Options())
    record = container.parse(data)
    assert [region.mode for region in record.regions] == [MODE_DEEP]
    assert record.model_id is None
    np.testing.assert_array_equal(codec.decode_image(data, Options()).samples, image.samples, strict=True)


def test_a_file_of_another_bit_depth_is_refused() -> None:
    record = Container(0, 8, 2, 2, 2, 2, None, b"", (RegionPart(MODE_DEEP, b"\0\0\1\0\0"),), 0)
    with pytest.raises(FormatError, match="16 bits"):
        container.write(record)
    with pytest.raises(FormatError):
        plain.decode(MODE_DEEP, b"\0\0\1\0\0", (2, 2, 1), 8)


def hostile(channels: int) -> dict[str, bytes]:
    """Payloads that no encoder writes, by what is wrong."""
    alpha = bytes((MODE_STORED,)) + varint_to_bytes(13) + b"\4" + bytes(12) if channels % 2 == 0 else b""
    good = b"\0\0\1\0"
    return {
        "nothing": b"",
        "no form": alpha,
        "a reserved form": alpha + b"\2" + good[1:] + b"\0",
        "no growth": alpha + good,
        "a reserved growth": alpha + good + b"\x11",
        "a zero byte at the end": alpha + good + b"\0\1\0",
        "a stack that is not used up": alpha + good + b"\0\1\2\3\4\5\6\7\1",
        "cut alpha": bytes((MODE_STORED, 99)) + good + b"\0",
    } | ({"colour of one channel": alpha + b"\1" + good[1:] + b"\0"} if channels < 3 else {})


def is_refused(payload: bytes, shape: tuple[int, int, int]) -> bool:
    try:
        plain.decode(MODE_DEEP, payload, shape, 16)
    except DamagedFileError:
        return True
    return False


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_hostile_payloads_are_refused(channels: int) -> None:
    shape = (2, 3, channels)
    for name, payload in hostile(channels).items():
        assert is_refused(payload, shape), name
        with pytest.raises((RefusedError, IndexError)):
            second_decoder.decode_plain(MODE_DEEP, payload, shape, 16)


def test_alpha_of_a_reserved_mode_is_refused() -> None:
    with pytest.raises(FormatError):
        plain.decode(MODE_DEEP, b"\x10\0" + b"\0\0\1\0\0", (2, 3, 2), 16)


def test_flipped_and_cut_payloads_are_refused_or_give_other_samples() -> None:
    samples = scene(64, 66, 1)
    payload = deep.encode(samples)
    damages = [*list(makers.flipped(payload))[::301], *list(makers.cuts(payload))[::401]]
    for _, damaged in damages:
        try:
            decoded = deep.decode(damaged, samples.shape)
        except DamagedFileError:
            continue
        assert decoded.shape == samples.shape


def test_few_bytes_do_not_order_much_memory() -> None:
    """Memory is bounded by the region's size, whatever the payload says."""
    shape = (1024, 512, 1)
    payload = deep.encode(np.full(shape, 5, np.uint16))
    assert len(payload) < 400
    damaged = payload[:-4] + bytes(b ^ 0x55 for b in payload[-4:])
    tracemalloc.start()
    with pytest.raises(DamagedFileError):
        deep.decode(damaged, shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 1024 * 512
