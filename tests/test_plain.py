"""The plain codings: exact for every form, no larger than PNG, and unmoved by hostile payloads."""

from __future__ import annotations

import io
import lzma
import tracemalloc
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nvpcodec import drawing, plain
from nvpcodec.container import MODE_DEFLATE, MODE_DRAWING, MODE_FLOW, MODE_LZMA, MODE_STORED
from nvpcodec.errors import DamagedFileError, FormatError
from tests.hostile import makers

SIZES = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (3, 17), (17, 3), (8, 8), (1, 70), (70, 1), (33, 31)]
FORM_8 = 3
FORM_16 = 4
SUB, UP, MEDIAN, GREEN = 1 << 3, 2 << 3, 3 << 3, 1 << 5


def smooth(height: int, width: int, channels: int, *, bits: int, seed: int = 1) -> plain.Samples:
    """Something like a photograph: a slope and grain, the channels alike, with wraps at both ends."""
    random = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, None]
    values = (
        slope + random.integers(0, 5, (height, width, 1)) + random.integers(0, 3, (height, width, channels))
    )
    wrapped: plain.Samples = np.mod(values * (1 if bits <= 8 else 97), 2**bits, dtype=np.int64).astype(
        np.uint8 if bits <= 8 else np.uint16
    )
    return wrapped


def noise(height: int, width: int, channels: int, *, bits: int, seed: int = 2) -> plain.Samples:
    """Every value equally likely."""
    kind = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels), dtype=kind)


def icon(kind: str) -> NDArray[np.uint8]:
    """A 16x16 RGBA icon: a shaded disc on nothing, or a sign in three flat colours."""
    y, x = np.mgrid[:16, :16]
    rgba = np.zeros((16, 16, 4), np.uint8)
    distance = np.hypot(x - 7.5, y - 7.5)
    if kind == "disc":
        rgba[..., 0] = 255 - 9 * y
        rgba[..., 1] = 60 + 5 * x
        rgba[..., 3] = np.clip((8 - distance) * 255, 0, 255)
    else:
        rgba[distance < 8] = (200, 30, 40, 255)
        rgba[(abs(x - 7.5) < 2) & (distance < 6)] = (255, 255, 255, 255)
    return rgba


def assert_exact(samples: plain.Samples, bit_depth: int) -> tuple[int, bytes]:
    """Encode, decode, compare; the coding is handed back for more tests."""
    before = samples.copy()
    mode, payload = plain.encode(samples, bit_depth)
    height, width, channels = samples.shape
    decoded = plain.decode(mode, payload, (height, width, channels), bit_depth)
    np.testing.assert_array_equal(decoded, samples, strict=True)
    np.testing.assert_array_equal(samples, before)
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    return mode, payload


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_exact(size: tuple[int, int], channels: int, bits: int) -> None:
    for make in (smooth, noise):
        assert_exact(make(*size, channels, bits=bits), bits)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exact_with_few_values(size: tuple[int, int]) -> None:
    for bits in (1, 2, 3, 4, 5):
        assert_exact(smooth(*size, 1, bits=bits), 8)
    assert_exact(noise(*size, 1, bits=1), 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_form_is_exact_through_each_coder(size: tuple[int, int], channels: int, bits: int) -> None:
    """Also those that ``encode`` would not choose here."""
    form_byte = FORM_8 if bits == 8 else FORM_16
    samples = noise(*size, channels, bits=bits)
    for chosen in range(8 if channels >= 3 else 4):
        form = plain._Form.from_byte(form_byte | chosen << 3)
        raw = plain._to_bytes(samples, form)
        assert len(raw) == samples.nbytes
        for mode, compress in plain._COMPRESSORS:
            payload = form.to_byte() + compress(raw, channels)
            np.testing.assert_array_equal(
                plain.decode(mode, payload, (*size, channels), bits), samples, strict=True
            )


def reference_median(residuals: plain.Samples, modulus: int) -> plain.Samples:
    """The inverse of the median filter as docs/format.md words it, one sample after another."""
    height, width, channels = residuals.shape
    restored = np.zeros((height + 1, width + 1, channels), np.int64)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                left, above, corner = restored[y + 1, x, c], restored[y, x + 1, c], restored[y, x, c]
                median = sorted((left, above, left + above - corner))[1]
                restored[y + 1, x + 1, c] = (median + int(residuals[y, x, c])) % modulus
    return restored[1:, 1:].astype(residuals.dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_median_filter_against_its_definition(size: tuple[int, int], bits: int) -> None:
    residuals = noise(*size, 2, bits=bits)
    expected = reference_median(residuals, 2**bits)
    np.testing.assert_array_equal(plain._restore_median(residuals.copy()), expected, strict=True)
    np.testing.assert_array_equal(expected - plain._predict_median(expected), residuals, strict=True)


@pytest.mark.parametrize(
    ("form", "raw", "shape", "bit_depth", "expected"),
    [
        (FORM_8, [1, 2, 3, 4], (2, 2, 1), 8, [1, 2, 3, 4]),
        (FORM_8 | SUB, [1, 255, 3, 4], (2, 2, 1), 8, [1, 0, 3, 7]),
        (FORM_8 | UP, [1, 2, 255, 4], (2, 2, 1), 8, [1, 2, 0, 6]),
        (FORM_8 | MEDIAN, [5, 3, 250, 1], (2, 2, 1), 8, [5, 8, 255, 0]),
        (FORM_8 | GREEN, [255, 2, 254, 9], (1, 1, 4), 8, [1, 2, 0, 9]),
        (FORM_16, [1, 2, 3, 4], (1, 2, 1), 16, [0x0103, 0x0204]),
        (FORM_16 | SUB, [0, 0, 7, 3], (1, 2, 1), 16, [65532, 65530]),
        (0, [0b10100000, 0b01000000], (2, 3, 1), 1, [1, 0, 1, 0, 1, 0]),
        (1, [0b11011000], (1, 3, 1), 8, [3, 1, 2]),
        (2, [0x1F, 0x20], (1, 3, 1), 8, [1, 15, 2]),
        (0 | UP, [0b10000000, 0b01000000], (2, 2, 1), 8, [1, 0, 1, 1]),
    ],
)
def test_literal_payloads(
    form: int, raw: list[int], shape: tuple[int, int, int], bit_depth: int, expected: list[int]
) -> None:
    """The meaning of the form byte and of the bytes behind it, as docs/format.md has it."""
    mode = MODE_DEFLATE if form >> 3 else MODE_STORED
    coded = plain._deflate(bytes(raw), shape[2]) if form >> 3 else bytes(raw)
    decoded = plain.decode(mode, bytes((form,)) + coded, shape, bit_depth)
    assert decoded.reshape(-1).tolist() == expected
    assert decoded.dtype == (np.uint16 if bit_depth == 16 else np.uint8)


@pytest.mark.parametrize("bits", [8, 16])
def test_noise_is_stored_and_costs_one_byte(bits: int) -> None:
    samples = noise(64, 64, 3, bits=bits)
    mode, payload = assert_exact(samples, bits)
    assert (mode, len(payload)) == (MODE_STORED, samples.nbytes + 1)


def test_noise_of_few_values_is_packed() -> None:
    for bits, depth in ((1, 1), (1, 8), (2, 8), (4, 8)):
        _, payload = assert_exact(noise(64, 64, 1, bits=bits), depth)
        assert len(payload) <= 64 * 64 * bits // 8 + 1


def test_flat_regions_are_tiny() -> None:
    assert len(assert_exact(np.full((1000, 1000, 3), 77, np.uint8), 8)[1]) < 600
    assert len(assert_exact(np.full((1000, 1000, 3), 7777, np.uint16), 16)[1]) < 1200


@pytest.mark.parametrize("kind", ["disc", "sign"])
def test_icons_against_png(kind: str) -> None:
    """The payload is no larger than the compressed samples of an optimised PNG, which 57 bytes frame."""
    samples = icon(kind)
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, "PNG", optimize=True)
    _, payload = assert_exact(samples, 8)
    assert len(payload) <= len(stream.getvalue()) - 57


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_photographs_against_png(channels: int) -> None:
    samples = smooth(200, 300, channels, bits=8)
    stream = io.BytesIO()
    Image.fromarray(samples[:, :, 0] if channels == 1 else samples).save(stream, "PNG", optimize=True)
    _, payload = assert_exact(samples, 8)
    assert len(payload) < len(stream.getvalue())


def test_sixteen_bits_cost_little_more_than_their_noise() -> None:
    """Four random low bits over a smooth image: well below two bytes a sample."""
    base = smooth(128, 128, 3, bits=8).astype(np.uint16)
    samples: plain.Samples = np.add(base << 4, noise(128, 128, 3, bits=4), dtype=np.uint16)
    _, payload = assert_exact(samples, 16)
    assert len(payload) < 1.2 * samples.size


def test_same_input_same_bytes() -> None:
    samples = smooth(90, 90, 3, bits=8)
    assert plain.encode(samples, 8) == plain.encode(samples.copy(), 8)


def test_rows_of_any_stride_are_read() -> None:
    whole = smooth(40, 60, 3, bits=8)
    assert plain.encode(whole[5:30, 7:50], 8) == plain.encode(whole[5:30, 7:50].copy(), 8)


@pytest.mark.parametrize("make", [smooth, noise])
def test_estimate_is_near(make: type) -> None:
    samples = make(300, 300, 3, bits=8)
    _, payload = plain.encode(samples, 8)
    assert 0.6 * plain.estimate(samples, 8) < len(payload) < 1.1 * plain.estimate(samples, 8)


def test_drawings_are_coded_without_a_filter() -> None:
    """Five colours at random: a difference of two has many more values than one of them."""
    colours = noise(5, 1, 3, bits=8)[:, 0]
    samples = colours[np.random.default_rng(3).integers(0, 5, (200, 200))]
    sizes = {
        form.filter: len(plain._pack_lzma(plain._to_bytes(samples, form), 3))
        for form in plain._promising_forms(samples, 8)
    }
    assert min(sizes, key=sizes.__getitem__) == plain.FILTER_NONE
    assert len(assert_exact(samples, 8)[1]) < 1.1 * 200 * 200 * np.log2(5) / 8


def test_noise_is_not_worth_lzma() -> None:
    assert plain._promising_forms(noise(200, 300, 3, bits=8), 8) == []
    assert plain._promising_forms(noise(200, 300, 1, bits=16), 16) == []
    assert plain._promising_forms(noise(300, 300, 1, bits=1), 1) == []
    assert plain._promising_forms(noise(20, 30, 3, bits=8), 8)


def test_rows_for_ranking_come_from_all_over_a_region() -> None:
    samples = np.arange(1000, dtype=np.uint16).repeat(3 * 300).reshape(1000, 300, 3)
    rows = plain._ranking_rows(samples)
    assert 0.9 * plain._RANKING_SAMPLES < rows.size <= plain._RANKING_SAMPLES
    assert rows.min() < 150
    assert rows.max() > 850
    assert plain._ranking_rows(samples[:50]).shape == (50, 300, 3)


def test_a_drawing_is_one_of_the_codings() -> None:
    samples = noise(16, 16, 1, bits=1).repeat(4, 0).repeat(6, 1) * 255
    mode, payload = assert_exact(samples, 8)
    assert mode == MODE_DRAWING
    assert payload == drawing.encode(samples)


def test_deflate_is_the_shorter_of_two_strategies() -> None:
    winners = set()
    for raw in (
        np.diff(smooth(60, 60, 3, bits=8), axis=1).tobytes(),
        icon("sign").tobytes(),
        b"abcabcabc" * 9,
    ):
        sizes = {}
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
            deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
            sizes[strategy] = len(deflater.compress(raw) + deflater.flush())
        assert len(plain._deflate(raw, 3)) == min(sizes.values())
        winners.add(min(sizes, key=sizes.__getitem__) if len(set(sizes.values())) > 1 else None)
    assert zlib.Z_FILTERED in winners


def test_the_encoder_keeps_the_limit_of_the_median_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = smooth(100, 100, 3, bits=8)
    assert plain.encode(samples, 8)[1][0] & MEDIAN == MEDIAN
    monkeypatch.setattr(plain, "MAX_MEDIAN_STEPS", 199)
    assert plain.encode(samples, 8)[1][0] & MEDIAN != MEDIAN


def test_long_regions_do_without_the_median_filter() -> None:
    """Its inverse takes a step a diagonal, and a payload of a few bytes must not order millions of them."""
    shape = (1, plain.MAX_MEDIAN_STEPS, 1)
    payload = bytes((FORM_8 | MEDIAN,)) + plain._deflate(bytes(shape[1]), 1)
    with pytest.raises(DamagedFileError, match="does not fit"):
        plain.decode(MODE_DEFLATE, payload, shape, 8)


def coded(form: int, raw: bytes, mode: int = MODE_DEFLATE) -> tuple[int, bytes]:
    """A payload of this form and these bytes."""
    compress = {MODE_STORED: bytes, MODE_DEFLATE: lambda data: plain._deflate(data, 1)}
    compress[MODE_LZMA] = lambda data: plain._pack_lzma(data, 1)
    return mode, bytes((form,)) + compress[mode](raw)


HOSTILE = {
    "no bytes": (MODE_STORED, b""),
    "form alone, stored": (MODE_STORED, bytes((FORM_8,))),
    "form alone, deflate": (MODE_DEFLATE, bytes((FORM_8,))),
    "form alone, LZMA": (MODE_LZMA, bytes((FORM_8,))),
    "reserved sample bits": coded(5, bytes(12)),
    "reserved form bit 6": coded(FORM_8 | 64, bytes(12)),
    "reserved form bit 7": coded(FORM_8 | 128, bytes(12)),
    "16 bits in an image of 8": coded(FORM_16, bytes(24)),
    "green of a grey region": coded(FORM_8 | GREEN, bytes(12)),
    "stored with a filter": coded(FORM_8 | SUB, bytes(12), MODE_STORED),
    "padding that is not zero": coded(0, b"\x00\x00\x01", MODE_STORED),
    "stored, one byte short": coded(FORM_8, bytes(11), MODE_STORED),
    "stored, one byte over": coded(FORM_8, bytes(13), MODE_STORED),
    "deflate, one byte short": coded(FORM_8, bytes(11)),
    "deflate, one byte over": coded(FORM_8, bytes(13)),
    "LZMA, one byte short": coded(FORM_8, bytes(11), MODE_LZMA),
    "LZMA, one byte over": coded(FORM_8, bytes(13), MODE_LZMA),
    "deflate with a tail": (MODE_DEFLATE, coded(FORM_8, bytes(12))[1] + b"x"),
    "LZMA with a tail": (MODE_LZMA, coded(FORM_8, bytes(12), MODE_LZMA)[1] + b"x"),
    "deflate without its end": (MODE_DEFLATE, coded(FORM_8, bytes(range(12)))[1][:-1]),
    "LZMA without its end": (MODE_LZMA, coded(FORM_8, bytes(range(12)), MODE_LZMA)[1][:-1]),
    "no deflate stream": (MODE_DEFLATE, bytes((FORM_8,)) + b"\xff" * 20),
    "no LZMA stream": (MODE_LZMA, bytes((FORM_8,)) + b"\xff" * 20),
    "zlib stream for deflate": (MODE_DEFLATE, bytes((FORM_8,)) + zlib.compress(bytes(12))),
    "xz file for LZMA": (MODE_LZMA, bytes((FORM_8,)) + lzma.compress(bytes(12))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_damage(name: str) -> None:
    mode, payload = HOSTILE[name]
    with pytest.raises(DamagedFileError) as caught:
        plain.decode(mode, payload, (3, 4, 1), 8)
    assert "\n" not in str(caught.value)


def test_samples_above_one_cannot_hide_in_a_bilevel_region() -> None:
    for form in (1, 2, FORM_8, FORM_16):
        with pytest.raises(DamagedFileError, match="does not fit"):
            plain.decode(*coded(form, bytes(12)), (3, 4, 1), 1)


def test_a_mode_of_others_is_refused() -> None:
    with pytest.raises(FormatError, match="mode 16 is not a plain one"):
        plain.decode(MODE_FLOW, b"\x03", (1, 1, 1), 8)


@pytest.mark.parametrize("mode", [MODE_STORED, MODE_DEFLATE, MODE_LZMA])
def test_changed_and_cut_payloads_raise_nothing_else(mode: int) -> None:
    """They are damage, or other samples, which the pixel checksum tells."""
    raw = smooth(12, 9, 1, bits=8).tobytes()
    _, payload = coded(FORM_8, raw, mode)
    refused = 0
    for _, data in (*makers.flipped(payload), *makers.cuts(payload)):
        try:
            assert plain.decode(mode, data, (12, 9, 1), 8).shape == (12, 9, 1)
        except DamagedFileError:
            refused += 1
    assert refused >= len(payload)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("mode", [MODE_DEFLATE, MODE_LZMA])
def test_a_bomb_takes_no_more_memory_than_its_region(mode: int, channels: int) -> None:
    zeros = 2**24
    lc, lp, pb = (2, 2, 2) if channels == 4 else (4, 0, 0)
    bomb = (
        makers.deflate_bomb(zeros) if mode == MODE_DEFLATE else makers.lzma_bomb(zeros, lc=lc, lp=lp, pb=pb)
    )
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            plain.decode(mode, bytes((FORM_8,)) + bomb, (64, 64, channels), 8)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(bomb) * 2 + 2**18
