"""Drawings: exact for every shape and depth, small where pixels repeat, unmoved by hostile payloads."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from nvpcodec import drawing, plain
from nvpcodec.container import MODE_DRAWING, varint_to_bytes
from nvpcodec.drawing import Samples
from nvpcodec.errors import DamagedFileError
from nvpcodec.stack import MAX_RANGE, Stack
from tests import second_decoder
from tests.hostile import makers

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 9),
    (9, 1),
    (2, 2),
    (3, 17),
    (17, 3),
    (8, 8),
    (1, 70),
    (33, 31),
    (20, 47),
]


def figures(height: int, width: int, channels: int, *, colours: int = 9, bits: int = 8) -> Samples:
    """Overlapping discs, each of one colour, and a few stray pixels."""
    generator = np.random.default_rng(height + 7 * width)
    palette = generator.integers(0, 2**bits, (colours, channels))
    y, x = np.mgrid[:height, :width]
    indices = np.zeros((height, width), np.int64)
    for _ in range(12):
        top, left = generator.uniform(0, height), generator.uniform(0, width)
        radius = generator.uniform(1, 1 + height / 3)
        indices[np.hypot(y - top, x - left) < radius] = generator.integers(colours)
    stray = generator.random((height, width)) < 0.03
    indices[stray] = generator.integers(0, colours, int(stray.sum()))
    samples: Samples = palette[indices].astype(np.uint16 if bits == 16 else np.uint8)
    return samples


def coded(samples: Samples) -> bytes:
    payload = drawing.encode(samples)
    assert payload is not None
    return payload


def assert_exact(samples: Samples, bit_depth: int) -> bytes:
    """Encode, decode by the program and by the second decoder, compare."""
    before = samples.copy()
    payload = coded(samples)
    decoded = drawing.decode(payload, samples.shape, bit_depth)
    np.testing.assert_array_equal(decoded, samples, strict=True)
    np.testing.assert_array_equal(samples, before)
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    second = second_decoder.decode_drawing(payload, samples.shape, bit_depth)
    np.testing.assert_array_equal(second, samples)
    return payload


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (3, 8), (4, 8), (1, 16), (4, 16), (1, 1)])
def test_exact(size: tuple[int, int], channels: int, bits: int) -> None:
    assert_exact(figures(*size, channels, bits=bits), bits)


@pytest.mark.parametrize("colours", [1, 2, 63, 64, 65, 300])
def test_exact_for_every_number_of_colours(colours: int) -> None:
    """Neighbours have buckets of their own up to 64 colours, and share them beyond."""
    generator = np.random.default_rng(colours)
    palette = generator.permutation(2**12)[:colours].astype(np.uint16)
    samples: Samples = palette[generator.integers(0, colours, (23, 60))][..., None]
    samples[:, 30:] = samples[:, 29:30]
    assert_exact(samples, 16)


def test_more_novelties_in_a_step_than_a_chunk() -> None:
    generator = np.random.default_rng(4)
    samples = generator.integers(0, 40, (150, 160, 1)).astype(np.uint8)
    sizes = []

    class Watched(drawing._Writer):
        def novelties(self, frequencies: drawing.Wide, wanted: drawing.Indices) -> drawing.Indices:
            sizes.append(len(wanted))
            return super().novelties(frequencies, wanted)

    padded, grid = drawing._grid(150, 160)
    grid[:] = samples[..., 0]
    drawing._walk(padded, 40, Watched())
    assert max(sizes) == drawing._NOVEL_CHUNK
    assert min(sizes) < drawing._NOVEL_CHUNK
    np.testing.assert_array_equal(drawing.decode(coded(samples), samples.shape, 8), samples, strict=True)


@pytest.mark.parametrize("repeat", [(1, 1), (2, 1), (3, 5), (16, 16)])
def test_repeats_are_taken_out(repeat: tuple[int, int]) -> None:
    small = figures(24, 35, 3)
    large = small.repeat(repeat[0], 0).repeat(repeat[1], 1)
    payload = assert_exact(large, 8)
    assert payload[:2] == bytes(repeat)
    assert len(payload) == len(coded(small))


def test_the_one_slot_of_several_pixels_is_written_in_their_order() -> None:
    """What NumPy does with an index that occurs twice is part of the format: the last one stays."""
    states = np.zeros(4, np.uint16)
    states[np.array([[1, 2, 1], [3, 3, 3]])] = np.array([[5, 6, 7], [8, 9, 10]], np.uint16)
    assert states.tolist() == [0, 7, 6, 10]
    many = np.zeros(3, np.int64)
    many[np.repeat([2, 0, 2], 500)] = np.arange(1500)
    assert many.tolist() == [999, 0, 1499]


def test_the_tables_do_not_depend_on_the_platform() -> None:
    """Logarithms that are nowhere near a rounding boundary, and masses that rise."""
    logs = 256 * np.log2(5 * np.arange(64) + 2)
    assert np.abs(logs - np.floor(logs) - 0.5).min() > 1e-4
    stretches = drawing.stretches().reshape(64, 64)
    assert stretches[0, 0] == 0
    assert stretches[0, 63] == round(logs[63]) - 256
    np.testing.assert_array_equal(stretches, -stretches.T)
    masses = drawing.masses_of_odds()
    assert masses[4095] == MAX_RANGE // 2
    assert (np.diff(masses) >= 0).all()
    assert masses[0] == MAX_RANGE - masses[-1] == 256
    assert masses[4095 + 256] == MAX_RANGE - MAX_RANGE // 3


def test_counts_forget_what_was_long_ago() -> None:
    after = drawing._next_states().reshape(2, 64, 64)
    assert after[1, 0, 0] == 1
    assert after[0, 0, 0] == 64
    assert after[1, 20, 5] == 11 << 6 | 6
    assert after[0, 20, 5] == 21 << 6 | 3
    assert after[1, 2, 63] == 2 << 6 | 63


def test_text_costs_three_quarters_of_what_lzma_makes_of_it() -> None:
    """The same few signs again and again, at any place."""
    generator = np.random.default_rng(2)
    signs = np.where(generator.random((8, 10, 7)) < 0.4, 0, 255).astype(np.uint8)
    rows = [np.hstack(list(signs[generator.integers(0, 8, 30)])) for _ in range(12)]
    samples = np.pad(np.vstack(rows), 3, constant_values=255)[..., None]
    mode, payload = plain.encode(samples, 8)
    assert mode == MODE_DRAWING
    lzma = min(len(plain._pack_lzma(plain._to_bytes(samples, form), 1)) for form in plain._forms(samples, 8))
    assert len(payload) < 0.75 * lzma


def test_photographs_and_noise_are_no_drawings() -> None:
    generator = np.random.default_rng(1)
    noise = generator.integers(0, 256, (80, 90, 3)).astype(np.uint8)
    slope = np.add.outer(np.arange(200), np.arange(220))[..., None] // 2 + generator.integers(
        0, 9, (200, 220, 1)
    )
    for samples in (noise, slope.astype(np.uint8)):
        assert not drawing.likely(samples)
        assert drawing.encode(samples) is None
    assert drawing.likely(figures(80, 90, 3))


def test_a_drawing_beside_a_photograph_is_seen() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (200, 130, 3)).astype(np.uint8)
    flat = figures(200, 150, 3)
    mixed = np.hstack([flat, noise])
    assert drawing.stands_beside_photographs(mixed)
    assert drawing.stands_beside_photographs(np.vstack([mixed] * 30))
    assert not drawing.stands_beside_photographs(np.hstack([flat, flat]))
    assert not drawing.stands_beside_photographs(np.hstack([noise, noise]))
    assert not drawing.stands_beside_photographs(np.hstack([flat, noise // 64 * 64])), "one drawing serves it"
    assert not drawing.stands_beside_photographs(mixed[:20])
    assert not drawing.stands_beside_photographs(mixed[:, :20])


def test_too_many_colours_are_no_drawing() -> None:
    samples = np.arange(2**13, dtype=np.uint16).repeat(3).reshape(64, -1, 1)
    assert drawing.likely(samples)
    assert drawing.encode(samples) is None


def test_long_regions_are_no_drawings() -> None:
    assert drawing.encode(np.arange(drawing.MAX_STEPS - 1, dtype=np.uint16).reshape(1, -1, 1) % 2) is None


def test_same_input_same_bytes() -> None:
    samples = figures(40, 50, 3)
    assert (
        coded(samples) == coded(samples.copy(order="F")) == coded(np.pad(samples, 1)[1:-1, 1:-1][..., 1:-1])
    )


def parts(
    *, down: int = 1, across: int = 1, count: int = 2, palette: bytes | None = None, stack: bytes = b""
) -> bytes:
    """A payload for a grey region of 3 x 4, of these fields."""
    packed = raw_deflate(bytes([10, 5])) if palette is None else palette
    numbers = b"".join(varint_to_bytes(number) for number in (down, across, count, len(packed)))
    return numbers + packed + stack


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


HOSTILE = {
    "no bytes": b"",
    "numbers alone": b"\1\1\2",
    "rows repeated no times": parts(down=0),
    "columns repeated no times": parts(across=0),
    "rows of no whole number of repeats": parts(down=2),
    "columns of no whole number of repeats": parts(across=3),
    "no colours": parts(count=0, palette=raw_deflate(b"")),
    "too many colours": parts(count=4097, palette=raw_deflate(bytes(4097))),
    "a palette beyond the end": b"\1\1\2\x7f" + raw_deflate(bytes(2)),
    "a palette of one colour less": parts(palette=raw_deflate(bytes(1))),
    "a palette of one colour more": parts(palette=raw_deflate(bytes(3))),
    "a palette without its end": parts(palette=raw_deflate(bytes(range(2)))[:-1]),
    "a palette with a tail": parts(palette=raw_deflate(bytes(2)) + b"x"),
    "a palette that is no stream": parts(palette=b"\xff\xff"),
    "a stack that ends in zero": parts(stack=b"\1\0"),
    "a stack that goes on": parts(stack=b"\xff" * 80),
    "an endless number": b"\xff" * 6,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_damage(name: str) -> None:
    with pytest.raises(DamagedFileError) as caught:
        drawing.decode(HOSTILE[name], (3, 4, 1), 8)
    assert "\n" not in str(caught.value)
    with pytest.raises(second_decoder.RefusedError):
        second_decoder.decode_drawing(HOSTILE[name], (3, 4, 1), 8)


def test_a_third_colour_cannot_hide_in_a_bilevel_region() -> None:
    payload = coded(np.array([[[0], [5], [0], [5]]], np.uint8))
    with pytest.raises(DamagedFileError, match="third colour"):
        drawing.decode(payload, (1, 4, 1), 1)


def test_a_pixel_that_no_colour_is_left_for_is_damage() -> None:
    """One colour, and flags that deny it: everything that could follow has been excluded."""
    stack = Stack()
    stack.push_flags(np.zeros(1, np.bool_), np.full(1, MAX_RANGE // 2))
    payload = parts(
        count=1, palette=raw_deflate(b"\7"), stack=stack.words().astype("<u4").tobytes().rstrip(b"\0")
    )
    with pytest.raises(DamagedFileError, match="no colour is left"):
        drawing.decode(payload, (1, 1, 1), 8)


def test_long_regions_are_refused() -> None:
    """A payload of a few bytes must not order an endless walk."""
    with pytest.raises(DamagedFileError, match="steps"):
        drawing.decode(parts(), (1, drawing.MAX_STEPS - 1, 1), 8)
    with pytest.raises(DamagedFileError, match="steps"):
        drawing.decode(parts(), (drawing.MAX_STEPS - 1, 1, 1), 8)


def test_changed_and_cut_payloads_raise_nothing_else() -> None:
    """They are damage or other samples, the same ones as for the second decoder."""
    samples = figures(9, 13, 1)
    refused = 0
    for _, data in (*makers.flipped(coded(samples)), *makers.cuts(coded(samples))):
        first = outcome(lambda: drawing.decode(data, samples.shape, 8))  # noqa: B023
        second = outcome(lambda: second_decoder.decode_drawing(data, samples.shape, 8))  # noqa: B023
        assert (first is None) == (second is None)
        if first is None or second is None:
            refused += 1
        else:
            np.testing.assert_array_equal(first, second)
    assert refused > 100


def outcome(decode: object) -> NDArray[np.generic] | None:
    """What a decoder gives, None where it refuses."""
    try:
        samples: NDArray[np.generic] = decode()  # type: ignore[operator]
    except (DamagedFileError, second_decoder.RefusedError):
        return None
    return samples


def test_a_bomb_takes_no_more_memory_than_its_region() -> None:
    """A palette of a thousand times its bytes, and a stack whose every pixel is another colour."""
    palette = makers.deflate_bomb(2**24)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            drawing.decode(parts(count=4096, palette=palette), (64, 64, 1), 8)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(palette) * 2 + 2**18


def test_many_colours_in_one_step_are_taken_in_chunks() -> None:
    """The frequencies of a step's pixels never stand in memory all at once."""
    stack = np.random.default_rng(3).integers(1, 256, 3000).astype(np.uint8).tobytes()
    payload = parts(count=4096, palette=raw_deflate(bytes(4096)), stack=stack)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError):
            drawing.decode(payload, (200, 220, 1), 8)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 24 * 2**20
