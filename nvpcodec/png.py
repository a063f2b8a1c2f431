"""PNG files to image records and back, with nothing lost that the record can hold.

Pillow decodes the pixels and is shown only the chunks that it needs for that; all other chunks are read
here.  Files are written here altogether: filters chosen by the least sum of absolute differences.

Reference: W3C, Portable Network Graphics (PNG) Specification, third edition.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nvpcodec.errors import InputError, UnsupportedImageError
from nvpcodec.pixels import (
    COLOUR_CHUNKS,
    MAX_SIDE_BYTES,
    Density,
    Image,
    Kind,
    Metadata,
    Samples,
    Text,
    check_size,
)
from nvpcodec.rasters import Source, opened

Bytes: TypeAlias = npt.NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
XMP_KEYWORD = "XML:com.adobe.xmp"

_KINDS = {
    GREY: Kind.GREY,
    RGB: Kind.RGB,
    PALETTE: Kind.PALETTE,
    GREY_ALPHA: Kind.GREY_ALPHA,
    RGBA: Kind.RGBA,
}
_COLOUR_TYPES = {kind: colour_type for colour_type, kind in _KINDS.items()} | {Kind.BILEVEL: GREY}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_TEXT_CHUNKS = ("tEXt", "zTXt", "iTXt")
_READ_CHUNKS = frozenset(
    {"IHDR", "PLTE", "tRNS", "IDAT", "IEND", "iCCP", "eXIf", "pHYs", "acTL", *_TEXT_CHUNKS, *COLOUR_CHUNKS}
)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_HEADER = struct.Struct(">IIBBBBB")
_COMPRESSION_LEVEL = 6
_LONG_TEXT = 1024
_MAX_CHUNK = 2**30
_BLOCK_BYTES = 2**20


class Chunk(NamedTuple):
    """A chunk's four letters and its content."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The chunk IHDR."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlace: int = 0

    @classmethod
    def from_chunk(cls, chunk: Chunk) -> Header:
        """Read and check IHDR."""
        if chunk.name != "IHDR" or len(chunk.content) != _HEADER.size:
            raise InputError("the PNG does not begin with its header; get a good copy")
        width, height, depth, colour_type, compression, filters, interlace = _HEADER.unpack(chunk.content)
        known = depth in _DEPTHS.get(colour_type, ()) and compression == filters == 0 and interlace in (0, 1)
        if not known or not (0 < width < 2**31 and 0 < height < 2**31):
            raise InputError("the PNG's header holds values that PNG does not define; get a good copy")
        return cls(width, height, depth, colour_type, interlace)

    def to_chunk(self) -> Chunk:
        """IHDR."""
        content = (self.width, self.height, self.depth, self.colour_type, 0, 0, self.interlace)
        return Chunk("IHDR", _HEADER.pack(*content))


# --- reading -----------------------------------------------------------------------------------------------


def read(data: bytes, *, max_pixels: int) -> Source:
    """The image in a PNG file.

    Grey of 2 or 4 bits becomes grey of 8 bits (values times 85 or 17, as PNG defines them), 16 bits stay.

    Raises
    ------
    InputError
        The file is damaged; UnsupportedImageError if it is animated, ImageTooLargeError if it has more than
        ``max_pixels`` pixels.
    """
    chunks = _parse_chunks(data)
    header = Header.from_chunk(chunks[0])
    check_size(header.width, header.height, max_pixels)
    _refuse_animation(chunks)
    _check_completeness(header, chunks)
    bilevel = header.colour_type == GREY and header.depth == 1
    kind = Kind.BILEVEL if bilevel else _KINDS[header.colour_type]
    image = Image(
        samples=_decode_pixels(header, chunks),
        kind=kind,
        palette=_find(chunks, "PLTE") if kind is Kind.PALETTE else None,
        transparency=_parse_transparency(header, chunks),
        metadata=_parse_metadata(chunks),
    )
    return Source(image, tuple(_notes(header, chunks)))


def _parse_chunks(data: bytes) -> list[Chunk]:
    """All chunks up to IEND, their checksums compared; what follows IEND is no part of the image."""
    chunks: list[Chunk] = []
    position = len(SIGNATURE)
    while not chunks or chunks[-1].name != "IEND":
        if position + 12 > len(data):
            raise InputError("the PNG is truncated; get a complete copy")
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 8 + length
        if end + 4 > len(data):
            raise InputError("the PNG is truncated; get a complete copy")
        name = data[position + 4 : position + 8].decode("latin-1")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise InputError(f"the PNG is damaged: the checksum of chunk {name!r} is wrong; get a good copy")
        chunks.append(Chunk(name, data[position + 8 : end]))
        position = end + 4
    return chunks


def _find(chunks: Iterable[Chunk], name: str) -> bytes | None:
    """The content of the first chunk of that name."""
    return next((chunk.content for chunk in chunks if chunk.name == name), None)


def _refuse_animation(chunks: list[Chunk]) -> None:
    control = _find(chunks, "acTL")
    if control is not None and int.from_bytes(control[:4], "big") > 1:
        raise UnsupportedImageError("the PNG is an animation; save the frame that you want as a picture")


def _check_completeness(header: Header, chunks: list[Chunk]) -> None:
    """Refuse a stream that ends early or fails its checksum: Pillow would fill the rest with zeros."""
    missing = sum(_pass_bytes(header))
    unpacker = zlib.decompressobj()
    try:
        for pending in _packed_blocks(chunks):
            while pending and missing >= 0:
                missing -= len(unpacker.decompress(pending, _BLOCK_BYTES))
                pending = unpacker.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"the PNG's pixels are damaged: {error}; get a good copy") from error
    if missing > 0:
        raise InputError(f"the PNG's pixels end {missing} bytes early; get a complete copy")


def _packed_blocks(chunks: list[Chunk]) -> Iterator[bytes]:
    """The deflated pixels in pieces: zlib copies the rest of a piece after each step."""
    for chunk in chunks:
        if chunk.name == "IDAT":
            for start in range(0, len(chunk.content), _BLOCK_BYTES):
                yield chunk.content[start : start + _BLOCK_BYTES]


def _pass_bytes(header: Header) -> Iterator[int]:
    """Bytes of each pass of the image as filtered: a filter's number and packed samples for each row."""
    passes = _ADAM7 if header.interlace else ((0, 0, 1, 1),)
    pixel_bits = header.depth * _KINDS[header.colour_type].channels
    for left, top, step_x, step_y in passes:
        columns = max(0, -(-(header.width - left) // step_x))
        rows = max(0, -(-(header.height - top) // step_y))
        yield rows * (1 + (columns * pixel_bits + 7) // 8) if columns else 0


def _decode_pixels(header: Header, chunks: list[Chunk]) -> Samples:
    """The samples (H, W, C), decoded by Pillow from a file that holds nothing else."""
    if header.depth == 16 and header.colour_type in (RGB, RGBA):
        return _decode_wide(header, chunks)
    # Pillow keeps 8 bits of 16-bit grey+alpha. The bytes of a pixel are the same if they are said to be
    # samples of 8 bits, filters included, for PNG filters bytes.
    paired = {GREY: GREY_ALPHA, GREY_ALPHA: RGBA}[header.colour_type] if header.depth == 16 else None
    shown = header if paired is None else replace(header, depth=8, colour_type=paired)
    with opened(_bare_file(shown, chunks), ("PNG",)) as picture:
        picture.load()
        samples = np.ascontiguousarray(np.asarray(picture), dtype=np.uint8)
    samples = samples.reshape(header.height, header.width, -1)
    if paired is None:
        return samples
    wide: npt.NDArray[np.uint16] = samples.view(">u2").astype(np.uint16)
    return wide


def _decode_wide(header: Header, chunks: list[Chunk]) -> Samples:
    """RGB and RGBA of 16 bits, the high and the low bytes in turn: Pillow's pixels have 8 bits."""
    halves: list[npt.NDArray[np.uint16]] = []
    for byte_order in "BL":
        with opened(_bare_file(header, chunks), ("PNG",)) as picture:
            tile = picture.tile[0]  # type: ignore[attr-defined]  # every ImageFile has it
            # ";16B" takes the first byte of a sample, the high one in PNG; ";16L" takes the second.
            picture.tile = [(tile[0], tile[1], tile[2], f"{picture.mode};16{byte_order}")]  # type: ignore[attr-defined]
            picture.load()
            halves.append(np.asarray(picture).astype(np.uint16))
    high, low = halves
    return (high << np.uint16(8)) | low


def _bare_file(header: Header, chunks: list[Chunk]) -> bytes:
    """A PNG of ``header`` and of the chunks that pixels need."""
    needed = [chunk for chunk in chunks if chunk.name in ("PLTE", "IDAT")]
    return _chunks_to_bytes([header.to_chunk(), *needed, Chunk("IEND", b"")])


def _parse_transparency(header: Header, chunks: list[Chunk]) -> bytes | None:
    """tRNS, its grey value scaled as the samples are."""
    content = _find(chunks, "tRNS") or None
    if content is None or header.colour_type != GREY or header.depth not in (2, 4):
        return content
    highest = (1 << header.depth) - 1
    return ((int.from_bytes(content, "big") & highest) * 255 // highest).to_bytes(2, "big")


def _parse_metadata(chunks: list[Chunk]) -> Metadata:
    texts = [(chunk.name, _parse_text(chunk)) for chunk in chunks if chunk.name in _TEXT_CHUNKS]
    xmp = next((text for name, text in texts if (name, text.keyword) == ("iTXt", XMP_KEYWORD)), None)
    profile = _find(chunks, "iCCP")
    density = _find(chunks, "pHYs")
    try:
        return Metadata(
            icc=None if profile is None else _inflate(profile.split(b"\0", 1)[1][1:]),
            exif=_find(chunks, "eXIf"),
            xmp=None if xmp is None else xmp.text.encode("utf-8", errors="surrogateescape"),
            density=None if density is None else Density(*struct.unpack(">IIB", density)),
            colour=tuple((chunk.name, chunk.content) for chunk in chunks if chunk.name in COLOUR_CHUNKS),
            text=tuple(text for _, text in texts if text is not xmp),
        )
    except (IndexError, struct.error) as error:
        raise InputError("the PNG's colour profile or density is malformed; remove it") from error


def _parse_text(chunk: Chunk) -> Text:
    """tEXt, zTXt or iTXt."""
    try:
        keyword, rest = chunk.content.split(b"\0", 1)
        name = keyword.decode("latin-1")
        if chunk.name == "tEXt":
            return Text(name, rest.decode("latin-1"))
        if chunk.name == "zTXt":
            return Text(name, _inflate(rest[1:]).decode("latin-1"))
        language, translated, text = rest[2:].split(b"\0", 2)
        unpacked = _inflate(text) if rest[0] else text
        return Text(name, _utf8(unpacked), language.decode("ascii"), _utf8(translated))
    except (ValueError, IndexError) as error:
        raise InputError(f"a text of the PNG ({chunk.name}) is malformed; remove it") from error


def _utf8(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape")


def _inflate(packed: bytes) -> bytes:
    """The content of a zlib stream, of ``MAX_SIDE_BYTES`` bytes at most."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, MAX_SIDE_BYTES)
    except zlib.error as error:
        raise InputError(f"a text or profile of the PNG is damaged: {error}; get a good copy") from error
    if not unpacker.eof:
        raise InputError("a text or profile of the PNG is cut or larger than any can be; remove it")
    return content


def _notes(header: Header, chunks: list[Chunk]) -> Iterator[str]:
    if header.colour_type == GREY and header.depth in (2, 4):
        yield f"{header.depth}-bit grey comes back as 8-bit grey of equal brightness"
    suggested = set() if header.colour_type == PALETTE else {"PLTE"}
    if dropped := sorted({chunk.name for chunk in chunks} - (_READ_CHUNKS - suggested)):
        yield f"chunks that are not kept: {', '.join(dropped)}"


# --- writing -----------------------------------------------------------------------------------------------


def write(image: Image) -> bytes:
    """A PNG file of ``image``; ``read`` of it gives the same image.

    Palettes are written with as few bits an index as they need.
    """
    header = _header_of(image)
    return _chunks_to_bytes(
        [
            header.to_chunk(),
            *_colour_chunks(image),
            *_metadata_chunks(image.metadata),
            *_pixel_chunks(header, image.samples),
            Chunk("IEND", b""),
        ]
    )


def _header_of(image: Image) -> Header:
    depth = image.bit_depth
    if image.palette is not None:
        used = max(len(image.palette) // 3, int(image.samples.max()) + 1)
        depth = next(bits for bits in (1, 2, 4, 8) if used <= 2**bits)
    return Header(image.width, image.height, depth, _COLOUR_TYPES[image.kind])


def _colour_chunks(image: Image) -> Iterator[Chunk]:
    """What says how samples become colours, in the order that PNG wants: before, in and after PLTE."""
    for name, content in image.metadata.colour:
        yield Chunk(name, content)
    if image.metadata.icc is not None:
        yield Chunk("iCCP", b"ICC Profile\0\0" + zlib.compress(image.metadata.icc, 9))
    if image.palette is not None:
        yield Chunk("PLTE", image.palette)
    if image.transparency is not None:
        yield Chunk("tRNS", image.transparency)


def _metadata_chunks(metadata: Metadata) -> Iterator[Chunk]:
    if metadata.density is not None:
        density = metadata.density
        yield Chunk("pHYs", struct.pack(">IIB", density.x, density.y, density.unit))
    if metadata.exif is not None:
        yield Chunk("eXIf", metadata.exif)
    if metadata.xmp is not None:
        yield Chunk("iTXt", XMP_KEYWORD.encode("ascii") + b"\0\0\0\0\0" + metadata.xmp)
    for text in metadata.text:
        yield _text_chunk(text)


def _text_chunk(text: Text) -> Chunk:
    """The plainest of the three text chunks that can hold ``text``."""
    keyword = text.keyword.encode("latin-1") + b"\0"
    try:
        content = text.text.encode("latin-1")
    except UnicodeEncodeError:
        content = None
    if content is None or text.language or text.translated:
        parts = (text.language, text.translated, text.text)
        return Chunk("iTXt", keyword + b"\0\0" + "\0".join(parts).encode("utf-8", errors="surrogateescape"))
    if len(content) < _LONG_TEXT:
        return Chunk("tEXt", keyword + content)
    return Chunk("zTXt", keyword + b"\0" + zlib.compress(content, 9))


def _pixel_chunks(header: Header, samples: Samples) -> Iterator[Chunk]:
    packer = zlib.compressobj(_COMPRESSION_LEVEL)
    packed = b"".join(
        [packer.compress(block) for block in _filtered_blocks(header, samples)] + [packer.flush()]
    )
    for start in range(0, len(packed), _MAX_CHUNK):
        yield Chunk("IDAT", packed[start : start + _MAX_CHUNK])


def _filtered_blocks(header: Header, samples: Samples) -> Iterator[bytes]:
    """The rows, each behind its filter's number, some at a time so that little memory is needed."""
    filtered = header.depth >= 8 and header.colour_type != PALETTE
    pixel_bytes = samples.shape[2] * samples.dtype.itemsize
    count = max(1, _BLOCK_BYTES // (header.width * pixel_bytes))
    above = np.zeros((1, header.width * pixel_bytes), np.uint8)
    for top in range(0, header.height, count):
        rows = _row_bytes(header, samples[top : top + count])
        if filtered:
            yield _filter_rows(rows, np.concatenate((above, rows[:-1])), pixel_bytes).tobytes()
            above = rows[-1:]
        else:
            yield np.pad(rows, ((0, 0), (1, 0))).tobytes()


def _row_bytes(header: Header, samples: Samples) -> Bytes:
    """Rows of samples as PNG has them: high byte first, or several samples a byte; (rows, bytes)."""
    rows = samples.reshape(samples.shape[0], -1)
    if header.depth == 16:
        return rows.astype(">u2").view(np.uint8)
    rows = rows.astype(np.uint8, copy=False)
    if header.depth == 8:
        return rows
    bits = np.unpackbits(rows[..., None], axis=2)[:, :, 8 - header.depth :]
    return np.packbits(bits.reshape(rows.shape[0], -1), axis=1)


def _filter_rows(rows: Bytes, above: Bytes, pixel_bytes: int) -> Bytes:
    """Each row with the filter whose residuals have the least sum of absolute values, its number in front."""
    left, above_left = _shifted(rows, pixel_bytes), _shifted(above, pixel_bytes)
    candidates = (
        rows,
        rows - left,
        rows - above,
        rows - ((left.astype(np.uint16) + above) >> 1).astype(np.uint8),
        rows - _paeth(left, above, above_left),
    )
    costs = [np.abs(c.view(np.int8).astype(np.int16)).sum(axis=1) for c in candidates]
    chosen = np.argmin(costs, axis=0)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = chosen
    for number, candidate in enumerate(candidates):
        filtered[chosen == number, 1:] = candidate[chosen == number]
    return filtered


def _shifted(rows: Bytes, pixel_bytes: int) -> Bytes:
    """The byte one pixel to the left of each; 0 before the first."""
    return np.pad(rows[:, :-pixel_bytes], ((0, 0), (pixel_bytes, 0)))


def _paeth(left: Bytes, above: Bytes, above_left: Bytes) -> Bytes:
    """Of the three neighbours the one nearest to left + above - above_left; ties in this order."""
    to_above = left.astype(np.int16) - above_left
    to_left = above.astype(np.int16) - above_left
    from_corner = np.abs(to_left + to_above)
    from_left, from_above = np.abs(to_left), np.abs(to_above)
    nearest: np.ndarray[Any, np.dtype[np.uint8]] = np.where(
        (from_left <= from_above) & (from_left <= from_corner),
        left,
        np.where(from_above <= from_corner, above, above_left),
    )
    return nearest


def _chunks_to_bytes(chunks: Iterable[Chunk]) -> bytes:
    parts = [SIGNATURE]
    for chunk in chunks:
        name = chunk.name.encode("ascii")
        length = len(chunk.content).to_bytes(4, "big")
        parts += (length, name, chunk.content, zlib.crc32(chunk.content, zlib.crc32(name)).to_bytes(4, "big"))
    return b"".join(parts)
