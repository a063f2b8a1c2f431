"""The integer phase flow: scale by scale, phase by phase, plane by plane, where values lie and how surely.

One walk serves both directions. It hands each prediction to a callback and gets the values back: the
encoder's callback knows them, the decoder's pops them off the stack. So both sides evaluate the same network
on the same integers in the same order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec import exact
from nvpcodec.context import Neighbourhood, table
from nvpcodec.layout import COUPLINGS, KEPT, RIGHT, phase_size, scale_sizes
from nvpcodec.model import PLANES, PhaseConfig
from nvpcodec.network import CouplingNetwork, Layer, layers_below
from nvpcodec.orientation import ORIENTATIONS
from nvpcodec.phase_view import Look, View
from nvpcodec.regressors import NEIGHBOURS, Regressors, Source
from nvpcodec.tables import (
    ACTIVITY_FACTOR,
    ACTIVITY_FACTOR_BITS,
    LEGAL,
    SCALE_INDEX_OF_ACTIVITY,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
    SHIFT_UNIT,
)

#: Blocks whose pixel of phase 1 lies next to a pixel of phase 2.
BESIDE = ((0, -1), (0, 0), (1, -1), (1, 0))


@dataclass(frozen=True)
class Prediction:
    """What the network says of one plane of one phase, on the valid (h, w) part of the squeezed grid.

    mean:       (h, w), shift already added, sixteenths of a pixel step
    scale:      (h, w), index of the base table
    regressors: what the linear part of the shift is a weighted sum of
    remaining:  samples of the region that are decoded after these
    """

    level: int
    phase: int
    plane: int
    remaining: int
    mean: Tensor = field(repr=False)
    scale: Tensor = field(repr=False)
    regressors: Callable[[], Regressors] = field(repr=False)

    @property
    def legal(self) -> tuple[int, int]:
        return LEGAL[self.plane]


#: Values (h, w) of a prediction, and the mean in sixteenths that they were coded under.
Coder = Callable[[Prediction], tuple[Tensor, Tensor]]


class PhaseFlow:
    """The walk over one region. Holds the layers, by name; knows no stack."""

    def __init__(self, config: PhaseConfig, layers: Mapping[str, Layer]) -> None:
        self.config = config
        self._layers = layers

    def walk(
        self, height: int, width: int, planes: int, coarsest: Tensor, code: Coder, last: int = 0
    ) -> Tensor:
        """Planes (1, P, h, w) of scale `last` of a region, from the plainly stored scale up, each value asked
        of `code`.
        """
        sizes = scale_sizes(height, width)
        remaining = planes * (height * width - sizes[-1][0] * sizes[-1][1])
        x = coarsest
        handed: Sequence[Tensor | None] = [None] * self.config.orientations
        for level in reversed(range(last, len(sizes) - 1)):
            step = _Level(self, level, sizes[level], planes, remaining, code)
            x, handed = step.run(x, handed)
            remaining = step.remaining
        return x

    def network(self, level: int, coupling: int) -> CouplingNetwork:
        layers = layers_below(self._layers, self.config.prefix(level, coupling))
        return CouplingNetwork(layers, exact.add, self.config.blocks[coupling])

    def views(self, level: int, grid: tuple[int, int], handed: Sequence[Tensor | None]) -> list[View]:
        """A scale whose squeezed grid is h x w in each orientation, with the features that the coarser scale
        hands on, if there is one.
        """
        up = self._layers[self.config.up(level)]
        return [
            View(
                orientation,
                None if features is None else orientation.on_grid(F.pixel_shuffle(up(features), 2), grid),
            )
            for orientation, features in zip(ORIENTATIONS, handed, strict=False)
        ]


class _Level:
    """One scale of the walk."""

    def __init__(
        self, flow: PhaseFlow, level: int, size: tuple[int, int], planes: int, remaining: int, code: Coder
    ) -> None:
        self.flow, self.level, self.size, self.planes = flow, level, size, planes
        self.remaining = remaining
        self.code = code

    def run(self, kept: Tensor, handed: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
        """This scale's planes from the next coarser one's, and each view's features to hand on."""
        views = self.flow.views(self.level, (kept.shape[-2], kept.shape[-1]), handed)
        phases = {KEPT: _all_planes(kept)}
        known = phases
        for coupling, changed in enumerate(COUPLINGS):
            network = self.flow.network(self.level, coupling)
            for view in views:
                for phase, values in known.items():
                    view.show(phase, values)
            looks = [view.look(coupling, network) for view in views]
            known = self._changed(looks, changed, phases[KEPT])
            phases |= known
        return self._join(phases), [view.handed for view in views]

    def _changed(self, looks: list[Look], changed: tuple[int, ...], kept: Tensor) -> dict[int, Tensor]:
        """Values of the changed phases, plane after plane; outside the image they repeat the kept phase."""
        values = {phase: kept.clone() for phase in changed}
        for plane in range(self.planes):
            outputs = _mean([look.outputs(plane) for look in looks])
            innovations: list[Tensor] = []
            for phase in changed:
                height, width = phase_size(phase, *self.size)
                if height and width:
                    shift, log_scale = outputs[phase]
                    prediction = self._prediction(
                        phase, plane, looks[0].around(phase), shift, log_scale, values[phase], innovations
                    )
                    x, mean = self.code(prediction)
                    values[phase][0, plane, :height, :width] = x
                    if phase == RIGHT:
                        innovations.append(_on_grid(((x * SHIFT_UNIT - mean) / 4).floor(), kept.shape[-2:]))
            if plane + 1 < self.planes:
                for look in looks:
                    look.note(plane, values)
        return values

    def _prediction(
        self,
        phase: int,
        plane: int,
        around: Neighbourhood,
        shift: Tensor,
        log_scale: Tensor,
        values: Tensor,
        innovations: list[Tensor],
    ) -> Prediction:
        height, width = phase_size(phase, *self.size)
        inside = (..., slice(height), slice(width))
        activity = around.activity[0, plane][inside]
        half = 1 << (ACTIVITY_FACTOR_BITS - 1)
        moved = (
            (shift[inside] * table(ACTIVITY_FACTOR, shift)[activity] + half) / (1 << ACTIVITY_FACTOR_BITS)
        ).floor()
        steps = ((log_scale[inside] * SCALE_STEPS_PER_OCTAVE + 16) / 32).floor()
        self.remaining -= height * width

        def regressors() -> Regressors:
            earlier = values[0, :plane] * 4 - around.base4[0, :plane]
            differences = around.differences[0, :, : self.planes].flatten(0, 1)
            sources = [Source(differences), Source(earlier, NEIGHBOURS)]
            sources += [Source(innovation[None], BESIDE) for innovation in innovations]
            return Regressors(sources, (height, width))

        return Prediction(
            level=self.level,
            phase=phase,
            plane=plane,
            remaining=self.remaining,
            mean=around.base4[0, plane][inside] * 4 + moved,
            scale=(table(SCALE_INDEX_OF_ACTIVITY, shift)[activity] + steps).clamp_(0, SCALES - 1),
            regressors=regressors,
        )

    def _join(self, phases: dict[int, Tensor]) -> Tensor:
        height, width = self.size
        x = phases[KEPT].new_empty(1, self.planes, height, width)
        for phase, values in phases.items():
            inside = x[..., phase // 2 :: 2, phase % 2 :: 2]
            inside.copy_(values[:, : self.planes, : inside.shape[-2], : inside.shape[-1]])
        return x


def _mean(outputs: list[dict[int, Tensor]]) -> dict[int, Tensor]:
    """The mean of what is said of each phase in each orientation, rounded."""
    if len(outputs) == 1:
        return outputs[0]
    half = len(outputs) // 2
    return {
        phase: ((torch.stack([said[phase] for said in outputs]).sum(0) + half) / len(outputs)).floor()
        for phase in outputs[0]
    }


def _all_planes(x: Tensor) -> Tensor:
    """A grey image has chroma zero."""
    return F.pad(x, (0, 0, 0, 0, 0, PLANES - x.shape[1]))


def _on_grid(x: Tensor, grid: torch.Size) -> Tensor:
    """x (h, w) in the corner of a grid that may be larger; zero elsewhere."""
    return F.pad(x, (0, grid[1] - x.shape[1], 0, grid[0] - x.shape[0]))
