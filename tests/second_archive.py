"""A second reader of .nvpa archives, written from docs/archive.md alone and in its order.

Like second_decoder.py, whose parts it uses for what format.md describes, it shares no line with the package.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.second_decoder import (
    DEEP,
    DEPTHS,
    FLOW,
    GROWTHS,
    KINDS,
    LEGAL,
    RGB,
    RGBA,
    SAMPLE_LIMIT,
    YCBCR,
    Array,
    Model,
    PhaseFlow,
    Reader,
    Size,
    Stack,
    Tile,
    Voice,
    add_square,
    check_records,
    colours,
    colours_of_jpeg,
    decode,
    decode_plain,
    decode_tile,
    inflate,
    read_header,
    require,
    sample_bytes,
    split,
    tiles,
)

Models = Mapping[bytes, Model]
CHAIN, FILE = 0, 1


@dataclass(frozen=True)
class Block:
    """A line of the table: where the block is, what it holds, names and sizes of its images."""

    type: int
    kind: int
    bits: int
    start: int
    length: int
    checksum: int
    names: tuple[str, ...]
    sizes: tuple[Size, ...]  # height, width


# Overview


def read_archive(data: bytes, models: Models) -> dict[str, Array]:
    """The samples (height, width, channels) of all images."""
    reader = Reader(data)
    require(reader.take(4) == b"\x8eNVA", "no archive")
    require(reader.u8() == 1, "another version")
    start = int.from_bytes(reader.take(8), "little")
    length, checksum = reader.u32(), reader.u32()
    require(reader.u32() == zlib.crc32(data[:21]), "the head checksum differs")
    require(start >= 25 and start + length <= len(data), "no place for an index")
    index = data[start : start + length]
    require(zlib.crc32(index) == checksum, "the index checksum differs")
    images: dict[str, Array] = {}
    blocks = list(read_table(index, start))
    check_names([name for block in blocks for name in block.names])
    for block in blocks:
        images |= dict(zip(block.names, read_block(block, data, models), strict=True))
    return images


# Index


def read_table(index: bytes, index_start: int) -> Iterator[Block]:
    reader = Reader(index)
    count = reader.varint()
    require(count <= 2**26, "too long a table")
    reader = Reader(inflate(reader.rest(), count))
    end = 25
    for _ in range(reader.varint()):
        block_type, form = reader.u8(), reader.u8()
        require(block_type in (CHAIN, FILE), "a reserved type")
        kind, depth = form & 7, form >> 3
        require(kind in KINDS and depth in KINDS[kind][1], "a reserved form")
        start = end + reader.varint()
        length, checksum = reader.varint(), reader.u32()
        end = start + length
        require(end <= index_start, "a block reaches into the index")
        images = reader.varint() if block_type == CHAIN else 1
        require(1 <= images <= 4096, "no such number of images")
        members = [(read_name(reader), reader.varint(), reader.varint()) for _ in range(images)]
        require(all(1 <= w < 2**31 and 1 <= h < 2**31 for _, w, h in members), "no such size")
        names = tuple(name for name, _, _ in members)
        sizes = tuple((h, w) for _, w, h in members)
        yield Block(block_type, kind, DEPTHS[depth], start, length, checksum, names, sizes)
    require(reader.at == len(reader.data), "bytes follow the table")


def read_name(reader: Reader) -> str:
    length = reader.varint()
    require(1 <= length <= 1024, "a name of another length")
    return reader.take(length).decode("utf-8")


def check_names(names: Sequence[str]) -> None:
    require(len(names) <= 2**20 and len(set(names)) == len(names), "a name is there twice")
    for name in names:
        parts = name.split("/")
        require(not {"", ".", ".."} & set(parts), "a part of a name leads elsewhere")
        require(all(c >= " " and c not in "\x7f\\" for c in name), "a character is not allowed")
        require(not (name[1:2] == ":" and name[0].isascii() and name[0].isalpha()), "a drive")
        folders = {"/".join(parts[:n]) for n in range(1, len(parts))}
        require(not folders & set(names), "a name is a file and a folder")


# Blocks


def read_block(block: Block, data: bytes, models: Models) -> list[Array]:
    channels = KINDS[block.kind][0]
    height, width = joined_size(block)
    require(height * width * channels <= SAMPLE_LIMIT, "too many samples")
    content = data[block.start : block.start + block.length]
    require(zlib.crc32(content) == block.checksum, "the block checksum differs")
    if block.type == CHAIN:
        return read_chain(block, Reader(content), models)
    header = read_header(Reader(content))
    found = header.kind, header.bits, (header.height, header.width)
    require(found == (block.kind, block.bits, block.sizes[0]), "another image than the index says")
    return [decode(content, dict(models))]


def joined_size(block: Block) -> Size:
    return sum(h for h, _ in block.sizes), max(w for _, w in block.sizes)


def read_chain(block: Block, reader: Reader, models: Models) -> list[Array]:
    mode = reader.u8()
    require(mode <= DEEP or mode in (FLOW, YCBCR), "a reserved mode")
    model = models.get(reader.take(8)) if mode in (FLOW, YCBCR) else None
    read_side_data(reader.take(reader.varint()), block)
    checksum = reader.u32()
    payload = reader.rest()
    if mode in (FLOW, YCBCR):
        require(model is not None, "no such model")
        require(block.kind <= RGBA and block.bits == 8, "a kind or depth that no model codes")
        require(mode == FLOW or block.kind in (RGB, RGBA), "Y, Cb and Cr of what is not coloured")
        assert model is not None
        images = decode_flow_chain(block, payload, model, colours if mode == FLOW else colours_of_jpeg)
    else:
        shape = (*joined_size(block), KINDS[block.kind][0])
        images = parted(decode_plain(mode, payload, shape, block.bits), block)
    samples = b"".join(sample_bytes(image, block.bits) for image in images)
    require(zlib.crc32(samples) == checksum, "the pixel checksum differs")
    return images


def read_side_data(data: bytes, block: Block) -> None:
    records = [b""] * len(block.sizes)
    if data:
        reader = Reader(data)
        coding = reader.u8()
        require(coding <= 1, "reserved coding of the side data")
        if coding == 1:
            count = reader.varint()
            require(count <= 2**26, "too many bytes of records")
            reader = Reader(inflate(reader.rest(), count))
        records = [reader.take(reader.varint()) for _ in block.sizes]
        require(reader.at == len(reader.data) and any(records), "side data of another length")
    for each in records:
        reader, found = Reader(each), []
        while reader.at < len(each):
            tag = reader.u8()
            found.append((tag, reader.take(reader.varint())))
        check_records(found, block.kind)


def parted(joined: Array, block: Block) -> list[Array]:
    tops = np.cumsum([0, *(h for h, _ in block.sizes)])
    return [joined[top : top + h, :w] for top, (h, w) in zip(tops, block.sizes, strict=False)]


def decode_flow_chain(
    block: Block, payload: bytes, model: Model, colours_of: Callable[[Array], Array]
) -> list[Array]:
    channels = KINDS[block.kind][0]
    planes = 1 if channels < 3 else 3
    coded, alphas = split(FLOW, payload, channels > planes)
    decoders: dict[str, Callable[[Model, Reader, Sequence[Size], int], list[Array]]] = {
        "phase": decode_phases,
        "realnvp": decode_realnvps,
    }
    decoded = decoders[model.kind](model, Reader(coded), block.sizes, planes)
    images = [colours_of(values) for values in decoded]
    for mode, part in alphas:
        alpha = parted(decode_plain(mode, part, (*joined_size(block), 1), 8), block)
        images = [np.concatenate(both, 2) for both in zip(images, alpha, strict=True)]
    return images


def decode_phases(model: Model, reader: Reader, sizes: Sequence[Size], planes: int) -> list[Array]:
    growth = reader.u8()
    require(growth < 32, "a chain has a tuning")
    even, growth = divmod(growth, len(GROWTHS))
    stack = Stack(reader.rest(), bool(even))
    images = []
    for number, (height, width) in enumerate(sizes):
        behind = sum(planes * (h * w - coarsest(h, w)) for h, w in sizes[number + 1 :])
        scales = [(height, width)]
        while scales[-1][0] * scales[-1][1] > 16:
            scales.append(((scales[-1][0] + 1) // 2, (scales[-1][1] + 1) // 2))
        values = np.zeros((3, *scales[-1]), np.int64)
        for plane, (low, high) in zip(range(planes), LEGAL, strict=False):
            numbers = stack.pop_list(values[plane].size, high - low + 1)
            values[plane] = low + np.array(numbers).reshape(scales[-1])
        own = planes * height * width - values[:planes].size
        voice = Voice(model, list(range(model.orientations)))
        flow = PhaseFlow([voice], stack, GROWTHS[growth], planes, own + behind)
        for scale in reversed(range(len(scales) - 1)):
            values = flow.decode_scale(scale, scales[scale], values)
        images.append(values[:planes])
    stack.check_empty()
    return images


def coarsest(height: int, width: int) -> int:
    """Pixels of the coarsest scale."""
    while height * width > 16:
        height, width = (height + 1) // 2, (width + 1) // 2
    return height * width


def decode_realnvps(model: Model, reader: Reader, sizes: Sequence[Size], planes: int) -> list[Array]:
    stack = Stack(reader.rest())
    images = []
    for number, size in enumerate(sizes):
        behind = sum(-(-h // 8) * 8 * -(-w // 8) * 8 for h, w in sizes[number + 1 :])
        values = np.zeros((planes, *size), np.int64)
        for tile in reversed(tiles_on(behind, *size) if behind else tiles(*size)):
            whole = decode_tile(model, stack, tile, planes)
            space = values[:, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
            space[:] = whole[:, : space.shape[1], : space.shape[2]]
        images.append(values)
    stack.check_empty()
    return images


def tiles_on(pixels: int, height: int, width: int) -> list[Tile]:
    """The tiles of an image that is not the last one; `pixels` are those of the images behind it."""
    found = [Tile(0, 0, 1, pixels, 0)]  # what add_square counts from
    for y in range(0, height, 256):
        for x in range(0, width, 256):
            add_square(found, (y, x, 256), height, width)
    return found[1:]
