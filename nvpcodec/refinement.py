"""Refinement: what is known of a phase already says where the rest of it lies, and how surely.

The pixels of a phase are coded in four passes (`layout.PASSES`). A small network reads the features that the
prediction came from, and innovations: by how many scales the values around missed their means, in the passes
before, the planes before and the phases before. It moves the means of its pass by parts of a scale, and
changes the scales.

Written once for both arithmetics, like `network`: all inputs are in the units of integer activations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nvpcodec.layout import MARGIN, PASSES, Lattice, Offsets, everywhere, known_around, seen_before
from nvpcodec.network import Layer
from nvpcodec.orientation import Orientation, reversals
from nvpcodec.tables import ACTIVATION_UNIT

#: Turns inputs in integer units into those of the layers.
Cast = Callable[[Tensor], Tensor]


def _channels_last(x: Tensor) -> Tensor:
    """In one layout, as sums of tensors in two take several times as long."""
    return x.contiguous(memory_format=torch.channels_last)


class Innovations:
    """Those of one scale, (B, h, w) on its grid for each phase and plane; zero where none is known.

    The grid is that of the kept phase (B, P, h, w).
    """

    def __init__(self, kept: Tensor) -> None:
        batch, _, height, width = kept.shape
        self._unknown = kept.new_zeros(batch, height + 2 * MARGIN, width + 2 * MARGIN)
        self._padded: dict[tuple[int, int], Tensor] = {}

    def note(self, phase: int, plane: int, lattice: Lattice, innovations: Tensor) -> None:
        """Those of a pass, (B, rows, columns), are known from now on."""
        if (phase, plane) not in self._padded:
            self._padded[phase, plane] = self._unknown.clone()
        self._padded[phase, plane][(..., *lattice.beside(0, 0))] = innovations

    def around(self, phase: int, plane: int, lattice: Lattice, offsets: Offsets) -> list[Tensor]:
        """(B, rows, columns) for each offset from the lattice."""
        padded = self._padded.get((phase, plane), self._unknown)
        return [padded[(..., *lattice.beside(*offset))] for offset in offsets]

    def constant(self, lattice: Lattice) -> Tensor:
        """(B, rows, columns) of what is one to networks."""
        return self._unknown.new_full((len(self._unknown), lattice.rows, lattice.columns), ACTIVATION_UNIT)


@dataclass(frozen=True)
class Refinement:
    """The network of one phase and plane, with all innovations and the features (n * B, channels, h, w) that
    its prediction came from in n orientations, turned back.
    """

    layers: Mapping[str, Layer]
    phase: int
    plane: int
    features: Tensor
    innovations: Innovations
    cast: Cast = _channels_last
    orientations: Sequence[Orientation] = reversals(1)

    def outputs(self, number: int, lattice: Lattice) -> Tensor:
        """Move and log-scale (n * B, 2, rows, columns) of a pass, once the passes before it are noted."""
        passes: list[Tensor | None] = [None] * len(PASSES)
        passes[number] = self.cast(self._seen_by(number, lattice))
        features = self.features[(..., *lattice.window)][..., : lattice.rows, : lattice.columns]
        return self._outputs(_channels_last(features), lattice, passes)

    def outputs_at_once(self) -> Tensor:
        """Those of all passes, (n * B, 2, h, w), where all of them are noted already."""
        whole = everywhere(*self.features.shape[-2:])
        passes: list[Tensor | None] = []
        for number, (top, left) in enumerate(PASSES):
            seen = self.cast(self._seen_by(number, whole))
            inside = (..., slice(top, None, 2), slice(left, None, 2))
            of_this_pass = torch.zeros_like(seen)
            of_this_pass[inside] = seen[inside]
            passes.append(of_this_pass)
        return self._outputs(self.features, whole, passes)

    def note(self, lattice: Lattice, innovations: Tensor) -> None:
        """Those of a pass, (B, rows, columns), are known from now on."""
        self.innovations.note(self.phase, self.plane, lattice, innovations)

    def _seen_by(self, number: int, lattice: Lattice) -> Tensor:
        """A constant and the innovations around a pass, (n * B, channels, rows, columns)."""
        own = [(self.phase, self.plane, known_around(number))]
        return self._in_each_orientation(own, lattice, self.innovations.constant(lattice))

    def _outputs(self, features: Tensor, lattice: Lattice, passes: list[Tensor | None]) -> Tensor:
        before = seen_before(self.phase, self.plane)
        context = [self.cast(self._in_each_orientation(before, lattice))] if before else []
        return self.layers["out"](self.layers["hidden"](features, *context, *passes))

    def _in_each_orientation(
        self, seen: list[tuple[int, int, Offsets]], lattice: Lattice, *first: Tensor
    ) -> Tensor:
        """`first` (B, rows, columns), then innovations of phases and planes at offsets, as channels of
        (n * B, channels, rows, columns).
        """
        channels: list[Tensor] = []
        for orientation in self.orientations:
            channels += first
            for phase, plane, offsets in seen:
                places = orientation.reversed_offsets(offsets, self.phase, phase)
                channels += self.innovations.around(phase, plane, lattice, places)
        # One copy: with one image or one orientation the rest is a view.
        stacked = torch.stack(channels, 1)
        each = stacked.view(len(stacked), len(self.orientations), -1, *stacked.shape[2:])
        return each.transpose(0, 1).flatten(0, 1)
