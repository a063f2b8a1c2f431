"""The phase flow in floats: the same network and contexts as the coder, a continuous shift and scale.

The affine coupling of each phase and plane is z = (x - mean) / scale (Dinh et al. 2017, equation 7, with the
scale on the other side); its base distribution is logistic, and the likelihood that is trained is the exact
mass of each pixel step under it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.float_layers import Conv, add, build_layers, find_layer, key
from nvpcodec.flow.bases import logistic_log_mass
from nvpcodec.flow.elementwise import Affine
from nvpcodec.flow.layer import per_item
from nvpcodec.flow.squeeze import unsqueeze
from nvpcodec.layout import COUPLINGS, EVERYTHING, KEPT, PHASES, everywhere, lattices, pixels_of, scale_sizes
from nvpcodec.model import PLANES, PhaseConfig
from nvpcodec.network import CouplingNetwork, Layer, layers_below
from nvpcodec.refinement import Innovations, Refinement
from nvpcodec.tables import (
    ACTIVATION_UNIT,
    INNOVATION_MAX,
    INNOVATION_UNIT,
    LEGAL,
    SCALE_MIN_LOG2,
    SCALE_STEPS_PER_OCTAVE,
    SCALES,
)

SCALE_MAX_LOG2 = SCALE_MIN_LOG2 + (SCALES - 1) / SCALE_STEPS_PER_OCTAVE


@dataclass(frozen=True)
class Placement:
    """Where the network places pixels of one plane of a phase: all tensors (B, rows, columns).

    place: their rows and columns among those of the phase
    """

    level: int
    phase: int
    plane: int
    place: tuple[slice, slice]
    mean: Tensor
    log2_scale: Tensor

    def pixels(self, planes: Tensor) -> Tensor:
        """These pixels of planes (B, 3, H, W) of the scale."""
        return _of_phase(planes[:, self.plane], self.phase)[(..., *self.place)]

    def part(self, place: tuple[slice, slice]) -> "Placement":
        """That of some rows and columns of a whole phase."""
        window = (..., *place)
        return replace(self, place=place, mean=self.mean[window], log2_scale=self.log2_scale[window])

    def innovations(self, x: Tensor) -> Tensor:
        """By how much values miss the means, as a refinement sees it. No gradient goes back from there, which
        saves time.
        """
        missed = (x - self.mean) * torch.exp2(-self.log2_scale) * INNOVATION_UNIT
        return missed.clamp(-INNOVATION_MAX, INNOVATION_MAX).detach()

    def refined(self, outputs: Tensor) -> "Placement":
        """Moved and widened by move and log-scale (B, 2, rows, columns)."""
        move, wider = outputs.unbind(1)
        return replace(
            self,
            mean=(self.mean + move * torch.exp2(self.log2_scale)).clamp(*LEGAL[self.plane]),
            log2_scale=(self.log2_scale + wider).clamp(SCALE_MIN_LOG2, SCALE_MAX_LOG2),
        )

    def standardising(self) -> Affine:
        """The coupling's map of values to latents."""
        return Affine(-self.mean, -math.log(2) * self.log2_scale)


@dataclass(frozen=True)
class Given:
    """What is given of one scale from the start, if anything.

    planes: (B, 3, h, w)
    moves:  (B, 3, h, w), what linear parts add to the means
    words:  (B, 2, 3, h, w), shifts and log-scales that a model beside this one says, which count as much
    """

    planes: Tensor | None = None
    moves: Tensor | None = None
    words: Tensor | None = None


#: Values (B, rows, columns) of a placement.
Values = Callable[[Placement], Tensor]


class PhaseModel(nn.Module):
    """Maximum-likelihood twin of the coding model, which trains in one orientation: crops come in all.

    Images are planes (B, 3, H, W), float32, Y, Co and Cg in pixel steps, with H and W even at every scale
    that is walked; `scales` says how many those are at most.
    """

    def __init__(self, config: PhaseConfig, scales: int = 4, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.scales = scales
        self.dtype = dtype
        self.layers = build_layers(config.layers())

    def forward(
        self, planes: Tensor, moves: Sequence[Tensor] | None = None, words: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Nats (scales, 3, B) of every scale and plane, finest scale first; the plainly stored scale is not
        counted. `moves` and `words` of each scale are those of `Given`.
        """
        pyramid = self._pyramid(planes)
        nats = [[planes.new_zeros(len(planes)) for _ in range(PLANES)] for _ in pyramid[1:]]

        def score(at: Placement) -> Tensor:
            x = at.pixels(pyramid[at.level])
            masses = log_mass(x, at.mean, at.log2_scale, *LEGAL[at.plane])
            nats[at.level][at.plane] = nats[at.level][at.plane] - masses.sum((1, 2))
            return x

        self.walk(pyramid[-1], len(pyramid) - 1, score, _given(pyramid, moves, words))
        return torch.stack([torch.stack(level) for level in nats])

    def log_prob(self, planes: Tensor) -> Tensor:
        """Log-likelihood (B,) of integer planes in nats, the plainly stored scale included."""
        coarsest = self._pyramid(planes)[-1]
        stored = sum(math.log(high - low + 1) for low, high in LEGAL) * coarsest[0, 0].numel()
        return -self.forward(planes).sum((0, 1)) - stored

    def latents(self, planes: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Coarsest planes, standardised latents in coding order, and log|det dz/dx| (B,). Planes may be any
        reals.
        """
        pyramid = self._pyramid(planes)
        found: list[Tensor] = []
        log_det = planes.new_zeros(len(planes))

        def standardise(at: Placement) -> Tensor:
            nonlocal log_det
            x = at.pixels(pyramid[at.level])
            z, log_derivative = at.standardising().forward(x)
            found.append(z)
            log_det = log_det + per_item(log_derivative)
            return x

        self.walk(pyramid[-1], len(pyramid) - 1, standardise, _given(pyramid))
        return pyramid[-1], found, log_det

    def inverse(self, coarsest: Tensor, latents: list[Tensor]) -> Tensor:
        """Planes (B, 3, H, W) of what `latents` found."""
        following = iter(latents)
        present: dict[tuple[int, int, int], Tensor] = {}

        def restore(at: Placement) -> Tensor:
            index = at.level, at.phase, at.plane
            if index not in present:
                present[index] = next(following)
            return at.standardising().inverse(present[index][(..., *at.place)])[0]

        return self.walk(coarsest, len(latents) // (PLANES * (PHASES - 1)), restore)

    def walk(
        self,
        coarsest: Tensor,
        levels: int,
        values: Values,
        given: Sequence[Given] | None = None,
    ) -> Tensor:
        """Planes of the finest scale, each value asked of `values` in coding order: pass after pass, or whole
        phases where the planes of all scales are given from the start.
        """
        x, handed = coarsest, None
        for level in reversed(range(levels)):
            x, handed = self._level(level, x, handed, values, given[level] if given else Given())
        return x

    def layer(self, name: str) -> Conv:
        return find_layer(self.layers, name)

    def network(self, level: int, coupling: int) -> CouplingNetwork:
        layers = layers_below(dict(self.layers.items()), key(self.config.prefix(level, coupling)))
        return CouplingNetwork(layers, add, self.config.blocks[coupling])

    def refinement(self, level: int, phase: int, plane: int) -> dict[str, Layer]:
        return layers_below(dict(self.layers.items()), key(self.config.refinement(level, phase, plane)))

    def _pyramid(self, planes: Tensor) -> list[Tensor]:
        scales = [planes]
        for _ in scale_sizes(*planes.shape[-2:])[1 : self.scales + 1]:
            scales.append(scales[-1][..., ::2, ::2])
        return scales

    def _level(
        self,
        level: int,
        kept: Tensor,
        handed: Tensor | None,
        values: Values,
        given: Given,
    ) -> tuple[Tensor, Tensor]:
        """Planes of one scale from the next coarser one's, and the features to hand on."""
        phases = {KEPT: kept}
        padded = {KEPT: pad_phase(kept)}
        features = None if handed is None else F.pixel_shuffle(self.layer(self.config.up(level))(handed), 2)
        innovations = Innovations(kept)
        for coupling, changed in enumerate(COUPLINGS):
            surroundings = [neighbourhood(phase, padded) for phase in changed]
            network = self.network(level, coupling)
            context = self.cast(context_inputs(surroundings))
            features = network.features(context, features)
            step = _Step(self, level, coupling, network, features, surroundings, innovations, values, given)
            x = step.run()
            for i, phase in enumerate(changed):
                phases[phase] = x[:, :, i]
                padded[phase] = pad_phase(phases[phase])
        if features is None:
            raise ValueError("a scale needs a coupling")
        return _join(phases), features

    def cast(self, x: Tensor) -> Tensor:
        """Inputs in integer units as the layers want them."""
        return (x / ACTIVATION_UNIT).to(self.dtype, memory_format=torch.channels_last)


@dataclass(frozen=True)
class _Step:
    """One coupling of one scale, plane after plane."""

    model: PhaseModel
    level: int
    coupling: int
    network: CouplingNetwork
    features: Tensor
    surroundings: list[Neighbourhood]
    innovations: Innovations
    values: Values
    given: Given

    def run(self) -> Tensor:
        """Values (B, 3, changed, h, w) of the changed phases."""
        decoded: list[Tensor] = []
        residuals: list[Tensor] = []
        for plane in range(PLANES):
            known = [self.model.cast(torch.stack(residuals, 2).flatten(1, 2))] if plane else []
            outputs, features = self.network.head(plane, self.features, *known)
            shift, log_scale = self._agreed(outputs.to(self.surroundings[0].base4.dtype), plane).chunk(2, 1)
            activity = torch.stack([s.activity[:, plane] for s in self.surroundings], 1)
            base4 = torch.stack([s.base4[:, plane] for s in self.surroundings], 1)
            mean = base4 / 4 + shift * torch.exp2(activity / 2 - 2)
            if self.given.moves is not None:
                by = self.given.moves[:, plane]
                mean = mean + torch.stack([_of_phase(by, p) for p in COUPLINGS[self.coupling]], 1)
            mean = mean.clamp(*LEGAL[plane])
            log2_scale = (activity / 2 - 3 + log_scale).clamp(SCALE_MIN_LOG2, SCALE_MAX_LOG2)
            x = [
                self._phase(phase, plane, features, mean[:, i], log2_scale[:, i])
                for i, phase in enumerate(COUPLINGS[self.coupling])
            ]
            decoded.append(torch.stack(x, 1))
            residuals.append(normalise(decoded[-1] * 4 - base4, activity))
        return torch.stack(decoded, 1)

    def _agreed(self, outputs: Tensor, plane: int) -> Tensor:
        """Shifts and log-scales (B, 2 * changed, h, w): the means with those that are given."""
        if self.given.words is None:
            return outputs
        words = self.given.words[:, :, plane]
        said = torch.stack([_of_phase(words, p) for p in COUPLINGS[self.coupling]], 2)
        return (outputs + said.flatten(1, 2)) / 2

    def _phase(self, phase: int, plane: int, features: Tensor, mean: Tensor, log2_scale: Tensor) -> Tensor:
        """Values (B, h, w) of one phase and plane."""
        whole = Placement(self.level, phase, plane, EVERYTHING, mean, log2_scale)
        if not self.model.config.refinement_width:
            return self.values(whole)
        layers = self.model.refinement(self.level, phase, plane)
        refinement = Refinement(layers, phase, plane, features, self.innovations, self.model.cast)
        if self.given.planes is not None:
            innovations = whole.innovations(whole.pixels(self.given.planes))
            refinement.note(everywhere(*mean.shape[-2:]), innovations)
            return self.values(whole.refined(refinement.outputs_at_once().to(mean.dtype)))
        x = torch.empty_like(mean)
        for number, lattice in lattices(*mean.shape[-2:]):
            part = whole.part(lattice.window)
            found = self.values(part.refined(refinement.outputs(number, lattice).to(mean.dtype)))
            refinement.note(lattice, part.innovations(found))
            x[(..., *lattice.window)] = found
        return x


def _given(
    planes: Sequence[Tensor],
    moves: Sequence[Tensor] | None = None,
    words: Sequence[Tensor] | None = None,
) -> list[Given]:
    """Of all scales but the coarsest, from what is given of each."""
    return [
        Given(shown, moves[i] if moves else None, words[i] if words else None)
        for i, shown in enumerate(planes[:-1])
    ]


def log_mass(x: Tensor, mean: Tensor, log2_scale: Tensor, low: int, high: int) -> Tensor:
    """Natural log of the logistic mass of [x - 1/2, x + 1/2]; the cells of the extremes are open-ended."""
    return logistic_log_mass(x, mean, torch.exp2(-log2_scale), low, high)


def _of_phase(x: Tensor, phase: int) -> Tensor:
    """Pixels (..., h, w) of a phase of planes (..., H, W)."""
    return x[(..., *pixels_of(phase))]


def _join(phases: dict[int, Tensor]) -> Tensor:
    """Planes (B, 3, H, W) of four phases."""
    return unsqueeze(torch.cat([phases[p] for p in range(PHASES)], 1))
