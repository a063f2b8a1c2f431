"""Deep regions: samples of 16 bits, foretold by sums that are fitted to the image; no model is needed.

    samples → numbers of their values → planes → scales and phases → symbols, wide ones with bits of their own

A payload is a form, the values, the growth of the chunks, and the stack; docs/format.md, "Deep regions".
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nvpcodec import colour
from nvpcodec.deep_fit import FIT_PIXELS, pop_fit, push_fit, unfitted
from nvpcodec.deep_search import find_fit
from nvpcodec.deep_values import find_values, roughness, values_from_bytes
from nvpcodec.deep_walk import Place, walk
from nvpcodec.errors import DamagedFileError
from nvpcodec.layout import pixels_of, scale_sizes
from nvpcodec.recorder import GROWTHS, Recorder
from nvpcodec.stack import Stack, from_bytes, to_bytes
from nvpcodec.wide_symbols import Wide, logistic_table, pop_wide, push_wide

Samples: TypeAlias = NDArray[np.uint16]

FORM_PLAIN, FORM_COLOUR = 0, 1
#: Channels in the order of their planes where no colour is transformed: green tells most.
_GREEN_FIRST = (1, 0, 2)


def encode(samples: Samples) -> bytes:
    """The payload of uint16 samples (h, w, 1 or 3)."""
    values = find_values(samples)
    numbers = values.numbers(samples)
    form = _smoother_form(numbers)
    planes = _to_planes(numbers, form)
    recorder = Recorder(logistic_table().costs)
    _record(recorder, planes, _legal(form, len(planes), values.count))
    growth = recorder.best_growth()
    stack = Stack()
    recorder.play(stack, growth)
    return bytes([form]) + values.to_bytes() + bytes([GROWTHS.index(growth)]) + to_bytes(stack)


def decode(payload: bytes, shape: tuple[int, int, int]) -> Samples:
    """The uint16 samples of a region of `shape` (h, w, 1 or 3).

    Raises
    ------
    DamagedFileError
        The payload is not what `encode` gives for such a region.
    """
    height, width, channels = shape
    if not payload or payload[0] > FORM_COLOUR or (payload[0] == FORM_COLOUR and channels != 3):
        raise DamagedFileError("the form of a deep region is reserved or missing; get a good copy")
    form = payload[0]
    values, at = values_from_bytes(payload[1:])
    growth = payload[1 + at : 2 + at]
    if not growth or growth[0] >= len(GROWTHS):
        raise DamagedFileError("a deep region does not name its growth; get a good copy")
    stack = from_bytes(payload[2 + at :])
    planes = _pop(stack, height, width, _legal(form, channels, values.count), GROWTHS[growth[0]])
    stack.require_empty()
    return values.samples(_from_planes(planes, form))


def _smoother_form(numbers: Wide) -> int:
    """The form whose planes have the smaller differences."""
    if numbers.shape[2] == 1:
        return FORM_PLAIN
    forms = (FORM_COLOUR, FORM_PLAIN)
    return min(forms, key=lambda form: roughness(np.moveaxis(_to_planes(numbers, form), 0, 2)))


def _to_planes(numbers: Wide, form: int) -> Wide:
    """Planes (P, h, w) of numbers (h, w, c)."""
    channels = np.moveaxis(numbers, 2, 0)
    if len(channels) == 1:
        return channels
    return np.stack(colour.ycocg(*channels) if form == FORM_COLOUR else [channels[i] for i in _GREEN_FIRST])


def _from_planes(planes: Wide, form: int) -> Wide:
    """Mirror image of `_to_planes`."""
    if len(planes) == 3:
        planes = np.stack(colour.rgb(*planes) if form == FORM_COLOUR else [planes[i] for i in _GREEN_FIRST])
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))


def _legal(form: int, planes: int, count: int) -> list[tuple[int, int]]:
    """Legal values of each plane."""
    if form == FORM_COLOUR:
        return [(0, count - 1), (1 - count, count - 1), (1 - count, count - 1)]
    return [(0, count - 1)] * planes


def _record(recorder: Recorder, planes: Wide, legal: list[tuple[int, int]]) -> None:
    scales = [planes]
    for _ in scale_sizes(*planes.shape[1:])[1:]:
        scales.append(scales[-1][:, ::2, ::2])
    for values, (low, high) in zip(scales[-1], legal, strict=True):
        recorder.push((values.reshape(-1) - low).astype(np.int32), high - low + 1)

    def code(level: int, phase: int, place: Place) -> tuple[Wide, Wide]:
        x = scales[level][(place.plane, *pixels_of(phase))]
        low, high = legal[place.plane]
        fit = unfitted(*place.counts)
        if x.size >= FIT_PIXELS:
            fit, spread = find_fit(place, x, low, high)
            push_fit(recorder, fit, spread, place.remaining)
        distribution = fit.distribution(place, low, high)
        push_wide(recorder, distribution, x.reshape(-1), place.remaining)
        return x, distribution.mean.reshape(x.shape)

    walk(planes.shape[1], planes.shape[2], scales[-1], code)


def _pop(stack: Stack, height: int, width: int, legal: list[tuple[int, int]], growth: int) -> Wide:
    """Mirror image of `_record`."""
    rows, columns = scale_sizes(height, width)[-1]
    coarsest = [stack.pop(rows * columns, high - low + 1).astype(np.int64) + low for low, high in legal]

    def code(_level: int, _phase: int, place: Place) -> tuple[Wide, Wide]:
        low, high = legal[place.plane]
        fit = unfitted(*place.counts)
        if place.base4.size >= FIT_PIXELS:
            fit = pop_fit(stack, *place.counts, place.remaining, growth)
        distribution = fit.distribution(place, low, high)
        x = pop_wide(stack, distribution, place.remaining, growth)
        shape = place.base4.shape
        return x.reshape(shape), distribution.mean.reshape(shape)

    return walk(height, width, np.stack(coarsest).reshape(len(legal), rows, columns), code)
