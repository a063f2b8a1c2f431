"""The image record: samples, what they mean, and everything a file carries beside them.

All that is not samples (palette, transparency, metadata) travels in a .nvp file as one blob, the *side data*:

    nothing at all             if there is nothing to carry
    0, records                 plain
    1, length, raw deflate     where that is shorter; ``length`` counts the bytes of the records

A record is a tag (one byte), a length and so many bytes; lengths are LEB128 varints.  Records stand in
the order of their tags; only COLOUR and TEXT may repeat, in the order of the image's own list.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nvpcodec import container
from nvpcodec.errors import (
    DamagedFileError,
    FormatError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)

Samples: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

COLOUR_CHUNKS = ("gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "sBIT")
MAX_SIDE_BYTES = 2**26
MAX_PALETTE = 256
MAX_KEYWORD = 79


class Kind(IntEnum):
    """What the channels of an image mean; the numbers are those of the file format."""

    GREY = container.GREY
    GREY_ALPHA = container.GREY_ALPHA
    RGB = container.RGB
    RGBA = container.RGBA
    PALETTE = container.PALETTE
    BILEVEL = container.BILEVEL

    @property
    def channels(self) -> int:
        """Samples a pixel."""
        return container.CHANNELS[self]


@dataclass(frozen=True, slots=True)
class Density:
    """Pixels per unit as PNG's pHYs has it: ``unit`` 1 is the metre, 0 says that only x : y is known."""

    x: int
    y: int
    unit: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.x < 2**32 and 0 <= self.y < 2**32 and self.unit in (0, 1)):
            raise UnsupportedImageError(f"{self.x} x {self.y} per unit {self.unit} is no pixel density")

    @classmethod
    def from_dpi(cls, x: float, y: float) -> Density:
        """The density of ``x`` by ``y`` dots per inch, rounded to whole dots per metre."""
        return cls(round(x / 0.0254), round(y / 0.0254))


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a PNG; only international ones have a ``language`` and a ``translated`` keyword."""

    keyword: str
    text: str
    language: str = ""
    translated: str = ""

    def __post_init__(self) -> None:
        keyword = self.keyword.encode("latin-1", errors="replace")
        if keyword.decode("latin-1") != self.keyword or not 1 <= len(keyword) <= MAX_KEYWORD:
            raise UnsupportedImageError(
                f"{self.keyword[:100]!r} is no keyword of 1 to {MAX_KEYWORD} Latin-1 characters"
            )
        if not self.language.isascii():
            raise UnsupportedImageError(f"{self.language[:100]!r} is no language tag: that is ASCII")
        if "\0" in self.keyword + self.language + self.translated:
            raise UnsupportedImageError(f"the names of text {self.keyword!r} hold a zero byte")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an image carries that changes no sample.

    ``exif`` is a bare TIFF structure (without ``Exif\\0\\0``), ``xmp`` an XML packet, ``icc`` a profile.
    ``colour`` holds PNG chunks of ``COLOUR_CHUNKS`` as (name, content): gamma, chromaticities and the like.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    density: Density | None = None
    colour: tuple[tuple[str, bytes], ...] = ()
    text: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        for name, _ in self.colour:
            if name not in COLOUR_CHUNKS:
                raise UnsupportedImageError(
                    f"{name!r} is none of the colour chunks {', '.join(COLOUR_CHUNKS)}"
                )


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image as it came and as it must come back.

    Parameters
    ----------
    samples
        uint8 or uint16 (H, W, C), C-contiguous, none of the three zero; C is ``kind.channels``.
        PALETTE has indices, BILEVEL has 0 (black) and 1 (white); both are uint8.
    kind
        What the channels mean.
    palette
        PALETTE only: 1 to 256 triples (R, G, B).
    transparency
        As PNG's tRNS has it.  PALETTE: the alpha of the first entries, one byte each.  GREY, BILEVEL and RGB:
        the one colour that is transparent, big-endian 16 bits a channel.
    metadata
        What changes no sample.

    Raises
    ------
    UnsupportedImageError
        The parts do not fit each other.
    """

    samples: Samples
    kind: Kind
    palette: bytes | None = None
    transparency: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        _check_samples(self.samples, self.kind)
        _check_palette(self.kind, self.palette)
        _check_transparency(self.kind, self.palette, self.transparency)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.samples.shape[1])

    @property
    def bit_depth(self) -> int:
        """Bits a sample: 1, 8 or 16."""
        return 1 if self.kind is Kind.BILEVEL else 8 * self.samples.dtype.itemsize

    def equals(self, other: Image) -> bool:
        """Whether ``other`` is the same image: every sample, its type, and all that is carried beside."""
        return (
            self.samples.dtype == other.samples.dtype
            and np.array_equal(self.samples, other.samples)
            and (self.kind, self.palette, self.transparency, self.metadata)
            == (other.kind, other.palette, other.transparency, other.metadata)
        )


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of more than ``max_pixels`` pixels with ImageTooLargeError."""
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"the image has {width * height} pixels ({width}x{height}), the limit is {max_pixels}; "
            "raise the limit (--max-pixels) to code it"
        )


def _check_samples(samples: np.ndarray[Any, Any], kind: Kind) -> None:
    if samples.ndim != 3 or samples.shape[2] != kind.channels:
        raise UnsupportedImageError(f"{kind.name} needs (H, W, {kind.channels}) samples, not {samples.shape}")
    if samples.size == 0:
        raise UnsupportedImageError(f"an image of {samples.shape[1]}x{samples.shape[0]} pixels has no pixel")
    # Native byte order is part of the test: a view of swapped bytes would be coded as other numbers.
    if samples.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)) or not samples.flags.c_contiguous:
        raise UnsupportedImageError(f"samples must be contiguous uint8 or uint16, not {samples.dtype}")
    if samples.dtype == np.uint16 and 16 not in container.BIT_DEPTHS[kind]:
        raise UnsupportedImageError(f"{kind.name} samples must be uint8, not {samples.dtype}")
    if kind is Kind.BILEVEL and samples.max() > 1:
        raise UnsupportedImageError(f"BILEVEL samples must be 0 or 1, not {samples.max()}")


def _check_palette(kind: Kind, palette: bytes | None) -> None:
    if (kind is Kind.PALETTE) != (palette is not None):
        raise UnsupportedImageError(f"a palette goes with indices, and these with it, not {kind.name}")
    if palette is not None and (len(palette) % 3 or not 3 <= len(palette) <= 3 * MAX_PALETTE):
        raise UnsupportedImageError(f"{len(palette)} bytes are no palette of 1 to {MAX_PALETTE} triples")


def _check_transparency(kind: Kind, palette: bytes | None, transparency: bytes | None) -> None:
    if transparency is None:
        return
    if palette is not None:
        fits = 1 <= len(transparency) <= len(palette) // 3
    else:
        fits = kind in (Kind.GREY, Kind.BILEVEL, Kind.RGB) and len(transparency) == 2 * kind.channels
    if not fits:
        raise UnsupportedImageError(f"{len(transparency)} bytes of transparency do not fit {kind.name}")


# --- side data ---------------------------------------------------------------------------------------------

PLAIN, DEFLATED = 0, 1
_DENSITY = struct.Struct(">IIB")


class Tag(IntEnum):
    """Kinds of side data records."""

    PALETTE = 1
    TRANSPARENCY = 2
    ICC = 3
    EXIF = 4
    XMP = 5
    DENSITY = 6
    COLOUR = 7
    TEXT = 8


_REPEATABLE = frozenset({Tag.COLOUR, Tag.TEXT})


def side_data_to_bytes(image: Image) -> bytes:
    """The side data of ``image``; the same bytes for the same image and zlib.

    Raises
    ------
    UnsupportedImageError
        As for ``pack_records``.
    """
    return pack_records(records_to_bytes(image))


def records_to_bytes(image: Image) -> bytes:
    """The records of ``image``, one after another."""
    return b"".join(_record_to_bytes(tag, content) for tag, content in _records_of(image))


def pack_records(records: bytes) -> bytes:
    """Records as side data, deflated where that is shorter.

    Raises
    ------
    UnsupportedImageError
        They have more than ``MAX_SIDE_BYTES`` bytes.
    """
    if not records:
        return b""
    if len(records) > MAX_SIDE_BYTES:
        raise UnsupportedImageError(
            f"the image carries {len(records)} bytes of metadata, the limit is {MAX_SIDE_BYTES}; remove some"
        )
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = bytes((PLAIN,)) + records
    packed = (
        bytes((DEFLATED,))
        + container.varint_to_bytes(len(records))
        + packer.compress(records)
        + packer.flush()
    )
    return min(plain, packed, key=len)


def image_from_side_data(samples: Samples, kind: Kind, side_data: bytes) -> Image:
    """The image of these samples that carries ``side_data``.

    Raises
    ------
    DamagedFileError
        The side data breaks its own rules or does not fit the image.
    FormatError
        It holds a record of a kind that this program does not know.
    """
    return image_from_records(samples, kind, unpack_records(side_data))


def image_from_records(samples: Samples, kind: Kind, records: bytes) -> Image:
    """Like ``image_from_side_data``, but for side data that have been unpacked."""
    contents: dict[Tag, list[bytes]] = {}
    for tag, content in _parse_records(records):
        contents.setdefault(tag, []).append(content)

    def single(tag: Tag) -> bytes | None:
        return contents.get(tag, [None])[0]

    density = single(Tag.DENSITY)
    try:
        metadata = Metadata(
            icc=single(Tag.ICC),
            exif=single(Tag.EXIF),
            xmp=single(Tag.XMP),
            density=None if density is None else Density(*_DENSITY.unpack(density)),
            colour=tuple((c[:4].decode("ascii"), c[4:]) for c in contents.get(Tag.COLOUR, ())),
            text=tuple(_text_from_bytes(content) for content in contents.get(Tag.TEXT, ())),
        )
        return Image(samples, kind, single(Tag.PALETTE), single(Tag.TRANSPARENCY), metadata)
    except (InputError, struct.error, ValueError) as error:
        raise DamagedFileError(f"the side data is damaged ({error}); get a good copy") from error


def side_data_sizes(side_data: bytes) -> list[tuple[Tag, int]]:
    """(tag, bytes of content) of each record, as ``image_from_side_data`` would meet them."""
    return [(tag, len(content)) for tag, content in _parse_records(unpack_records(side_data))]


def _records_of(image: Image) -> Iterator[tuple[Tag, bytes]]:
    """The records of an image in the order of their tags."""
    metadata = image.metadata
    density = metadata.density
    singles = (
        (Tag.PALETTE, image.palette),
        (Tag.TRANSPARENCY, image.transparency),
        (Tag.ICC, metadata.icc),
        (Tag.EXIF, metadata.exif),
        (Tag.XMP, metadata.xmp),
        (Tag.DENSITY, None if density is None else _DENSITY.pack(density.x, density.y, density.unit)),
    )
    for tag, content in singles:
        if content is not None:
            yield tag, content
    for name, content in metadata.colour:
        yield Tag.COLOUR, name.encode("ascii") + content
    for text in metadata.text:
        yield Tag.TEXT, _text_to_bytes(text)


# Surrogates stand for bytes that are not UTF-8, so that even a broken text comes back as it was.
def _record_to_bytes(tag: Tag, content: bytes) -> bytes:
    return bytes((tag,)) + container.varint_to_bytes(len(content)) + content


def _text_to_bytes(text: Text) -> bytes:
    parts = (text.keyword, text.language, text.translated, text.text)
    return "\0".join(parts).encode("utf-8", errors="surrogateescape")


def _text_from_bytes(content: bytes) -> Text:
    keyword, language, translated, text = content.decode("utf-8", errors="surrogateescape").split("\0", 3)
    return Text(keyword, text, language, translated)


def unpack_records(side_data: bytes) -> bytes:
    """Mirror image of ``pack_records``.

    Raises
    ------
    FormatError
        The coding is reserved, or there are too many bytes; DamagedFileError if it breaks its own rules.
    """
    if not side_data:
        return b""
    if side_data[0] not in (PLAIN, DEFLATED):
        raise FormatError(f"side data coding {side_data[0]} is reserved; use a newer nvpcodec")
    deflated = side_data[0] == DEFLATED
    length, start = container.varint_from_bytes(side_data, 1) if deflated else (len(side_data) - 1, 1)
    if length > MAX_SIDE_BYTES:
        raise FormatError(f"the side data claims {length} bytes, the format's limit is {MAX_SIDE_BYTES}")
    if not deflated:
        return side_data[1:]
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than claimed shows a stream that is longer; and zlib takes a limit of 0 as none.
        records = unpacker.decompress(side_data[start:], length + 1)
    except zlib.error as error:
        raise DamagedFileError(f"the side data is damaged ({error}); get a good copy") from error
    if len(records) != length or not unpacker.eof or unpacker.unused_data:
        raise DamagedFileError("the side data does not have the length that it claims; get a good copy")
    return records


def _parse_records(records: bytes) -> Iterator[tuple[Tag, bytes]]:
    """(tag, content) of each record, after the rules of order have been checked."""
    position = last = 0
    while position < len(records):
        value = records[position]
        if value not in Tag.__members__.values():
            raise FormatError(f"side data record {value} is reserved; use a newer nvpcodec")
        tag = Tag(value)
        if tag < last or (tag == last and tag not in _REPEATABLE):
            raise DamagedFileError(f"the side data has record {tag.name} out of order; get a good copy")
        length, position = container.varint_from_bytes(records, position + 1)
        if position + length > len(records):
            raise DamagedFileError(f"the side data ends within record {tag.name}; get a good copy")
        yield tag, records[position : position + length]
        position, last = position + length, tag
