"""Chains: images of every kind come back from one stack, and nothing else is taken for a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from nvpcodec import chains, codec, container
from nvpcodec.coupling_coder import CouplingCoder
from nvpcodec.coupling_layout import coded_pixels, tiles
from nvpcodec.errors import DamagedFileError, FormatError, UnknownModelError
from nvpcodec.options import Options
from nvpcodec.phase_coder import phase_coder
from nvpcodec.pixels import Density, Image, Kind, Metadata, Text
from nvpcodec.stack import Ints
from nvpcodec.zoo import by_name
from tests.golden import make
from tests.helpers import EVERY_KIND, PALETTE, flat, gradient, image_of, noise
from tests.models import small_model, small_options

METADATA = Metadata(icc=b"profile" * 9, density=Density(1, 2, 0), text=(Text("a", "é"),))
DEMO = Path(__file__).resolve().parent.parent / "demo"
SIZES = [(1, 1), (12, 9), (7, 30), (5, 5)]


def decoded(data: bytes, images: Sequence[Image]) -> list[Image]:
    sizes = [(image.height, image.width) for image in images]
    return chains.decode(data, images[0].kind, images[0].bit_depth, sizes, small_options())


def assert_comes_back(images: Sequence[Image]) -> bytes:
    data = chains.encode(images, small_options())
    for image, got in zip(images, decoded(data, images), strict=True):
        assert got.equals(image)
    return data


def shaded(seed: int, kind: Kind, height: int, width: int) -> Image:
    """A slope with grain, which a flow codes better than plain means."""
    grain = np.random.default_rng(seed).integers(0, 9, (height, width, kind.channels))
    return image_of((gradient(kind, height=height, width=width).samples // 2 + 40 + grain).astype("u1"), kind)


def flow_chain(images: Sequence[Image]) -> bytes:
    """The chain that the flow makes, be it the smaller one or not."""
    samples = [image.samples for image in images]
    part, _ = chains._encode_flow(samples, images[0].kind, codec.coder_of(small_options()))
    side_data = chains._side_data_to_bytes(images)
    return chains._to_bytes(
        chains._Chain(part, small_model().model_id, side_data, codec.pixel_checksum(*samples))
    )


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
@pytest.mark.parametrize("what", ["noise", "gradient"])
def test_every_kind_comes_back(kind: Kind, dtype: type[np.unsignedinteger], what: str) -> None:
    images = [
        noise(seed, kind, dtype, h, w) if what == "noise" else gradient(kind, dtype, h, w)
        for seed, (h, w) in enumerate(SIZES)
    ]
    assert_comes_back(images)
    assert_comes_back(images[1:2])


@pytest.mark.parametrize("kind", sorted(container.FLOW_KINDS))
@pytest.mark.parametrize("sizes", [SIZES, [(20, 24)] * 3, [(70, 130), (3, 30), (129, 128)]])
def test_the_flow_codes_several_images(kind: int, sizes: list[tuple[int, int]]) -> None:
    """Fitted and unfitted arrays, and images that are nothing but their coarsest scale."""
    images = [shaded(seed, Kind(kind), *size) for seed, size in enumerate(sizes)]
    data = flow_chain(images)
    for image, got in zip(images, decoded(data, images), strict=True):
        assert got.equals(image)


def test_photographs_take_the_flow_and_drawings_do_not() -> None:
    with PillowImage.open(DEMO / "coffee.png") as opened:
        whole = np.asarray(opened)
    crops = [np.ascontiguousarray(whole[top : top + 24, 100:124]) for top in (60, 100, 140)]
    photographs = [Image(crop, Kind.RGB) for crop in crops]
    data = chains.encode(photographs, Options(device="cpu"))
    assert data[:9] == bytes((container.MODE_FLOW,)) + by_name("fast").model_id
    sizes = [(24, 24)] * 3
    got = chains.decode(data, Kind.RGB, 8, sizes, Options(device="cpu"))
    assert all(a.equals(b) for a, b in zip(got, photographs, strict=True))
    drawings = [flat(value, 30, 30) for value in (7, 8, 9)]
    assert assert_comes_back(drawings)[0] in container.MODES - container.FLOW_MODES


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.RGBA])
def test_colours_that_a_jpeg_decoder_made(kind: Kind) -> None:
    """All of them, or it is as if none were."""
    whole = make.jpeg_coloured(kind)
    images = [
        Image(np.ascontiguousarray(whole.samples[at : at + 30, 40:75], np.uint8), kind) for at in (0, 31)
    ]
    other = replace(images[0], samples=(images[0].samples ^ 1).astype(np.uint8))
    for chained, mode in ((images, container.MODE_YCBCR), ([*images, other], container.MODE_FLOW)):
        data = flow_chain(chained)
        assert data[0] == mode
        for image, got in zip(chained, decoded(data, chained), strict=True):
            assert got.equals(image)


def test_grey_has_no_chroma() -> None:
    images = [shaded(seed, Kind.GREY, 9, 11) for seed in range(3)]
    data = bytes((container.MODE_YCBCR,)) + flow_chain(images)[1:]
    with pytest.raises(FormatError, match="colour only"):
        decoded(data, images)


def test_metadata_and_transparency_come_back() -> None:
    indices = gradient(Kind.PALETTE, height=9, width=8)
    images = [
        Image(indices.samples, Kind.PALETTE, PALETTE[: 3 * (n + 200)], bytes(n) or None, METADATA)
        for n in range(3)
    ]
    images = [replace(each, palette=PALETTE) for each in images]
    assert_comes_back([*images, indices])
    grey = noise(1, Kind.GREY)
    assert_comes_back([grey, replace(grey, transparency=b"\0\7"), replace(grey, metadata=METADATA)])


def test_equal_metadata_is_paid_for_once() -> None:
    profile = np.random.default_rng(1).bytes(3000)
    images = [replace(noise(seed, Kind.GREY), metadata=Metadata(icc=profile)) for seed in range(5)]
    bare = [replace(image, metadata=Metadata()) for image in images]
    extra = len(chains.encode(images, small_options())) - len(chains.encode(bare, small_options()))
    assert 3000 < extra < 3300


# --- the coders ---------------------------------------------------------------------------------------------


@cache
def realnvp() -> CouplingCoder:
    return CouplingCoder(by_name("realnvp"), torch.device("cpu"))


def planes_of(seed: int, count: int, height: int, width: int) -> Ints:
    generator = np.random.default_rng(seed)
    planes: Ints = generator.integers(90, 120, (count, height, width)).astype(np.int32)
    return planes


@pytest.mark.parametrize("count", [1, 3])
def test_planes_come_back_from_realnvp(count: int) -> None:
    images = [planes_of(seed, count, *size) for seed, size in enumerate([(9, 17), (1, 1), (17, 24)])]
    payload, accounts = realnvp().encode_chain(images)
    sizes = [(planes.shape[1], planes.shape[2]) for planes in images]
    got = realnvp().decode_chain(payload, count, sizes)
    assert all(np.array_equal(a, b) for a, b in zip(got, images, strict=True))
    assert 0 <= accounts.coder_bits < 0.01 * accounts.theory_bits + 64
    with pytest.raises(DamagedFileError):
        realnvp().decode_chain(payload, count, sizes[:2])


def test_a_chain_of_one_is_what_a_region_is() -> None:
    coder = phase_coder(small_model(), torch.device("cpu"))
    planes = planes_of(1, 3, 20, 31)
    assert coder.encode_chain([planes])[0] == coder.encode(planes)[0]
    assert realnvp().encode_chain([planes])[0] == realnvp().encode(planes)[0]


def test_initial_bits_are_paid_once() -> None:
    """Of many images only the first that is pushed finds an empty stack."""
    images = [planes_of(seed, 1, 8, 8) for seed in range(6)]
    alone = sum(realnvp().encode(planes)[1].initial_bits for planes in images)
    together = realnvp().encode_chain(images)[1].initial_bits
    assert together < alone / 5


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (300, 20), (520, 260), (64, 64)])
@pytest.mark.parametrize("before", [64, 4096, 2**20])
def test_tiles_on_a_stack_cover_the_image_and_are_no_larger_than_what_lies_below(
    size: tuple[int, int], before: int
) -> None:
    seen = np.zeros(size, np.int32)
    pixels = before
    for tile in tiles(*size, before):
        seen[tile.window] += 1
        assert tile.before == pixels
        own = coded_pixels(tile.height, tile.width)
        assert tile.padded == (8, 8) or 2 * own <= pixels
        pixels += own
    assert (seen == 1).all()
    assert pixels == before + coded_pixels(*size)


# --- refusals -----------------------------------------------------------------------------------------------


@cache
def good_chain() -> tuple[bytes, tuple[Image, ...]]:
    images = tuple(shaded(seed, Kind.RGBA, 9, 11) for seed in range(3))
    images = (images[0], replace(images[1], metadata=METADATA), images[2])
    return flow_chain(images), images


def test_changed_bytes_of_a_chain_are_refused() -> None:
    """Without the checksum that the index has of the block."""
    data, images = good_chain()
    for position in [*range(0, 16), *range(16, len(data), 97)]:
        changed = bytearray(data)
        changed[position] ^= 0x10
        try:
            got = decoded(bytes(changed), images)
        except FormatError:
            continue
        # Side data has no checksum of its own here: samples must be right all the same.
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(got, images, strict=True))
        assert 9 <= position < 90


def test_every_cut_of_a_chain_is_refused() -> None:
    data, images = good_chain()
    for length in [*range(30), *range(30, len(data), 41)]:
        with pytest.raises(FormatError):
            decoded(data[:length], images)


def test_other_sizes_are_refused() -> None:
    data, _ = good_chain()
    for other in ([(9, 11)] * 2, [(9, 11)] * 4, [(9, 11), (9, 11), (9, 12)], [(11, 9)] * 3):
        with pytest.raises(DamagedFileError):
            chains.decode(data, Kind.RGBA, 8, other, small_options())


@pytest.mark.parametrize("mode", [15, 17, 18, 255])
def test_reserved_modes_are_refused(mode: int) -> None:
    with pytest.raises(FormatError, match="reserved"):
        chains.decode(bytes((mode,)) + bytes(30), Kind.GREY, 8, [(1, 1)], Options())


def test_a_flow_for_what_it_is_not_for_is_refused() -> None:
    data, _ = good_chain()
    for kind, depth in ((Kind.BILEVEL, 1), (Kind.PALETTE, 8), (Kind.RGBA, 16)):
        with pytest.raises(FormatError, match="8 bits"):
            chains.decode(data, kind, depth, [(9, 11)] * 3, small_options())


def test_an_unknown_model_is_named() -> None:
    data = bytes((container.MODE_FLOW,)) + b"\xab" * 8 + bytes(20)
    with pytest.raises(UnknownModelError, match="abababababababab"):
        chains.decode(data, Kind.GREY, 8, [(1, 1)], Options())


@pytest.mark.parametrize(
    ("records", "count"), [(b"\0\0", 2), (b"\1", 1), (b"\0\0\0", 2), (b"\x80\x00", 1), (b"\2\1\1", 2)]
)
def test_side_data_that_no_writer_makes_are_refused(records: bytes, count: int) -> None:
    with pytest.raises(DamagedFileError):
        chains._records_from_bytes(b"\0" + records, count)
