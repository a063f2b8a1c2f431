"""The image record: what it refuses, and side data there and back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvpcodec.errors import DamagedFileError, FormatError, ImageTooLargeError, UnsupportedImageError
from nvpcodec.pixels import (
    COLOUR_CHUNKS,
    DEFLATED,
    PLAIN,
    Density,
    Image,
    Kind,
    Metadata,
    Tag,
    Text,
    check_size,
    image_from_side_data,
    side_data_sizes,
    side_data_to_bytes,
)
from tests.helpers import EVERY_KIND, PALETTE, gradient, noise

RICH = Metadata(
    icc=b"profile" * 40,
    exif=b"MM\0*\0\0\0\x08",
    xmp=b"<x:xmpmeta/>",
    density=Density(2835, 2834, 1),
    colour=(("gAMA", b"\0\0\xb1\x8f"), ("sRGB", b"\0")),
    text=(
        Text("Title", "Straße"),
        Text("Title", "again"),
        Text("Comment", "語", "ja", "注"),
        Text("x", "a\udcffb\0c"),
    ),
)


def carried(image: Image) -> Image:
    """``image`` with its side data written and read."""
    return image_from_side_data(image.samples, image.kind, side_data_to_bytes(image))


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_plain_images_have_side_data_for_palettes_only(kind: Kind, dtype: type[np.unsignedinteger]) -> None:
    image = noise(1, kind, dtype)
    assert (side_data_to_bytes(image) == b"") == (kind is not Kind.PALETTE)
    assert carried(image).equals(image)


def test_rich_metadata_comes_back() -> None:
    image = Image(gradient(Kind.PALETTE).samples, Kind.PALETTE, PALETTE, b"\0\x80\xff", RICH)
    assert carried(image).equals(image)


def test_side_data_is_deflated_only_where_that_is_shorter() -> None:
    image = gradient()
    small = Image(image.samples, image.kind, metadata=Metadata(exif=b"MM"))
    large = Image(image.samples, image.kind, metadata=Metadata(icc=bytes(3000)))
    assert side_data_to_bytes(small) == bytes((PLAIN, Tag.EXIF, 2)) + b"MM"
    assert side_data_to_bytes(large)[0] == DEFLATED
    assert len(side_data_to_bytes(large)) < 40
    assert side_data_sizes(side_data_to_bytes(large)) == [(Tag.ICC, 3000)]


texts = st.builds(
    Text,
    keyword=st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=1, max_size=79),
    text=st.text(),
    language=st.sampled_from(["", "en", "de-CH"]),
    translated=st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"])),
)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Metadata,
        icc=st.none() | st.binary(),
        exif=st.none() | st.binary(),
        xmp=st.none() | st.binary(),
        density=st.none()
        | st.builds(Density, st.integers(0, 2**32 - 1), st.integers(0, 9), st.sampled_from([0, 1])),
        colour=st.lists(st.tuples(st.sampled_from(COLOUR_CHUNKS), st.binary()), max_size=3).map(tuple),
        text=st.lists(texts, max_size=3).map(tuple),
    )
)
def test_any_metadata_comes_back(metadata: Metadata) -> None:
    image = Image(np.zeros((1, 1, 3), np.uint8), Kind.RGB, metadata=metadata)
    assert carried(image).equals(image)


def test_damaged_side_data_raises_nothing_but_format_errors() -> None:
    """Every byte changed, every cut: refused, or read as other metadata, and never another exception."""
    image = Image(gradient(Kind.PALETTE).samples, Kind.PALETTE, PALETTE, b"\0", Metadata(text=RICH.text))
    refused = 0
    for side_data in (side_data_to_bytes(image), bytes((PLAIN, 1, 3)) + b"abc" + bytes((6, 9)) + bytes(9)):
        damaged = [side_data[:cut] for cut in range(len(side_data))]
        damaged += [
            side_data[:at] + bytes((side_data[at] ^ flip,)) + side_data[at + 1 :]
            for at in range(len(side_data))
            for flip in (1, 0x80, 0xFF)
        ]
        for data in damaged:
            try:
                image_from_side_data(image.samples, image.kind, data)
            except FormatError:
                refused += 1
    assert refused > 500


def deflated(content: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("side_data", "error", "message"),
    [
        (b"\x02\x01", FormatError, "coding 2"),
        (bytes((PLAIN, 9, 0)), FormatError, "record 9"),
        (bytes((PLAIN, Tag.EXIF, 0, Tag.ICC, 0)), DamagedFileError, "out of order"),
        (bytes((PLAIN, Tag.ICC, 0, Tag.ICC, 0)), DamagedFileError, "out of order"),
        (bytes((PLAIN, Tag.ICC, 5, 1)), DamagedFileError, "ends within"),
        (bytes((PLAIN, Tag.ICC, 0x80, 0x80, 0x80, 0x80, 0x80, 1)), DamagedFileError, "has no end"),
        (bytes((PLAIN, Tag.ICC, 0x80, 0)), DamagedFileError, "needless"),
        (bytes((PLAIN, Tag.ICC, 0x80, 0x80, 0x80, 0x20)) + bytes(2**26), FormatError, "limit"),
        (bytes((PLAIN, Tag.PALETTE, 3, 1, 2, 3)), DamagedFileError, "palette"),
        (bytes((PLAIN, Tag.DENSITY, 1, 1)), DamagedFileError, "side data"),
        (bytes((PLAIN, Tag.COLOUR, 4)) + b"IDAT", DamagedFileError, "IDAT"),
        (bytes((PLAIN, Tag.TEXT, 1)) + b"a", DamagedFileError, "side data"),
        (bytes((DEFLATED, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F)), FormatError, "limit"),
        (bytes((DEFLATED, 2)) + deflated(bytes((Tag.ICC, 0))) + b"more", DamagedFileError, "length"),
        (bytes((DEFLATED, 2)) + deflated(bytes((Tag.ICC, 0)))[:-1], DamagedFileError, "length"),
        (bytes((DEFLATED, 9, 3, 0)), DamagedFileError, "length"),
    ],
)
def test_side_data_that_breaks_a_rule_is_refused(
    side_data: bytes, error: type[FormatError], message: str
) -> None:
    with pytest.raises(error, match=message):
        image_from_side_data(np.zeros((2, 2, 3), np.uint8), Kind.RGB, side_data)


@pytest.mark.parametrize(
    ("samples", "kind", "palette", "transparency"),
    [
        (np.zeros((2, 2), np.uint8), Kind.GREY, None, None),
        (np.zeros((2, 2, 3), np.uint8), Kind.RGBA, None, None),
        (np.zeros((0, 2, 3), np.uint8), Kind.RGB, None, None),
        (np.zeros((2, 2, 3), np.int16), Kind.RGB, None, None),
        (np.zeros((2, 2, 3), ">u2"), Kind.RGB, None, None),
        (np.zeros((2, 4, 3), np.uint8)[:, ::2], Kind.RGB, None, None),
        (np.zeros((2, 2, 1), np.uint16), Kind.PALETTE, b"abc", None),
        (np.zeros((2, 2, 1), np.uint16), Kind.BILEVEL, None, None),
        (np.full((2, 2, 1), 2, np.uint8), Kind.BILEVEL, None, None),
        (np.zeros((2, 2, 1), np.uint8), Kind.PALETTE, None, None),
        (np.zeros((2, 2, 1), np.uint8), Kind.PALETTE, b"ab", None),
        (np.zeros((2, 2, 1), np.uint8), Kind.PALETTE, bytes(3 * 257), None),
        (np.zeros((2, 2, 1), np.uint8), Kind.GREY, b"abc", None),
        (np.zeros((2, 2, 1), np.uint8), Kind.PALETTE, b"abc", b"12"),
        (np.zeros((2, 2, 4), np.uint8), Kind.RGBA, None, b"12345678"),
        (np.zeros((2, 2, 3), np.uint8), Kind.RGB, None, b"12"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    samples: np.ndarray, kind: Kind, palette: bytes | None, transparency: bytes | None
) -> None:
    with pytest.raises(UnsupportedImageError):
        Image(samples, kind, palette, transparency)


@pytest.mark.parametrize("keyword", ["", "k" * 80, "語", "a\0b"])
def test_keywords_are_those_of_png(keyword: str) -> None:
    with pytest.raises(UnsupportedImageError):
        Text(keyword, "text")


def test_equality_sees_every_part() -> None:
    base = noise(1, Kind.GREY)
    others = [
        noise(2, Kind.GREY),
        Image(base.samples.astype(np.uint16), Kind.GREY),
        Image(base.samples, Kind.GREY, transparency=b"\0\1"),
        Image(base.samples, Kind.GREY, metadata=Metadata(exif=b"")),
        Image(base.samples, Kind.PALETTE, PALETTE),
    ]
    assert base.equals(noise(1, Kind.GREY))
    assert not any(base.equals(other) for other in others)


def test_density_from_dpi() -> None:
    assert Density.from_dpi(72, 300) == Density(2835, 11811, 1)


def test_size_limit_is_inclusive() -> None:
    check_size(10, 10, 100)
    with pytest.raises(ImageTooLargeError, match="101 pixels"):
        check_size(101, 1, 100)
