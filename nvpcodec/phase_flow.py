"""The integer phase flow: scale by scale, phase by phase, plane by plane, where values lie and how surely.

One walk serves both directions. It hands each prediction to a callback, which asks it for parts and answers
them with values: the encoder's callback knows them, the decoder's pops them off the stack. So both sides
evaluate the same network on the same integers in the same order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nvpcodec import exact
from nvpcodec.context import Neighbourhood, all_planes, table
from nvpcodec.layout import (
    AROUND,
    BESIDE,
    COUPLINGS,
    EVERYTHING,
    KEPT,
    REFINED_BLOCKS,
    RIGHT,
    lattices,
    phase_size,
    pixels_of,
    scale_sizes,
)
from nvpcodec.model import PhaseConfig
from nvpcodec.network import CouplingNetwork, Layer, layers_below
from nvpcodec.orientation import Views, orientations, reversals
from nvpcodec.phase_view import Look, View
from nvpcodec.refinement import Innovations, Refinement
from nvpcodec.regressors import Regressors, Source
from nvpcodec.tables import (
    ACTIVATION_BITS,
    ACTIVITY_FACTOR,
    ACTIVITY_FACTOR_BITS,
    INNOVATION_FACTOR,
    INNOVATION_FACTOR_BITS,
    INNOVATION_MAX,
    LEGAL,
    REFINEMENT_FACTOR,
    REFINEMENT_FACTOR_BITS,
    SCALE_INDEX_OF_ACTIVITY,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
    SHIFT_UNIT,
)


@dataclass(frozen=True)
class Part:
    """Pixels of a prediction that are coded at once.

    place:     their rows and columns among those of the prediction
    mean:      (rows, columns), sixteenths of a pixel step
    scale:     (rows, columns), index of the base table
    remaining: samples of the region that are decoded after these
    """

    place: tuple[slice, slice]
    remaining: int
    mean: Tensor = field(repr=False)
    scale: Tensor = field(repr=False)


#: Values (rows, columns) of a part.
Values = Callable[[Part], Tensor]


@dataclass(frozen=True)
class Prediction:
    """What the network says of one plane of one phase, on the valid (h, w) part of the squeezed grid.

    words:      (2, h, w), shift and log-scale as the network says them, in units of activations
    mean:       (h, w), shift already added, sixteenths of a pixel step
    scale:      (h, w), index of the base table
    regressors: what the linear part of the shift is a weighted sum of
    remaining:  samples of the region that are decoded after these
    """

    level: int
    phase: int
    plane: int
    remaining: int
    words: Tensor = field(repr=False)
    mean: Tensor = field(repr=False)
    scale: Tensor = field(repr=False)
    regressors: Callable[[], Regressors] = field(repr=False)
    refinement: Refinement | None = field(repr=False, default=None)

    def ask(self, mean: Tensor, values: Values) -> Tensor:
        """Values (h, w), given the legal mean (h, w) with the linear part, part after part."""
        if self.refinement is None:
            return values(Part(EVERYTHING, self.remaining, mean, self.scale))
        x = torch.empty_like(mean)
        remaining = self.remaining + x.numel()
        for number, lattice in lattices(*x.shape):
            remaining -= lattice.rows * lattice.columns
            middle, scale = mean[lattice.window], self.scale[lattice.window]
            part = self._refined(_mean(self.refinement.outputs(number, lattice)), middle, scale)
            x[lattice.window] = found = values(Part(lattice.window, remaining, *part))
            self.refinement.note(lattice, _innovations(found * SHIFT_UNIT - middle, scale)[None])
        return x

    def _refined(self, outputs: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale (rows, columns) of a pass by its move and log-scale (2, rows, columns)."""
        low, high = self.legal
        factor = table(REFINEMENT_FACTOR, scale, torch.float64)[scale.long()]
        moved = _shifted_right(outputs[0] * factor, REFINEMENT_FACTOR_BITS).to(mean.dtype)
        steps = _scale_steps(outputs[1])
        return (mean + moved).clamp_(low * SHIFT_UNIT, high * SHIFT_UNIT), (scale + steps).clamp_(
            0, SCALES - 1
        )

    @property
    def legal(self) -> tuple[int, int]:
        return LEGAL[self.plane]


#: Values (h, w) of a prediction, and the mean in sixteenths that it was asked with.
Coder = Callable[[Prediction], tuple[Tensor, Tensor]]


class Voice(Protocol):
    """Whoever says something of each scale: a flow, or what remembers one."""

    @property
    def looks(self) -> int:
        """At each scale."""

    def views(self, level: int, grid: tuple[int, int], handed: Sequence[Tensor | None]) -> list[View]:
        """That of each look at a scale whose squeezed grid is h x w, with the features that the coarser scale
        hands on, if there is one.
        """

    def networks(self, level: int, coupling: int) -> list[CouplingNetwork]:
        """That of each look."""

    def agreed(self, said: list[Tensor], level: int, phase: int, plane: int) -> Tensor:
        """What comes of the words (2, h, w) of all looks at a plane of a phase."""


class PhaseFlow:
    """The walk over one region. Holds the layers, by name; knows no stack.

    Scales are seen in those of the model's orientations that `views` tells. What a voice `beside` this flow
    says counts as much.
    """

    def __init__(
        self,
        config: PhaseConfig,
        layers: Mapping[str, Layer],
        views: Views = Views.ALL,
        beside: Voice | None = None,
    ) -> None:
        self.config = config
        self._layers = layers
        self._orientations = orientations(config.orientations, views)
        self._beside = beside
        #: Those that refinements see features of.
        self.refining = tuple(o for o in reversals(config.refinement_orientations) if o in self._orientations)

    def walk(
        self, height: int, width: int, planes: int, coarsest: Tensor, code: Coder, last: int = 0
    ) -> Tensor:
        """Planes (1, P, h, w) of scale `last` of a region, from the plainly stored scale up, each value asked
        of `code`.
        """
        sizes = scale_sizes(height, width)
        remaining = planes * (height * width - sizes[-1][0] * sizes[-1][1])
        x = coarsest
        handed: Sequence[Tensor | None] = [None] * self.looks
        for level in reversed(range(last, len(sizes) - 1)):
            step = _Level(self, level, sizes[level], planes, remaining, code)
            x, handed = step.run(x, handed)
            remaining = step.remaining
        return x

    @property
    def looks(self) -> int:
        """Its own, and behind them those of the voice beside it."""
        return len(self._orientations) + (self._beside.looks if self._beside else 0)

    def networks(self, level: int, coupling: int) -> list[CouplingNetwork]:
        layers = layers_below(self._layers, self.config.prefix(level, coupling))
        network = CouplingNetwork(layers, exact.add, self.config.blocks[coupling])
        beside = self._beside.networks(level, coupling) if self._beside else []
        return [network] * len(self._orientations) + beside

    def agreed(self, said: list[Tensor], level: int, phase: int, plane: int) -> Tensor:
        count = len(self._orientations)
        own = _mean(torch.stack(said[:count]))
        if self._beside is None:
            return own
        return _mean(torch.stack([own, self._beside.agreed(said[count:], level, phase, plane)]))

    def refinement(
        self, level: int, phase: int, plane: int, features: Tensor, innovations: Innovations
    ) -> Refinement | None:
        """The passes over one phase and plane, from features (n, head width, h, w) of its prediction in its n
        orientations; None if the model has none, or the scale is too small.
        """
        if not self.config.refinement_width or features.shape[-2] * features.shape[-1] < REFINED_BLOCKS:
            return None
        layers = layers_below(self._layers, self.config.refinement(level, phase, plane))
        return Refinement(layers, phase, plane, features, innovations, orientations=self.refining)

    def views(self, level: int, grid: tuple[int, int], handed: Sequence[Tensor | None]) -> list[View]:
        up = self._layers[self.config.up(level)]
        count = len(self._orientations)
        own = [
            View(
                orientation,
                None if features is None else orientation.on_grid(F.pixel_shuffle(up(features), 2), grid),
            )
            for orientation, features in zip(self._orientations, handed[:count], strict=True)
        ]
        return own + (self._beside.views(level, grid, handed[count:]) if self._beside else [])


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
        phases = {KEPT: all_planes(kept)}
        innovations = Innovations(kept)
        known = phases
        for coupling, changed in enumerate(COUPLINGS):
            for view in views:
                for phase, values in known.items():
                    view.show(phase, values)
            networks = self.flow.networks(self.level, coupling)
            looks = [view.look(coupling, network) for view, network in zip(views, networks, strict=True)]
            known = self._changed(looks, changed, phases[KEPT], innovations)
            phases |= known
        return self._join(phases), [view.handed for view in views]

    def _changed(
        self, looks: list[Look], changed: tuple[int, ...], kept: Tensor, innovations: Innovations
    ) -> dict[int, Tensor]:
        """Values of the changed phases, plane after plane; outside the image they repeat the kept phase."""
        values = {phase: kept.clone() for phase in changed}
        for plane in range(self.planes):
            said = [look.outputs(plane) for look in looks]
            outputs = {
                phase: self.flow.agreed([of[phase] for of, _ in said], self.level, phase, plane)
                for phase in changed
            }
            features = [features for _, features in said]
            left_over: list[Tensor] = []
            for phase in changed:
                height, width = phase_size(phase, *self.size)
                if height and width:
                    refinement = self.flow.refinement(
                        self.level, phase, plane, self._turned_back(looks, features, phase), innovations
                    )
                    prediction = self._prediction(
                        phase,
                        plane,
                        looks[0].around(phase),
                        outputs[phase],
                        refinement,
                        values[phase],
                        left_over,
                    )
                    x, mean = self.code(prediction)
                    values[phase][0, plane, :height, :width] = x
                    if phase == RIGHT:
                        left_over.append(_on_grid(((x * SHIFT_UNIT - mean) / 4).floor(), kept.shape[-2:]))
            if plane + 1 < self.planes:
                for look in looks:
                    look.note(plane, values)
        return values

    def _turned_back(self, looks: list[Look], features: list[Tensor], phase: int) -> Tensor:
        """Those features that a refinement of a phase sees, (n, head width, h, w), as the image lies: of the
        first looks, which are the flow's own.
        """
        seen = [
            look.orientation.turn_back(x, phase)
            for look, x in zip(looks, features, strict=True)
            if look.orientation in self.flow.refining
        ][: len(self.flow.refining)]
        return seen[0] if len(seen) == 1 else torch.cat(seen)

    def _prediction(
        self,
        phase: int,
        plane: int,
        around: Neighbourhood,
        outputs: Tensor,
        refinement: Refinement | None,
        values: Tensor,
        left_over: list[Tensor],
    ) -> Prediction:
        """That of one phase and plane; `left_over` is what its mean left of phase 1, in quarter steps."""
        height, width = phase_size(phase, *self.size)
        inside = (..., slice(height), slice(width))
        words = outputs[inside]
        shift, log_scale = words
        activity = around.activity[0, plane][inside]
        moved = _shifted_right(shift * table(ACTIVITY_FACTOR, shift)[activity], ACTIVITY_FACTOR_BITS)
        steps = _scale_steps(log_scale)
        self.remaining -= height * width

        def regressors() -> Regressors:
            earlier = values[0, :plane] * 4 - around.base4[0, :plane]
            differences = around.differences[0, :, : self.planes].flatten(0, 1)
            sources = [Source(differences), Source(earlier, AROUND)]
            sources += [Source(x[None], BESIDE) for x in left_over]
            return Regressors(sources, (height, width))

        return Prediction(
            level=self.level,
            phase=phase,
            plane=plane,
            remaining=self.remaining,
            words=words,
            mean=around.base4[0, plane][inside] * 4 + moved,
            scale=(table(SCALE_INDEX_OF_ACTIVITY, shift)[activity] + steps).clamp_(0, SCALES - 1),
            regressors=regressors,
            refinement=refinement,
        )

    def _join(self, phases: dict[int, Tensor]) -> Tensor:
        height, width = self.size
        x = phases[KEPT].new_empty(1, self.planes, height, width)
        for phase, values in phases.items():
            inside = x[(..., *pixels_of(phase))]
            inside.copy_(values[:, : self.planes, : inside.shape[-2], : inside.shape[-1]])
        return x


def _shifted_right(x: Tensor, bits: int) -> Tensor:
    """x / 2^bits, rounded to the nearest integer, halves up."""
    return ((x + (1 << (bits - 1))) / (1 << bits)).floor()


def _scale_steps(log_scale: Tensor) -> Tensor:
    """Scale indices that an activation stands for."""
    return _shifted_right(log_scale * SCALE_STEPS_PER_OCTAVE, ACTIVATION_BITS)


def _innovations(errors: Tensor, scale: Tensor) -> Tensor:
    """Errors in sixteenths of a pixel step, in sixteenths of their scales. The products need float64."""
    factor = table(INNOVATION_FACTOR, scale, torch.float64)[scale.long()]
    found = _shifted_right(errors * factor, INNOVATION_FACTOR_BITS)
    return found.clamp_(-INNOVATION_MAX, INNOVATION_MAX).to(errors.dtype)


def _mean(outputs: Tensor) -> Tensor:
    """Of what is said in n orientations, (n, ...), rounded."""
    count = len(outputs)
    return outputs[0] if count == 1 else ((outputs.sum(0) + count // 2) / count).floor()


def _on_grid(x: Tensor, grid: torch.Size) -> Tensor:
    """x (h, w) in the corner of a grid that may be larger; zero elsewhere."""
    return F.pad(x, (0, grid[1] - x.shape[1], 0, grid[0] - x.shape[0]))
