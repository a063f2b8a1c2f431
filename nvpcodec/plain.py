"""Codings that need no model: stored; predicted by a fixed rule, then deflated or packed by LZMA; drawings;
deep regions.

    samples → packed to fewer bits → green subtracted → filtered → bytes → stored | deflate | LZMA
    samples → drawing.py
    samples of 16 bits → deep.py, alpha coded by itself

A payload of the first kind is a form byte, which names the choices before the arrow to bytes, and then the
coded bytes.  All arithmetic on samples is modulo 2^8 or 2^16, so each step has an exact inverse.  The filters
are those of PNG that decode without a loop over pixels, and in Paeth's place the median predictor of LOCO-I
(Weinberger, Seroussi and Sapiro, 2000), whose inverse runs along anti-diagonals.  One filter serves the whole
region: with the median predictor a choice per row gained less than 0.2 % on photographs.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nvpcodec import deep, drawing, flow_payload
from nvpcodec.container import (
    MODE_DEEP,
    MODE_DEFLATE,
    MODE_DRAWING,
    MODE_LZMA,
    MODE_STORED,
    RegionPart,
)
from nvpcodec.errors import DamagedFileError, FormatError

Samples: TypeAlias = drawing.Samples
_Wide: TypeAlias = NDArray[np.signedinteger[Any]]

FILTER_NONE, FILTER_SUB, FILTER_UP, FILTER_MEDIAN = range(4)

MAX_MEDIAN_STEPS = 2**16
"""Largest height + width that may use the median filter: its inverse takes a step for each anti-diagonal."""

_SAMPLE_BITS = (1, 2, 4, 8, 16)
_MIN_DICTIONARY_BYTES, _MAX_DICTIONARY_BYTES = 2**12, 2**23
_RANKING_SAMPLES = 2**16
_BANDS = 4
# Noise: a quick deflate saves less than this, and LZMA would take seconds to save next to nothing.
_NOISE = 0.995
# A quick deflate misses the long repeats of unfiltered drawings: only a gap beyond this ratio is a verdict.
_HOPELESS = 1.3
# Shares of a quick deflate: below the first other codings need not be tried, of the samples below the second
# a deep one need not be.
_DEEP_SETTLED = 0.9
_DEEP_NEEDLESS = 1 / 64


@dataclass(frozen=True, slots=True)
class _Form:
    """The choices that one payload's first byte names."""

    sample_bits: int
    filter: int = FILTER_NONE
    subtract_green: bool = False

    def to_byte(self) -> bytes:
        code = _SAMPLE_BITS.index(self.sample_bits)
        return bytes((code | self.filter << 3 | self.subtract_green << 5,))

    @classmethod
    def from_byte(cls, byte: int) -> _Form:
        code = byte & 7
        if byte >> 6 or code >= len(_SAMPLE_BITS):
            raise DamagedFileError(f"the form {byte:#04x} of a plain region is reserved; get a good copy")
        return cls(_SAMPLE_BITS[code], byte >> 3 & 3, bool(byte >> 5 & 1))


def encode(samples: Samples, bit_depth: int) -> tuple[int, bytes]:
    """The shortest plain coding found.

    Parameters
    ----------
    samples
        uint8 or uint16 (height, width, channels); 0 and 1 only where ``bit_depth`` is 1.
    bit_depth
        1, 8 (both uint8) or 16 (uint16).

    Returns
    -------
    (mode, payload), at most one byte longer than the packed samples.
    """
    found = [(MODE_STORED, _store(samples, bit_depth))]
    if bit_depth == 16 and (expected := estimate(samples, bit_depth)) > _DEEP_NEEDLESS * samples.size:
        found.append((MODE_DEEP, _encode_deep(samples)))
        if len(found[-1][1]) < _DEEP_SETTLED * expected and not drawing.likely(samples):
            return found[-1]
    # LZMA is ahead wherever there is much to learn from; deflate has the smaller start.
    compressors = _COMPRESSORS if samples.size <= _RANKING_SAMPLES else _COMPRESSORS[1:]
    forms = _promising_forms(samples, bit_depth)
    for form in forms:
        raw = _to_bytes(samples, form)
        found += [(mode, form.to_byte() + compress(raw, samples.shape[2])) for mode, compress in compressors]
    if forms and (payload := drawing.encode(samples)) is not None:
        found.append((MODE_DRAWING, payload))
    return min(found, key=lambda coding: len(coding[1]))


def estimate(samples: Samples, bit_depth: int) -> int:
    """Roughly how many bytes ``encode`` would give, in a hundredth of its time.

    It is the size of a quick deflate of some rows, scaled up: photographs end up at 0.7 of it or more,
    drawings at a third, and patterns that repeat over long distances far lower.

    Parameters as for ``encode``.
    """
    rows = _ranking_rows(samples)
    smallest = min(_quick_size(rows, form) for form in _forms(samples, bit_depth))
    return smallest * len(samples) // len(rows)


def decode(mode: int, payload: bytes, shape: tuple[int, int, int], bit_depth: int) -> Samples:
    """The samples of a region of ``shape`` (height, width, channels): uint8, or uint16 at ``bit_depth`` 16.

    Takes memory for a few copies of the region, whatever the payload claims.

    Raises
    ------
    DamagedFileError
        The payload is not what ``encode`` gives for such a region.
    FormatError
        ``mode`` is not one of the plain ones.
    """
    if mode == MODE_DRAWING:
        return drawing.decode(payload, shape, bit_depth)
    if mode == MODE_DEEP and bit_depth == 16:
        return _decode_deep(payload, shape)
    decompress = _DECOMPRESSORS.get(mode)
    if decompress is None:
        raise FormatError(f"region mode {mode} is not a plain one")
    if not payload:
        raise DamagedFileError("a plain region has no bytes; get a complete copy")
    form = _Form.from_byte(payload[0])
    _check_form(form, mode, shape, bit_depth)
    height, width, channels = shape
    expected_bytes = height * _row_bytes(width * channels, form.sample_bits)
    raw = decompress(payload[1:], channels, expected_bytes)
    if len(raw) != expected_bytes:
        raise DamagedFileError(
            f"a plain region does not hold the {expected_bytes} bytes that its size needs; get a good copy"
        )
    return _from_bytes(raw, form, shape)


def _encode_deep(samples: Samples) -> bytes:
    """A deep region: alpha, if there is any, in the shortest of all codings."""
    wide = samples.astype(np.uint16, copy=False)
    if samples.shape[2] % 2:
        return deep.encode(wide)
    alpha = RegionPart(*encode(np.ascontiguousarray(samples[..., -1:]), 16))
    return flow_payload.join(MODE_DEEP, deep.encode(wide[..., :-1]), alpha)


def _decode_deep(payload: bytes, shape: tuple[int, int, int]) -> Samples:
    """Mirror image of ``_encode_deep``."""
    height, width, channels = shape
    coded, alpha = flow_payload.split(MODE_DEEP, payload, has_alpha=channels % 2 == 0)
    if alpha is None:
        return deep.decode(coded, shape)
    colours = deep.decode(coded, (height, width, channels - 1))
    return np.concatenate([colours, decode(alpha.mode, alpha.payload, (height, width, 1), 16)], 2)


def _check_form(form: _Form, mode: int, shape: tuple[int, int, int], bit_depth: int) -> None:
    height, width, channels = shape
    narrow = bit_depth == 8 and form.sample_bits < 8 and channels == 1
    fits = (
        (form.sample_bits == bit_depth or narrow)
        and (mode != MODE_STORED or (form.filter == FILTER_NONE and not form.subtract_green))
        and (not form.subtract_green or channels >= 3)
        and (form.filter != FILTER_MEDIAN or height + width <= MAX_MEDIAN_STEPS)
    )
    if not fits:
        raise DamagedFileError("the form of a plain region does not fit its image; get a good copy")


# --- which forms to try -------------------------------------------------------------------------------------


def _fewest_bits(samples: Samples, bit_depth: int) -> int:
    """How many bits hold each sample; fewer than the image's only for one channel of 8 bits."""
    if bit_depth != 8 or samples.shape[2] > 1:
        return bit_depth
    needed = int(samples.max()).bit_length()
    return next(bits for bits in _SAMPLE_BITS if bits >= needed)


def _forms(samples: Samples, bit_depth: int) -> list[_Form]:
    """All forms that this region may take, unfiltered ones first."""
    height, width, channels = samples.shape
    sample_bits = _fewest_bits(samples, bit_depth)
    filters = [FILTER_NONE, FILTER_SUB, FILTER_UP]
    if height + width <= MAX_MEDIAN_STEPS:
        filters.append(FILTER_MEDIAN)
    greens = (False, True) if channels >= 3 else (False,)
    return [_Form(sample_bits, kind, green) for kind in filters for green in greens]


def _promising_forms(samples: Samples, bit_depth: int) -> list[_Form]:
    """The forms worth a thorough coding: all in a small region, else the best with and without a filter.

    None at all for noise.
    """
    forms = _forms(samples, bit_depth)
    if samples.size <= _RANKING_SAMPLES // 16:
        return forms
    rows = _ranking_rows(samples)
    sizes = {form: _quick_size(rows, form) for form in forms}
    plain = min((form for form in forms if form.filter == FILTER_NONE), key=sizes.__getitem__)
    filtered = min((form for form in forms if form.filter != FILTER_NONE), key=sizes.__getitem__)
    if min(sizes[plain], sizes[filtered]) > _NOISE * _stored_bytes(rows, forms[0]):
        return []
    if sizes[plain] > _HOPELESS * sizes[filtered]:
        return [filtered]
    return [filtered, plain]


def _ranking_rows(samples: Samples) -> Samples:
    """About ``_RANKING_SAMPLES`` samples: rows from ``_BANDS`` places, or all of a small region."""
    height, width, channels = samples.shape
    rows = max(1, _RANKING_SAMPLES // (width * channels * _BANDS))
    if rows * _BANDS >= height:
        return samples
    tops = [(2 * band + 1) * (height - rows) // (2 * _BANDS) for band in range(_BANDS)]
    return np.concatenate([samples[top : top + rows] for top in tops])


def _stored_bytes(samples: Samples, form: _Form) -> int:
    height, width, channels = samples.shape
    return int(height) * _row_bytes(int(width) * int(channels), form.sample_bits)


def _quick_size(samples: Samples, form: _Form) -> int:
    return len(zlib.compress(_to_bytes(samples, form), 1))


# --- samples to bytes ---------------------------------------------------------------------------------------


def _to_bytes(samples: Samples, form: _Form) -> bytes:
    """The bytes that a coder gets; ``_from_bytes`` is the inverse."""
    if form.sample_bits < 8:
        samples = _pack(samples, form.sample_bits)
    if form.subtract_green:
        samples = _subtract_green(samples)
    if form.filter != FILTER_NONE:
        samples = samples - _PREDICT[form.filter](samples)
    if form.sample_bits == 16:
        samples = _split(samples if form.filter == FILTER_NONE else _fold(samples))
    return samples.tobytes()


def _from_bytes(raw: bytes, form: _Form, shape: tuple[int, int, int]) -> Samples:
    """The samples of ``shape`` from the bytes of a coder, whose number has been checked."""
    height, width, _ = shape
    octets = np.frombuffer(bytearray(raw), np.uint8)
    samples: Samples = octets.reshape(shape if form.sample_bits == 8 else (height, -1, 1))
    if form.sample_bits == 16:
        joined = _join(octets, shape)
        samples = joined if form.filter == FILTER_NONE else _unfold(joined)
    if form.filter != FILTER_NONE:
        samples = _RESTORE[form.filter](samples)
    if form.subtract_green:
        samples = _add_green(samples)
    if form.sample_bits < 8:
        samples = _unpack(samples, form.sample_bits, width)
    return np.ascontiguousarray(samples)


def _row_bytes(row_samples: int, sample_bits: int) -> int:
    return -(-row_samples * sample_bits // 8)


def _pack(samples: Samples, bits: int) -> Samples:
    """(h, w, 1) samples below 2^bits to (h, ceil(w * bits / 8), 1) bytes, the first in the high bits."""
    height, width, _ = samples.shape
    per_byte = 8 // bits
    padded = np.zeros((height, _row_bytes(width, bits), per_byte), np.uint8)
    padded.reshape(height, -1)[:, :width] = samples[:, :, 0]
    packed = np.zeros((*padded.shape[:2], 1), np.uint8)
    for index in range(per_byte):
        packed[:, :, 0] |= padded[:, :, index] << (8 - bits * (index + 1))
    return packed


def _unpack(packed: Samples, bits: int, width: int) -> Samples:
    """Inverse of ``_pack``; the bits that pad the end of a row must be zero."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    samples = (packed >> shifts & (2**bits - 1)).reshape(packed.shape[0], -1, 1)
    if samples[:, width:].any():
        raise DamagedFileError("the padding of a plain region is not zero; get a good copy")
    unpacked: Samples = samples[:, :width]
    return unpacked


def _subtract_green(samples: Samples) -> Samples:
    changed = samples.copy()
    changed[:, :, 0] -= samples[:, :, 1]
    changed[:, :, 2] -= samples[:, :, 1]
    return changed


def _add_green(samples: Samples) -> Samples:
    changed = samples.copy()
    changed[:, :, 0] += samples[:, :, 1]
    changed[:, :, 2] += samples[:, :, 1]
    return changed


def _fold(residuals: Samples) -> Samples:
    """0, -1, 1, -2, ... (modulo 2^16) to 0, 1, 2, 3, ...: the high byte of small residuals becomes 0."""
    folded: Samples = np.bitwise_xor(residuals << 1, np.negative(residuals >> 15))
    return folded


def _unfold(folded: Samples) -> Samples:
    residuals: Samples = np.bitwise_xor(folded >> 1, np.negative(folded & 1))
    return residuals


def _split(samples: Samples) -> Samples:
    """uint16 (h, w, c) to uint8 (2, h, w, c): all high bytes, then all low bytes."""
    return np.stack((samples >> 8, samples & 255)).astype(np.uint8)


def _join(octets: Samples, shape: tuple[int, int, int]) -> Samples:
    high, low = octets.reshape(2, *shape).astype(np.uint16)
    samples: Samples = np.bitwise_or(high << 8, low)
    return samples


# --- filters: what is outside of the region counts as 0 -----------------------------------------------------


def _left(samples: Samples) -> Samples:
    """Each sample's left neighbour."""
    moved = np.zeros_like(samples)
    moved[:, 1:] = samples[:, :-1]
    return moved


def _above(samples: Samples) -> Samples:
    """Each sample's upper neighbour."""
    moved = np.zeros_like(samples)
    moved[1:] = samples[:-1]
    return moved


def _restore_sub(residuals: Samples) -> Samples:
    return np.cumsum(residuals, axis=1, dtype=residuals.dtype)


def _restore_up(residuals: Samples) -> Samples:
    return np.cumsum(residuals, axis=0, dtype=residuals.dtype)


def _median(left: _Wide, above: _Wide, corner: _Wide) -> _Wide:
    """The median of left, above and left + above - corner."""
    median: _Wide = np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above))
    return median


def _predict_median(samples: Samples) -> Samples:
    left, above = _left(samples), _above(samples)
    wide = [neighbour.astype(_wide_type(samples)) for neighbour in (left, above, _left(above))]
    return _median(*wide).astype(samples.dtype)


def _restore_median(residuals: Samples) -> Samples:
    """Inverse of subtracting the median prediction.

    Samples of one anti-diagonal depend on the two diagonals before it only, so each is restored at once.
    """
    height, width, channels = residuals.shape
    if height > width:  # the predictor is symmetric, and the shorter side bounds the buffers
        return _restore_median(residuals.swapaxes(0, 1)).swapaxes(0, 1)
    restored = np.array(residuals, order="C")
    flat = restored.reshape(-1, channels)
    # Row y of a diagonal stands at y + 1; what has not been written is outside and 0.
    before_last, last, current = np.zeros((3, height + 1, channels), _wide_type(residuals))
    for step in range(height + width - 1):
        top, bottom = max(0, step - width + 1), min(height, step + 1)
        here, upper = slice(top + 1, bottom + 1), slice(top, bottom)
        first = step + top * (width - 1)
        # At width 1 there is one sample, and any stride will do.
        diagonal = flat[first : first + (bottom - top - 1) * (width - 1) + 1 : max(1, width - 1)]
        diagonal += _median(last[here], last[upper], before_last[upper]).astype(residuals.dtype)
        current[here] = diagonal
        before_last, last, current = last, current, before_last
    return restored


def _wide_type(samples: Samples) -> type[np.signedinteger[Any]]:
    """A signed type that holds the sum and difference of three samples."""
    return np.int16 if samples.dtype == np.uint8 else np.int32


_PREDICT: dict[int, Callable[[Samples], Samples]] = {
    FILTER_SUB: _left,
    FILTER_UP: _above,
    FILTER_MEDIAN: _predict_median,
}
_RESTORE: dict[int, Callable[[Samples], Samples]] = {
    FILTER_SUB: _restore_sub,
    FILTER_UP: _restore_up,
    FILTER_MEDIAN: _restore_median,
}


# --- coders -------------------------------------------------------------------------------------------------


def _store(samples: Samples, bit_depth: int) -> bytes:
    form = _Form(_fewest_bits(samples, bit_depth))
    return form.to_byte() + _to_bytes(samples, form)


def _deflate(raw: bytes, _channels: int) -> bytes:
    """A raw deflate stream: the shorter of zlib's strategies for text and for filtered samples."""
    streams = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        streams.append(deflater.compress(raw) + deflater.flush())
    return min(streams, key=len)


def _pack_lzma(raw: bytes, channels: int) -> bytes:
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=_lzma_filters(channels, len(raw)))


def _lzma_filters(channels: int, raw_bytes: int) -> list[dict[str, int]]:
    """LZMA1 with the literal contexts that suit pixels of four bytes, or of any other number of bytes."""
    lc, lp, pb = (2, 2, 2) if channels == 4 else (4, 0, 0)
    # No larger than what it can point back to: it is memory that both sides take.
    dict_size = min(max(raw_bytes, _MIN_DICTIONARY_BYTES), _MAX_DICTIONARY_BYTES)
    return [{"id": lzma.FILTER_LZMA1, "dict_size": dict_size, "lc": lc, "lp": lp, "pb": pb}]


def _read_stored(coded: bytes, _channels: int, _expected_bytes: int) -> bytes:
    return coded


def _inflate(coded: bytes, _channels: int, expected_bytes: int) -> bytes:
    """At most ``expected_bytes`` + 1 bytes, so that a bomb is seen and goes no further."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(coded, expected_bytes + 1)
    except zlib.error as error:
        raise DamagedFileError("the deflate stream of a region is damaged; get a good copy") from error
    if not inflater.eof or inflater.unused_data:
        raise DamagedFileError("the deflate stream of a region does not end where it should; get a good copy")
    return raw


def _unpack_lzma(coded: bytes, channels: int, expected_bytes: int) -> bytes:
    """At most ``expected_bytes`` + 1 bytes, so that a bomb is seen and goes no further."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma_filters(channels, expected_bytes))
    try:
        raw = unpacker.decompress(coded, expected_bytes + 1)
    except lzma.LZMAError as error:
        raise DamagedFileError("the LZMA stream of a region is damaged; get a good copy") from error
    if not unpacker.eof or unpacker.unused_data:
        raise DamagedFileError("the LZMA stream of a region does not end where it should; get a good copy")
    return raw


_COMPRESSORS: tuple[tuple[int, Callable[[bytes, int], bytes]], ...] = (
    (MODE_DEFLATE, _deflate),
    (MODE_LZMA, _pack_lzma),
)
_DECOMPRESSORS: dict[int, Callable[[bytes, int, int], bytes]] = {
    MODE_STORED: _read_stored,
    MODE_DEFLATE: _inflate,
    MODE_LZMA: _unpack_lzma,
}
