"""The float RealNVP: the same masks and the same networks as the coder, continuous shifts and scales.

What the paper does with batch normalization is done here by three things that cost a coder nothing: activations are clamped, the last
layers start at zero, so that the flow starts as the identity, and the base has a learned mean and scale per channel. Statistics per
batch would only be one more constant scale per channel in the coder, and each such scale is an exchange with the stack.

Numbers are in pixel steps throughout: a latent has the magnitude of a prediction error, so that the coder's grid suits all of them. A
coupling moves first and scales then, z = (x + t) exp(s); the paper's t is ours times exp(s). The shift has a linear part, which is
most of a prediction and which no clamp disturbs.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nvpcodec.coupling_layout import (
    COUPLING_SCALES,
    Mask,
    factored,
    latent_channels,
    masks,
    phase_views,
    scale_channels,
)
from nvpcodec.model import CouplingConfig
from nvpcodec.network import CouplingNetwork
from nvpcodec.tables import ACTIVATION_UNIT
from nvpcodec.train.layers import HIGH, LOW, Conv, add, round_through

#: What is taken from luma to bring mid-grey to zero.
MID_GREY = 128
#: Activations a pixel step: the coarse and the fine input, the linear shift and the rest of the shift.
COARSE_INPUT, FINE_INPUT, LINEAR_SHIFT, FINE_SHIFT = (n / ACTIVATION_UNIT for n in (4, 16, 4, 8))
#: Largest |s| of a coupling, in nats: where it starts, and what it may reach.
START_BOUND, LEAST_BOUND, LARGEST_BOUND = 1.5, 0.1, 3.0
#: Base parameters are learned in units of this: AdamW moves each parameter by about the learning rate a step.
BASE_UNIT = 10.0
START_LOG_SCALE = math.log(16)


class CouplingModel(nn.Module):
    """Maximum-likelihood twin of the coding model.

    `forward` takes planes (B, 3, H, W), float32 integers Y, Co, Cg with H and W multiples of 8, and returns nats (B,), under uniform
    dequantization noise.
    """

    dtype = torch.float32

    def __init__(self, config: CouplingConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleDict(
            {
                spec.name.replace(".", "/"): Conv(list(spec.inputs), spec.outputs, spec.relu, spec.zero)
                for spec in config.layers()
            }
        )
        self.bounds = nn.ParameterList(
            [nn.Parameter(torch.full((len(masks(i)),), START_BOUND)) for i in range(COUPLING_SCALES)]
        )
        latents = len(list(latent_channels()))
        self.base_mean = nn.Parameter(torch.zeros(latents))
        self.base_log_scale = nn.Parameter(torch.full((latents,), START_LOG_SCALE / BASE_UNIT))

    def forward(self, planes: Tensor) -> Tensor:
        return -self.log_prob(centre(planes + torch.rand_like(planes)))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density (B,) in nats of centred, dequantized planes (B, 3, H, W)."""
        latents, log_det = self.latents(x)
        total = log_det
        for z, mean, log_scale in zip(
            latents, self._per_scale(self.means), self._per_scale(self.log_scales), strict=True
        ):
            standard = (z - column(mean)) * torch.exp(-column(log_scale))
            log_density = -0.5 * standard.square() - column(log_scale) - 0.5 * math.log(2 * math.pi)
            total = total + log_density.sum((1, 2, 3))
        return total

    def latents(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Latents (B, c, h, w) of each scale, and log |det| (B,)."""
        log_det = x.new_zeros(x.shape[0])
        out = []
        for scale in range(COUPLING_SCALES):
            x = squeeze(x)
            for coupling, mask in enumerate(masks(scale)):
                kept, changed = x[:, mask.kept], x[:, mask.changed]
                shift, log_scale = self.coupling(scale, coupling, kept)
                x = join(mask, kept, (changed + shift) * log_scale.exp())
                log_det = log_det + log_scale.sum((1, 2, 3))
            leaving = factored(scale)
            out.append(x[:, leaving.changed])
            x = x[:, leaving.kept]
        return out, log_det

    def inverse(self, latents: list[Tensor]) -> Tensor:
        """Centred planes (B, 3, H, W) from the latents of each scale."""
        x: Tensor | None = None
        for scale in reversed(range(COUPLING_SCALES)):
            z = latents[scale]
            x = join(factored(scale), z[:, :0] if x is None else x, z)
            for coupling, mask in reversed(list(enumerate(masks(scale)))):
                kept, changed = x[:, mask.kept], x[:, mask.changed]
                shift, log_scale = self.coupling(scale, coupling, kept)
                x = join(mask, kept, changed * (-log_scale).exp() - shift)
            x = unsqueeze(x)
        assert x is not None
        return x

    def coupling(self, scale: int, coupling: int, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Shift in pixel steps and log-scale in nats (B, changed, h, w) from what is kept."""
        network = self.network(scale, coupling)
        coarse, fine = (self.activation(kept, unit) for unit in (COARSE_INPUT, FINE_INPUT))
        linear = network.layers["linear"](coarse)
        stem = {"stem": lambda a, b: network.layers["stem"](a, b).to(self.dtype)}
        trunk = CouplingNetwork({**network.layers, **stem}, add, network.blocks).features(coarse, fine)
        shift, raw = network.head(0, trunk).to(kept.dtype).chunk(2, 1)
        log_scale = self.bound(scale, coupling) * torch.tanh(raw)
        return linear / LINEAR_SHIFT + shift / FINE_SHIFT, log_scale

    def activation(self, kept: Tensor, unit: float) -> Tensor:
        """Values in pixel steps as network input; the coder sees the lower edge of a cell of its grid."""
        scaled = kept * unit
        step = COARSE_INPUT_STEP * unit
        if self.quantized:
            cells = scaled / step
            scaled = step * (cells + (cells.floor() - cells).detach())
        else:
            scaled = scaled - step / 2
        return F.hardtanh(scaled, LOW, HIGH)
