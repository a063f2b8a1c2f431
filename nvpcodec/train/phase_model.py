"""The phase flow in floats: the same network and contexts as the coder, a continuous shift and scale.

The affine coupling of each phase and plane is z = (x - mean) / scale (Dinh et al. 2017, equation 7, with the
scale on the other side); its base distribution is logistic, and the likelihood that is trained is the exact
mass of each pixel step under it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.flow.bases import logistic_log_mass
from nvpcodec.flow.elementwise import Affine
from nvpcodec.flow.layer import per_item
from nvpcodec.flow.squeeze import unsqueeze
from nvpcodec.layout import COUPLINGS, KEPT, PHASES, scale_sizes
from nvpcodec.model import PLANES, PhaseConfig
from nvpcodec.network import CouplingNetwork, layers_below
from nvpcodec.tables import ACTIVATION_UNIT, LEGAL, SCALE_MIN_LOG2, SCALE_STEPS_PER_OCTAVE, SCALES
from nvpcodec.train.layers import Conv, add, build_layers, find_layer, key

SCALE_MAX_LOG2 = SCALE_MIN_LOG2 + (SCALES - 1) / SCALE_STEPS_PER_OCTAVE


@dataclass(frozen=True)
class Placement:
    """Where the network places one plane of the phases that a coupling changes: all tensors (B, changed, h,
    w).
    """

    level: int
    coupling: int
    plane: int
    mean: Tensor
    log2_scale: Tensor

    def standardising(self) -> Affine:
        """The coupling's map of values to latents."""
        return Affine(-self.mean, -math.log(2) * self.log2_scale)


#: Values (B, changed, h, w) of a placement.
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

    def forward(self, planes: Tensor) -> Tensor:
        """Nats (scales, 3, B) of every scale and plane, finest scale first; the plainly stored scale is not
        counted.
        """
        pyramid = self._pyramid(planes)
        nats = [[planes.new_zeros(len(planes)) for _ in range(PLANES)] for _ in pyramid[1:]]

        def score(at: Placement) -> Tensor:
            x = _changed(pyramid[at.level], at)
            masses = log_mass(x, at.mean, at.log2_scale, *LEGAL[at.plane])
            nats[at.level][at.plane] = nats[at.level][at.plane] - masses.sum((1, 2, 3))
            return x

        self.walk(pyramid[-1], len(pyramid) - 1, score)
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
            x = _changed(pyramid[at.level], at)
            z, log_derivative = at.standardising().forward(x)
            found.append(z)
            log_det = log_det + per_item(log_derivative)
            return x

        self.walk(pyramid[-1], len(pyramid) - 1, standardise)
        return pyramid[-1], found, log_det

    def inverse(self, coarsest: Tensor, latents: list[Tensor]) -> Tensor:
        """Planes (B, 3, H, W) of what `latents` found."""
        following = iter(latents)
        levels = len(latents) // (PLANES * len(COUPLINGS))
        return self.walk(coarsest, levels, lambda at: at.standardising().inverse(next(following))[0])

    def walk(self, coarsest: Tensor, levels: int, values: Values) -> Tensor:
        """Planes of the finest scale, each value asked of `values` in coding order."""
        x, handed = coarsest, None
        for level in reversed(range(levels)):
            x, handed = self._level(level, x, handed, values)
        return x

    def layer(self, name: str) -> Conv:
        return find_layer(self.layers, name)

    def network(self, level: int, coupling: int) -> CouplingNetwork:
        layers = layers_below(dict(self.layers.items()), key(self.config.prefix(level, coupling)))
        return CouplingNetwork(layers, add, self.config.blocks[coupling])

    def _pyramid(self, planes: Tensor) -> list[Tensor]:
        scales = [planes]
        for _ in scale_sizes(*planes.shape[-2:])[1 : self.scales + 1]:
            scales.append(scales[-1][..., ::2, ::2])
        return scales

    def _level(
        self, level: int, kept: Tensor, handed: Tensor | None, values: Values
    ) -> tuple[Tensor, Tensor]:
        """Planes of one scale from the next coarser one's, and the features to hand on."""
        phases = {KEPT: kept}
        padded = {KEPT: pad_phase(kept)}
        features = None if handed is None else F.pixel_shuffle(self.layer(self.config.up(level))(handed), 2)
        for coupling, changed in enumerate(COUPLINGS):
            surroundings = [neighbourhood(phase, padded) for phase in changed]
            network = self.network(level, coupling)
            context = self._cast(context_inputs(surroundings) / ACTIVATION_UNIT)
            features = network.features(context, None if features is None else self._cast(features))
            x = self._values(level, coupling, network, features, surroundings, values)
            for i, phase in enumerate(changed):
                phases[phase] = x[:, :, i]
                padded[phase] = pad_phase(phases[phase])
        if features is None:
            raise ValueError("a scale needs a coupling")
        return _join(phases), features

    def _values(
        self,
        level: int,
        coupling: int,
        network: CouplingNetwork,
        features: Tensor,
        surroundings: list[Neighbourhood],
        values: Values,
    ) -> Tensor:
        """Values (B, 3, changed, h, w) of the changed phases, plane after plane."""
        decoded: list[Tensor] = []
        residuals: list[Tensor] = []
        for plane in range(PLANES):
            known = [self._cast(torch.stack(residuals, 2).flatten(1, 2) / ACTIVATION_UNIT)] if plane else []
            shift, log_scale = network.head(plane, features, *known).float().chunk(2, 1)
            activity = torch.stack([s.activity[:, plane] for s in surroundings], 1)
            base4 = torch.stack([s.base4[:, plane] for s in surroundings], 1)
            mean = (base4 / 4 + shift * torch.exp2(activity / 2 - 2)).clamp(*LEGAL[plane])
            log2_scale = (activity / 2 - 3 + log_scale).clamp(SCALE_MIN_LOG2, SCALE_MAX_LOG2)
            decoded.append(values(Placement(level, coupling, plane, mean, log2_scale)))
            residuals.append(normalise(decoded[-1] * 4 - base4, activity))
        return torch.stack(decoded, 1)

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self.dtype, memory_format=torch.channels_last)


def log_mass(x: Tensor, mean: Tensor, log2_scale: Tensor, low: int, high: int) -> Tensor:
    """Natural log of the logistic mass of [x - 1/2, x + 1/2]; the cells of the extremes are open-ended."""
    return logistic_log_mass(x, mean, torch.exp2(-log2_scale), low, high)


def _changed(planes: Tensor, at: Placement) -> Tensor:
    """The placement's plane of the phases that its coupling changes."""
    return torch.stack([planes[:, at.plane, p // 2 :: 2, p % 2 :: 2] for p in COUPLINGS[at.coupling]], 1)


def _join(phases: dict[int, Tensor]) -> Tensor:
    """Planes (B, 3, H, W) of four phases."""
    return unsqueeze(torch.cat([phases[p] for p in range(PHASES)], 1))
