"""Deep samples scale by scale and phase by phase: what is known around each pixel, as integers.

The scales, phases and neighbourhoods are those of the phase flow; there is no network. One walk serves both
directions: the encoder's callback knows the values, the decoder's pops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from nvpcodec.layout import (
    AROUND,
    BELOW,
    BESIDE,
    COUPLINGS,
    DIAGONAL,
    KEPT,
    NEAREST,
    NEIGHBOURHOOD,
    PHASES,
    REACH,
    RIGHT,
    TAPS,
    phase_size,
    pixels_of,
    scale_sizes,
)
from nvpcodec.tables import SHIFT_UNIT
from nvpcodec.wide_symbols import Wide

#: Of the nearest four taps, those that face each other.
OPPOSITE = {DIAGONAL: ((0, 3), (1, 2)), RIGHT: ((0, 1), (2, 3)), BELOW: ((0, 1), (2, 3))}
#: The magnitude that is the same everywhere, in sixteenths.
CONSTANT = 1024


@dataclass(frozen=True)
class Place:
    """One plane of one phase of one scale: what is known around its (h, w) pixels.

    remaining:  samples of the region that are decoded after these
    base4:      (h, w), the sum of the nearest four pixels
    regressors: makes the (h, w) that the mean may be moved by, in quarter steps, one after another
    magnitudes: makes the (h, w) that tell how wide the distribution is, in sixteenths
    counts:     how many regressors and how many magnitudes there are
    """

    plane: int
    remaining: int
    base4: Wide = field(repr=False)
    regressors: Callable[[], Iterator[Wide]] = field(repr=False)
    magnitudes: Callable[[], Iterator[Wide]] = field(repr=False)
    counts: tuple[int, int]


#: Values (h, w) of a place, of a level and phase, and the means in sixteenths that they were coded under.
Code = Callable[[int, int, Place], tuple[Wide, Wide]]


def walk(height: int, width: int, coarsest: Wide, code: Code) -> Wide:
    """int64 planes (P, H, W) of a region from those of its coarsest scale, each value asked of `code`."""
    sizes = scale_sizes(height, width)
    values, errors = coarsest, np.zeros_like(coarsest)
    remaining = len(coarsest) * (height * width - sizes[-1][0] * sizes[-1][1])
    for level in reversed(range(len(sizes) - 1)):
        scale = _Scale(level, sizes[level], values, errors, remaining, code)
        values, errors = scale.run()
        remaining = scale.remaining
    return values


class _Scale:
    """One scale of the walk. `values` and `errors` are planes (P, h, w) on the grid by phase; an error is
    what 16 x - mean was, without its sign. Where a phase has no pixel it has what phase 0 has.
    """

    def __init__(
        self, level: int, size: tuple[int, int], values: Wide, errors: Wide, remaining: int, code: Code
    ) -> None:
        self.level, self.size, self.remaining, self.code = level, size, remaining, code
        self.values, self.errors = {KEPT: values}, {KEPT: errors}
        self.padded = {KEPT: (_replicated(values), _replicated(errors))}

    def run(self) -> tuple[Wide, Wide]:
        """This scale's values and errors (P, h, w)."""
        for changed in COUPLINGS:
            for phase in changed:
                self.values[phase] = self.values[KEPT].copy()
                self.errors[phase] = self.errors[KEPT].copy()
            for plane in range(len(self.values[KEPT])):
                innovations = np.zeros_like(self.values[KEPT][0])
                for phase in changed:
                    self._code(phase, plane, innovations)
            for phase in changed:
                self.padded[phase] = _replicated(self.values[phase]), _replicated(self.errors[phase])
        return self._joined(self.values), self._joined(self.errors)

    def _code(self, phase: int, plane: int, innovations: Wide) -> None:
        """Code one plane of one phase; `innovations` (grid) are those of phase 1 for phase 2."""
        height, width = phase_size(phase, *self.size)
        if not height or not width:
            return
        self.remaining -= height * width
        around = _Around(self, phase, plane, (height, width), innovations)
        place = Place(
            plane, self.remaining, around.base4[plane], around.regressors, around.magnitudes, around.counts
        )
        x, mean = self.code(self.level, phase, place)
        innovation = SHIFT_UNIT * x - mean
        self.values[phase][plane, :height, :width] = x
        self.errors[phase][plane, :height, :width] = np.abs(innovation)
        if phase == RIGHT:
            innovations[:height, :width] = innovation

    def _joined(self, phases: dict[int, Wide]) -> Wide:
        joined = np.empty((len(phases[KEPT]), *self.size), np.int64)
        for phase in range(PHASES):
            inside = joined[(..., *pixels_of(phase))]
            inside[:] = phases[phase][:, : inside.shape[1], : inside.shape[2]]
        return joined


class _Around:
    """What is known around the (h, w) pixels of one plane of one phase, window by window."""

    def __init__(
        self, scale: _Scale, phase: int, plane: int, size: tuple[int, int], innovations: Wide
    ) -> None:
        self.scale, self.phase, self.plane, self.size = scale, phase, plane, size
        self.innovations = innovations
        values, errors = scale.values[phase], scale.errors[phase]
        self.base4 = _sum(self._tap(i) for i in range(NEAREST))
        # The nearest four once more on the whole grid: the neighbours' differences need their own.
        grid = values.shape[1:]
        self.earlier = [
            4 * values[q] - _sum(self._tap(i, size=grid)[q] for i in range(NEAREST)) for q in range(plane)
        ]
        self.errors = [errors[q] for q in range(plane)]
        below = phase == BELOW
        self.counts = (
            TAPS * len(values) + len(AROUND) * plane + len(BESIDE) * below,
            9 + 2 * plane + below,
        )

    def _tap(self, index: int, kind: int = 0, size: tuple[int, ...] | None = None) -> Wide:
        """All planes' values (kind 0) or errors (kind 1) of a tap, (P, h, w)."""
        height, width = size or self.size
        tap = NEIGHBOURHOOD[self.phase][index]
        top, left = REACH + tap.down, REACH + tap.right
        return self.scale.padded[tap.phase][kind][:, top : top + height, left : left + width]

    def regressors(self) -> Iterator[Wide]:
        for index in range(TAPS):
            yield from 4 * self._tap(index) - self.base4
        for offset in AROUND:
            for earlier in self.earlier:
                yield _shifted(earlier, offset, self.size)
        if self.phase == BELOW:
            for offset in BESIDE:
                yield _shifted(self.innovations >> 2, offset, self.size)

    def magnitudes(self) -> Iterator[Wide]:
        base4, plane = self.base4[self.plane], self.plane
        yield np.full(self.size, CONSTANT, np.int64)
        yield 4 * self.base4[0]
        taps = range(TAPS)
        for group in (taps[:4], taps[4:8], taps[8:]):
            yield 4 * _sum(np.abs(4 * self._tap(i)[plane] - base4) for i in group)
        for one, other in OPPOSITE[self.phase]:
            yield 16 * np.abs(self._tap(one)[plane] - self._tap(other)[plane])
        for group in (taps[:4], taps[4:]):
            yield _sum(self._tap(i, 1)[plane] for i in group)
        for errors in self.errors:
            yield _shifted(errors, (0, 0), self.size)
            yield _sum(_shifted(errors, offset, self.size) for offset in AROUND)
        if self.phase == BELOW:
            yield _sum(np.abs(_shifted(self.innovations, offset, self.size)) for offset in BESIDE)


def _sum(windows: Iterable[Wide]) -> Wide:
    first, *others = windows
    total = first.copy()
    for window in others:
        total += window
    return total


def _replicated(planes: Wide) -> Wide:
    """Planes (P, h, w) with their borders repeated as far as taps reach."""
    return np.pad(planes, ((0, 0), (REACH, REACH), (REACH, REACH)), mode="edge")


def _shifted(plane: Wide, offset: tuple[int, int], size: tuple[int, int]) -> Wide:
    """The (h, w) of a grid's plane that lie at an offset of at most one; zero beyond the grid."""
    top, left = offset[0] + 1, offset[1] + 1
    return np.pad(plane, 1)[top : top + size[0], left : left + size[1]]
