"""Squeeze, phases and neighbourhoods: index work only, on anything that slices like an array.

A squeeze (Dinh et al. 2017, "Density estimation using Real NVP", section 3.6) takes an image apart into four
phases, the pixels of one corner of every 2x2 block:

    00 01        numbered   0 1
    10 11                   2 3

Phase 0 is the next coarser scale. Phase 3 is coded given phase 0 (a channel mask), phases 1 and 2 together
given phases 0 and 3 (a checkerboard mask).
"""

from dataclasses import dataclass

PHASES = 4
KEPT, RIGHT, BELOW, DIAGONAL = range(PHASES)

#: Phases that each coupling changes, in decode order.
COUPLINGS = ((DIAGONAL,), (RIGHT, BELOW))

#: A scale with at most this many pixels a plane is stored plainly.
COARSEST_PIXELS = 16


@dataclass(frozen=True)
class Tap:
    """A known neighbour of a pixel: `phase`, and the offset of its 2x2 block in blocks."""

    phase: int
    down: int
    right: int


def _tap(target: int, dy: int, dx: int) -> Tap:
    y, x = target // 2 + dy, target % 2 + dx
    return Tap(phase=(y % 2) * 2 + x % 2, down=y // 2, right=x // 2)


def _signs(dy: int, dx: int) -> list[tuple[int, int]]:
    return [(sy, sx) for sy in sorted({-dy, dy}) for sx in sorted({-dx, dx})]


_SQUARE = [*_signs(1, 1), *_signs(1, 3), *_signs(3, 1), *_signs(3, 3)]
_QUINCUNX = [*_signs(0, 1), *_signs(1, 0), *_signs(1, 2), *_signs(2, 1), *_signs(0, 3), *_signs(3, 0)]

#: The 16 known pixels around a pixel of each changed phase, the nearest four first.
NEIGHBOURHOOD = {
    phase: tuple(_tap(phase, dy, dx) for dy, dx in offsets)
    for phase, offsets in ((DIAGONAL, _SQUARE), (RIGHT, _QUINCUNX), (BELOW, _QUINCUNX))
}
NEAREST = 4
TAPS = 16
#: Blocks that a neighbourhood reaches beyond its own, in each direction.
REACH = max(max(abs(t.down), abs(t.right)) for taps in NEIGHBOURHOOD.values() for t in taps)


def pixels_of(phase: int) -> tuple[slice, slice]:
    """Rows and columns of a scale that a phase has."""
    return slice(phase // 2, None, 2), slice(phase % 2, None, 2)


def coarser(height: int, width: int) -> tuple[int, int]:
    """Size of phase 0, which is also the size of the squeezed grid."""
    return (height + 1) // 2, (width + 1) // 2


def scale_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of all scales, the image first, the plainly stored one last."""
    sizes = [(height, width)]
    while sizes[-1][0] * sizes[-1][1] > COARSEST_PIXELS:
        sizes.append(coarser(*sizes[-1]))
    return sizes


def phase_size(phase: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a phase that lie inside a height x width image."""
    return (height + 1 - phase // 2) // 2, (width + 1 - phase % 2) // 2


@dataclass(frozen=True)
class Lattice:
    """So many rows from `top` and columns from `left` on, a step apart."""

    top: int
    left: int
    rows: int
    columns: int
    step: int = 2

    @property
    def window(self) -> tuple[slice, slice]:
        """Its places in an array that ends with its last ones."""
        return slice(self.top, None, self.step), slice(self.left, None, self.step)

    def beside(self, down: int, right: int) -> tuple[slice, slice]:
        """The places so far from the lattice's, at most one, in an array with a margin of one around it."""
        return (
            _every(self.top + down + MARGIN, self.rows, self.step),
            _every(self.left + right + MARGIN, self.columns, self.step),
        )


def _every(first: int, count: int, step: int) -> slice:
    return slice(first, first + step * (count - 1) + 1, step)


MARGIN = 1
#: A scale of fewer blocks is coded without refinement: the passes would take time and win little.
REFINED_BLOCKS = 256
#: First row and column of what each pass over the pixels of a phase codes; no pass sees itself.
PASSES = ((0, 0), (1, 1), (0, 1), (1, 0))

Offsets = tuple[tuple[int, int], ...]
EVERYTHING = (slice(None), slice(None))
HERE: Offsets = ((0, 0),)
AROUND: Offsets = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
#: Blocks whose pixel of phase 1 lies next to a pixel of phase 2.
BESIDE: Offsets = ((0, -1), (0, 0), (1, -1), (1, 0))


def lattices(height: int, width: int) -> list[tuple[int, Lattice]]:
    """Number and lattice of each pass over a phase of height x width pixels that has any of them."""
    cut = [Lattice(top, left, (height - top + 1) // 2, (width - left + 1) // 2) for top, left in PASSES]
    return [(number, lattice) for number, lattice in enumerate(cut) if lattice.rows and lattice.columns]


def everywhere(height: int, width: int) -> Lattice:
    """All of height x width places."""
    return Lattice(0, 0, height, width, step=1)


def known_around(number: int) -> Offsets:
    """Where the earlier passes have coded pixels, at most one position from those of a pass."""
    top, left = PASSES[number]
    return tuple(
        (down, right) for down, right in AROUND if ((top + down) % 2, (left + right) % 2) in PASSES[:number]
    )


def diagonal_around(phase: int) -> Offsets:
    """Blocks of the six pixels of phase 3 that are nearest to a pixel of phase 1 or 2."""
    return tuple((t.down, t.right) for t in (_tap(phase, dy, dx) for dy, dx in _DIAGONALS[phase]))


_DIAGONALS = {
    RIGHT: ((-1, 0), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2)),
    BELOW: ((0, -1), (0, 1), (-2, -1), (2, -1), (-2, 1), (2, 1)),
}


def seen_before(phase: int, plane: int) -> list[tuple[int, int, Offsets]]:
    """Phase, plane and offsets of all innovations that every pass over a phase and plane sees."""
    seen = [(phase, earlier, AROUND) for earlier in range(plane)]
    if phase != DIAGONAL:
        seen.append((DIAGONAL, plane, diagonal_around(phase)))
    if phase == BELOW:
        seen.append((RIGHT, plane, BESIDE))
    return seen
