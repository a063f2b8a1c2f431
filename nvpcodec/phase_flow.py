"""The integer phase flow: scale by scale, phase by phase, plane by plane, where values lie and how surely.

One walk serves both directions. It hands each prediction to a callback and gets the values back: the
encoder's callback knows them, the decoder's pops them off the stack. So both sides evaluate the same network
on the same integers in the same order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec import exact
from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase, table
from nvpcodec.layout import COUPLINGS, KEPT, RIGHT, phase_size, scale_sizes
from nvpcodec.model import PLANES, PhaseConfig
from nvpcodec.network import CouplingNetwork, Layer, layers_below
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
        x, handed = coarsest, None
        for level in reversed(range(last, len(sizes) - 1)):
            step = _Level(self, level, sizes[level], planes, remaining, code)
            x, handed = step.run(x, handed)
            remaining = step.remaining
        return x

    def network(self, level: int, coupling: int) -> CouplingNetwork:
        layers = layers_below(self._layers, self.config.prefix(level, coupling))
        return CouplingNetwork(layers, exact.add, self.config.blocks[coupling])

    def hand_up(self, level: int, features: Tensor | None) -> Tensor | None:
        """Features of the coarser scale on the grid of `level`; none for the coarsest."""
        return None if features is None else F.pixel_shuffle(self._layers[self.config.up(level)](features), 2)


class _Level:
    """One scale of the walk."""

    def __init__(
        self, flow: PhaseFlow, level: int, size: tuple[int, int], planes: int, remaining: int, code: Coder
    ) -> None:
        self.flow, self.level, self.size, self.planes = flow, level, size, planes
        self.remaining = remaining
        self.code = code

    def run(self, kept: Tensor, handed: Tensor | None) -> tuple[Tensor, Tensor]:
        """This scale's planes from the next coarser one's, and the features to hand on."""
        grid = kept.shape[-2:]
        phases = {KEPT: _all_planes(kept)}
        padded = {KEPT: pad_phase(phases[KEPT])}
        features = self.flow.hand_up(self.level, handed)
        if features is not None:
            features = features[..., : grid[0], : grid[1]]
        for coupling, changed in enumerate(COUPLINGS):
            surroundings = {phase: neighbourhood(phase, padded) for phase in changed}
            network = self.flow.network(self.level, coupling)
            features = network.features(context_inputs(list(surroundings.values())), features)
            phases |= self._changed(network, features, surroundings, phases[KEPT])
            padded |= {phase: pad_phase(phases[phase]) for phase in changed}
        if features is None:
            raise ValueError("a scale needs a coupling")
        return self._join(phases), features

    def _changed(
        self,
        network: CouplingNetwork,
        features: Tensor,
        surroundings: dict[int, Neighbourhood],
        kept: Tensor,
    ) -> dict[int, Tensor]:
        """Values of the changed phases, plane after plane; outside the image they repeat the kept phase."""
        values = {phase: kept.clone() for phase in surroundings}
        residuals: list[Tensor] = []
        for plane in range(self.planes):
            known = [torch.stack(residuals, 2).flatten(1, 2)] if plane else []
            shift, log_scale = network.head(plane, features, *known).chunk(2, 1)
            innovations: list[Tensor] = []
            for i, (phase, around) in enumerate(surroundings.items()):
                height, width = phase_size(phase, *self.size)
                if height and width:
                    prediction = self._prediction(
                        phase, plane, around, shift[0, i], log_scale[0, i], values[phase], innovations
                    )
                    x, mean = self.code(prediction)
                    values[phase][0, plane, :height, :width] = x
                    if phase == RIGHT:
                        innovations.append(_on_grid(((x * SHIFT_UNIT - mean) / 4).floor(), shift.shape[-2:]))
            residuals.append(
                torch.stack(
                    [
                        normalise(values[p][:, plane] * 4 - s.base4[:, plane], s.activity[:, plane])
                        for p, s in surroundings.items()
                    ],
                    1,
                )
            )
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


def _all_planes(x: Tensor) -> Tensor:
    """A grey image has chroma zero."""
    return F.pad(x, (0, 0, 0, 0, 0, PLANES - x.shape[1]))


def _on_grid(x: Tensor, grid: torch.Size) -> Tensor:
    """x (h, w) in the corner of a grid that may be larger; zero elsewhere."""
    return F.pad(x, (0, grid[1] - x.shape[1], 0, grid[0] - x.shape[0]))
