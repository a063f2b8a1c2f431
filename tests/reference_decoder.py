"""A second decoder, in the order of docs/format.md: integers only, without nvpcodec, torch and constriction.

It reads the samples of a file, and is slow and plain: all that it is for is to agree with the program.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class RefusedError(Exception):
    """The file breaks a rule of the format."""


def require(holds: bool, rule: str) -> None:
    if not holds:
        raise RefusedError(rule)


# Header fields, region table, checksums ---------------------------------------------------------------------

CHANNELS = (1, 2, 3, 4, 1, 1)
DEPTHS = ((8, 16),) * 4 + ((8,), (1,))
GREY_ALPHA, RGBA, PALETTE = 1, 3, 4


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        require(self.position + count <= len(self.data), "the bytes end early")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for group in range(5):
            byte = self.byte()
            value |= (byte & 127) << 7 * group
            if byte < 128:
                require(byte > 0 or group == 0, "a varint is not the shortest")
                return value
        raise RefusedError("a varint is too long")

    def checksum(self) -> None:
        require(
            zlib.crc32(self.data[: self.position]) == int.from_bytes(self.take(4), "little"),
            "a checksum differs",
        )


def decode(data: bytes, weights: bytes) -> NDArray[Any]:
    """Samples (height, width, channels) of a file; `weights` is the weights file of its model."""
    file = Reader(data)
    require(file.take(5) == b"\x8eNVP\x01", "no file of version 1")
    form, width, height = file.byte(), file.varint(), file.varint()
    kind, depth_code = form & 7, form >> 3
    require(kind < 6 and depth_code < 3, "a reserved form")
    depth = (1, 8, 16)[depth_code]
    require(depth in DEPTHS[kind] and 0 < width < 2**31 and 0 < height < 2**31, "a reserved form or size")
    cell_height, cell_width = file.varint(), file.varint()
    require(cell_height < height and cell_width < width, "a region's side is spelt out or too long")
    cell_height, cell_width = cell_height or height, cell_width or width
    side_bytes = file.varint()
    count = -(-height // cell_height) * -(-width // cell_width)
    require(count <= 2**20, "too many regions")
    table = [(file.byte(), file.varint()) for _ in range(count)]
    require({mode for mode, _ in table} <= {0, 1, 2, 16}, "a reserved mode")
    model = None
    if any(mode == 16 for mode, _ in table):
        model = Model(weights)
        require(file.take(8) == model.id, "another model")
    file.checksum()
    file.take(side_bytes)
    channels = CHANNELS[kind]
    samples = np.zeros((height, width, channels), "<u2" if depth == 16 else "u1")
    for index, (mode, length) in enumerate(table):
        row, column = divmod(index, -(-width // cell_width))
        window = samples[row * cell_height :, column * cell_width :][:cell_height, :cell_width]
        if mode == 16:
            require(kind < PALETTE and depth == 8 and model is not None, "a flow for such samples")
            assert model is not None
            window[:] = flow_region(file.take(length), window.shape, kind in (GREY_ALPHA, RGBA), model)
        else:
            window[:] = plain_region(mode, file.take(length), window.shape, depth)
    require(zlib.crc32(samples.tobytes()) == int.from_bytes(file.take(4), "little"), "other pixels")
    file.checksum()
    require(file.position == len(data), "more bytes than there should be")
    return samples


# Plain modes ------------------------------------------------------------------------------------------------


def plain_region(mode: int, payload: bytes, shape: tuple[int, ...], depth: int) -> Ints:
    height, width, channels = shape
    require(len(payload) > 0, "no form byte")
    form, coded = payload[0], payload[1:]
    require(form & 7 < 5 and form < 64, "a reserved form byte")
    bits, kind, green = 1 << (form & 7), form >> 3 & 3, form >> 5
    require(bits == depth or (depth == 8 and channels == 1 and bits < 8), "sample bits that do not fit")
    require(mode != 0 or form < 8, "a filter on stored samples")
    require(not green or channels >= 3, "no green to add")
    require(kind != 3 or height + width <= 65536, "a median filter on too long a side")
    row_bytes = -(-width * channels * bits // 8)
    raw = unpacked(mode, coded, channels, height * row_bytes)
    modulus = 65536 if bits == 16 else 256
    if bits == 16:
        half = len(raw) // 2
        e = (raw[:half] * 256 + raw[half:]).reshape(shape)
        if kind:
            e = np.where(e % 2, 65536 - (e + 1) // 2, e // 2)
    else:
        e = raw.reshape(shape) if bits == 8 else raw.reshape(height, row_bytes, 1)
    e = unfiltered(e, kind, modulus)
    if green:
        e[..., 0] += e[..., 1]
        e[..., 2] += e[..., 1]
        e %= modulus
    if bits < 8:
        places = 8 - bits * (1 + np.arange(8 // bits))
        spread = (e >> places & ((1 << bits) - 1)).reshape(height, -1, 1)
        require(not spread[:, width:].any(), "a row is not filled up with 0")
        e = spread[:, :width]
    return e


def unpacked(mode: int, coded: bytes, channels: int, count: int) -> Ints:
    raw, ended = coded, True
    if mode == 1:
        inflater = zlib.decompressobj(-15)
        raw = inflater.decompress(coded, count + 1)
        ended = inflater.eof and not inflater.unused_data
    elif mode == 2:
        contexts = (2, 2) if channels == 4 else (4, 0)
        size = min(1 << 23, max(1 << 12, count))
        options = {
            "id": lzma.FILTER_LZMA1,
            "lc": contexts[0],
            "lp": contexts[1],
            "pb": contexts[1],
            "dict_size": size,
        }
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
        raw = unpacker.decompress(coded, count + 1)
        ended = unpacker.eof and not unpacker.unused_data
    require(ended and len(raw) == count, "the samples do not end with the payload")
    return np.frombuffer(raw, np.uint8).astype(np.int64)


def unfiltered(e: Ints, kind: int, modulus: int) -> Ints:
    if kind == 1:
        return np.cumsum(e, 1) % modulus
    if kind == 2:
        return np.cumsum(e, 0) % modulus
    if kind == 3:
        e = np.pad(e, ((1, 0), (1, 0), (0, 0)))
        for y, x in np.ndindex(e.shape[0] - 1, e.shape[1] - 1):
            left, above, corner = e[y + 1, x], e[y, x + 1], e[y, x]
            median = np.median([left, above, left + above - corner], 0).astype(np.int64)
            e[y + 1, x + 1] = (e[y + 1, x + 1] + median) % modulus
        return e[1:, 1:]
    return e


# Flow payload -----------------------------------------------------------------------------------------------

GROWTHS = (255, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)
LEGAL = ((0, 255), (-255, 255), (-255, 255))


def flow_region(payload: bytes, shape: tuple[int, ...], has_alpha: bool, model: Model) -> Ints:
    """Samples of a region: alpha, if any, is coded plainly before the colours."""
    height, width, channels = shape
    reader = Reader(payload)
    alpha = []
    if has_alpha:
        mode, length = reader.byte(), reader.varint()
        require(mode in (0, 1, 2), "alpha is plain")
        alpha = [plain_region(mode, reader.take(length), (height, width, 1), 8)[..., 0]]
    if model.config["kind"] == "phase":
        place = reader.byte()
        require(place < len(GROWTHS), "a reserved growth")
        stack = Stack(payload[reader.position :])
        region = Region(stack, GROWTHS[place], model, channels - has_alpha, (height, width))
        planes = region.decode()
    else:
        stack = Stack(payload[reader.position :])
        planes = RealNvp(stack, model, channels - has_alpha).region(height, width)
    require(stack.state == 0 and not stack.words, "the stack is not empty in the end")
    colours = planes if len(planes) == 1 else to_rgb(*planes)
    require(colours.min() >= 0 and colours.max() <= 255, "a colour outside 0 to 255")
    return np.stack([*colours, *alpha], 2)


def to_rgb(y: Ints, co: Ints, cg: Ints) -> Ints:
    middle = y - (cg >> 1)
    blue = middle - (co >> 1)
    return np.stack([blue + co, cg + middle, blue])


# The stack --------------------------------------------------------------------------------------------------


class Stack:
    def __init__(self, data: bytes) -> None:
        require(not data.endswith(b"\0"), "the last byte is 0")
        padded = data + bytes(-len(data) % 4)
        self.words = list(struct.unpack(f"<{len(padded) // 4}I", padded))
        self.state = 0
        while self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def pop(self, n: int) -> int:
        """A value in [0, n)."""
        if n == 1:
            return 0
        low, share = self.state % (1 << 24), (1 << 24) // n
        value = min(low // share, n - 1)
        size = share if value < n - 1 else (1 << 24) - value * share
        self.state = (self.state >> 24) * size + low - value * share
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return value

    def push(self, value: int, n: int) -> None:
        if n == 1:
            return
        share = (1 << 24) // n
        size = share if value < n - 1 else (1 << 24) - value * share
        if self.state >> 40 >= size:
            self.words.append(self.state % (1 << 32))
            self.state >>= 32
        self.state = (self.state // size << 24) + value * share + self.state % size

    def pops(self, count: int, n: int) -> list[int]:
        return [self.pop(n) for _ in range(count)]


def chunks(before: int, count: int, growth: int) -> list[range]:
    """The chunks of an array in the order in which a decoder takes them: the last one first."""
    found, done = [], 0
    while done < count:
        size = min(count - done, max(1, (before + done) * growth // 64))
        found.append(range(done, done + size))
        done += size
    return found[::-1]


# Symbols ----------------------------------------------------------------------------------------------------

RADIUS = (
    *(2,) * 13, *(3,) * 6, *(4,) * 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 15, 16, 18, 20, 23, 25, 28, 31,
    35, 39, 44, 49, 55, 61, 69, 77, 86, 97, 108, 121, 136, 153, 171, 192, 215, 241, 271, 304, 341, 382,
    429, 481, *(510,) * 5,
)  # fmt: skip
FINENESS = (4,) * 36 + (3,) * 6 + (2,) * 6 + (1,) * 6 + (0,) * 18
LENGTHS = [(2 * r << f) + 1 for r, f in zip(RADIUS, FINENESS, strict=True)]
MISSES = (
    55109, 46341, 38968, 32768, 27554, 23170, 19484, 16384, 13777, 11585, 9742, 8192, 6889, 5793, 4871, 4096,
    3444, 2896, 2435, 2048, 1722, 1448, 1218, 1024, 861, 724, 609, 512, 431, 362, 304, 256,
    215, 181, 152, 128, 108, 91, 76, 64, 54, 45, 38, 32, 27, 23, 19, 16,
    13, 11, 10, 8, 7, 6, 5, 4, 3, 3, 2, 2,
)  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """The cells of one symbol: `edges` is the base table of its scale index."""

    edges: Ints
    offset: int
    fineness: int
    first: int
    last: int
    low: int
    high: int

    def lower(self, cell: int) -> int:
        """First integer that a cell owns; a cell ends where the next one begins."""
        if cell == self.low or cell < self.first:
            return 0
        if cell > self.high or cell > self.last + 1:
            return 65536
        return int(self.edges[self.offset + (cell << self.fineness)])

    def mass(self, cell: int) -> int:
        return self.lower(cell + 1) - self.lower(cell)

    def find(self, target: int) -> int:
        """The cell that owns the target."""
        cell, beyond = max(self.first - 1, self.low), min(self.last + 1, self.high) + 1
        while beyond - cell > 1:
            middle = (cell + beyond) // 2
            if self.lower(middle) <= target:
                cell = middle
            else:
                beyond = middle
        return cell


def cells_of(model: Model, mean: int, scale: int, low: int, high: int) -> Cells:
    fineness = FINENESS[scale]
    offset = (16 * RADIUS[scale] - 8 - mean) >> (4 - fineness)
    first, last = -(offset >> fineness), ((LENGTHS[scale] - 1 - offset) >> fineness) - 1
    return Cells(model.edges[scale], offset, fineness, max(first, low), min(last, high), low, high)


def pop_symbols(
    stack: Stack, growth: int, model: Model, means: Ints, scales: Ints, legal: tuple[int, int], before: int
) -> Ints:
    """An array of symbols, one mean and scale index each."""
    low, high = legal
    cells = [cells_of(model, m, s, low, high) for m, s in zip(means.tolist(), scales.tolist(), strict=True)]
    x = [min(max((m + 8) // 16, low), high) for m in means.tolist()]
    certain = [i for i in range(len(x)) if scales[i] <= 14 and cells[i].mass(x[i]) >= 63488]
    groups = [certain[i : i + 64] for i in range(0, len(certain) - 63, 64)]
    by_mode: set[int] = set()
    if groups:
        miss = MISSES[stack.pop(60)]
        for chunk in chunks(before, len(groups), growth):
            targets = stack.pops(len(chunk), 65536)
            by_mode.update(i for g, t in zip(chunk, targets, strict=True) if t >= miss for i in groups[g])
            for t in reversed(targets):
                stack.push(t if t < miss else t - miss, miss if t < miss else 65536 - miss)
    rest = [i for i in range(len(x)) if i not in by_mode]
    for chunk in chunks(before, len(rest), growth):
        targets = stack.pops(len(chunk), 65536)
        owners = [(cells[rest[i]], t) for i, t in zip(chunk, targets, strict=True)]
        found = [c.find(t) for c, t in owners]
        for i, cell in zip(chunk, found, strict=True):
            x[rest[i]] = cell
        for (c, t), cell in zip(reversed(owners), reversed(found), strict=True):
            stack.push(t - c.lower(cell), c.mass(cell))
    for i in rest:
        c = cells[i]
        if x[i] < c.first:
            x[i] = low + stack.pop(c.first - low)
        elif x[i] > c.last:
            x[i] = c.last + 1 + stack.pop(high - c.last)
    return np.array(x, np.int64)


# The model --------------------------------------------------------------------------------------------------


class Model:
    """The tensors of a weights file, its configuration and its id."""

    def __init__(self, data: bytes) -> None:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        self.config = json.loads(header.pop("__metadata__")["config"])
        require(self.config["kind"] in ("phase", "realnvp"), "a reserved kind of model")
        self.tensors: dict[str, Ints] = {}
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for name in sorted(header):
            start, end = header[name]["data_offsets"]
            raw = data[8 + length + start : 8 + length + end]
            kind, shape = {"I8": "int8", "I32": "int32"}[header[name]["dtype"]], tuple(header[name]["shape"])
            digest.update(f"{name} {kind} {shape}\n".encode() + raw)
            self.tensors[name] = (
                np.frombuffer(raw, np.dtype(kind).newbyteorder("<")).astype(np.int64).reshape(shape)
            )
        self.id = digest.digest()[:8]
        self.edges = np.split(self.tensors["base"], np.cumsum(LENGTHS)[:-1])

    def layer(self, name: str, *inputs: Ints | None, lowest: int = -512) -> Ints:
        """One layer on its inputs (C, h, w); one that is absent adds nothing."""
        total: Any = self.tensors[name + ".bias"][:, None, None]
        for i, x in enumerate(inputs):
            if x is not None:
                total = total + convolved(x, self.tensors[f"{name}.weight{i}"])
        shift = self.tensors[name + ".shift"][:, None, None]
        result: Ints = np.clip(total >> shift, lowest, 511)
        return result


def convolved(x: Ints, weight: Ints) -> Ints:
    """Cross-correlation, with zeros beyond the border."""
    size, (_, height, width) = weight.shape[-1], x.shape
    margin = size // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
    sums = np.zeros((len(weight), height, width), np.int64)
    for dy, dx in np.ndindex(size, size):
        sums += np.tensordot(weight[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width], 1)
    return sums


# Scales, phases and neighbourhoods --------------------------------------------------------------------------

SQUARE = (
    (-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -3), (-1, 3), (1, -3), (1, 3),
    (-3, -1), (-3, 1), (3, -1), (3, 1), (-3, -3), (-3, 3), (3, -3), (3, 3),
)  # fmt: skip
QUINCUNX = (
    (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2),
    (-2, -1), (-2, 1), (2, -1), (2, 1), (0, -3), (0, 3), (-3, 0), (3, 0),
)  # fmt: skip
NEIGHBOURS = {3: SQUARE, 1: QUINCUNX, 2: QUINCUNX}
COUPLINGS = ((3,), (1, 2))

THRESHOLDS = (
    20, 27, 39, 54, 77, 108, 153, 216, 305, 431, 609, 862, 1218, 1723, 2436, 3445, 4871, 6889, 9742, 13778,
)  # fmt: skip
RECIPROCAL = np.array(
    (8192, 5793, 4096, 2896, 2048, 1448, 1024, 724, 512, 362, 256, 181, 128, 91, 64, 45, 32, 23, 16, 11, 8)
)
FACTOR = np.array((
    16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192, 11585,
    16384,
))  # fmt: skip


@dataclass(frozen=True)
class Around:
    """Around the pixels of a phase: base4 and activity (3, h, w), differences (16, 3, h, w)."""

    base4: Ints
    differences: Ints
    activity: Ints

    def normalised(self, d: Ints) -> Ints:
        scaled: Ints = np.clip((d * RECIPROCAL[self.activity] + 128) >> 8, -512, 511)
        return scaled

    def context(self) -> list[Ints]:
        brightness = np.concatenate([(self.base4[:1] >> 2) - 128, self.base4[1:] >> 3])
        flat = self.normalised(self.differences).reshape(48, *self.base4.shape[1:])
        return [flat, 8 * (self.activity - 8), brightness]


def look_around(phase: int, known: dict[int, Ints]) -> Around:
    height, width = known[0].shape[1:]
    taps = []
    for dy, dx in NEIGHBOURS[phase]:
        y, x = phase // 2 + dy, phase % 2 + dx
        rows = np.clip(np.arange(height) + y // 2, 0, height - 1)
        columns = np.clip(np.arange(width) + x // 2, 0, width - 1)
        taps.append(known[y % 2 * 2 + x % 2][:, rows[:, None], columns])
    values = np.stack(taps)
    base4 = values[:4].sum(0)
    differences = 4 * values - base4
    return Around(base4, differences, np.searchsorted(THRESHOLDS, np.abs(differences).sum(0), "right"))


# Decoding a region ------------------------------------------------------------------------------------------


@dataclass
class Region:
    stack: Stack
    growth: int
    model: Model
    planes: int
    size: tuple[int, int]
    remaining: int = field(default=0, init=False)

    def decode(self) -> Ints:
        """Planes (planes, height, width), from the coarsest scale up."""
        sizes = [self.size]
        while math.prod(sizes[-1]) > 16:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        count = math.prod(sizes[-1])
        coarsest = [
            [low + v for v in self.stack.pops(count, high - low + 1)] for low, high in LEGAL[: self.planes]
        ]
        values = np.zeros((3, *sizes[-1]), np.int64)
        values[: self.planes] = np.reshape(coarsest, (self.planes, *sizes[-1]))
        self.remaining = self.planes * (math.prod(self.size) - count)
        features = None
        for level in reversed(range(len(sizes) - 1)):
            values, features = self.scale(level, sizes[level], values, features)
        return values[: self.planes]

    def scale(self, level: int, size: tuple[int, int], kept: Ints, handed: Ints | None) -> tuple[Ints, Ints]:
        """All pixels (3, *size) of a scale from its phase 0, and the features for the next finer one."""
        config, name = self.model.config, f"level{min(level, self.model.config['levels'] - 1)}."
        features = None
        if handed is not None:
            features = shuffled(self.model.layer(name + "up", handed))[:, : kept.shape[1], : kept.shape[2]]
        known = {0: kept}
        for coupling, phases in enumerate(COUPLINGS):
            arounds = {phase: look_around(phase, known) for phase in phases}
            context = np.concatenate([part for around in arounds.values() for part in around.context()])
            prefix = f"{name}coupling{coupling}."
            features = self.trunk(prefix, config["blocks"][coupling], context, features)
            known |= self.changed(prefix, size, features, arounds, kept)
        values = np.zeros((3, *size), np.int64)
        for phase, part in known.items():
            height, width = phase_size(phase, size)
            values[:, phase // 2 :: 2, phase % 2 :: 2] = part[:, :height, :width]
        assert features is not None
        return values, features

    def trunk(self, prefix: str, blocks: int, context: Ints, handed: Ints | None) -> Ints:
        features = self.model.layer(prefix + "stem", context, handed)
        for i in range(blocks):
            hidden = self.model.layer(f"{prefix}block{i}_spatial", features, lowest=0)
            features = np.clip(features + self.model.layer(f"{prefix}block{i}_mix", hidden), -512, 511)
        return features

    def changed(
        self, prefix: str, size: tuple[int, int], features: Ints, arounds: dict[int, Around], kept: Ints
    ) -> dict[int, Ints]:
        """Values (3, h, w) of the phases of one coupling."""
        values = {phase: kept.copy() for phase in arounds}
        residuals: list[list[Ints]] = [[] for _ in arounds]
        for plane in range(self.planes):
            earlier = [np.stack([r for of_phase in residuals for r in of_phase])] if plane else []
            hidden = self.model.layer(f"{prefix}head{plane}_hidden", features, *earlier, lowest=0)
            outputs = self.model.layer(f"{prefix}head{plane}_out", hidden)
            innovation = None
            for i, (phase, around) in enumerate(arounds.items()):
                height, width = phase_size(phase, size)
                inside = np.s_[:height, :width]
                if height and width:
                    activity = around.activity[plane][inside]
                    shift, log_scale = outputs[i][inside], outputs[len(arounds) + i][inside]
                    mean = 4 * around.base4[plane][inside] + ((shift * FACTOR[activity] + 64) >> 7)
                    scale = np.clip(12 + 3 * activity + ((6 * log_scale + 16) >> 5), 0, 71)
                    self.remaining -= height * width
                    if height * width >= 4096:
                        rows = regressors(around, values[phase], innovation, plane, self.planes)
                        mean, scale = self.fitted(mean, scale, rows[:, :height, :width])
                    low, high = LEGAL[plane]
                    mean = np.clip(mean, 16 * low, 16 * high)
                    x = self.symbols(mean, scale, LEGAL[plane])
                    values[phase][plane][inside] = x
                    if phase == 1:
                        innovation = np.zeros_like(features[0])
                        innovation[inside] = (16 * x - mean) >> 2
                now = 4 * values[phase] - around.base4
                residuals[i].append(around.normalised(now)[plane])
        return values

    def fitted(self, mean: Ints, scale: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Mean and scale after the corrections that the stack holds."""
        spread = self.stack.pop(72)
        count = len(rows)
        coefficients = self.symbols(np.zeros(count, np.int64), np.full(count, spread), (-512, 511))
        require(np.abs(coefficients).sum() <= 8224, "the coefficients are too large")
        corrections = np.array(self.stack.pops(12, 16)) - 8
        moved = mean + ((np.tensordot(coefficients, rows, 1) + 32) >> 6)
        return moved, np.clip(scale + corrections[scale // 6], 0, 71)

    def symbols(self, mean: Ints, scale: Ints, legal: tuple[int, int]) -> Ints:
        """Symbols in the shape of their means."""
        found = pop_symbols(
            self.stack, self.growth, self.model, mean.ravel(), scale.ravel(), legal, self.remaining
        )
        return found.reshape(mean.shape)


def phase_size(phase: int, size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1 - phase // 2) // 2, (size[1] + 1 - phase % 2) // 2


def shuffled(x: Ints) -> Ints:
    """(4 C, h, w) to (C, 2 h, 2 w): four channels to the four pixels of a block."""
    channels, height, width = x.shape
    blocks = x.reshape(channels // 4, 2, 2, height, width)
    return blocks.transpose(0, 3, 1, 4, 2).reshape(channels // 4, 2 * height, 2 * width)


def regressors(around: Around, values: Ints, innovation: Ints | None, plane: int, planes: int) -> Ints:
    """The rows (n, h, w) that coefficients multiply."""
    rows = [d for tap in around.differences[:, :planes] for d in tap]
    rows += [
        moved(4 * values[p] - around.base4[p], dy, dx)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        for p in range(plane)
    ]
    if innovation is not None:
        rows += [moved(innovation, dy, dx) for dy in (0, 1) for dx in (-1, 0)]
    return np.stack(rows)


def moved(x: Ints, dy: int, dx: int) -> Ints:
    """x at (y + dy, x + dx), zero beyond the grid."""
    height, width = x.shape
    return np.pad(x, 1)[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


# RealNVP ----------------------------------------------------------------------------------------------------

#: Phases that the couplings A, B, R and L change; K changes chroma.
PHASES_OF = {"A": (1, 2), "B": (0, 3), "R": (1, 3), "L": (0, 2)}
ORDERS = ("ABARLK", "ABARLK", "ABAB")


@dataclass(frozen=True)
class Tile:
    """Row and column, sides that are coded, and pixels of the tiles before it in the list."""

    y: int
    x: int
    size: tuple[int, int]
    pixels: int


def tiles(height: int, width: int) -> list[Tile]:
    """The list of tiles, in the encoder's order."""
    squares = [(0, 0, 8)]
    for side in (8, 16, 32, 64, 128):
        squares += [(0, side, side), (side, 0, side), (side, side, side)]
    squares += [(y, x, 256) for y in range(0, height, 256) for x in range(0, width, 256) if y or x]
    found: list[Tile] = []
    pixels = 0
    waiting = squares[::-1]
    while waiting:
        y, x, side = waiting.pop()
        if y >= height or x >= width:
            continue
        size = -(-min(side, height - y) // 8) * 8, -(-min(side, width - x) // 8) * 8
        if side == 8 or 2 * math.prod(size) <= pixels:
            found.append(Tile(y, x, size, pixels))
            pixels += math.prod(size)
        else:
            half = side // 2
            waiting += [(y + dy, x + dx, half) for dy in (half, 0) for dx in (half, 0)]
    return found


def changed_channels(coupling: str, channels: int) -> list[int]:
    """Channels of the squeezed grid that a coupling changes, at a scale that begins with so many."""
    if coupling == "K":
        return [c for c in range(channels, 4 * channels) if c % 3]
    return [phase * channels + c for phase in PHASES_OF[coupling] for c in range(channels)]


@dataclass
class RealNvp:
    stack: Stack
    model: Model
    planes: int

    def region(self, height: int, width: int) -> Ints:
        planes = np.zeros((self.planes, height, width), np.int64)
        for tile in reversed(tiles(height, width)):
            window = planes[:, tile.y : tile.y + tile.size[0], tile.x : tile.x + tile.size[1]]
            window[:] = self.tile(tile.size, self.planes * tile.pixels)[
                :, : window.shape[1], : window.shape[2]
            ]
        return planes

    def tile(self, size: tuple[int, int], before: int) -> Ints:
        """Pixels (planes, *size) of a tile."""
        x = np.zeros((0, 0, 0), np.int64)
        for scale in (2, 1, 0):
            x = self.with_latents(scale, (size[0] >> scale + 1, size[1] >> scale + 1), x, before)
            for j in reversed(range(len(ORDERS[scale]))):
                self.undo_coupling(scale, j, x, before)
            blocks = x.reshape(4, -1, *x.shape[1:])
            x = np.zeros((len(x) // 4, 2 * x.shape[1], 2 * x.shape[2]), np.int64)
            for phase in range(4):
                x[:, phase // 2 :: 2, phase % 2 :: 2] = blocks[phase]
        bits = self.model.config["dequant_bits"]
        x[0] += 128 << bits
        pixels: Ints = x[: self.planes] >> bits
        for plane, (low, high) in zip(pixels, LEGAL, strict=False):
            require(plane.min() >= low and plane.max() <= high, "a pixel that is not legal")
        for noise in reversed((x[: self.planes] % (1 << bits)).ravel().tolist()):
            self.stack.push(noise, 1 << bits)
        return pixels

    def with_latents(self, scale: int, size: tuple[int, int], kept: Ints, before: int) -> Ints:
        """All channels of a scale: what came from the scale above, and the latents."""
        channels = 3 << scale
        leaving = list(range(48)) if scale == 2 else changed_channels("R", channels)
        first = (0, 6, 18)[scale]
        coded = [(i, c) for i, c in enumerate(leaving, first) if c % 3 < self.planes]
        count = math.prod(size)
        means, scales = (
            np.repeat([self.model.tensors[name][i] for i, _ in coded], count)
            for name in ("base_mean", "base_scale")
        )
        legal = (-(1 << 23), (1 << 23) - 1)
        latents = pop_symbols(self.stack, 4, self.model, means, scales, legal, before)
        x = np.zeros((4 * channels, *size), np.int64)
        if scale < 2:
            x[changed_channels("L", channels)] = kept
        x[[c for _, c in coded]] = latents.reshape(len(coded), *size)
        return x

    def undo_coupling(self, scale: int, j: int, x: Ints, before: int) -> None:
        """Undo coupling j in place."""
        config, name = self.model.config, f"scale{scale}.coupling{j}."
        changed = changed_channels(ORDERS[scale][j], 3 << scale)
        coded = [c for c in changed if c % 3 < self.planes]
        if not coded:
            return
        kept = [c for c in range(len(x)) if c not in changed]
        cells = 4 * x[kept] >> config["dequant_bits"]
        coarse, fine = np.clip(cells, -512, 511), np.clip(4 * cells, -512, 511)
        features = self.model.layer(name + "stem", coarse, fine)
        for i in range(config["blocks"]):
            hidden = self.model.layer(f"{name}block{i}_spatial", features, lowest=0)
            features = np.clip(features + self.model.layer(f"{name}block{i}_mix", hidden), -512, 511)
        hidden = self.model.layer(name + "head0_hidden", features, lowest=0)
        shift, log_scale = np.split(self.model.layer(name + "head0_out", hidden), 2)
        eighths = 2 * self.model.layer(name + "linear", coarse) + shift
        moves = ((eighths << config["dequant_bits"]) + 4) >> 3
        factors = self.model.tensors["scale_num"][sum(map(len, ORDERS[:scale])) + j][log_scale + 512]
        places = [changed.index(c) for c in coded]
        undone = self.divided(x[coded].ravel(), factors[places].ravel(), before)
        x[coded] = undone.reshape(x[coded].shape) - moves[places]
        require(np.abs(x[coded]).max() <= 1 << 40, "a value that is too large")

    def divided(self, z: Ints, factors: Ints, before: int) -> Ints:
        """The affine steps of an array undone, but for the shifts."""
        bits, size = self.model.config["scale_bits"], max(4, before // 48)
        x = z.tolist()
        for start in reversed(range(0, len(x), size)):
            chunk = range(start, min(start + size, len(x)))
            products = [(x[i] << bits) + self.stack.pop(1 << bits) for i in chunk]
            for i, y in reversed(list(zip(chunk, products, strict=True))):
                x[i] = y // int(factors[i])
                self.stack.push(y % int(factors[i]), int(factors[i]))
        return np.array(x, np.int64)
