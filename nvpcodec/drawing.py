"""Drawings: regions of few colours, each pixel foretold from those around it by counts that adapt.

    samples → repeats taken out → colours and indices → for each pixel: is a guess right? else which colour?

The pixels of one step, those with the same x + 2y, depend on earlier steps only and are coded at once.  A
pixel is compared with up to five guesses: the colours that followed the same surroundings before, and its
neighbours.  The chance of a hit is mixed from six contexts in the logistic domain, by weights that learn as
they go; the counts behind it forget (Mahoney 2005, "Adaptive weighing of context models for lossless data
compression").  What no guess hits is coded by frequencies.  All of it is integers: a decoder repeats every
count.  docs/format.md, "Drawings", has each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nvpcodec import palettes
from nvpcodec.container import varint_from_bytes, varint_to_bytes
from nvpcodec.errors import DamagedFileError
from nvpcodec.stack import FLAG_BITS, Ints, Stack, from_bytes, to_bytes

Samples: TypeAlias = NDArray[np.unsignedinteger[Any]]
Words: TypeAlias = NDArray[np.uint32]
Wide: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.int16]

MAX_COLOURS = 2**12
MAX_STEPS = 2**16
"""Most steps, x + 2y, of a region: few bytes must not order endless loops."""

#: Rows and columns from a pixel to what it is foretold from; (0, -1) is its left neighbour.
AROUND = (
    (0, -1),
    (-1, 0),
    (-1, -1),
    (-1, 1),
    (0, -2),
    (-2, 0),
    (-2, 1),
    (-2, -1),
    (-1, -2),
    (-2, 2),
    (0, -3),
    (-3, 0),
)
LEFT, UPPER, UPPER_RIGHT = 0, 1, 3
_MARGIN = 3
#: Contexts 0 to 3 are the colours of so many of the first pixels around.
_CONTEXT_SIZES = (2, 4, 6, 9)
_CONTEXTS = len(_CONTEXT_SIZES) + 2
#: Pixels around that context 5 compares, first with second: bit 0, bit 1, ...
_PAIRS = np.array([(0, 0, 1, 1, 0, 1, 2, 3, 2, 2), (1, 2, 2, 3, 4, 5, 3, 6, 7, 8)])
_GUESSES = 5

_COUNT_BITS = 6
_FIRST_WEIGHT = 0x4CCC
_MAX_WEIGHT = 2**20
_LEARNING = 2**10
_STRETCH_LIMIT = 2**12 - 1
_MIN_MASS = 2**8
_BUCKETS = 64
_PLUS_BY_NEIGHBOUR, _PLUS = 40, 1
_NOVEL_CHUNK = 64
_GOLDEN = np.uint32(0x9E3779B1)
_SPREAD = 0x85EBCA6B


@cache
def _multipliers() -> Words:
    """16 odd numbers: powers of one, from the golden ratio on, modulo 2^32."""
    values = [int(_GOLDEN)]
    while len(values) < 16:
        values.append(values[-1] * _SPREAD % 2**32)
    return np.array(values, np.uint32)


@cache
def stretches() -> Wide:
    """For each state, log2 of the odds of a hit in 1/256 bit: the difference of the counts' logarithms.

    A state is 64 misses + hits, both at most 63.  No logarithm lies within 1e-4 of a rounding boundary
    (tested), so that every platform's logarithms give the same table.
    """
    logs = np.rint(256 * np.log2(5 * np.arange(2**_COUNT_BITS) + 2)).astype(np.int64)
    table: Wide = (logs[None, :] - logs[:, None]).reshape(-1)
    return table


@cache
def _next_states() -> NDArray[np.uint16]:
    """The state that follows each: 4096 after a miss, then 4096 after a hit.

    The other count, where above 2, is halved and one added: what was long ago counts less.
    """
    most = 2**_COUNT_BITS - 1
    misses, hits = np.divmod(np.arange(4**_COUNT_BITS), 2**_COUNT_BITS)

    def aged(count: Ints) -> Ints:
        older: Ints = np.where(count > 2, count // 2 + 1, count)
        return older

    after_miss = np.minimum(misses + 1, most) << _COUNT_BITS | aged(hits)
    after_hit = aged(misses) << _COUNT_BITS | np.minimum(hits + 1, most)
    return np.concatenate([after_miss, after_hit]).astype(np.uint16)


@cache
def masses_of_odds() -> Wide:
    """Mass of a hit, of 2^24, for each log2 of the odds from -4095 to 4095 in 1/256 bit, by interpolation."""
    half = [2**FLAG_BITS // (2**bits + 1) for bits in range(17)]
    edges = np.array(half[:0:-1] + [2**FLAG_BITS - mass for mass in half])
    whole, part = np.divmod(np.arange(-_STRETCH_LIMIT, _STRETCH_LIMIT + 1) + 4096, 256)
    masses: Wide = edges[whole] + ((edges[whole + 1] - edges[whole]) * part >> 8)
    return np.clip(masses, _MIN_MASS, 2**FLAG_BITS - _MIN_MASS)


class _Coder(Protocol):
    """Where the choices of one region come from, or go to."""

    def hits(self, masses: Wide, wanted: Flags) -> Flags:
        """Which guesses are right, given the mass of a hit; an encoder wants these."""
        ...

    def novelties(self, frequencies: Wide, wanted: Indices) -> Indices:
        """Colours (n,) by their frequencies (n, colours); an encoder wants these."""
        ...


class _Writer:
    """Keeps what must be pushed; the stack takes it last first."""

    def __init__(self) -> None:
        self._records: list[tuple[Flags, Wide] | tuple[Ints, Ints, Ints]] = []

    def hits(self, masses: Wide, wanted: Flags) -> Flags:
        self._records.append((wanted, masses))
        return wanted

    def novelties(self, frequencies: Wide, wanted: Indices) -> Indices:
        ends = np.cumsum(frequencies, 1)
        rows = np.arange(len(wanted))
        masses = frequencies[rows, wanted].astype(np.int32)
        starts = ends[rows, wanted].astype(np.int32) - masses
        self._records.append((starts, masses, ends[:, -1].astype(np.int32)))
        return wanted

    def to_bytes(self) -> bytes:
        stack = Stack()
        for record in reversed(self._records):
            if len(record) == 2:
                stack.push_flags(*record)
            else:
                starts, masses, totals = record
                stack.push_each(starts + stack.pop_each(masses), totals)
        return to_bytes(stack)


class _Reader:
    """Mirror image of `_Writer`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def hits(self, masses: Wide, wanted: Flags) -> Flags:
        return self._stack.pop_flags(masses)

    def novelties(self, frequencies: Wide, wanted: Indices) -> Indices:
        ends = np.cumsum(frequencies, 1)
        totals = ends[:, -1].astype(np.int32)
        if not totals.all():
            raise DamagedFileError("a drawing has a pixel that no colour is left for; get a good copy")
        targets = self._stack.pop_each(totals)
        colours: Indices = (ends <= targets[:, None]).sum(1).astype(np.int16)
        rows = np.arange(len(colours))
        masses = frequencies[rows, colours].astype(np.int32)
        self._stack.push_each(targets - (ends[rows, colours].astype(np.int32) - masses), masses)
        return colours


class _Statistics:
    """All that is learned while a region is coded."""

    def __init__(self, pixels: int, colours: int) -> None:
        slot_bits = min(18, max(10, 1 + (pixels - 1).bit_length()))
        self._shift = np.uint32(32 - slot_bits)
        self._tables = (np.arange(_CONTEXTS) << slot_bits)[:, None]
        self._states = np.zeros(_CONTEXTS << slot_bits, np.uint16)
        self._weights = np.full((_GUESSES, _CONTEXTS), _FIRST_WEIGHT, np.int64)
        self.followed = np.full((2, 1 << slot_bits), -1, np.int16)
        self._most = 2**22 // colours
        buckets = min(colours, _BUCKETS)
        self._bucket = np.arange(colours) * buckets // colours
        self._frequencies = np.ones(colours, np.int64)
        self._by_neighbour = np.zeros((2, buckets, colours), np.int64)

    def slots(self, hashes: Words) -> Wide:
        slots: Wide = ((hashes * _GOLDEN) >> self._shift).astype(np.int64)
        return slots

    def hits(self, guess: int, hashes: Words, wanted: Flags, coder: _Coder) -> Flags:
        """Code which of n guesses of one number are right, and learn from it; hashes are (contexts, n)."""
        slots = self.slots(hashes) + self._tables
        states = self._states.take(slots)
        inputs = stretches().take(states)
        odds = _clip((self._weights[guess] @ inputs) >> 16, _STRETCH_LIMIT)
        masses = masses_of_odds().take(odds + _STRETCH_LIMIT)
        hits = coder.hits(masses, wanted)
        # Where several pixels share a slot, the last of them decides what it becomes.
        self._states[slots] = _next_states().take((hits.astype(np.int64) << 2 * _COUNT_BITS) + states)
        errors = (hits.astype(np.int64) << 16) - (masses >> 8)
        learned = self._weights[guess] + (inputs @ errors) // (_LEARNING * max(8, len(hits)))
        self._weights[guess] = _clip(learned, _MAX_WEIGHT)
        return hits

    def novelties(self, around: Indices, guesses: Indices, wanted: Indices, coder: _Coder) -> Indices:
        """Code n colours that are none of their guesses (5, n), and count them; `around` is (12, n)."""
        left, upper = self._bucket[around[LEFT]], self._bucket[around[UPPER]]
        colours = np.empty_like(wanted)
        for start in range(0, len(wanted), _NOVEL_CHUNK):
            chunk = slice(start, start + _NOVEL_CHUNK)
            frequencies = self._frequencies + self._by_neighbour[0, left[chunk]]
            frequencies += self._by_neighbour[1, upper[chunk]]
            rows = np.arange(len(frequencies))
            for guess in guesses[:, chunk]:
                frequencies[rows, guess] = 0
            colours[chunk] = coder.novelties(frequencies, wanted[chunk])
        # Indices that occur twice are raised once.
        most = self._most
        self._frequencies[colours] = np.minimum(self._frequencies[colours] + _PLUS, most)
        for table, bucket in zip(self._by_neighbour, (left, upper), strict=True):
            table[bucket, colours] = np.minimum(table[bucket, colours] + _PLUS_BY_NEIGHBOUR, most)
        return colours


def _grid(rows: int, columns: int) -> tuple[Indices, Indices]:
    """A grid of zeros with a margin, and the part within the margin, (rows, columns)."""
    padded = np.zeros((rows + _MARGIN, columns + 2 * _MARGIN), np.int16)
    return padded, padded[_MARGIN:, _MARGIN:-_MARGIN]


def _walk(padded: Indices, colours: int, coder: _Coder) -> None:
    """Codes a grid with no more rows than columns: an encoder has filled it, a decoder fills it here."""
    stride = padded.shape[1]
    rows, columns = len(padded) - _MARGIN, stride - 2 * _MARGIN
    flat = padded.reshape(-1)
    offsets = np.array([[dy * stride + dx] for dy, dx in AROUND])
    statistics = _Statistics(rows * columns, colours)
    for step in range(columns + 2 * (rows - 1)):
        top, bottom = max(0, (step - columns + 2) // 2), min(rows, step // 2 + 1)
        first = (top + _MARGIN) * stride + _MARGIN + step - 2 * top
        places = first + (stride - 2) * np.arange(bottom - top)
        flat[places] = _code_step(flat[places + offsets], flat[places], statistics, coder)


def _code_step(around: Indices, wanted: Indices, statistics: _Statistics, coder: _Coder) -> Indices:
    """The colours (n,) of one step's pixels, of which `around` (12, n) is known."""
    contexts = _contexts(around)
    slots = statistics.slots(contexts[[2, 1]])
    guesses = _guesses(around, statistics.followed[[[0], [1]], slots])
    pairs = _bits(around[_PAIRS[0]] == around[_PAIRS[1]])
    colours = wanted.copy()
    live = np.arange(len(wanted))
    for number, guess in enumerate(guesses):
        asked = live[(guesses[:number, live] != guess[live]).all(0)] if number else live
        if not len(asked):
            continue
        now = guess[asked]
        hashes = _hashes(number, now, contexts[:, asked], pairs[asked], around[:, asked])
        right = asked[statistics.hits(number, hashes, wanted[asked] == now, coder)]
        colours[right] = guess[right]
        missed = np.ones(len(wanted), np.bool_)
        missed[right] = False
        live = live[missed[live]]
        if not len(live):
            break
    if len(live):
        colours[live] = statistics.novelties(around[:, live], guesses[:, live], wanted[live], coder)
    statistics.followed[[[0], [1]], slots] = colours
    return colours


@cache
def _context_factors() -> Words:
    """(4, 9): context j takes so many of the first multipliers."""
    multipliers = _multipliers()[: _CONTEXT_SIZES[-1]]
    taken = np.arange(len(multipliers)) < np.array(_CONTEXT_SIZES)[:, None]
    return (multipliers * taken).astype(np.uint32)


def _contexts(around: Indices) -> Words:
    """The first four contexts (4, n): sums over the first 2, 4, 6 and 9 colours around."""
    sums: Words = _context_factors() @ around[: _CONTEXT_SIZES[-1]].astype(np.uint32)
    return sums


def _hashes(number: int, guess: Indices, contexts: Words, pairs: Words, around: Indices) -> Words:
    """The six contexts (6, n) of the guess of this number."""
    multipliers = _multipliers()
    own = np.uint32(number * int(multipliers[10]) % 2**32)
    same = _bits(around == guess)
    hashes = np.empty((_CONTEXTS, len(guess)), np.uint32)
    hashes[:-2] = contexts + (guess.astype(np.uint32) * multipliers[9] + own)
    hashes[-2] = same * multipliers[11] + own
    hashes[-1] = (pairs << 6 | same & 63) * multipliers[12] + own
    return hashes


def _guesses(around: Indices, followed: Indices) -> Indices:
    """Five guesses (5, n): what followed these six and these four colours last, else the left neighbour;
    the left, the upper and the upper right neighbour."""
    neighbours = around[[LEFT, UPPER, UPPER_RIGHT]]
    return np.concatenate([np.where(followed < 0, around[LEFT], followed), neighbours])


def _clip(values: Wide, limit: int) -> Wide:
    """To -limit ... limit; np.clip takes several times as long on a few values."""
    clipped: Wide = np.minimum(np.maximum(values, -limit), limit)
    return clipped


def _bits(flags: Flags) -> Words:
    """(m, n) flags as n numbers; the first row is bit 0."""
    powers = (1 << np.arange(len(flags), dtype=np.uint32)).astype(np.uint32)
    numbers: Words = powers @ flags.astype(np.uint32)
    return numbers


# --- payloads -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """A region as indices (h, w) into colours (n, channels), once its repeats are taken out."""

    repeat: tuple[int, int]
    colours: Samples
    indices: Indices


def likely(samples: Samples) -> bool:
    """Whether a look at some pixels lets (h, w, c) samples pass for a drawing, or for one in part."""
    keys = _keys(samples)
    return _few_colours(keys) <= _next_to_none(samples) or _share_alike(keys) >= _SHARE_ALIKE


def stands_beside_photographs(samples: Samples) -> bool:
    """Whether some squares of (h, w, c) samples are like a drawing, others not, and colours too many for one.

    Looks at rows from all over a large image.
    """
    rows = max(1, samples.shape[0] // _SQUARE)
    step = max(1, rows * samples.shape[1] * _SQUARE // _LOOKED_AT_IN_SQUARES)
    shares = [_shares_in_squares(samples[_SQUARE * row :][: _SQUARE + 1]) for row in range(0, rows, step)]
    share = np.concatenate(shares)
    if not (share.size and (share > 0.8).mean() > 0.2 and (share < 0.3).mean() > 0.05):
        return False
    spread = samples[:: max(1, samples.shape[0] * samples.shape[1] // _LOOKED_AT_IN_SQUARES)]
    return len(np.unique(_keys(spread))) > MAX_COLOURS


def encode(samples: Samples) -> bytes | None:
    """The payload of a drawing, uint8 or uint16 (h, w, c), or None.

    None for what is no drawing: it has too many colours, or pixels that are seldom like their neighbours.
    """
    plan = _plan(samples)
    if plan is None:
        return None
    writer = _Writer()
    padded, grid = _grid(*sorted(plan.indices.shape))
    grid[:] = _lying(plan.indices)
    _walk(padded, len(plan.colours), writer)
    palette = palettes.to_bytes(plan.colours)
    numbers = (*plan.repeat, len(plan.colours), len(palette))
    return b"".join([varint_to_bytes(number) for number in numbers]) + palette + writer.to_bytes()


def decode(payload: bytes, shape: tuple[int, int, int], bit_depth: int) -> Samples:
    """Mirror image of `encode`: the samples of a region of `shape` (height, width, channels).

    Raises
    ------
    DamagedFileError
        The payload is not what `encode` gives for such a region.
    """
    height, width, channels = shape
    down, position = varint_from_bytes(payload, 0)
    across, position = varint_from_bytes(payload, position)
    count, position = varint_from_bytes(payload, position)
    length, position = varint_from_bytes(payload, position)
    if not (down and across and height % down == 0 and width % across == 0):
        raise DamagedFileError("the repeats of a drawing do not fit its size; get a good copy of the file")
    rows, columns = height // down, width // across
    if not 0 < count <= MAX_COLOURS or not _walkable(rows, columns):
        raise DamagedFileError("a drawing has more colours or steps than may be; get a good copy of the file")
    if position + length > len(payload):
        raise DamagedFileError("the palette of a region goes beyond its end; get a good copy of the file")
    palette = palettes.from_bytes(payload[position : position + length], (count, channels), bit_depth)
    stack = from_bytes(payload[position + length :])
    padded, grid = _grid(*sorted((rows, columns)))
    _walk(padded, count, _Reader(stack))
    stack.require_empty()
    samples = palette[grid if rows <= columns else grid.T]
    return np.ascontiguousarray(samples.repeat(down, 0).repeat(across, 1))


def _lying(indices: Indices) -> Indices:
    """Rows and columns exchanged if there are more rows: the shorter side bounds what is coded at once."""
    return indices if len(indices) <= indices.shape[1] else indices.T


#: Fewer pixels with the colour of a neighbour are no drawing, unless there are next to no colours: as many as
#: make no grey photograph, or as a palette has.
_SHARE_ALIKE = 0.4
_FEW_GREYS = 64
_FEW_COLOURS = 256
_LOOKED_AT = 2**14
_LOOKED_AT_IN_SQUARES = 2**20
_SQUARE = 32


def _plan(samples: Samples) -> _Plan | None:
    keys = _keys(samples)
    repeat = _repeat(keys), _repeat(keys.T)
    keys = keys[:: repeat[0], :: repeat[1]]
    if not _walkable(*keys.shape):
        return None
    few = _few_colours(keys)
    if few > MAX_COLOURS or (few > _next_to_none(samples) and _share_alike(keys) < _SHARE_ALIKE):
        return None
    found, first, indices = np.unique(keys, return_index=True, return_inverse=True)
    if len(found) > MAX_COLOURS:
        return None
    colours = samples[:: repeat[0], :: repeat[1]].reshape(-1, samples.shape[2])[first]
    order = _along_a_curve(colours)
    rank = np.empty(len(order), np.int16)
    rank[order] = np.arange(len(order), dtype=np.int16)
    return _Plan(repeat, np.ascontiguousarray(colours[order]), rank[indices].reshape(keys.shape))


def _next_to_none(samples: Samples) -> int:
    return _FEW_COLOURS if samples.shape[2] > 2 else _FEW_GREYS


def _keys(samples: Samples) -> NDArray[np.uint64]:
    """A number for each pixel: its samples side by side."""
    keys = np.zeros(samples.shape[:2], np.uint64)
    bits = np.uint64(8 * samples.dtype.itemsize)
    for channel in np.moveaxis(samples, 2, 0):
        keys = keys << bits | channel
    return keys


def _repeat(keys: NDArray[np.uint64]) -> int:
    """The largest number so that rows, in groups of so many from the first on, are alike."""
    changes = np.flatnonzero((keys[1:] != keys[:-1]).any(1)) + 1
    return gcd(len(keys), *(int(change) for change in changes))


def _walkable(rows: int, columns: int) -> bool:
    return max(rows, columns) + 2 * min(rows, columns) <= MAX_STEPS


def _few_colours(keys: NDArray[np.uint64]) -> int:
    """How many colours there are among some pixels."""
    return len(np.unique(keys.reshape(-1)[:: max(1, keys.size // _LOOKED_AT)]))


def _share_alike(keys: NDArray[np.uint64]) -> float:
    """Share of the pixels with the colour of the left, upper or upper left one."""
    alike = _alike(keys)
    return float(alike.mean()) if alike.size else 1.0


def _shares_in_squares(samples: Samples) -> NDArray[np.float64]:
    """That share in each square of a row of them, from its second pixels on."""
    alike = _alike(_keys(samples))
    columns = alike.shape[1] // _SQUARE
    if len(alike) < _SQUARE or not columns:
        return np.zeros(0)
    squares = alike[:_SQUARE, : columns * _SQUARE].reshape(_SQUARE, columns, _SQUARE)
    shares: NDArray[np.float64] = squares.mean((0, 2))
    return shares


def _alike(keys: NDArray[np.uint64]) -> Flags:
    here = keys[1:, 1:]
    alike: Flags = (here == keys[1:, :-1]) | (here == keys[:-1, 1:]) | (here == keys[:-1, :-1])
    return alike


def _along_a_curve(colours: Samples) -> NDArray[Any]:
    """Order of colours (n, channels) along a Z-order curve, which keeps like ones together (Morton 1966)."""
    bits = 8 * colours.dtype.itemsize
    columns = [
        colours[:, channel] >> bit & 1 for bit in range(bits) for channel in range(colours.shape[1])[::-1]
    ]
    return np.lexsort(columns)
