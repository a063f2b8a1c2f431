"""Seeded, named inputs that tests share."""

from __future__ import annotations

import io
import zlib

import numpy as np
import numpy.typing as npt
import png as pypng

from nvpcodec import colour, stand_ins
from nvpcodec.pixels import Image, Kind, Samples

DEPTHS = {
    Kind.GREY: (np.uint8, np.uint16),
    Kind.GREY_ALPHA: (np.uint8, np.uint16),
    Kind.RGB: (np.uint8, np.uint16),
    Kind.RGBA: (np.uint8, np.uint16),
    Kind.PALETTE: (np.uint8,),
    Kind.BILEVEL: (np.uint8,),
}
EVERY_KIND = [(kind, dtype) for kind, dtypes in DEPTHS.items() for dtype in dtypes]
PALETTE = bytes((37 * index) % 256 for index in range(3 * 200))


def gradient(
    kind: Kind = Kind.RGB, dtype: type[np.unsignedinteger] = np.uint8, height: int = 21, width: int = 34
) -> Image:
    """A slope in each channel, each in a direction of its own, over all of the range."""
    rows, columns = np.mgrid[:height, :width]
    highest = {Kind.PALETTE: len(PALETTE) // 3 - 1, Kind.BILEVEL: 1}.get(kind, np.iinfo(dtype).max)
    slopes = [(rows * (c + 1) + columns * (kind.channels - c)) for c in range(kind.channels)]
    samples = np.stack([slope * highest // max(1, int(slope.max())) for slope in slopes], axis=2)
    return image_of(samples.astype(dtype), kind)


def noise(
    seed: int,
    kind: Kind = Kind.RGB,
    dtype: type[np.unsignedinteger] = np.uint8,
    height: int = 21,
    width: int = 34,
) -> Image:
    """Independent uniform samples."""
    end = {Kind.PALETTE: len(PALETTE) // 3, Kind.BILEVEL: 2}.get(kind, np.iinfo(dtype).max + 1)
    generator = np.random.default_rng(seed)
    return image_of(generator.integers(0, end, (height, width, kind.channels)).astype(dtype), kind)


def flat(value: int = 77, height: int = 40, width: int = 50) -> Image:
    """One colour."""
    return image_of(np.full((height, width, 3), value, np.uint8), Kind.RGB)


def text_like(seed: int = 0, height: int = 48, width: int = 64) -> Image:
    """Rows of black strokes on white, as on a screen."""
    generator = np.random.default_rng(seed)
    samples = np.full((height, width, 3), 255, np.uint8)
    for top in range(4, height - 8, 12):
        strokes = generator.random((8, width)) < 0.3
        samples[top : top + 8][strokes] = 0
    return image_of(samples, Kind.RGB)


def row_of_pixels(width: int = 70) -> Image:
    """An image one pixel high."""
    return noise(1, height=1, width=width)


def column_of_pixels(height: int = 70) -> Image:
    """An image one pixel wide."""
    return noise(2, height=height, width=1)


def image_of(samples: Samples, kind: Kind) -> Image:
    """A plain image of these samples; palette images get ``PALETTE``."""
    return Image(samples, kind, PALETTE if kind is Kind.PALETTE else None)


def foreign_png(image: Image, bitdepth: int | None = None, *, interlace: bool = False) -> bytes:
    """``image`` as a PNG by pypng, a writer that shares no code with ours."""
    palette = None
    if image.palette is not None:
        palette = [tuple(image.palette[i : i + 3]) for i in range(0, len(image.palette), 3)]
    writer = pypng.Writer(
        width=image.width,
        height=image.height,
        greyscale=image.kind in (Kind.GREY, Kind.GREY_ALPHA, Kind.BILEVEL),
        alpha=image.kind in (Kind.GREY_ALPHA, Kind.RGBA),
        bitdepth=bitdepth or image.bit_depth,
        palette=palette,
        interlace=interlace,
    )
    stream = io.BytesIO()
    writer.write(stream, image.samples.reshape(image.height, -1).tolist())
    return stream.getvalue()


def foreign_samples(data: bytes) -> npt.NDArray[np.uint16]:
    """The samples of a PNG (rows, values) as pypng reads them, palettes unresolved."""
    _, _, rows, _ = pypng.Reader(bytes=data).read()
    return np.array([list(row) for row in rows], np.uint16)


def png_chunk(name: str, content: bytes) -> bytes:
    """A PNG chunk, made without our own writer."""
    tagged = name.encode("ascii") + content
    return len(content).to_bytes(4, "big") + tagged + zlib.crc32(tagged).to_bytes(4, "big")


def with_chunks(data: bytes, *chunks: tuple[str, bytes]) -> bytes:
    """A PNG with more chunks right behind its header."""
    header_end = 8 + 25
    return data[:header_end] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[header_end:]


def without_chunk(data: bytes, name: str) -> bytes:
    """A PNG without its first chunk of that name."""
    start = data.index(name.encode("ascii")) - 4
    return data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :]


def as_it_is(samples: npt.NDArray[np.uint8]) -> stand_ins.StandIn:
    """Nothing stands in for the colours."""
    return stand_ins.StandIn(colour.to_planes(samples), lambda part: part)
