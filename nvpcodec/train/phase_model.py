"""The float phase flow: the same network and the same contexts as the coder, a continuous shift and scale, exact discretized likelihood."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.context import Neighbourhood, context_inputs, neighbourhood, normalise, pad_phase
from nvpcodec.layout import COUPLINGS, KEPT, PHASES, scale_sizes
from nvpcodec.model import PhaseConfig
from nvpcodec.network import CouplingNetwork
from nvpcodec.tables import ACTIVATION_UNIT, SCALE_MIN_LOG2, SCALE_STEPS_PER_OCTAVE, SCALES
from nvpcodec.train.layers import Conv, add

PLANES = 3
#: Legal values of Y, Co, Cg.
PLANE_MIN, PLANE_MAX = (0, -255, -255), (255, 255, 255)
SCALE_MAX_LOG2 = SCALE_MIN_LOG2 + (SCALES - 1) / SCALE_STEPS_PER_OCTAVE


def float_layers(config: PhaseConfig) -> nn.ModuleDict:
    """All layers of all networks, named like the integer model's."""
    return nn.ModuleDict(
        {
            spec.name.replace(".", "/"): Conv(list(spec.inputs), spec.outputs, spec.relu, spec.zero)
            for spec in config.layers()
        }
    )


def log_mass(x: Tensor, mean: Tensor, log2_scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Natural log of the logistic mass of [x - 1/2, x + 1/2], the legal extremes open-ended."""
    rate = torch.exp2(-log2_scale)
    above = (x + 0.5 - mean) * rate
    below = (x - 0.5 - mean) * rate
    inner = F.logsigmoid(-below) + F.logsigmoid(above) + torch.log(-torch.expm1(-rate))
    return torch.where(x <= low, F.logsigmoid(above), torch.where(x >= high, F.logsigmoid(-below), inner))


class PhaseModel(nn.Module):
    """Maximum-likelihood twin of the coding model.

    `forward` takes planes (B, 3, H, W), float32 integers Y, Co, Cg with H and W even at every scale, and returns nats (scales, 3) per
    image of the batch: finest scale first, the plainly stored scale not counted.
    """

    def __init__(self, config: PhaseConfig, scales: int = 4) -> None:
        super().__init__()
        self.config = config
        self.scales = scales
        self.layers = float_layers(config)

    def layer(self, name: str) -> Conv:
        layer = self.layers[name.replace(".", "/")]
        assert isinstance(layer, Conv)
        return layer

    def network(self, level: int, coupling: int) -> CouplingNetwork:
        prefix = self.config.prefix(level, coupling).replace(".", "/")
        layers = {
            name.removeprefix(prefix): layer for name, layer in self.layers.items() if name.startswith(prefix)
        }
        return CouplingNetwork(layers, add, self.config.blocks[coupling])

    def forward(self, planes: Tensor) -> Tensor:
        scales = [planes]
        for _ in range(min(self.scales, len(scale_sizes(*planes.shape[-2:])) - 1)):
            scales.append(scales[-1][..., ::2, ::2])
        handed: Tensor | None = None
        nats: list[Tensor] = []
        for level in reversed(range(len(scales) - 1)):
            phases = [scales[level][..., p // 2 :: 2, p % 2 :: 2] for p in range(PHASES)]
            level_nats, handed = self.level(level, phases, handed)
            nats.insert(0, level_nats)
        return torch.stack(nats)

    def level(self, level: int, phases: list[Tensor], handed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Nats a plane of one scale, and the features for the next finer one."""
        padded = {KEPT: pad_phase(phases[KEPT])}
        nats = torch.zeros(PLANES, device=phases[0].device)
        features: Tensor | None = self.hand_down(level, handed)
        for coupling, changed in enumerate(COUPLINGS):
            surroundings = [neighbourhood(p, padded) for p in changed]
            network = self.network(level, coupling)
            context = context_inputs(surroundings) / ACTIVATION_UNIT
            features = network.features(self.cast(context), None if features is None else self.cast(features))
            for plane, masses in enumerate(
                self.masses(network, features, surroundings, [phases[p] for p in changed])
            ):
                nats[plane] = nats[plane] - masses.sum()
            padded |= {p: pad_phase(phases[p]) for p in changed}
        assert features is not None
        return nats, features

    def cast(self, x: Tensor) -> Tensor:
        return x.to(self.dtype, memory_format=torch.channels_last)

    dtype = torch.float32

    def hand_down(self, level: int, features: Tensor | None) -> Tensor | None:
        if features is None:
            return None
        return F.pixel_shuffle(self.layers[self.config.up(level).replace(".", "/")](features), 2)

    def masses(
        self,
        network: CouplingNetwork,
        features: Tensor,
        surroundings: list[Neighbourhood],
        values: list[Tensor],
    ) -> Iterator[Tensor]:
        """Log masses of each plane in turn, (changed, B, h, w)."""
        residuals = torch.stack(
            [normalise(x * 4 - s.base4, s.activity) for x, s in zip(values, surroundings, strict=True)], 1
        )
        residuals = residuals / ACTIVATION_UNIT
        for plane in range(PLANES):
            known = (self.cast(residuals[:, :, :plane].flatten(1, 2)),) if plane else ()
            out = network.head(plane, features, *known).float()
            shift, log_scale = out.chunk(2, dim=1)
            activity = torch.stack([s.activity[:, plane] for s in surroundings], 1)
            base = torch.stack([s.base4[:, plane] for s in surroundings], 1) / 4
            mean = base + shift * torch.exp2(activity / 2 - 2)
            log2_scale = (activity / 2 - 3 + log_scale).clamp(SCALE_MIN_LOG2, SCALE_MAX_LOG2)
            x = torch.stack([v[:, plane] for v in values], 1)
            mean = mean.clamp(PLANE_MIN[plane], PLANE_MAX[plane])
            yield log_mass(
                x, mean, log2_scale, x.new_tensor(PLANE_MIN[plane]), x.new_tensor(PLANE_MAX[plane])
            )


def bits_per_dim(nats: Tensor, planes: Tensor) -> Tensor:
    return nats.sum() / (math.log(2) * planes.numel())
