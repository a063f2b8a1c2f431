# ruff: noqa: B905 - zip(strict=True) needs Python 3.10, and this file runs on 3.9
"""A second decoder of .nvp files, written from docs/format.md alone and in its order.

It shares no line with the package: plain Python, NumPy's int64 and the standard library. It is slow and
short, and shows that the text is enough to read a file, also on a machine of the other byte order.

    python tests/second_decoder.py --weights DIR FILE.nvp [FILE.npy ...]

prints a line for each file: its name, the SHA-256 of its samples, and `ok` or `differs` where the samples
lie beside it as an .npy of the same name. An .npy among the arguments stands for the file beside it. Exit
status 1: a file differs or was refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import math
import sys
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]


class RefusedError(ValueError):
    """The file or the model breaks a rule of docs/format.md."""


def require(holds: bool, rule: str) -> None:
    if not holds:
        raise RefusedError(rule)


# Conventions


class Reader:
    """Takes bytes, numbers and varints off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        require(0 <= count <= len(self.data) - self.at, "the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        value = 0
        for group in range(5):
            byte = self.u8()
            value |= (byte & 127) << (7 * group)
            if byte < 128:
                require(byte != 0 or group == 0, "a varint is longer than it need be")
                return value
        raise RefusedError("a varint has more than five bytes")


def clip(x: Array, low: int, high: int) -> Array:
    clipped: Array = np.clip(x, low, high)
    return clipped


def look_up(table: Sequence[int], index: Array) -> Array:
    return np.array(table, np.int64)[index]


# Overview, header fields, region table

#: Channels and depth codes of each kind.
KINDS = {0: (1, (1, 2)), 1: (2, (1, 2)), 2: (3, (1, 2)), 3: (4, (1, 2)), 4: (1, (1,)), 5: (1, (0,))}
GREY, GREY_ALPHA, RGB, RGBA, PALETTE, BILEVEL = range(6)
DEPTHS = {0: 1, 1: 8, 2: 16}
STORED, DEFLATE, LZMA, DRAWING, DEEP, FLOW, FLOW_TOP_FIRST = 0, 1, 2, 3, 4, 16, 17
RANKS, TONES, YCBCR = 18, 19, 20
#: Samples that this reader takes memory for.
SAMPLE_LIMIT = 2**28


@dataclass(frozen=True)
class Region:
    """A cell of the grid: its first row and column, its size, and how it is coded."""

    top: int
    left: int
    height: int
    width: int
    mode: int
    length: int


@dataclass(frozen=True)
class Header:
    """What stands before the side data."""

    kind: int
    bits: int
    height: int
    width: int
    side_data_length: int
    regions: tuple[Region, ...]
    model_id: bytes | None

    @property
    def channels(self) -> int:
        return KINDS[self.kind][0]


def read_sides(reader: Reader) -> tuple[int, int, int, int]:
    """Width, height, and the height and width of a full cell."""
    width, height, cell_height, cell_width = (reader.varint() for _ in range(4))
    require(1 <= width < 2**31 and 1 <= height < 2**31, "a side is 0 or too large")
    require(cell_height < height and cell_width < width, "a region side is not below the image's")
    return width, height, cell_height or height, cell_width or width


def read_header(reader: Reader) -> Header:
    """Raises RefusedError where the header breaks a rule, or its checksum differs."""
    require(reader.take(4) == b"\x8eNVP", "other magic")
    require(reader.u8() == 1, "other version")
    form = reader.u8()
    kind, depth = form & 7, form >> 3 & 3
    require(form < 32 and kind in KINDS and depth in KINDS[kind][1], "a reserved form")
    width, height, cell_height, cell_width = read_sides(reader)
    side_data_length = reader.varint()
    tops, lefts = range(0, height, cell_height), range(0, width, cell_width)
    count = len(tops) * len(lefts)
    require(count <= min(2**20, (len(reader.data) - reader.at) // 2), "too many regions")
    regions = []
    for top in tops:
        for left in lefts:
            size = min(cell_height, height - top), min(cell_width, width - left)
            regions.append(Region(top, left, *size, reader.u8(), reader.varint()))
    modes = {region.mode for region in regions}
    allowed = {STORED, DEFLATE, LZMA, DRAWING, DEEP, FLOW, FLOW_TOP_FIRST, RANKS, TONES, YCBCR}
    require(modes <= allowed, "a reserved mode")
    require(DEEP not in modes or DEPTHS[depth] == 16, "mode 4 with another bit depth")
    model_id = reader.take(8) if modes & {FLOW, FLOW_TOP_FIRST, RANKS, TONES, YCBCR} else None
    end = reader.at
    require(reader.u32() == zlib.crc32(reader.data[:end]), "the header checksum differs")
    return Header(kind, DEPTHS[depth], height, width, side_data_length, tuple(regions), model_id)


# Side data

TAGS = PALETTE_TAG, TRANSPARENCY, ICC, EXIF, XMP, DENSITY, COLOUR, TEXT = tuple(range(1, 9))
COLOUR_NAMES = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"sBIT"}


def inflate(data: bytes, count: int) -> bytes:
    """The `count` bytes of a raw deflate stream that ends where `data` end."""
    stream = zlib.decompressobj(-15)
    try:
        out = stream.decompress(data, count + 1)
    except zlib.error as error:
        raise RefusedError("no deflate stream") from error
    require(len(out) == count and stream.eof and not stream.unused_data, "a deflate stream of another length")
    return out


def read_side_data(data: bytes, kind: int) -> list[tuple[int, bytes]]:
    """The records (tag, content) of the side data, in their order."""
    records: list[tuple[int, bytes]] = []
    if data:
        reader = Reader(data)
        coding = reader.u8()
        require(coding <= 1, "reserved coding of the side data")
        if coding == 1:
            count = reader.varint()
            require(count <= 2**26, "too many bytes of records")
            reader = Reader(inflate(reader.rest(), count))
        require(len(reader.data) <= 2**26 + 1, "too many bytes of records")
        while reader.at < len(reader.data):
            tag = reader.u8()
            records.append((tag, reader.take(reader.varint())))
    check_records(records, kind)
    return records


def check_records(records: list[tuple[int, bytes]], kind: int) -> None:
    tags = [tag for tag, _ in records]
    require(set(tags) <= set(TAGS), "a reserved tag")
    require(tags == sorted(tags), "records out of order")
    require(all(tags.count(tag) == 1 for tag in set(tags) - {COLOUR, TEXT}), "a tag occurs twice")
    require((PALETTE_TAG in tags) == (kind == PALETTE), "a palette too many or too few")
    first = dict(reversed(records))
    palette = first.get(PALETTE_TAG, b"")
    require(len(palette) % 3 == 0 and len(palette) <= 768, "no palette")
    require(kind != PALETTE or len(palette) > 0, "an empty palette")
    if TRANSPARENCY in first:
        length = len(first[TRANSPARENCY])
        allowed = {GREY: (2,), BILEVEL: (2,), RGB: (6,), PALETTE: range(1, len(palette) // 3 + 1)}
        require(length in allowed.get(kind, ()), "no such transparency")
    if DENSITY in first:
        require(len(first[DENSITY]) == 9 and first[DENSITY][8] <= 1, "no density")
    for tag, content in records:
        if tag == COLOUR:
            require(content[:4] in COLOUR_NAMES, "no such colour chunk")
        if tag == TEXT:
            parts = content.split(b"\0", 3)
            require(len(parts) == 4 and parts[1].isascii(), "no text record")
            keyword = parts[0].decode("utf-8", "replace")
            require(1 <= len(keyword) <= 79 and max(keyword) <= "\xff", "no keyword")


# Plain modes


def decode_plain(mode: int, payload: bytes, shape: tuple[int, int, int], bits: int) -> Array:
    """The samples (h, w, c) of a payload of mode 0 to 4, for an image of `bits` bits a sample."""
    if mode == DEEP:
        return decode_deep(payload, shape)
    if mode == DRAWING:
        return decode_drawing(payload, shape, bits)
    height, width, channels = shape
    form = Reader(payload).u8()
    code, filtering, green = form & 7, form >> 3 & 3, form >> 5 & 1
    require(form < 64 and code <= 4, "a reserved form byte")
    sample_bits = 1 << code
    packed = sample_bits < 8
    require(
        sample_bits == bits or (packed and bits == 8 and channels == 1), "sample bits do not fit the image"
    )
    require(mode != STORED or (filtering == 0 and not green), "a filter in mode 0")
    require(not green or channels >= 3, "green was subtracted from nothing")
    require(filtering != 3 or height + width <= 65536, "too large for the median filter")
    count = height * -(-width * channels * sample_bits // 8)
    data = unpack_bytes(mode, payload[1:], count, channels)
    inner = (height, count // height, 1) if packed else shape
    modulus = 65536 if sample_bits == 16 else 256
    elements = to_elements(data, inner, sample_bits == 16, filtering != 0)
    elements = (none, sub, up, median)[filtering](elements, modulus)
    if green:
        elements[..., 0::2][..., :2] += elements[..., 1:2]
        elements %= modulus
    return unpack_samples(elements, sample_bits, width) if packed else elements


def unpack_bytes(mode: int, data: bytes, count: int, channels: int) -> bytes:
    """Step 1."""
    if mode == STORED:
        require(len(data) == count, "another number of stored bytes")
        return data
    if mode == DEFLATE:
        return inflate(data, count)
    places = (2, 2, 2) if channels == 4 else (4, 0, 0)
    size = min(2**23, max(2**12, count))
    chain = {"id": lzma.FILTER_LZMA1, "dict_size": size, **dict(zip(("lc", "lp", "pb"), places))}
    try:
        stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])
        out = stream.decompress(data, count + 1)
    except lzma.LZMAError as error:
        raise RefusedError("no LZMA stream") from error
    require(len(out) == count and stream.eof and not stream.unused_data, "an LZMA stream of another length")
    return out


def to_elements(data: bytes, shape: tuple[int, int, int], wide: bool, filtered: bool) -> Array:
    """Step 2."""
    values = np.frombuffer(data, np.uint8).astype(np.int64)
    if wide:
        high, low = values.reshape(2, -1)
        values = 256 * high + low
        if filtered:
            values = np.where(values % 2 == 0, values // 2, 65536 - (values + 1) // 2)
    return values.reshape(shape)


def none(elements: Array, modulus: int) -> Array:
    return elements


def sub(elements: Array, modulus: int) -> Array:
    return np.cumsum(elements, 1) % modulus


def up(elements: Array, modulus: int) -> Array:
    return np.cumsum(elements, 0) % modulus


def median(elements: Array, modulus: int) -> Array:
    """One anti-diagonal after another; a row and a column of zeros stand for what is outside."""
    height, width, channels = elements.shape
    out = np.zeros((height + 1, width + 1, channels), np.int64)
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        a, b, d = out[y + 1, x], out[y, x + 1], out[y, x]
        p = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), a + b - d))
        out[y + 1, x + 1] = (elements[y, x] + p) % modulus
    return out[1:, 1:]


def unpack_samples(elements: Array, sample_bits: int, width: int) -> Array:
    """Step 5."""
    shifts = np.arange(8 - sample_bits, -1, -sample_bits)
    samples = (elements >> shifts) & ((1 << sample_bits) - 1)
    rows = samples.reshape(len(elements), -1)
    require(not rows[:, width:].any(), "bits that fill up a row are not 0")
    return rows[:, :width, None]


# Drawings

#: Rows and columns from an entry to what is around it; pairs of these that context 5 compares.
AROUND = (
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)),
    *((-2, 1), (-2, -1), (-1, -2), (-2, 2), (0, -3), (-3, 0)),
)
PAIRS = ((0, 1), (0, 2), (1, 2), (1, 3), (0, 4), (1, 5), (2, 3), (3, 6), (2, 7), (2, 8))
#: r(0) to r(12), and how many of the entries around are in q(0) to q(3).
HASH_FACTORS: list[int] = [0x9E3779B1 * pow(0x85EBCA6B, i, 2**32) % 2**32 for i in range(13)]
SUMMED = (2, 4, 6, 9)
LOGARITHMS: list[int] = [round(256 * math.log2(5 * n + 2)) for n in range(64)]
EDGES: list[int] = [2**24 // (2 ** (16 - i) + 1) for i in range(17)]
EDGES += [2**24 - EDGES[32 - i] for i in range(17, 33)]


def decode_drawing(payload: bytes, shape: tuple[int, int, int], bits: int) -> Array:
    """The samples (h, w, c) of a payload of mode 3."""
    height, width, channels = shape
    reader = Reader(payload)
    down, across, count = reader.varint(), reader.varint(), reader.varint()
    palette = reader.take(reader.varint())
    require(down > 0 and across > 0 and height % down == 0 and width % across == 0, "repeats that do not fit")
    require(1 <= count <= 4096, "no such number of colours")
    sides = sorted((height // down, width // across))
    require(sides[1] + 2 * sides[0] <= 65536, "too many steps")
    data = inflate(palette, count * channels * (2 if bits == 16 else 1))
    steps = np.frombuffer(data, "<u2" if bits == 16 else np.uint8).astype(np.int64).reshape(count, channels)
    values = np.cumsum(steps, 0) % (65536 if bits == 16 else 256)
    require(bits != 1 or values.max() <= 1, "a colour that is not 0 or 1")
    drawing = Drawing(Stack(reader.rest()), sides[0], sides[1], count)
    for step in range(sides[1] + 2 * (sides[0] - 1)):
        drawing.decode_step(step)
    drawing.stack.check_empty()
    grid = np.array(drawing.grid)
    grid = grid.T if height // down > width // across else grid
    samples: Array = values[grid].repeat(down, 0).repeat(across, 1)
    return samples


class Drawing:
    """A grid of indices, and all that is learned while it is decoded."""

    def __init__(self, stack: Stack, rows: int, columns: int, count: int) -> None:
        self.stack, self.rows, self.columns, self.count = stack, rows, columns, count
        self.grid = [[0] * columns for _ in range(rows)]
        self.shift = 32 - min(18, max(10, 1 + (rows * columns - 1).bit_length()))
        self.weights = [[19660] * 6 for _ in range(5)]
        self.states: dict[tuple[int, int], tuple[int, int]] = {}
        self.followed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.frequency = [1] * count
        self.by_neighbour: tuple[dict[tuple[int, int], int], ...] = ({}, {})

    def slot(self, h: int) -> int:
        return (h * HASH_FACTORS[0] % 2**32) >> self.shift

    def look(self, y: int, x: int) -> list[int]:
        places = [(y + dy, x + dx) for dy, dx in AROUND]
        inside = [0 <= row < self.rows and 0 <= column < self.columns for row, column in places]
        return [self.grid[row][column] if known else 0 for (row, column), known in zip(places, inside)]

    def decode_step(self, step: int) -> None:
        ys = [y for y in range(self.rows) if 0 <= step - 2 * y < self.columns]
        around = [self.look(y, step - 2 * y) for y in ys]
        sums = [[sum(r * v for r, v in zip(HASH_FACTORS[:n], a)) for n in SUMMED] for a in around]
        slots = [(self.slot(q[2]), self.slot(q[1])) for q in sums]
        guesses = [
            [*(table.get(slot, a[0]) for table, slot in zip(self.followed, pair)), a[0], a[1], a[3]]
            for a, pair in zip(around, slots)
        ]
        colour: list[int | None] = [None] * len(ys)
        for g in range(5):
            asked = [i for i in range(len(ys)) if colour[i] is None and guesses[i][g] not in guesses[i][:g]]
            flags = self.ask(g, [(around[i], sums[i], guesses[i][g]) for i in asked])
            for i, flag in zip(asked, flags):
                if flag:
                    colour[i] = guesses[i][g]
        rest = [i for i in range(len(ys)) if colour[i] is None]
        others = self.other_colours([(around[i], guesses[i]) for i in rest])
        for i, v in zip(rest, others):
            colour[i] = v
        for y, pair, found in zip(ys, slots, colour):
            assert found is not None
            self.grid[y][step - 2 * y] = found
            for table, slot in zip(self.followed, pair):
                table[slot] = found

    def ask(self, g: int, asked: list[tuple[list[int], list[int], int]]) -> list[int]:
        """Whether guess g of each entry is right; learns from it."""
        found = []
        for a, sums, guess in asked:
            same = sum(1 << i for i in range(12) if a[i] == guess)
            pairs = sum(1 << i for i, (one, other) in enumerate(PAIRS) if a[one] == a[other])
            hashes = [q + HASH_FACTORS[9] * guess for q in sums]
            hashes += [HASH_FACTORS[11] * same, HASH_FACTORS[12] * (pairs * 64 + same % 64)]
            slots = [(j, self.slot(h + HASH_FACTORS[10] * g)) for j, h in enumerate(hashes)]
            states = [self.states.get(slot, (0, 0)) for slot in slots]
            found.append((slots, states, [LOGARITHMS[hits] - LOGARITHMS[misses] for misses, hits in states]))
        masses = [
            mass_of(sum(w * s for w, s in zip(self.weights[g], found[i][2]))) for i in range(len(found))
        ]
        flags = [self.stack.pop_flag(m) for m in masses]
        for (slots, states, _), flag in zip(found, flags):
            for slot, (misses, hits) in zip(slots, states):
                counts = (aged(misses), min(hits + 1, 63)) if flag else (min(misses + 1, 63), aged(hits))
                self.states[slot] = counts
        for j in range(6 if asked else 0):
            total = sum(f[2][j] * (65536 * flag - (m >> 8)) for f, flag, m in zip(found, flags, masses))
            weight = self.weights[g][j] + total // (1024 * max(8, len(asked)))
            self.weights[g][j] = min(2**20, max(-(2**20), weight))
        return flags

    def other_colours(self, entries: list[tuple[list[int], list[int]]]) -> list[int]:
        """The colours of entries whose guesses are all wrong."""
        colours: list[int] = []
        named: set[tuple[int, int, int]] = set()
        buckets = min(self.count, 64)
        for begin in range(0, len(entries), 64):
            chunk, ends = entries[begin : begin + 64], []
            ks = [[a[side] * buckets // self.count for side in (0, 1)] for a, _ in chunk]
            for k, (_, guesses) in zip(ks, chunk):
                frequencies = [
                    f + sum(table.get((k[side], v), 0) for side, table in enumerate(self.by_neighbour))
                    for v, f in enumerate(self.frequency)
                ]
                for guess in guesses:
                    frequencies[guess] = 0
                ends.append([0, *np.cumsum(frequencies).tolist()])
            require(all(end[-1] > 0 for end in ends), "no colour is left")
            targets = [self.stack.pop(end[-1]) for end in ends]
            found = [bisect_right(end, t) - 1 for end, t in zip(ends, targets)]
            rests = [t - end[v] for t, end, v in zip(targets, ends, found)]
            self.stack.push_list(rests, [end[v + 1] - end[v] for end, v in zip(ends, found)])
            named |= {(k[0], k[1], v) for k, v in zip(ks, found)}
            colours += found
        most = 2**22 // self.count
        for v in {v for _, _, v in named}:
            self.frequency[v] = min(self.frequency[v] + 1, most)
        for side, table in enumerate(self.by_neighbour):
            for key in {(name[side], name[2]) for name in named}:
                table[key] = min(table.get(key, 0) + 40, most)
        return colours


def aged(count: int) -> int:
    return count // 2 + 1 if count > 2 else count


def mass_of(weighted: int) -> int:
    d = min(4095, max(-4095, weighted >> 16)) + 4096
    low, high = EDGES[d >> 8], EDGES[(d >> 8) + 1]
    return min(2**24 - 256, max(256, low + ((high - low) * (d % 256) >> 8)))


# Checksums


def sample_bytes(samples: Array, bits: int) -> bytes:
    """The decoded samples in raster order, as the pixel checksum takes them."""
    return samples.astype("<u2" if bits == 16 else np.uint8).tobytes()


# Flow payload


def decode_flow(
    mode: int,
    payload: bytes,
    shape: tuple[int, int, int],
    model: Model,
    colours_of: Callable[[Array], Array] | None = None,
) -> Array:
    """The samples (h, w, c) of a payload of mode 16 or 17; other planes become colours in other ways."""
    height, width, channels = shape
    require(mode == FLOW or model.kind == "phase", "mode 17 with such a model")
    planes = 1 if channels < 3 else 3
    coded, alphas = split(mode, payload, channels > planes)
    alpha = [decode_plain(m, part, (height, width, 1), 8) for m, part in alphas]
    decode = {"phase": decode_phase, "realnvp": decode_realnvp}[model.kind]
    values = decode(model, Reader(coded), height, width, planes)
    return np.concatenate([(colours_of or colours)(values), *alpha], 2)


def split(mode: int, payload: bytes, has_alpha: bool) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The colours as mode 16 has them, and mode and payload of the alpha, if there is any."""
    reader = Reader(payload)
    alpha_mode, length = (reader.u8(), reader.varint()) if has_alpha else (STORED, 0)
    require(alpha_mode <= DRAWING, "a reserved mode of alpha")
    if mode == FLOW:
        alpha = reader.take(length)
        coded = reader.rest()
    else:
        coded = reader.take(len(payload) - reader.at - length)
        coded = coded[:1] + coded[1:][::-1]
        alpha = reader.rest()
    return coded, [(alpha_mode, alpha)] if has_alpha else []


def colours(planes: Array) -> Array:
    """Planes (1 or 3, h, w) to samples (h, w, 1 or 3): the inverse of YCoCg-R."""
    if len(planes) == 3:
        planes = inverse_ycocg(planes)
        require(planes.min() >= 0 and planes.max() <= 255, "a colour is outside of 0 to 255")
    return np.moveaxis(planes, 0, 2)


def inverse_ycocg(planes: Array) -> Array:
    y, co, cg = planes
    t = y - (cg >> 1)
    blue = t - (co >> 1)
    return np.stack([blue + co, cg + t, blue])


#: The legal values of Y, Co and Cg.
LEGAL = ((0, 255), (-255, 255), (-255, 255))


# Stack


class Stack:
    """The asymmetric numeral system: a state below 2^64 and words, the last of them on top."""

    def __init__(self, data: bytes, even: bool = False) -> None:
        require(data[-1:] != b"\0", "the last byte of the stack is 0")
        self.even = even
        filled = data + bytes(-len(data) % 4)
        self.words: list[int] = np.frombuffer(filled, "<u4").tolist()
        self.state = 0
        while self.state < 2**32 and self.words:
            self.refill()

    def refill(self) -> None:
        self.state = (self.state << 32) + self.words.pop()

    def pop(self, n: int) -> int:
        if n == 1:
            return 0
        share = 2**24 // n
        low = self.state & (2**24 - 1)
        v = min(low // share, n - 1)
        self.state = (self.state >> 24) * size(v, n) + low - v * share
        if self.state < 2**32 and self.words:
            self.refill()
        return v

    def push(self, v: int, n: int) -> None:
        if n == 1:
            return
        mass = size(v, n)
        if self.state >> 40 >= mass:
            self.words.append(self.state & (2**32 - 1))
            self.state >>= 32
        self.state = (self.state // mass << 24) + v * (2**24 // n) + self.state % mass

    def pop_flag(self, m: int) -> int:
        low = self.state & (2**24 - 1)
        flag = int(low >= 2**24 - m)
        mass, start = (m, 2**24 - m) if flag else (2**24 - m, 0)
        self.state = (self.state >> 24) * mass + low - start
        if self.state < 2**32 and self.words:
            self.refill()
        return flag

    def pop_list(self, count: int, n: int) -> list[int]:
        return [self.pop(n) for _ in range(count)]

    def push_list(self, values: Sequence[int], ns: Sequence[int]) -> None:
        for v, n in zip(reversed(values), reversed(ns)):
            self.push(v, n)

    def check_empty(self) -> None:
        require(self.state == 0 and not self.words, "the stack is not empty in the end")


def even_range(f: int) -> int:
    share, rest = divmod(2**24, f)
    fewer = 2**24 // (share + 1) if rest else f
    return fewer if 2 * rest * f > (f - fewer) * 2**24 else f


def size(v: int, n: int) -> int:
    share = 2**24 // n
    return share if v < n - 1 else 2**24 - (n - 1) * share


# Exchanges

GROWTHS = (255, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)
REALNVP_GROWTH = 4

#: Of a symbol's index and its target: the symbol, and c and f of the interval that it owns.
Owner = Callable[[int, int], tuple[int, int, int]]


def exchange(stack: Stack, count: int, growth: int, before: int, owner: Owner) -> list[int]:
    """Decodes `count` symbols in chunks, the last chunk first."""
    begins, done = [], 0
    while done < count:
        begins.append(done)
        done += min(count - done, max(1, ((before + done) * growth) >> 6))
    symbols = [0] * count
    end = count
    for begin in reversed(begins):
        targets = stack.pop_list(end - begin, 2**16)
        rests, masses = [], []
        for i, t in zip(range(begin, end), targets):
            symbols[i], c, f = owner(i, t)
            masses.append(even_range(f) if stack.even else f)
            require(t - c < masses[-1], "a symbol lies where no encoder puts one")
            rests.append(t - c)
        stack.push_list(rests, masses)
        end = begin
    return symbols


# Symbols

# fmt: off
RADIUS = (
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5,
    5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 15, 16, 18, 20, 23, 25, 28, 31, 35, 39, 44, 49, 55,
    61, 69, 77, 86, 97, 108, 121, 136, 153, 171, 192, 215, 241, 271, 304, 341, 382, 429, 481,
    510, 510, 510, 510, 510,
)
FINENESS = 36 * (4,) + 6 * (3,) + 6 * (2,) + 6 * (1,) + 18 * (0,)
MISSES = (
    55109, 46341, 38968, 32768, 27554, 23170, 19484, 16384, 13777, 11585, 9742, 8192, 6889, 5793, 4871,
    4096, 3444, 2896, 2435, 2048, 1722, 1448, 1218, 1024, 861, 724, 609, 512, 431, 362, 304, 256,
    215, 181, 152, 128, 108, 91, 76, 64, 54, 45, 38, 32, 27, 23, 19, 16,
    13, 11, 10, 8, 7, 6, 5, 4, 3, 3, 2, 2,
)
# fmt: on
#: Where each scale index's table begins in the tensor `base`, and the end of the last.
OFFSETS = np.cumsum([0] + [2 * r * 2**f + 1 for r, f in zip(RADIUS, FINENESS)])
GROUP = 64


@dataclass(frozen=True)
class Cells:
    """The cells of an array of symbols; every field but the last three has one number a symbol."""

    origin: Array
    step: Array
    first: Array
    last: Array
    base: Array
    low: int
    high: int

    @classmethod
    def of(cls, base: Array, m: Array, s: Array, low: int, high: int) -> Cells:
        """`origin` is where o lies in the whole of `base`."""
        radius, f = look_up(RADIUS, s), look_up(FINENESS, s)
        o = (16 * radius - 8 - m) >> (4 - f)
        length = (2 * radius << f) + 1
        first = np.maximum(low, -(o >> f))
        last = np.minimum(high, ((length - 1 - o) >> f) - 1)
        return cls(OFFSETS[s] + o, 1 << f, first, last, base, low, high)

    def edge(self, i: Array, v: Array) -> Array:
        """E(v) for the symbols of index i."""
        inside = self.base[self.origin[i] + v * self.step[i]]
        inside = np.where((v == self.first[i]) & (v == self.low), 0, inside)
        return np.where((v == self.last[i] + 1) & (v == self.high + 1), 2**16, inside)

    def owner(self, i: int, t: int) -> tuple[int, int, int]:
        """The cell of symbol i that owns t, and its c and f; the cells first - 1 and last + 1 are tails."""
        first, last, origin, step = (int(a[i]) for a in (self.first, self.last, self.origin, self.step))
        edges = self.base[origin + first * step : origin + (last + 1) * step + 1 : step]
        bounds = [0, *edges.tolist(), 2**16]
        if first == self.low:
            bounds[1] = 0
        if last == self.high:
            bounds[-2] = 2**16
        above = bisect_right(bounds, t)
        return first - 2 + above, bounds[above - 1], bounds[above] - bounds[above - 1]


def pop_array(
    stack: Stack, base: Array, growth: int, before: int, m: Array, s: Array, low: int, high: int
) -> Array:
    """The symbols, int64 (n,), of means and scale indices m and s, int64 (n,)."""
    cells = Cells.of(base, m, s, low, high)
    values = clip((m + 8) >> 4, low, high)
    everything = np.arange(len(m))
    mass = cells.edge(everything, values + 1) - cells.edge(everything, values)
    certain = everything[(s <= 14) & (mass >= 63488)]
    groups = certain[: len(certain) // GROUP * GROUP].reshape(-1, GROUP)
    grouped = np.zeros(len(m), bool)
    if len(groups):
        missed = MISSES[stack.pop(len(MISSES))]
        flags = ((0, missed, 2**16 - missed), (1, 0, missed))
        found = exchange(stack, len(groups), growth, before, lambda i, t: flags[t < missed])
        grouped[groups[np.array(found) == 0]] = True
    others = everything[~grouped]
    found = exchange(stack, len(others), growth, before, lambda i, t: cells.owner(int(others[i]), t))
    for i, cell in zip(others.tolist(), found):
        first, last = int(cells.first[i]), int(cells.last[i])
        if cell < first:
            cell = low + stack.pop(first - low)
        elif cell > last:
            cell = last + 1 + stack.pop(high - last)
        values[i] = cell
    return values


# Model file

SCALE_INDICES = 72


#: The other keys that a configuration of each kind must have.
CONFIGURATIONS = {
    "phase": {"blocks", "handed_width", "head_width", "levels", "width"},
    "realnvp": {"blocks", "dequant_bits", "head_width", "scale_bits", "width"},
}


@dataclass(frozen=True)
class Model:
    """Configuration and tensors, int64, by name."""

    config: dict[str, Any]
    tensors: dict[str, Array]

    @property
    def kind(self) -> str:
        return str(self.config["kind"])

    def layer(self, name: str, *inputs: Array | None, lowest: int = -512) -> Array:
        """Activations (out, h, w) of inputs (in, h, w), of which one that is None adds nothing."""
        tensors = self.tensors
        total = tensors[name + ".bias"][:, None, None]
        for i, x in enumerate(inputs):
            if x is not None:
                total = total + convolve(tensors[f"{name}.weight{i}"], x)
        return clip(total >> tensors[name + ".shift"][:, None, None], lowest, 511)

    @property
    def orientations(self) -> int:
        return int(self.config.get("orientations", 1))

    def blocks(self, name: str, count: int, features: Array) -> Array:
        for i in range(count):
            middle = self.layer(f"{name}.block{i}_spatial", features, lowest=0)
            features = clip(features + self.layer(f"{name}.block{i}_mix", middle), -512, 511)
        return features

    @property
    def refinement_width(self) -> int:
        return int(self.config.get("refinement_width", 0))

    @property
    def refinement_orientations(self) -> tuple[int, ...]:
        return (0, 1, 4, 5)[: int(self.config.get("refinement_orientations", 1))]

    def hidden(self, name: str, *inputs: Array | None) -> Array:
        return self.layer(name + "_hidden", *inputs, lowest=0)

    def head(self, name: str, *inputs: Array | None) -> Array:
        return self.layer(name + "_out", self.hidden(name, *inputs))


def convolve(weight: Array, x: Array) -> Array:
    """Sums (out, h, w) over the window of (in, h, w) that each of the weights (out, in, k, k) sees.

    In float64, whose products of matrices NumPy computes ten times as fast as those of integers. Fewer than
    2^20 weights of 8 bits times activations of 11 stay far below 2^53, so every sum is exact, in any order.
    """
    k = weight.shape[2]
    d = (k - 1) // 2
    height, width = x.shape[1:]
    padded = np.pad(x.astype(np.float64), ((0, 0), (d, d), (d, d)))
    weight = weight.astype(np.float64)
    total = np.zeros((len(weight), height * width))
    for dy in range(k):
        for dx in range(k):
            window = padded[:, dy : dy + height, dx : dx + width]
            total += weight[:, :, dy, dx] @ window.reshape(len(x), -1)
    return total.astype(np.int64).reshape(-1, height, width)


def read_model(data: bytes) -> tuple[bytes, Model]:
    """The id and the model of a safetensors file."""
    reader = Reader(data)
    header = json.loads(reader.take(int.from_bytes(reader.take(8), "little")).decode("utf-8"))
    content = reader.rest()
    config = json.loads(header.pop("__metadata__")["config"])
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode("utf-8"))
    tensors = {}
    for name in sorted(header):
        entry = header[name]
        short = ".weight" in name or name.endswith(".shift")
        require(entry["dtype"] == ("I8" if short else "I32"), "a tensor of another type")
        kind, code = ("int8", "<i1") if short else ("int32", "<i4")
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        digest.update(f"{name} {kind} {shape}\n".encode("ascii") + content[begin:end])
        tensors[name] = np.frombuffer(content[begin:end], code).astype(np.int64).reshape(shape)
    model = Model(config, tensors)
    check_model(model)
    return digest.digest()[:8], model


#: A layer's inputs, each its channels and its kernel, and its results.
Layer = tuple[list[tuple[int, int]], int]


def phase_layers(config: dict[str, Any]) -> dict[str, Layer]:
    width, hidden, handed = config["width"], config["head_width"], config["handed_width"]
    layers: dict[str, Layer] = {}
    for level in range(config["levels"]):
        layers[f"level{level}.up"] = [(width, 1)], 4 * handed
        for c, n in ((0, 1), (1, 2)):
            name = f"level{level}.coupling{c}"
            layers[name + ".stem"] = [(54 * n, 1), ((handed, width)[c], 1)], width
            layers.update(block_layers(name, config["blocks"][c], width))
            for p in range(3):
                layers[f"{name}.head{p}_hidden"] = [(width, 1)] + [(n * p, 3)] * (p > 0), hidden
                layers[f"{name}.head{p}_out"] = [(hidden, 1)], 2 * n
        if "refinement_width" in config:
            for f, p in ((f, p) for f in (1, 2, 3) for p in range(3)):
                name, out = f"level{level}.phase{f}.refinement{p}", config["refinement_width"]
                others = sum(len(places) for _, _, places in seen(f, p))
                passes = [(1 + len(places), 1) for _, places in PASSES]
                layers[name + "_hidden"] = [(hidden, 1)] + [(others, 1)] * (others > 0) + passes, out
                layers[name + "_out"] = [(out, 1)], 2
    return layers


def realnvp_layers(config: dict[str, Any]) -> dict[str, Layer]:
    width, hidden = config["width"], config["head_width"]
    layers: dict[str, Layer] = {}
    for scale, couplings in enumerate(COUPLINGS):
        for j, coupling in enumerate(couplings):
            name = f"scale{scale}.coupling{j}"
            changed = changes(coupling, 12 << scale)
            n, q = int(changed.sum()), int((~changed).sum())
            layers[name + ".linear"] = [(q, 3)], n
            layers[name + ".stem"] = [(q, 3), (q, 3)], width
            layers.update(block_layers(name, config["blocks"], width))
            layers[name + ".head0_hidden"] = [(width, 1)], hidden
            layers[name + ".head0_out"] = [(hidden, 1)], 2 * n
    return layers


def block_layers(name: str, count: int, width: int) -> dict[str, Layer]:
    kernels = (("spatial", 3), ("mix", 1))
    return {f"{name}.block{i}_{part}": ([(width, k)], width) for i in range(count) for part, k in kernels}


def check_model(model: Model) -> None:
    """Raises RefusedError where the model lacks a tensor, has one too many, or breaks a bound."""
    tensors = model.tensors
    keys = model.config.keys() - {"kind"}
    if model.kind == "phase" and "orientations" in keys:
        require(model.config["orientations"] in (2, 4, 8), "another number of orientations")
        keys -= {"orientations"}
    if model.kind == "phase" and "refinement_width" in keys:
        require(model.config["refinement_width"] > 0, "no width of the refinement")
        keys -= {"refinement_width"}
        if "refinement_orientations" in keys:
            allowed = {2: (2,), 4: (2,), 8: (2, 4)}.get(model.orientations, ())
            require(model.config["refinement_orientations"] in allowed, "another number of orientations")
            keys -= {"refinement_orientations"}
    require(keys == CONFIGURATIONS.get(model.kind), "another configuration")
    shapes: dict[str, tuple[int, ...]] = {"base": (int(OFFSETS[-1]),)}
    if model.kind == "realnvp":
        in_range = 0 <= model.config["dequant_bits"] <= 4 and 1 <= model.config["scale_bits"] <= 12
        require(in_range, "dequant_bits or scale_bits is beyond its bounds")
        shapes.update(base_mean=(66,), base_scale=(66,), scale_num=(16, 1024))
    layers = {"phase": phase_layers, "realnvp": realnvp_layers}[model.kind](model.config)
    for name, (inputs, out) in layers.items():
        weights = {f"{name}.weight{i}": (out, c, k, k) for i, (c, k) in enumerate(inputs)}
        shapes.update({**weights, name + ".bias": (out,), name + ".shift": (out,)})
    require(
        {name: tensor.shape for name, tensor in tensors.items()} == shapes, "other tensors than the kind has"
    )
    for name, (inputs, _) in layers.items():
        check_layer(tensors, name, len(inputs))
    for s in range(SCALE_INDICES):
        check_table(tensors["base"][OFFSETS[s] : OFFSETS[s + 1]], 1 << FINENESS[s])
    if model.kind == "realnvp":
        check_range(tensors["scale_num"], 2, 2**16)
        check_range(tensors["base_mean"], -(2**20), 2**20)
        check_range(tensors["base_scale"], 0, SCALE_INDICES - 1)


def check_range(tensor: Array, low: int, high: int) -> None:
    require(low <= tensor.min() and tensor.max() <= high, "a tensor has a value beyond its bounds")


def check_layer(tensors: dict[str, Array], name: str, inputs: int) -> None:
    total = np.abs(tensors[name + ".bias"])
    for i in range(inputs):
        total = total + 512 * np.abs(tensors[f"{name}.weight{i}"]).sum((1, 2, 3))
    require(total.max() < 2**24, "a sum could be too large")
    check_range(tensors[name + ".shift"], 0, 23)


def check_table(table: Array, step: int) -> None:
    steps = np.concatenate([table[:1], table[step:] - table[:-step], 2**16 - table[-1:]])
    require(steps.min() >= 2 and np.diff(table).min() >= 0, "a base table breaks its bounds")


# Phase flow

# fmt: off
TAPS_3 = (
    (-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -3), (-1, 3), (1, -3), (1, 3),
    (-3, -1), (-3, 1), (3, -1), (3, 1), (-3, -3), (-3, 3), (3, -3), (3, 3),
)
TAPS_1_2 = (
    (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2),
    (-2, -1), (-2, 1), (2, -1), (2, 1), (0, -3), (0, 3), (-3, 0), (3, 0),
)
THRESHOLDS = (
    20, 27, 39, 54, 77, 108, 153, 216, 305, 431, 609, 862, 1218, 1723, 2436, 3445, 4871, 6889, 9742, 13778,
)
RECIPROCAL = (
    8192, 5793, 4096, 2896, 2048, 1448, 1024, 724, 512, 362, 256, 181, 128, 91, 64, 45, 32, 23, 16, 11, 8,
)
FACTOR = (
    16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192, 11585,
    16384,
)
# fmt: on
#: The phases that each coupling decodes.
DECODED = ((3,), (1, 2))
FIT_PIXELS = 4096
REFINED_BLOCKS = 256
# fmt: off
INVERSE = (
    65536, 58386, 52016, 46341, 41285, 36781, 32768, 29193, 26008, 23170, 20643, 18390, 16384, 14596,
    13004, 11585, 10321, 9195, 8192, 7298, 6502, 5793, 5161, 4598, 4096, 3649, 3251, 2896, 2580, 2299,
    2048, 1825, 1625, 1448, 1290, 1149, 1024, 912, 813, 724, 645, 575, 512, 456, 406, 362, 323, 287, 256,
    228, 203, 181, 161, 144, 128, 114, 102, 91, 81, 72, 64, 57, 51, 45, 40, 36, 32, 29, 25, 23, 20, 18,
)
BREADTH = (
    64, 72, 81, 91, 102, 114, 128, 144, 161, 181, 203, 228, 256, 287, 323, 362, 406, 456, 512, 575, 645,
    724, 813, 912, 1024, 1149, 1290, 1448, 1625, 1825, 2048, 2299, 2580, 2896, 3251, 3649, 4096, 4598,
    5161, 5793, 6502, 7298, 8192, 9195, 10321, 11585, 13004, 14596, 16384, 18390, 20643, 23170, 26008,
    29193, 32768, 36781, 41285, 46341, 52016, 58386, 65536, 73562, 82570, 92682, 104032, 116772, 131072,
    147123, 165140, 185364, 208064, 233544,
)
# fmt: on
Size = tuple[int, int]
Places = tuple[tuple[int, int], ...]
NINE: Places = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
BESIDE_PHASE_1: Places = ((0, -1), (0, 0), (1, -1), (1, 0))
#: Where phase 3 lies nearest to a pixel of phase 1 or 2.
NEAR_PHASE_3: dict[int, Places] = {
    1: ((-1, 0), (0, 0), (-1, -1), (-1, 1), (0, -1), (0, 1)),
    2: ((0, -1), (0, 0), (-1, -1), (1, -1), (-1, 0), (1, 0)),
}
#: First row and column of each pass, and what it sees of its own phase and plane.
PASSES: tuple[tuple[tuple[int, int], Places], ...] = (
    ((0, 0), ()),
    ((1, 1), ((-1, -1), (-1, 1), (1, -1), (1, 1))),
    ((0, 1), ((-1, 0), (0, -1), (0, 1), (1, 0))),
    ((1, 0), tuple(place for place in NINE if place != (0, 0))),
)


def seen(f: int, p: int) -> list[tuple[int, int, Places]]:
    """Phase, plane and places of all innovations of others that phase f and plane p see."""
    found = [(f, q, NINE) for q in range(p)]
    if f != 3:
        found.append((3, p, NEAR_PHASE_3[f]))
    if f == 2:
        found.append((1, p, BESIDE_PHASE_1))
    return found


def phase_size(p: int, scale: Size) -> Size:
    return (scale[0] + 1 - p // 2) // 2, (scale[1] + 1 - p % 2) // 2


def decode_phase(model: Model, reader: Reader, height: int, width: int, planes: int) -> Array:
    """The planes (planes, h, w) of a region."""
    tuned, growth = divmod(reader.u8(), 32)
    require(tuned in (0, 1, 2, 4, 5, 6, 7), "a reserved growth")
    even, growth = divmod(growth, len(GROWTHS))
    stack = Stack(reader.rest(), bool(even))
    sizes = [(height, width)]
    while sizes[-1][0] * sizes[-1][1] > 16:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    values = np.zeros((3, *sizes[-1]), np.int64)
    coded = planes * (height * width - values[0].size)
    if tuned:
        plain = model
        model = pop_tuned(model, stack, GROWTHS[growth], coded, tuned in (1, 2, 5, 7))
    for plane, (low, high) in zip(range(planes), LEGAL):
        numbers = stack.pop_list(values[plane].size, high - low + 1)
        values[plane] = low + np.array(numbers).reshape(sizes[-1])
    seen = list(range(1 if tuned in (1, 2) else model.orientations))
    if tuned in (6, 7):
        seen = [o for o in seen if not ORIENTATIONS[o].transposed]
    voices = [Voice(model, seen)]
    if tuned == 2:
        voices.append(Voice(plain, list(range(model.orientations))))
    flow = PhaseFlow(voices, stack, GROWTHS[growth], planes, coded)
    for scale in reversed(range(len(sizes) - 1)):
        values = flow.decode_scale(scale, sizes[scale], values)
    stack.check_empty()
    return values[:planes]


def pop_tuned(model: Model, stack: Stack, growth: int, before: int, gained: bool) -> Model:
    """The model with the biases that a tuning shifts, and the weights that it scales."""
    tensors = dict(model.tensors)
    parts: dict[str, list[str]] = {}
    for name in sorted(phase_layers(model.config)):
        parts.setdefault(".".join(name.split(".")[: 2 if gained else 1]), []).append(name)

    def pop(low: int, high: int) -> dict[str, Array]:
        popped = {}
        for names in parts.values():
            counts = [len(tensors[name + ".bias"]) for name in names]
            zeros = np.zeros(sum(counts), np.int64)
            e = stack.pop(SCALE_INDICES)
            numbers = pop_array(stack, tensors["base"], growth, before, zeros, zeros + e, low, high)
            for name, count in zip(names, counts):
                popped[name], numbers = numbers[:count], numbers[count:]
        return popped

    for name, shifts in pop(-128, 127).items():
        tensors[name + ".bias"] = tensors[name + ".bias"] + shifts * 2 ** (tensors[name + ".shift"] + 1)
    for name, gains in (pop(-32, 31) if gained else {}).items():
        for i in range(len(phase_layers(model.config)[name][0])):
            weight = tensors[f"{name}.weight{i}"]
            factor = 32 + gains.reshape(-1, 1, 1, 1)
            tensors[f"{name}.weight{i}"] = clip((weight * factor + 16) >> 5, -127, 127)
    for name, (inputs, _) in phase_layers(model.config).items():
        check_layer(tensors, name, len(inputs))
    return Model(model.config, tensors)


@dataclass(frozen=True)
class Neighbours:
    """What the taps of a phase give on the grid."""

    base4: Array  # (3, h, w)
    d: Array  # (16, 3, h, w)
    activity: Array  # (3, h, w)

    @classmethod
    def of(cls, known: dict[int, Array], p: int) -> Neighbours:
        """The neighbourhood of phase p among the known phases, each (3, h, w) with its fillings."""
        height, width = known[0].shape[1:]
        taps = []
        for dy, dx in TAPS_3 if p == 3 else TAPS_1_2:
            y, x = p // 2 + dy, p % 2 + dx
            rows = clip(np.arange(height) + y // 2, 0, height - 1)
            columns = clip(np.arange(width) + x // 2, 0, width - 1)
            taps.append(known[2 * (y % 2) + x % 2][:, rows[:, None], columns])
        tap = np.stack(taps)
        base4 = tap[:4].sum(0)
        d = 4 * tap - base4
        return cls(base4, d, np.searchsorted(THRESHOLDS, np.abs(d).sum(0), "right"))

    def scaled(self, difference: Array, plane: Any = slice(None)) -> Array:
        """N(difference, a)."""
        return clip((difference * look_up(RECIPROCAL, self.activity[plane]) + 128) >> 8, -512, 511)

    def context(self) -> Array:
        """The 54 channels of the phase."""
        grid = self.base4.shape[1:]
        taps = self.scaled(self.d).reshape(48, *grid)
        bases = np.stack([(self.base4[0] >> 2) - 128, self.base4[1] >> 3, self.base4[2] >> 3])
        return np.concatenate([taps, 8 * (self.activity - 8), bases])


@dataclass(frozen=True)
class Orientation:
    """One of eight ways to turn the phases of a scale."""

    transposed: bool
    rows: bool
    columns: bool

    def phase(self, p: int) -> int:
        return {1: 2, 2: 1}.get(p, p) if self.transposed else p

    def turned(self, values: Array, p: int) -> Array:
        """Values (n, h, w) of phase p on the turned grid."""
        values, p = self.transpose(values), self.phase(p)
        h, w = values.shape[1:]
        if self.rows:
            values = values[:, clip(h - p // 2 - np.arange(h + 1), 0, h - 1)]
        if self.columns:
            values = values[:, :, clip(w - p % 2 - np.arange(w + 1), 0, w - 1)]
        return values

    def back(self, values: Array, p: int) -> Array:
        """What `turned` would make values (n, ...), of the phase that is p here, of."""
        p = self.phase(p)
        h, w = values.shape[1] - self.rows, values.shape[2] - self.columns
        if self.rows:
            values = values[:, h - p // 2 - np.arange(h)]
        if self.columns:
            values = values[:, :, w - p % 2 - np.arange(w)]
        return self.transpose(values)

    def on_grid(self, features: Array, grid: Sequence[int]) -> Array:
        """Features of the coarser scale, taken to this grid, without what is beyond it."""
        h, w = reversed(grid) if self.transposed else grid
        y, x = self.rows * (h % 2), self.columns * (w % 2)
        return features[:, y : y + h + self.rows, x : x + w + self.columns]

    def transpose(self, values: Array) -> Array:
        return values.swapaxes(1, 2) if self.transposed else values


ORIENTATIONS = tuple(Orientation(o in (2, 3, 6, 7), o in (1, 3, 5, 7), o in (1, 3, 4, 6)) for o in range(8))


class View:
    """What the networks of a coupling see in one orientation."""

    def __init__(self, orientation: Orientation, known: dict[int, Array], c: int) -> None:
        self.orientation = orientation
        turned = {orientation.phase(p): orientation.turned(x, p) for p, x in known.items()}
        self.around = {p: Neighbours.of(turned, p) for p in DECODED[c]}

    def context(self) -> Array:
        return np.concatenate([n.context() for n in self.around.values()])

    def residuals(self, phases: dict[int, Array], planes: int) -> list[Array]:
        """Those of the first planes of the coupling's phases."""
        turned = {self.orientation.phase(p): self.orientation.turned(x, p) for p, x in phases.items()}
        return [
            n.scaled(4 * turned[p][q] - n.base4[q], q) for p, n in self.around.items() for q in range(planes)
        ]

    def back(self, outputs: Array) -> dict[int, Array]:
        """Shift and log-scale, (2, h, w), of each phase of the coupling."""
        pairs = dict(
            zip(self.around, outputs.reshape(2, len(self.around), *outputs.shape[1:]).swapaxes(0, 1))
        )
        named = {self.orientation.phase(p): pair for p, pair in pairs.items()}
        return {p: self.orientation.back(pair, p) for p, pair in named.items()}


class Voice:
    """A model in some orientations; `features` of each are those of the scale before."""

    def __init__(self, model: Model, seen: list[int]) -> None:
        self.model = model
        self.features: dict[int, Array | None] = dict.fromkeys(seen)

    def take_up(self, level: str, grid: Sequence[int]) -> None:
        for o, coarse in self.features.items():
            if coarse is not None:
                self.features[o] = ORIENTATIONS[o].on_grid(self.taken_up(level, coarse), grid)

    def taken_up(self, level: str, features: Array) -> Array:
        up = self.model.layer(level + ".up", features)
        up = up.reshape(-1, 2, 2, *features.shape[1:]).transpose(0, 3, 1, 4, 2)
        return up.reshape(len(up), 2 * up.shape[1], -1)

    def look(self, name: str, c: int, known: dict[int, Array]) -> dict[int, View]:
        """The views of a coupling, after its features are there."""
        views = {o: View(ORIENTATIONS[o], known, c) for o in self.features}
        for o, view in views.items():
            stem = self.model.layer(name + ".stem", view.context(), self.features[o])
            self.features[o] = self.model.blocks(name, self.model.config["blocks"][c], stem)
        return views

    def say(
        self, head: str, views: dict[int, View], phases: dict[int, Array], plane: int
    ) -> tuple[dict[int, Array], dict[int, Array]]:
        """Shift and log-scale, (2, h, w), of each phase, and what the head of each orientation hides."""
        total: dict[int, Any] = dict.fromkeys(phases, 0)
        hidden = {}
        for o, view in views.items():
            inputs = (
                (self.features[o], np.stack(view.residuals(phases, plane))) if plane else (self.features[o],)
            )
            hidden[o] = self.model.hidden(head, *inputs)
            said = view.back(self.model.layer(f"{head}_out", hidden[o]))
            total = {p: total[p] + said[p] for p in phases}
        return {p: (total[p] + len(views) // 2) // len(views) for p in phases}, hidden


@dataclass
class PhaseFlow:
    """Decodes one scale after another; `left` counts the samples that are still on the stack. Of the voices,
    the first refines.
    """

    voices: list[Voice]
    stack: Stack
    growth: int
    planes: int
    left: int

    @property
    def model(self) -> Model:
        return self.voices[0].model

    def decode_scale(self, scale: int, size: Size, coarser: Array) -> Array:
        """The scale (3, h, w) of which `coarser` is phase 0."""
        level = f"level{min(scale, self.model.config['levels'] - 1)}"
        grid = coarser.shape[1:]
        for voice in self.voices:
            voice.take_up(level, grid)
        phases = {0: coarser}
        innovations = Innovations({}, (grid[0], grid[1]))
        for c in (0, 1):
            phases.update(self.decode_coupling(level, c, size, phases, innovations))
        whole = np.zeros((3, 2 * grid[0], 2 * grid[1]), np.int64)
        for p, values in phases.items():
            whole[:, p // 2 :: 2, p % 2 :: 2] = values
        return whole[:, : size[0], : size[1]]

    def decode_coupling(
        self,
        level: str,
        c: int,
        size: Size,
        known: dict[int, Array],
        innovations: Innovations,
    ) -> dict[int, Array]:
        """The phases of coupling c, each (3, h, w) on the grid with its fillings."""
        name = f"{level}.coupling{c}"
        looks = [voice.look(name, c, known) for voice in self.voices]
        phases = {p: known[0].copy() for p in DECODED[c]}
        left_over = {p: np.zeros_like(known[0]) for p in DECODED[c]}
        for plane in range(self.planes):
            said = [
                voice.say(f"{name}.head{plane}", views, phases, plane)
                for voice, views in zip(self.voices, looks)
            ]
            hidden = said[0][1]
            for p, n in looks[0][0].around.items():
                rows, columns = phase_size(p, size)
                if rows * columns == 0:
                    continue
                words = np.stack([of_voice[p] for of_voice, _ in said])
                shift, log_scale = (words.sum(0) + len(said) // 2) // len(said)
                a = n.activity[plane]
                m = 4 * n.base4[plane] + ((shift * look_up(FACTOR, a) + 64) >> 7)
                s = clip(12 + 3 * a + ((6 * log_scale + 16) >> 5), 0, 71)
                beside = left_over[1][plane] if p == 2 and phase_size(1, size)[1] else None
                regressors = Regressors(n, phases[p], plane, self.planes, beside)
                refinement = Refinement(
                    self.model,
                    f"{level}.phase{p}.refinement{plane}",
                    p,
                    plane,
                    {
                        o: ORIENTATIONS[o].back(hidden[o], p)
                        for o in self.model.refinement_orientations
                        if o in hidden
                    },
                )
                m, x = self.decode_plane(
                    m[:rows, :columns], s[:rows, :columns], regressors, refinement, innovations
                )
                phases[p][plane, :rows, :columns] = x
                left_over[p][plane, :rows, :columns] = (16 * x - m) >> 2
        return phases

    def decode_plane(
        self, m: Array, s: Array, regressors: Regressors, refinement: Refinement, innovations: Innovations
    ) -> tuple[Array, Array]:
        """The means, before a refinement, and the values, (rows, columns), of one plane of a phase."""
        plane = regressors.plane
        low, high = LEGAL[plane]
        self.left -= m.size
        corrections = np.zeros(12, np.int64)
        if m.size >= FIT_PIXELS:
            m, corrections = self.apply_fit(m, regressors.on(m.shape))
        m = clip(m, 16 * low, 16 * high)
        if not refinement.applies:
            return m, self.pop(m, clip(s + corrections[s // 6], 0, 71), low, high).reshape(m.shape)
        x = np.zeros_like(m)
        self.left += m.size
        for number, ((top, left), _) in enumerate(PASSES):
            place = np.s_[top::2, left::2]
            if m[place].size == 0:
                continue
            self.left -= m[place].size
            move, log_scale = refinement.outputs(number, m.shape, innovations)
            refined = clip(m[place] + ((move * look_up(BREADTH, s[place]) + 2048) >> 12), 16 * low, 16 * high)
            scale = clip(s[place] + ((6 * log_scale + 16) >> 5), 0, 71)
            scale = clip(scale + corrections[scale // 6], 0, 71)
            x[place] = self.pop(refined, scale, low, high).reshape(refined.shape)
            missed = ((16 * x[place] - m[place]) * look_up(INVERSE, s[place]) + 1024) >> 11
            grid = innovations.of(refinement.phase, plane)[: len(m), : m.shape[1]]
            grid[place] = clip(missed, -192, 192)
        return m, x

    def apply_fit(self, m: Array, regressors: list[Array]) -> tuple[Array, Array]:
        """The means moved, and the corrections of the scales."""
        zeros = np.zeros(len(regressors), np.int64)
        e = self.stack.pop(SCALE_INDICES)
        coefficients = self.pop(zeros, zeros + e, -512, 511)
        require(np.abs(coefficients).sum() <= 8224, "the coefficients of a fit are too large")
        corrections = np.array(self.stack.pop_list(12, 16)) - 8
        moved = sum((k * r for k, r in zip(coefficients, regressors)), np.zeros_like(m))
        return m + ((moved + 32) >> 6), corrections

    def pop(self, m: Array, s: Array, low: int, high: int) -> Array:
        base = self.model.tensors["base"]
        return pop_array(self.stack, base, self.growth, self.left, m.ravel(), s.ravel(), low, high)


@dataclass
class Innovations:
    """Those of a scale, (h, w) on its grid, by phase and plane."""

    found: dict[tuple[int, int], Array]
    grid: Size

    def of(self, f: int, p: int) -> Array:
        return self.found.setdefault((f, p), np.zeros(self.grid, np.int64))


@dataclass(frozen=True)
class Refinement:
    """The layers called `name` for one phase and plane; `hidden` is what the head made of the grid in each of
    the orientations, turned back.
    """

    model: Model
    name: str
    phase: int
    plane: int
    hidden: dict[int, Array]

    @property
    def applies(self) -> bool:
        return self.model.refinement_width > 0 and self.hidden[0][0].size >= REFINED_BLOCKS

    def outputs(self, number: int, shape: Sequence[int], innovations: Innovations) -> Array:
        """Move and log-scale (2, ...) of a pass over a phase of that shape."""
        said = [self.outputs_in(o, number, shape, innovations) for o in self.hidden]
        mean: Array = (np.sum(said, axis=0) + len(said) // 2) // len(said)
        return mean

    def outputs_in(
        self, orientation: int, number: int, shape: Sequence[int], innovations: Innovations
    ) -> Array:
        """The same in one of the orientations."""
        (top, left), around = PASSES[number]
        place = np.s_[top : shape[0] : 2, left : shape[1] : 2]

        def innovation(g: int, q: int, dy: int, dx: int) -> Array:
            if ORIENTATIONS[orientation].rows:
                dy = -dy - (g // 2 - self.phase // 2)
            if ORIENTATIONS[orientation].columns:
                dx = -dx - (g % 2 - self.phase % 2)
            return shifted(innovations.of(g, q), dy, dx)[place]

        others = [innovation(f, q, *by) for f, q, places in seen(self.phase, self.plane) for by in places]
        own = [innovation(self.phase, self.plane, *by) for by in around]
        hidden = self.hidden[orientation][(slice(None), *place)]
        passes: list[Array | None] = [None] * len(PASSES)
        passes[number] = np.stack([np.full_like(hidden[0], 32), *own])
        context = [np.stack(others)] if others else []
        return self.model.head(self.name, hidden, *context, *passes)


@dataclass(frozen=True)
class Regressors:
    """What a fit multiplies with its coefficients."""

    around: Neighbours
    values: Array  # the phase, (3, h, w) with its fillings, decoded up to this plane
    plane: int
    planes: int
    innovation: Array | None  # of phase 1, (h, w), if this is phase 2

    def on(self, shape: Sequence[int]) -> list[Array]:
        """All of them at the phase's pixels."""
        found = [tap[plane] for tap in self.around.d for plane in range(self.planes)]
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                for q in range(self.plane):
                    found.append(shifted(4 * self.values[q] - self.around.base4[q], dy, dx))
        if self.innovation is not None:
            for dy, dx in ((0, -1), (0, 0), (1, -1), (1, 0)):
                found.append(shifted(self.innovation, dy, dx))
        return [r[: shape[0], : shape[1]] for r in found]


def shifted(values: Array, dy: int, dx: int) -> Array:
    """At (y, x) what is at (y + dy, x + dx), for steps from -1 to 1; 0 beyond the grid."""
    height, width = values.shape
    padded = np.pad(values, 1)
    return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


# RealNVP

#: The couplings of each scale, in the encoder's order.
COUPLINGS = ("ABARLK", "ABARLK", "ABAB")
CHANGED_PHASES = {"A": (1, 2), "B": (0, 3), "R": (1, 3), "L": (0, 2), "K": (1, 2, 3)}
#: The first of each scale's channels in `base_mean`, and of its couplings in `scale_num`.
FIRST_LATENT = (0, 6, 18)
FIRST_COUPLING = (0, 6, 12)


@dataclass(frozen=True)
class Tile:
    top: int
    left: int
    height: int
    width: int
    before: int  # in pixels


def tiles(height: int, width: int) -> list[Tile]:
    """The tiles of a region, in the order of the list."""
    found: list[Tile] = []
    squares = [(0, 0, 8)]
    for side in (8, 16, 32, 64, 128):
        squares += [(0, side, side), (side, 0, side), (side, side, side)]
    squares += [(y, x, 256) for y in range(0, height, 256) for x in range(0, width, 256) if y or x]
    for square in squares:
        add_square(found, square, height, width)
    return found


def add_square(found: list[Tile], square: tuple[int, int, int], height: int, width: int) -> None:
    top, left, side = square
    if top >= height or left >= width:
        return
    h, w = (8 * -(-min(side, rest) // 8) for rest in (height - top, width - left))
    pixels = found[-1].before + found[-1].height * found[-1].width if found else 0
    if side == 8 or 2 * h * w <= pixels:
        found.append(Tile(top, left, h, w, pixels))
        return
    half = side // 2
    for y, x in ((0, 0), (0, half), (half, 0), (half, half)):
        add_square(found, (top + y, left + x, half), height, width)


def changes(coupling: str, channels: int) -> npt.NDArray[np.bool_]:
    """Which of the channels the coupling changes."""
    number = np.arange(channels)
    mask = np.isin(number // (channels // 4), CHANGED_PHASES[coupling])
    return mask & (number % 3 != 0) if coupling == "K" else mask


def leaving(scale: int) -> npt.NDArray[np.bool_]:
    """Which channels of a scale leave it as latents."""
    channels = 12 << scale
    return np.ones(channels, bool) if scale == 2 else changes("R", channels)


def unsqueeze(x: Array) -> Array:
    """(4 C, h / 2, w / 2) to (C, h, w)."""
    channels, height, width = x.shape
    phases = x.reshape(2, 2, channels // 4, height, width)
    return phases.transpose(2, 3, 0, 4, 1).reshape(channels // 4, 2 * height, 2 * width)


def decode_realnvp(model: Model, reader: Reader, height: int, width: int, planes: int) -> Array:
    """The planes (planes, h, w) of a region."""
    stack = Stack(reader.rest())
    values = np.zeros((planes, height, width), np.int64)
    for tile in reversed(tiles(height, width)):
        whole = decode_tile(model, stack, tile, planes)
        space = values[:, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        space[:] = whole[:, : space.shape[1], : space.shape[2]]
    stack.check_empty()
    return values


def decode_tile(model: Model, stack: Stack, tile: Tile, planes: int) -> Array:
    """The pixels (planes, h, w) of a tile, also those beyond the region."""
    before = tile.before * planes
    upper: Array | None = None
    for scale in (2, 1, 0):
        channels, grid = 12 << scale, (tile.height >> scale + 1, tile.width >> scale + 1)
        coded = np.arange(channels) % 3 < (1 if planes == 1 else 3)
        x = np.zeros((channels, *grid), np.int64)
        if upper is not None:
            x[~leaving(scale)] = upper
        pop_latents(model, stack, x, scale, coded, before)
        for j in reversed(range(len(COUPLINGS[scale]))):
            undo_coupling(model, stack, x, (scale, j), coded, before)
        upper = unsqueeze(x)
    assert upper is not None
    return drop_noise(model, stack, upper[:planes])


def pop_latents(
    model: Model, stack: Stack, x: Array, scale: int, coded: npt.NDArray[np.bool_], before: int
) -> None:
    """Fills in the coded channels of those that leave."""
    numbers = np.flatnonzero(leaving(scale))
    rows = FIRST_LATENT[scale] + np.flatnonzero(coded[numbers])
    numbers = numbers[coded[numbers]]
    pixels = x[0].size
    m, s = (np.repeat(model.tensors[name][rows], pixels) for name in ("base_mean", "base_scale"))
    base = model.tensors["base"]
    symbols = pop_array(stack, base, REALNVP_GROWTH, before, m, s, -(2**23), 2**23 - 1)
    x[numbers] = symbols.reshape(len(numbers), *x.shape[1:])


def undo_coupling(
    model: Model, stack: Stack, x: Array, place: Size, coded: npt.NDArray[np.bool_], before: int
) -> None:
    """Restores the changed channels of x, (channels, h, w), in place."""
    scale, j = place
    name = f"scale{scale}.coupling{j}"
    changed = changes(COUPLINGS[scale][j], len(x))
    numbers = np.flatnonzero(changed & coded)
    if len(numbers) == 0:
        return
    k = model.config["dequant_bits"]
    kept = (4 * x[~changed]) >> k
    coarse, fine = clip(kept, -512, 511), clip(4 * kept, -512, 511)
    features = model.blocks(name, model.config["blocks"], model.layer(name + ".stem", coarse, fine))
    shift, log_scale = np.split(model.head(name + ".head0", features), 2)
    t = ((2 * model.layer(name + ".linear", coarse) + shift) * 2**k + 4) >> 3
    divisor = model.tensors["scale_num"][FIRST_COUPLING[scale] + j][log_scale + 512]
    which = coded[changed]
    moved = divide(stack, x[numbers].ravel(), divisor[which].ravel(), model.config["scale_bits"], before)
    values = moved.reshape(-1, *x.shape[1:]) - t[which]
    require(np.abs(values).max() <= 2**40, "a value is beyond 2^40")
    x[numbers] = values


def divide(stack: Stack, z: Array, divisor: Array, bits: int, before: int) -> Array:
    """x = (z * 2^b + r) div R for all values, the remainders going back onto the stack."""
    x = np.zeros_like(z)
    chunk = max(4, before // 48)
    for begin in reversed(range(0, len(z), chunk)):
        part = slice(begin, begin + chunk)
        y = z[part] * 2**bits + np.array(stack.pop_list(len(z[part]), 2**bits))
        x[part] = y // divisor[part]
        stack.push_list((y - x[part] * divisor[part]).tolist(), divisor[part].tolist())
    return x


def drop_noise(model: Model, stack: Stack, values: Array) -> Array:
    k = model.config["dequant_bits"]
    values[0] += 128 * 2**k
    pixels: Array = values >> k
    for plane, (low, high) in zip(pixels, LEGAL):
        require(low <= plane.min() and plane.max() <= high, "a pixel is not legal")
    stack.push_list((values % 2**k).ravel().tolist(), [2**k] * values.size)
    return pixels


# Deep regions

DEEP_FIT_PIXELS = 1024
FACING = {3: ((0, 3), (1, 2)), 1: ((0, 1), (2, 3)), 2: ((0, 1), (2, 3))}


def twelfth_root(power: int) -> int:
    """The smallest integer whose 12th power is at least 2^power."""
    root = round(2 ** (power / 12))
    while root**12 >= 2**power:
        root -= 1
    return root + 1


DEEP_THRESHOLDS = [twelfth_root(107 + 2 * i) for i in range(1, 128)]


def deep_table(index: int) -> Array:
    j = np.arange(2 * RADIUS[index] * 2 ** FINENESS[index] + 1)
    t = (j / 2 ** FINENESS[index] - RADIUS[index]) / 2 ** (index / 6 - 5)
    term = np.rint((65532 - 4 * RADIUS[index]) / (1 + np.exp(-t))).astype(np.int64)
    table: Array = 2 + 2 * (j >> FINENESS[index]) + term
    return table


DEEP_BASE = np.concatenate([deep_table(index) for index in range(72)])


def decode_deep(payload: bytes, shape: tuple[int, int, int]) -> Array:
    """The samples (h, w, c) of a payload of mode 4."""
    height, width, channels = shape
    reader = Reader(payload)
    alpha = []
    if channels % 2 == 0:
        mode, length = reader.u8(), reader.varint()
        require(mode <= DEEP, "a reserved mode of alpha")
        alpha = [decode_plain(mode, reader.take(length), (height, width, 1), 16)]
    planes = 1 if channels < 3 else 3
    form = reader.u8()
    require(form == 0 or (form == 1 and planes == 3), "a reserved form")
    values = read_values(reader)
    growth = reader.u8()
    require(growth < len(GROWTHS), "a reserved growth")
    high = len(values) - 1
    legal = [(0, high)] + [(-high if form else 0, high)] * (planes - 1)
    numbers = DeepFlow(Stack(reader.rest()), GROWTHS[growth], legal, 0).decode((height, width))
    if planes == 3:
        numbers = inverse_ycocg(numbers) if form else numbers[[1, 0, 2]]
    require(numbers.min() >= 0 and numbers.max() <= high, "a number that stands for no sample")
    return np.concatenate([np.moveaxis(values[numbers], 0, 2), *alpha], 2)


def read_values(reader: Reader) -> Array:
    """The sample of each number."""
    lowest, count, length = reader.varint(), reader.varint(), reader.varint()
    require(count >= 1 and lowest + count - 1 <= 65535, "no such values")
    listed = reader.take(length)
    if not length:
        return lowest + np.arange(count)
    steps = np.frombuffer(inflate(listed, 2 * (count - 1)), "<u2").astype(np.int64)
    values: Array = lowest + np.cumsum(np.concatenate([[0], steps]))
    require(bool(steps.all()) and values[-1] <= 65535, "values that do not ascend to 65535 at most")
    return values


@dataclass
class DeepFlow:
    """Decodes one scale after another; `left` counts the samples that are still on the stack."""

    stack: Stack
    growth: int
    legal: list[tuple[int, int]]
    left: int

    def decode(self, region: Size) -> Array:
        """The planes (planes, h, w)."""
        sizes = [region]
        while sizes[-1][0] * sizes[-1][1] > 16:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        rows, columns = sizes[-1]
        lists = [self.stack.pop_list(rows * columns, high - low + 1) for low, high in self.legal]
        values = np.array([low + np.array(one) for one, (low, _) in zip(lists, self.legal)])
        values = values.reshape(-1, rows, columns)
        errors = np.zeros_like(values)
        self.left = len(self.legal) * (region[0] * region[1] - rows * columns)
        for size in reversed(sizes[:-1]):
            values, errors = self.decode_scale(size, values, errors)
        self.stack.check_empty()
        return values

    def decode_scale(self, size: Size, coarser: Array, coarser_errors: Array) -> tuple[Array, Array]:
        x, e = {0: coarser}, {0: coarser_errors}
        for phases in DECODED:
            around = {p: (Neighbours.of(x, p), Neighbours.of(e, p)) for p in phases}
            x.update({p: coarser.copy() for p in phases})
            e.update({p: coarser_errors.copy() for p in phases})
            for plane in range(len(self.legal)):
                beside = np.zeros_like(coarser[0])
                for p in phases:
                    rows, columns = phase_size(p, size)
                    if rows * columns == 0:
                        continue
                    known = DeepPlace(p, plane, *around[p], x[p], e[p], beside)
                    m, pixels = self.decode_plane(known, (rows, columns))
                    x[p][plane, :rows, :columns] = pixels
                    e[p][plane, :rows, :columns] = np.abs(16 * pixels - m)
                    if p == 1:
                        beside[:rows, :columns] = 16 * pixels - m
        joined = np.zeros((2, len(coarser), 2 * coarser.shape[1], 2 * coarser.shape[2]), np.int64)
        for p in range(4):
            joined[:, :, p // 2 :: 2, p % 2 :: 2] = np.stack([x[p], e[p]])
        values, errors = joined[:, :, : size[0], : size[1]]
        return values, errors

    def decode_plane(self, known: DeepPlace, size: Size) -> tuple[Array, Array]:
        """Means and pixels, (rows, columns)."""
        self.left -= size[0] * size[1]
        regressors = [r[: size[0], : size[1]] for r in known.regressors()]
        magnitudes = [a[: size[0], : size[1]] for a in known.magnitudes()]
        coefficients, corrections, floor = [0] * len(regressors), [0] * 16, 0
        weights = [64, 0, 512, 512, 512] + [0] * (len(magnitudes) - 5)
        if size[0] * size[1] >= DEEP_FIT_PIXELS:
            zeros = np.zeros(len(regressors), np.int64)
            e = self.stack.pop(72)
            coefficients = self.pop(self.left, zeros, zeros + e, -4096, 4095).tolist()
            mantissas = [n - 16 for n in self.stack.pop_list(len(magnitudes), 32)]
            weights = [n << e for n, e in zip(mantissas, self.stack.pop_list(len(magnitudes), 16))]
            corrections = [n - 8 for n in self.stack.pop_list(16, 16)]
            floor = self.stack.pop(128)
        low, high = self.legal[known.plane]
        moved = sum((c * r for c, r in zip(coefficients, regressors)), np.zeros(size, np.int64))
        m = clip(
            4 * known.near.base4[known.plane][: size[0], : size[1]] + ((moved + 128) >> 8),
            16 * low,
            16 * high,
        )
        wide = sum((w * a for w, a in zip(weights, magnitudes)), np.zeros(size, np.int64))
        u = np.searchsorted(DEEP_THRESHOLDS, wide >> 4, "right")
        s = clip(u + look_up(corrections, u // 8), floor, 127)
        return m, self.pop_pixels(m.ravel(), s.ravel(), low, high).reshape(size)

    def pop_pixels(self, m: Array, s: Array, low: int, high: int) -> Array:
        pixels = np.zeros_like(m)
        bits = np.maximum(0, (s - 42) // 6)
        for k in sorted(set(bits.tolist())):
            at = np.flatnonzero(bits == k)
            before = self.left + int((bits > k).sum())
            lowest, highest = low >> k, high >> k
            mean = clip((m[at] - 8 * (2**k - 1)) >> k, 16 * lowest, 16 * highest)
            c = (mean + 8) >> 4
            v = self.pop(before, mean - 16 * c, s[at] - 6 * k, -127, 127)
            for i in np.flatnonzero(np.abs(v) == 127):
                room = c[i] - 127 - lowest + 1 if v[i] < 0 else highest - c[i] - 127 + 1
                require(room > 0, "a pixel beyond the legal values")
                v[i] += np.sign(v[i]) * self.stack.pop(int(room))
            pixels[at] = (c + v) * 2**k + np.array(self.stack.pop_list(len(at), 2**k))
        require(low <= pixels.min() and pixels.max() <= high, "a pixel that is not legal")
        return pixels

    def pop(self, before: int, m: Array, s: Array, low: int, high: int) -> Array:
        return pop_array(self.stack, DEEP_BASE, self.growth, before, m, s, low, high)


@dataclass(frozen=True)
class DeepPlace:
    """What is known around one plane of one phase, on the grid."""

    phase: int
    plane: int
    near: Neighbours
    near_errors: Neighbours
    x: Array  # the phase, (planes, h, w) with its fillings, decoded up to this plane
    e: Array  # its errors
    beside: Array  # 16 * x - m of phase 1, (h, w)

    def regressors(self) -> list[Array]:
        found = [tap for taps in self.near.d for tap in taps]
        for dy, dx in NINE:
            for q in range(self.plane):
                found.append(shifted(4 * self.x[q] - self.near.base4[q], dy, dx))
        if self.phase == 2:
            found += [shifted(self.beside >> 2, dy, dx) for dy, dx in BESIDE_PHASE_1]
        return found

    def magnitudes(self) -> list[Array]:
        d, base4 = self.near.d[:, self.plane], self.near.base4
        taps = (d + base4[self.plane]) // 4
        errors = (self.near_errors.d[:, self.plane] + self.near_errors.base4[self.plane]) // 4
        found = [np.full_like(base4[0], 1024), 4 * base4[0]]
        found += [4 * np.abs(d[part]).sum(0) for part in (slice(0, 4), slice(4, 8), slice(8, 16))]
        found += [16 * np.abs(taps[one] - taps[other]) for one, other in FACING[self.phase]]
        found += [errors[:4].sum(0), errors[4:].sum(0)]
        for q in range(self.plane):
            around = np.stack([shifted(self.e[q], dy, dx) for dy, dx in NINE])
            found += [self.e[q], around.sum(0)]
        if self.phase == 2:
            found.append(np.stack([shifted(np.abs(self.beside), *place) for place in BESIDE_PHASE_1]).sum(0))
        return found


# A whole file


def decode(data: bytes, models: dict[bytes, Model]) -> Array:
    """The samples (height, width, channels) of a file; raises RefusedError where it breaks a rule."""
    reader = Reader(data)
    header = read_header(reader)
    side_data = reader.take(header.side_data_length)
    payloads = [reader.take(region.length) for region in header.regions]
    pixel_checksum = reader.u32()
    end = reader.at
    require(reader.u32() == zlib.crc32(data[:end]), "the file checksum differs")
    require(reader.at == len(data), "bytes follow the file")
    require(header.width * header.height * header.channels <= SAMPLE_LIMIT, "too many samples")
    model = models.get(header.model_id) if header.model_id else None
    require(header.model_id is None or model is not None, "no such model")
    read_side_data(side_data, header.kind)
    samples = np.zeros((header.height, header.width, header.channels), np.int64)
    for region, payload in zip(header.regions, payloads):
        rows = slice(region.top, region.top + region.height)
        columns = slice(region.left, region.left + region.width)
        samples[rows, columns] = decode_region(header, region, payload, model)
    require(zlib.crc32(sample_bytes(samples, header.bits)) == pixel_checksum, "the pixel checksum differs")
    return samples


def decode_region(header: Header, region: Region, payload: bytes, model: Model | None) -> Array:
    shape = region.height, region.width, header.channels
    if region.mode == RANKS and model is not None:
        return decode_ranks(header, payload, shape, model)
    if region.mode == TONES and model is not None:
        return decode_tones(header, payload, shape, model)
    if region.mode == YCBCR and model is not None:
        return decode_ycbcr(header, payload, shape, model)
    if region.mode not in (FLOW, FLOW_TOP_FIRST) or model is None:
        return decode_plain(region.mode, payload, shape, header.bits)
    require(header.kind <= RGBA and header.bits == 8, "a kind or depth that no model codes")
    return decode_flow(region.mode, payload, shape, model)


def decode_ranks(header: Header, payload: bytes, shape: tuple[int, int, int], model: Model) -> Array:
    require(header.kind <= RGBA and header.bits == 8, "a kind or depth that no model codes")
    reader = Reader(payload)
    without_alpha = {GREY_ALPHA: 1, RGBA: 3}.get(header.kind, header.channels)
    tables = [reader.take(32) for _ in range(without_alpha)]
    mode = reader.u8()
    require(mode in (FLOW, FLOW_TOP_FIRST), "ranks of another mode")
    samples = decode_flow(mode, reader.rest(), shape, model)
    for c, table in enumerate(tables):
        values = np.array([v for v in range(256) if table[v // 8] >> v % 8 & 1], np.int64)
        require(samples[..., c].max() < len(values), "a rank without a value")
        samples[..., c] = values[samples[..., c]]
    return samples


def decode_tones(header: Header, payload: bytes, shape: tuple[int, int, int], model: Model) -> Array:
    require(header.kind in (RGB, RGBA) and header.bits == 8, "tones of what is not coloured")
    reader = Reader(payload)
    count = reader.varint()
    require(1 <= count <= 256, "no such number of tones")
    steps = np.frombuffer(inflate(reader.take(reader.varint()), 3 * count), np.uint8).astype(np.int64)
    tones = np.cumsum(steps.reshape(count, 3), 0) % 256
    mode = reader.u8()
    require(mode in (FLOW, FLOW_TOP_FIRST), "places of another mode")
    places = decode_flow(mode, reader.rest(), (shape[0], shape[1], shape[2] - 2), model)
    require(places[..., 0].max() < count, "a place beyond the tones")
    return np.concatenate([tones[places[..., 0]], places[..., 1:]], 2)


def decode_ycbcr(header: Header, payload: bytes, shape: tuple[int, int, int], model: Model) -> Array:
    require(header.kind in (RGB, RGBA) and header.bits == 8, "Y, Cb and Cr of what is not coloured")
    reader = Reader(payload)
    mode = reader.u8()
    require(mode in (FLOW, FLOW_TOP_FIRST), "Y, Cb and Cr of another mode")
    return decode_flow(mode, reader.rest(), shape, model, colours_of_jpeg)


def colours_of_jpeg(planes: Array) -> Array:
    y, cb, cr = planes
    require(planes[1:].min() >= -128 and planes[1:].max() <= 127, "Cb or Cr is out of range")
    red = y + ((91881 * cr + 32768) >> 16)
    green = y + ((32768 - 22554 * cb - 46802 * cr) >> 16)
    blue = y + ((116130 * cb + 32768) >> 16)
    colours: Array = np.clip(np.stack([red, green, blue], 2), 0, 255)
    return colours


def report(path: Path, models: dict[bytes, Model]) -> tuple[str, bool]:
    """The line of a file, and whether all is well."""
    data = path.read_bytes()
    try:
        bits = read_header(Reader(data)).bits
        samples = decode(data, models)
    except RefusedError as error:
        return f"{path.stem} refused: {error}", False
    line = f"{path.stem} {hashlib.sha256(sample_bytes(samples, bits)).hexdigest()}"
    beside = path.with_suffix(".npy")
    if not beside.exists():
        return line, True
    same = np.array_equal(np.load(beside).reshape(samples.shape), samples)
    return f"{line} {'ok' if same else 'differs'}", same


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Decodes .nvp files, and compares them with .npy files beside them."
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="folder of the models' .safetensors files"
    )
    parser.add_argument(
        "files", type=Path, nargs="+", help=".nvp files; .npy files stand for those beside them"
    )
    options = parser.parse_args(arguments)
    models = dict(read_model(path.read_bytes()) for path in sorted(options.weights.glob("*.safetensors")))
    well = True
    for path in sorted({path.with_suffix(".nvp") for path in options.files}):
        line, good = report(path, models)
        print(line, flush=True)
        well = well and good
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
